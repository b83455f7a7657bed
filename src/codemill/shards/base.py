"""What all writers of shards share: settings, rolling over by size, files that appear when they are whole."""

import abc
import contextlib
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, ClassVar, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from codemill.errors import InputError, StoreError
from codemill.recipe import Strict

Ints = npt.NDArray[np.int64]
# What writers call their files, whatever comes after it.
NAME = re.compile(r"\d{5}-\d{5}[._]")


class ShardSettings(Strict):
    """How sequences are put into files."""

    shard_bytes: int | None = Field(
        None,
        gt=0,
        le=2_000_000_000,
        description="about the size of a file before compression; none: what suits the format",
    )
    loss_mask: bool = Field(True, description="write loss masks; with megatron and nanogpt as files beside the ids")
    padding: bool = Field(
        True,
        description="megatron, nanogpt: write the padding too, so that sequence i begins at i times the length; "
        "elsewhere it is always there",
    )
    header: bool = Field(False, description="nanogpt: begin files with 256 int32, as llm.c and its kin expect")


class Written(TypedDict):
    """What a writer wrote; JSON, so that tasks can return it."""

    part: int
    sequences: int
    tokens: int  # without padding
    size: int  # tokens of a sequence with padding; 0 without sequences
    columns: list[str]
    files: list[dict[str, Any]]  # name, bytes, crc32, sequences


class Writer(abc.ABC):
    """Takes batches of sequences and writes shard files; holds one of them in memory.

    The same sequences make the same files, however they come in batches.

    Args:
        folder: of the dataset.
        settings: sizes.
        vocab_size: of the tokenizer.
        part: number of this writer among those of the folder.
    """

    default_bytes: ClassVar[int] = 256_000_000

    def __init__(self, folder: str | Path, settings: ShardSettings, *, vocab_size: int, part: int = 0) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self.vocab_size = vocab_size
        self.limit = settings.shard_bytes or self.default_bytes
        self.written = Written(part=part, sequences=0, tokens=0, size=0, columns=[], files=[])
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0
        with _told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append sequences: rows of `tokens.pack.SEQUENCE`, with or without `position_ids`.

        Raises:
            InputError: their lengths or columns differ from those of the sequences before.
            StoreError: a file can't be written.
        """
        if not batch.num_rows:
            return
        if not self.settings.loss_mask and "loss_mask" in batch.schema.names:
            batch = batch.drop_columns(["loss_mask"])
        self._check(batch)
        self.written["sequences"] += batch.num_rows
        self.written["tokens"] += int(batch.column("length").to_numpy().sum())
        sizes = np.cumsum(self._row_bytes(batch))
        while batch.num_rows:
            # A file's borders depend on its rows alone, never on how they came.
            stop = int(np.searchsorted(sizes, self.limit - self._bytes, "left")) + 1
            self._waiting.append(batch.slice(0, stop))
            self._bytes += int(sizes[min(stop, len(sizes)) - 1])
            if stop <= batch.num_rows:
                self._roll()
                sizes = sizes[stop:] - sizes[stop - 1]
            batch = batch.slice(stop)

    def close(self) -> Written:
        """Write what is left and say what was written.

        Raises:
            StoreError: a file can't be written.
        """
        self._roll()
        return self.written

    @classmethod
    def finish(cls, folder: Path, parts: list[Written]) -> None:
        """Make one dataset of all parts: write the index if the format has one; what earlier runs left goes."""
        names = {file["name"] for part in parts for file in part["files"]}
        with _told(folder):
            for path in folder.iterdir():
                if NAME.match(path.name.removeprefix(".")) and path.name not in names:
                    path.unlink()
        cls._index(folder, parts)

    @classmethod  # noqa: B027 - formats without an index have nothing to do
    def _index(cls, folder: Path, parts: list[Written]) -> None:
        """Write the index."""

    @abc.abstractmethod
    def _row_bytes(self, batch: pa.RecordBatch) -> Ints:
        """Bytes that each row adds to a file."""

    @abc.abstractmethod
    def _save(self, rows: pa.RecordBatch, name: str) -> list[Path]:
        """Write rows as the file or files called `name`; the first of them stands for all in indexes."""

    _number = 0

    def _roll(self) -> None:
        if not self._waiting:
            return
        rows = pa.concat_batches(self._waiting)
        self._waiting, self._bytes = [], 0
        name = f"{self.written['part']:05d}-{self._number:05d}"
        self._number += 1
        for path in self._save(rows, name):
            entry = {"name": path.name, "bytes": path.stat().st_size, "crc32": _crc32(path), "sequences": rows.num_rows}
            self.written["files"].append(entry)

    def _check(self, batch: pa.RecordBatch) -> None:
        sizes = np.diff(flat(batch, "input_ids")[1])
        if not self.written["size"]:
            self.written["size"] = int(sizes[0])
            self.written["columns"] = list(batch.schema.names)
        if (sizes != self.written["size"]).any():
            wrong = int(sizes[sizes != self.written["size"]][0])
            raise InputError(f"sequences: expected {self.written['size']} tokens in each, got {wrong}")
        if batch.schema.names != self.written["columns"]:
            raise InputError(f"sequences: expected columns {self.written['columns']}, got {batch.schema.names}")


def flat(batch: pa.RecordBatch, name: str) -> tuple[npt.NDArray[Any], Ints]:
    """The values of a column of lists, and where each row begins and the last one ends in them."""
    column = batch.column(name)
    offsets = np.asarray(column.offsets.to_numpy(), np.int64)
    return column.values.to_numpy()[offsets[0] : offsets[-1]], offsets - offsets[0]


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while data := stream.read(1 << 20):
            value = zlib.crc32(data, value)
    return value


@contextlib.contextmanager
def writing(target: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when the block ends well."""
    hidden = target.with_name(f".{target.name}.{os.getpid()}.part")
    with _told(target):
        try:
            with hidden.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            hidden.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                hidden.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"output {place}: cannot write: {error.strerror or error}") from error
