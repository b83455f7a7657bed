"""The store: one folder, local or on an object store, that owns every path of a project's tables.

Layout (see docs/data-format.md):

    codemill.json                          marks a folder as a store, with its format version
    plans/<id>.json                        which units were grouped into which shards; append-only
    blobs/<shard>.parquet  occurrences/<shard>.parquet  owners/<shard>.parquet
    ingested/<shard>.json                  completion marker of a shard, with its counts
    annotations/<name>-<fingerprint>/<shard>-<keys>.parquet
    annotations/<name>-<fingerprint>/annotator.json
    decisions/<recipe fingerprint>/<corpus>.parquet

A file appears under its final name only when it is whole: it is written beside it and renamed, or, on an object store,
becomes visible on close. Whatever exists is therefore complete, which is what makes a killed run resumable.
"""

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from codemill.errors import StoreError

FORMAT = 1
LOCK = "lock.json"
COMPRESSION = {"compression": "zstd", "compression_level": 3}


class Store:
    """Reads and writes under one root: a local path or a URL that Arrow's file systems know (s3://, gs://).

    Paths passed to the methods are relative to the root, with forward slashes.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        if "://" in self.root:
            try:
                self.fs, self.base = pafs.FileSystem.from_uri(self.root)
            except (OSError, pa.ArrowException) as error:
                raise StoreError(f"store {self.root}: expected a path, s3:// or gs://, got {error}") from error
            self.local = isinstance(self.fs, pafs.LocalFileSystem)
        else:
            self.fs, self.base, self.local = pafs.LocalFileSystem(), str(Path(self.root).absolute()), True

    def path(self, relative: str) -> str:
        """The path of `relative` in the file system of the store."""
        return f"{self.base}/{relative}"

    def url(self, relative: str) -> str:
        """The path of `relative` as other readers (Daft) want it."""
        if self.local:
            return self.path(relative)
        root, mark, query = self.root.partition("?")  # the server of an object store, as Arrow wants it named
        return f"{root.rstrip('/')}/{relative}{mark}{query}"

    # -- creation ------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the folder a store, or check that it is one of this format."""
        if self.exists("codemill.json"):
            found = self.read_json("codemill.json").get("format")
            if found != FORMAT:
                raise StoreError(f"store {self.root}: expected format {FORMAT}, got {found}")
            return
        if set(self.files("")) - {LOCK}:  # a run holds the store before it is one
            raise StoreError(f"store {self.root}: expected an empty folder or a store, got a folder with other files")
        self.write_json("codemill.json", {"format": FORMAT})

    def require(self) -> None:
        """Raise unless the folder is a store."""
        if not self.exists("codemill.json"):
            raise StoreError(
                f"store {self.root}: expected a store, got no codemill.json there (run `codemill run` first)"
            )
        self.create()

    # -- listing -------------------------------------------------------------------------------------------------

    def exists(self, relative: str) -> bool:
        return bool(self.fs.get_file_info(self.path(relative)).type != pafs.FileType.NotFound)

    def files(self, folder: str, suffix: str = "") -> list[str]:
        """Relative paths of the files directly in `folder`, sorted; empty where the folder does not exist."""
        selector = pafs.FileSelector(self.path(folder).rstrip("/"), allow_not_found=True)
        try:
            infos = self.fs.get_file_info(selector)
        except OSError as error:
            raise StoreError(f"store {self.root}: cannot list {folder or 'it'}: {error}") from error
        prefix = f"{folder}/" if folder else ""
        return sorted(
            f"{prefix}{info.base_name}"
            for info in infos
            if info.base_name.endswith(suffix) and not info.base_name.startswith(".")
        )

    # -- whole files ---------------------------------------------------------------------------------------------

    def read_json(self, relative: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self.read_bytes(relative)))
        except ValueError as error:
            raise StoreError(f"store {self.root}: expected JSON in {relative}, got {error}") from error

    def write_json(self, relative: str, value: dict[str, Any], sort_keys: bool = True) -> None:
        """Write a value; with `sort_keys` off its order is kept, where it says something."""
        self.write_bytes(relative, (json.dumps(value, indent=1, sort_keys=sort_keys) + "\n").encode())

    def read_bytes(self, relative: str) -> bytes:
        try:
            with self.fs.open_input_stream(self.path(relative)) as stream:
                return bytes(stream.read())
        except OSError as error:
            raise StoreError(f"store {self.root}: cannot read {relative}: {error}") from error

    def write_bytes(self, relative: str, data: bytes) -> None:
        with self.writing(relative) as stream:
            stream.write(data)

    def delete(self, relative: str) -> None:
        self.fs.delete_file(self.path(relative))

    def delete_folder(self, relative: str) -> None:
        if self.exists(relative):
            self.fs.delete_dir(self.path(relative))

    @contextlib.contextmanager
    def writing(self, relative: str) -> Iterator[pa.NativeFile]:
        """Open a file for writing that appears under its name only if the block ends well."""
        target = self.path(relative)
        folder, _, name = target.rpartition("/")
        # An object store would show what an aborted block has written, so it gets a hidden name there too.
        hidden = f"{folder}/.{name}.{os.getpid()}.part"
        try:
            if self.local:
                Path(folder).mkdir(parents=True, exist_ok=True)
            with self.fs.open_output_stream(hidden) as stream:
                yield stream
            if self.local:
                with Path(hidden).open("rb") as done:
                    os.fsync(done.fileno())
                Path(hidden).replace(target)
            else:
                self.fs.move(hidden, target)
        except BaseException as error:
            with contextlib.suppress(OSError):
                self.fs.delete_file(hidden)
            if not isinstance(error, OSError):
                raise
            full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
            reason = "no space left on the device" if full else str(error)
            raise StoreError(f"store {self.root}: cannot write {relative}: {reason}") from error

    # -- tables --------------------------------------------------------------------------------------------------

    def read(self, relative: str, columns: list[str] | None = None) -> pa.Table:
        """One Parquet file as a table."""
        try:
            return pq.read_table(self.path(relative), columns=columns, filesystem=self.fs, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"store {self.root}: cannot read {relative}: {error}") from error

    def read_all(self, relatives: list[str], schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
        """Parquet files one after the other as one table of `schema` (its `columns`)."""
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        tables = [self.read(relative, wanted.names).cast(wanted) for relative in relatives]
        return pa.concat_tables(tables) if tables else wanted.empty_table()

    def batches(self, relative: str, columns: list[str] | None = None, rows: int = 1024) -> Iterator[pa.RecordBatch]:
        """One Parquet file as record batches of at most `rows` rows, a row group in memory at a time."""
        try:
            with self.fs.open_input_file(self.path(relative)) as stream:
                yield from pq.ParquetFile(stream).iter_batches(batch_size=rows, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"store {self.root}: cannot read {relative}: {error}") from error

    def write(self, relative: str, table: pa.Table, row_group_size: int = 128 * 1024) -> None:
        with self.writing(relative) as stream:
            pq.write_table(table, stream, row_group_size=row_group_size, **COMPRESSION)

    @contextlib.contextmanager
    def table_writer(self, relative: str, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        """Yield a function that appends a table as one row group; the file appears when the block ends well."""
        with self.writing(relative) as stream, pq.ParquetWriter(stream, schema, **COMPRESSION) as writer:
            yield writer.write_table

    # -- one writer at a time ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for writing; a second holder gets one clear line instead. No file of the lock outlives it."""
        holder = f"{socket.gethostname()} pid {os.getpid()}"
        if not self.local:
            with self._object_lock(holder):
                yield
            return
        try:
            Path(self.base).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"store {self.root}: expected a folder, got {error.strerror}") from error
        note = Path(self.base) / ".holder"
        lock = FileLock(f"{self.base}/.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            who = ""
            with contextlib.suppress(OSError):  # it may be gone by now
                who = note.read_text()
            who = who or "another process"
            raise StoreError(f"store {self.root}: expected to be its only writer, got {who} writing to it") from error
        try:
            note.write_text(holder)
            # What killed writers left; nobody else writes now.
            for part in Path(self.base).rglob(".*.[0-9]*.part") if self.exists("codemill.json") else ():
                part.unlink(missing_ok=True)
            yield
        finally:
            note.unlink(missing_ok=True)
            # Who has opened the file by now finds it gone when it is theirs. Some systems delete no open files.
            with contextlib.suppress(OSError):
                Path(lock.lock_file).unlink()
            lock.release()

    @contextlib.contextmanager
    def _object_lock(self, holder: str) -> Iterator[None]:
        """A lock object for stores without file locks. A killed holder leaves it: the message says what to delete."""
        if self.exists(LOCK):
            held = self.read_json(LOCK)
            raise StoreError(
                f"store {self.root}: expected to be its only writer, got {held.get('holder')} since {held.get('since')}"
                " (if that run is dead, delete lock.json there)"
            )
        self.write_json(LOCK, {"holder": holder, "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        try:
            yield
        finally:
            self.delete(LOCK)


def annotation_folder(name: str, fingerprint: str) -> str:
    """Where the table of an annotator with these parameters lives."""
    return f"annotations/{name}-{fingerprint}"
