"""What all writers of shards share: settings, rolling over by size, files that appear when they are whole."""

import abc
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypedDict

import pyarrow as pa
from pydantic import Field

from codemill.errors import StoreError
from codemill.recipe import Strict


class ShardSettings(Strict):
    """How sequences are put into files."""

    shard_bytes: int = Field(256_000_000, gt=0, description="a file is closed when it has become this large")
    loss_mask: bool = Field(True, description="write loss masks; for formats of bare ids as files beside them")
    header: bool = Field(False, description="nanogpt: 256 int32 before the ids, as llm.c and its kin want them")


class Written(TypedDict):
    """What a writer wrote; JSON, so that tasks can return it."""

    part: int
    sequences: int
    tokens: int  # without padding
    files: list[dict[str, Any]]  # name, bytes, sequences, and what the format's index needs


class Writer(abc.ABC):
    """Takes batches of sequences, writes shard files, closes each when it is large enough.

    Args:
        folder: of the dataset.
        settings: sizes.
        vocab_size: of the tokenizer.
        part: number of this writer among those of the folder.
    """

    def __init__(self, folder: str | Path, settings: ShardSettings, *, vocab_size: int, part: int = 0) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self.vocab_size = vocab_size
        self.part = part
        self.written = Written(part=part, sequences=0, tokens=0, files=[])
        with _told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append sequences: rows of `tokens.pack.SEQUENCE`, with or without `position_ids`."""
        if not self.settings.loss_mask:
            batch = batch.drop_columns(["loss_mask"])
        self.written["sequences"] += batch.num_rows
        self.written["tokens"] += int(batch.column("length").to_numpy().sum())
        # Slices of equal size, so that a file's borders do not depend on the size of the batches.
        for row in range(batch.num_rows):
            self._append(batch.slice(row, 1))

    def close(self) -> Written:
        """Finish the last file and say what was written."""
        self._roll()
        return self.written

    @classmethod  # noqa: B027 - formats without an index have nothing to do
    def finish(cls, folder: Path, parts: list[Written]) -> None:
        """Write what names all files of a dataset."""

    @abc.abstractmethod
    def _append(self, batch: pa.RecordBatch) -> None: ...

    @abc.abstractmethod
    def _roll(self) -> None: ...


@contextlib.contextmanager
def writing(target: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when the block ends well."""
    hidden = target.with_name(f".{target.name}.{os.getpid()}.part")
    with _told(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
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
