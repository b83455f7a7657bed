"""The one module that knows a runner: Daft, on its native runner or on Ray.

Two things are asked of it: run a function over independent tasks in worker processes, and read remote files. The first
is a Daft plan, so the same code runs embedded on a laptop and on a cluster. Processes rather than threads, since
tree-sitter's Python binding holds the GIL.
"""

import ctypes
import gc
import importlib
import io
import json
import logging
import os
import re
import sys
import traceback
import urllib.parse
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from codemill.errors import CodemillError, EngineError, InputError, MissingExtra

Task = dict[str, Any]

# Below this weight (bytes of content) the start of worker processes costs more than it gains.
INLINE_WEIGHT = 8_000_000


@dataclass
class Engine:
    """Where work runs.

    Args:
        runner: `native` (this machine) or `ray` (a cluster; needs the extra `ray`).
        workers: worker processes; 0 means one for each core of this machine, or of the cluster.
        address: address of the Ray cluster; None starts or finds a local one.
    """

    runner: Literal["native", "ray"] = "native"
    workers: int = 0
    address: str | None = None
    listener: Callable[[int, int], None] | None = None  # told (done, all) after every task

    def map(self, function: str, tasks: Sequence[Task], weight: int) -> Iterator[Task]:
        """Run `module:function` on every task (a JSON-able dict) and yield what it returns, in any order.

        Args:
            function: `module:name` of a function from dict to JSON-able dict, importable by the workers.
            tasks: independent pieces of work, each safe to repeat.
            weight: bytes of content that all tasks together touch; small work runs in this process.

        Raises:
            CodemillError: the first error that a task raised as one of ours, with its own message.
            EngineError: a task failed unexpectedly or a worker died.
        """
        if not tasks:
            return
        done = 0
        for done, reply in enumerate(self._replies(function, tasks, weight), start=1):
            if self.listener:
                self.listener(done, len(tasks))
            yield reply
        if done < len(tasks):  # Daft ends like this on a signal that Python was told to ignore
            raise EngineError(f"{function}: expected {len(tasks)} answers, got {done}: the engine was interrupted")

    def _replies(self, function: str, tasks: Sequence[Task], weight: int) -> Iterator[Task]:
        workers = min(self._width(), len(tasks))
        if self.runner == "native" and (workers == 1 or weight < INLINE_WEIGHT):
            call = _load(function)
            for task in tasks:
                yield call(task)
                give_back()
            return
        for line in self._stream(function, [json.dumps(task) for task in tasks], workers):
            reply = json.loads(line)
            if reply["ok"]:
                yield reply["value"]
            elif reply["known"]:
                raise getattr(importlib.import_module("codemill.errors"), reply["kind"], EngineError)(reply["message"])
            else:
                raise EngineError(f"{function}: {reply['message']}")

    def _width(self) -> int:
        if self.workers:
            return self.workers
        if self.runner == "ray":
            self._daft()
            import ray

            return max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        return os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0))

    def _daft(self) -> Any:
        os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")
        os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
        os.environ.setdefault("DO_NOT_TRACK", "1")
        import daft

        # What goes wrong in a worker is said once, by us.
        logging.getLogger("daft_local_execution").setLevel(logging.CRITICAL)
        if self.runner == "ray":
            try:
                import ray
            except ImportError as error:
                raise MissingExtra("the Ray runner", "ray") from error
            if not ray.is_initialized():
                ray.init(address=self.address, logging_level=logging.WARNING, log_to_driver=False)
            daft.set_runner_ray(self.address, noop_if_initialized=True)
        return daft

    def _stream(self, function: str, lines: list[str], workers: int) -> Iterator[str]:
        daft = self._daft()

        class Worker(_Worker):
            # A batch of one task: otherwise one worker takes a whole morsel and the others stand by.
            @daft.method.batch(return_dtype=daft.DataType.string(), batch_size=1)  # type: ignore[untyped-decorator]
            def __call__(self, tasks: Any) -> list[str]:
                return [self.answer(task) for task in tasks.to_pylist()]

        worker = daft.cls(Worker, use_process=self.runner == "native" or None, max_concurrency=workers)(function)
        frame = daft.from_pydict({"task": lines})
        if self.runner == "ray":
            # One task per partition, so that the cluster can spread them.
            frame = frame.into_partitions(len(lines))
        try:
            for row in frame.select(worker(daft.col("task")).alias("reply")).iter_rows():
                yield row["reply"]
        except Exception as error:  # a worker died: Daft's errors share no base class
            raise EngineError(f"{function}: a worker failed: {_first_line(error)}") from error
        finally:
            # Daft leaves the pipes of its workers to the garbage collector, which would complain at a time of its own.
            del frame, worker
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


class _Worker:
    """Lives in a worker process; answers every task with JSON, since an exception would lose which kind it was."""

    def __init__(self, function: str) -> None:
        self.call = _load(function)

    def answer(self, task: str) -> str:
        try:
            reply = json.dumps({"ok": True, "value": self.call(json.loads(task))})
            give_back()
            return reply
        except CodemillError as error:
            return json.dumps({"ok": False, "known": True, "kind": type(error).__name__, "message": str(error)})
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            return json.dumps({"ok": False, "known": False, "message": f"{type(error).__name__}: {error} ({where})"})


# -- remote files ------------------------------------------------------------------------------------------------

# Arrow's way of naming an S3 server in a URL; a lone `?` is a wildcard.
QUERY = re.compile(r"\?(?=[a-z_]+=)")


def plain_url(url: str) -> tuple[str, Any]:
    """A URL without its query, and Daft's settings for what the query says (`endpoint_override`, `scheme`, `region`).

    Credentials come from the environment, as each service's own tools look for them.
    """
    plain, *query = QUERY.split(url, maxsplit=1)
    options = dict(urllib.parse.parse_qsl(query[0])) if query else {}
    if "endpoint_override" not in options:
        return plain, None
    from daft.io import IOConfig, S3Config

    endpoint = f"{options.get('scheme', 'https')}://{options['endpoint_override']}"
    return plain, IOConfig(s3=S3Config(endpoint_url=endpoint, region_name=options.get("region")))


def list_urls(pattern: str) -> list[tuple[str, int]]:
    """The remote files (s3://, gs://, hf://) that match a pattern, sorted, each with its bytes; a `/` at the end is
    a folder.

    Raises:
        InputError: the service can't be reached, or nothing matches.
    """
    daft = Engine()._daft()
    plain, config = plain_url(pattern)
    query = pattern[len(plain) :]
    try:
        found = daft.from_glob_path(f"{plain}**" if plain.endswith("/") else plain, io_config=config).to_pydict()
    except Exception as error:  # Daft's own errors share no base class
        if "at least 1 MicroPartition" in str(error):  # how Daft says that nothing matches
            raise InputError(f"source {plain}: expected files that match, got none") from error
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(f"source {plain}: expected readable files, got {lines[-1] if lines else error}") from error
    return sorted((f"{path}{query}", size or 0) for path, size in zip(found["path"], found["size"], strict=True))


def open_url(url: str) -> io.BufferedReader:
    """A remote file for random access; it is fetched in pieces as they are read.

    Raises:
        OSError: it can't be read.
    """
    return io.BufferedReader(_UrlFile(url), 1 << 20)


class _UrlFile(io.RawIOBase):
    """Daft's file as the rest of the world expects files to be."""

    def __init__(self, url: str) -> None:
        daft = Engine()._daft()
        plain, config = plain_url(url)
        self._url = plain
        # Daft's files work between __enter__ and __exit__ only; this one leaves when it is closed.
        self._file = self._call(lambda: daft.File(plain, io_config=config).open(buffer_size=1 << 20).__enter__())

    def _call(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # Daft's own errors share no base class
            raise OSError(f"{self._url}: {(str(error).splitlines() or [''])[0]}") from error

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._call(lambda: self._file.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._call(lambda: self._file.seek(offset, whence)))

    def tell(self) -> int:
        return int(self._call(self._file.tell))

    def close(self) -> None:
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()


def give_back() -> None:
    """Hand memory that allocators keep for later back to the system: over many tasks it would add up."""
    pa.default_memory_pool().release_unused()
    if trim := _trim():
        trim(0)


@cache
def _trim() -> Any:
    """The C library's call for it, where it has one."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def _load(function: str) -> Callable[[Task], Task]:
    module, name = function.split(":")
    loaded: Callable[[Task], Task] = getattr(importlib.import_module(module), name)
    return loaded
