"""Keeps the parser process of `syntax`: feeds it, times it, buries it and starts the next, so that a file costs itself.

The process is a fresh interpreter (never a fork of a process with threads, never a re-import of a user's `__main__`),
reused for as long as it lives. Files stream to it through a pipe while answers stream back, so neither side waits.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from codemill.annotate.syntax_worker import ANSWER, FILE, LENGTH
from codemill.errors import EngineError

WORKER = Path(__file__).with_name("syntax_worker.py")
START_SECONDS = 120
CHUNK = 1 << 20
FRAMES = 32


@dataclass(frozen=True)
class Limits:
    """What one file may take.

    Attributes:
        seconds: CPU time.
        wall_seconds: time by the clock, for a process that is stopped or waits; long, since machines may be loaded.
        memory: bytes of address space of the process.
    """

    seconds: float
    wall_seconds: float
    memory: int


@dataclass(frozen=True)
class Answer:
    """What became of one file: `status` is parsed, timeout, crashed or failed; `message` says why it failed, or what a
    grammar with "find" found, as JSON.

    `values` are the first seven of the worker's `ANSWER`; empty unless parsed.
    """

    status: str
    values: tuple[int, ...] = ()
    message: str = ""


class ParserProcess:
    """A parser process that is replaced whenever a file kills it.

    Args:
        grammars: grammar -> {"query": of comments and literals, or empty; "captures": the names it captures; "second":
            the grammar to try where this one finds errors, or empty}; or name -> {"grammar": its name, "find": a query
            whose matches are wanted as text}.
        limits: what one file may take.

    Raises:
        EngineError: the process can't start (on `start`, or later when a fresh one is needed).
    """

    def __init__(self, grammars: Mapping[str, Mapping[str, object]], limits: Limits) -> None:
        self.grammars, self.limits = grammars, limits
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()
        self._owner = 0
        self._release: weakref.finalize[[subprocess.Popen[bytes]], ParserProcess] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the living parser process, None before the first file and after a death."""
        return self.process.pid if self.process else None

    def parse(self, files: Sequence[tuple[str, bytes | memoryview]]) -> list[Answer]:
        """Parse (grammar, content) pairs; one answer for each, in order."""
        answers: list[Answer] = []
        retried = False
        with self.lock:
            while len(answers) < len(files):
                before = len(answers)
                end = self._feed(files[before:], answers)
                retried = retried and len(answers) == before
                if end == "crashed" and not retried:
                    # Someone else (an out-of-memory killer, an operator) may have ended the process: ask once more.
                    retried = True
                elif end:
                    answers.append(Answer(end))
                    retried = False
        return answers

    def start(self) -> None:
        """Start the process unless it lives."""
        if self.process is not None and self._owner == os.getpid():
            return
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        # -P: else the folder of the script, with modules like `secrets`, would stand before the standard library.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        self._owner = os.getpid()
        self._release = weakref.finalize(self, _end, self.process)
        settings = {"grammars": self.grammars, "timeout": self.limits.seconds, "max_memory": self.limits.memory}
        text = json.dumps(settings).encode()
        reply = ""
        with contextlib.suppress(OSError):
            _stdin(self.process).write(LENGTH.pack(len(text)) + text)
            reply = self._ready(time.monotonic() + START_SECONDS)
        if reply != "{}":
            self._bury()
            reason = json.loads(reply)["error"] if reply else "it ended or hung before it was ready"
            raise EngineError(f"syntax: expected the parser process to start, got: {reason}")
        os.set_blocking(_stdin(self.process).fileno(), False)
        with contextlib.suppress(OSError, AttributeError):
            # Fewer switches between the two processes; only Linux can, and only as far as its limits allow.
            fcntl.fcntl(_stdin(self.process), fcntl.F_SETPIPE_SZ, CHUNK)

    def _ready(self, deadline: float) -> str:
        data = b""
        while len(data) < LENGTH.size or len(data) < LENGTH.size + LENGTH.unpack_from(data)[0]:
            output = _stdout(self._living())
            if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return ""
            part = os.read(output.fileno(), CHUNK)
            if not part:
                return ""
            data += part
        return data[LENGTH.size :].decode()

    def close(self) -> None:
        """End the process."""
        with self.lock:
            self._bury()

    def _living(self) -> "subprocess.Popen[bytes]":
        assert self.process is not None
        return self.process

    def _bury(self) -> int:
        """End the process if it still lives, and its return code."""
        process, self.process = self._living() if self.process else None, None
        if self._release is not None:
            self._release()
            self._release = None
        return process.returncode if process is not None and process.returncode is not None else 0

    def _feed(self, files: Sequence[tuple[str, bytes | memoryview]], answers: list[Answer]) -> str:
        """Append answers until all files have one ("") or the process is dead; then how the next file ended it."""
        self.start()
        process = self._living()
        source, sink = _stdout(process).fileno(), _stdin(process).fileno()
        outgoing, received = _Outgoing(files), b""
        wanted = len(answers) + len(files)
        poll = select.poll()
        poll.register(source, select.POLLIN)
        poll.register(sink, select.POLLOUT)
        deadline = time.monotonic() + self.limits.wall_seconds
        while len(answers) < wanted:
            remaining = deadline - time.monotonic()
            events = dict(poll.poll(max(0.0, remaining) * 1000))
            if not events and remaining <= 0:
                self._bury()
                return "timeout"
            if sink in events and outgoing.write(sink):
                poll.unregister(sink)
            if source not in events:
                continue
            part = os.read(source, CHUNK)
            if not part:
                return "timeout" if self._bury() == -signal.SIGPROF else "crashed"
            received = _take(received + part, answers)
            deadline = time.monotonic() + self.limits.wall_seconds
        return ""


class _Outgoing:
    """Frames of files, written as fast as the pipe takes them."""

    def __init__(self, files: Sequence[tuple[str, bytes | memoryview]]) -> None:
        self.files = iter(files)
        self.parts: list[memoryview] = []

    def write(self, descriptor: int) -> bool:
        """Write what fits; True when nothing is left or the reader is gone (its end shows on the other pipe)."""
        try:
            while True:
                for name, content in islice(self.files, max(0, FRAMES - len(self.parts) // 2)):
                    head = FILE.pack(len(name), memoryview(content).nbytes) + name.encode()
                    self.parts += [memoryview(head), memoryview(content)]
                if not self.parts:
                    return True
                count, done = os.writev(descriptor, self.parts), 0
                while done < len(self.parts) and count >= self.parts[done].nbytes:
                    count -= self.parts[done].nbytes
                    done += 1
                del self.parts[:done]
                if self.parts:
                    self.parts[0] = self.parts[0][count:]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True


def _take(received: bytes, answers: list[Answer]) -> bytes:
    """Move whole answers out of the bytes received; the rest."""
    at = 0
    while len(received) - at >= ANSWER.size:
        *values, length = ANSWER.unpack_from(received, at)
        end = at + ANSWER.size + length
        if len(received) < end:
            break
        message = received[at + ANSWER.size : end].decode("utf-8", "replace")
        status = "failed" if message and not any(values) else "parsed"  # a tree has a node at least
        answers.append(Answer(status, tuple(values) if status == "parsed" else (), message))
        at = end
    return received[at:]


def _stdin(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


def _stdout(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
