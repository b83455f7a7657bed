"""Trains a byte-level BPE tokenizer on corpora and tells how well it does: bytes per token, by language."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codemill.errors import InputError, RecipeError
from codemill.store import Store
from codemill.tokens.settings import BpeSettings
from codemill.tokens.tokenizer import Tokenizer, open_library, open_tokenizer

TEXT_COLUMNS = ("text", "content")
# Read at a time; texts of this many rows are Python strings at once.
ROWS = 512
# Of documents that were not trained on, so many bytes are enough to measure.
MEASURED_BYTES = 100_000_000


@dataclass(frozen=True)
class Fertility:
    """What a tokenizer makes of one language: `bytes / tokens` is how much text a token carries."""

    documents: int
    bytes: int
    tokens: int


@dataclass(frozen=True)
class Training:
    """A trained tokenizer and what went into it."""

    path: Path
    fingerprint: str
    vocab_size: int
    documents: int
    bytes: int
    held_out: bool  # fertility was measured on documents that were not trained on
    fertility: dict[str, Fertility] = field(default_factory=dict)


def train(corpora: Sequence[str | Path], out: str | Path, settings: BpeSettings) -> Training:
    """Train on a sample of corpora and write a tokenizer.json. The same corpora and settings give the same bytes.

    Args:
        corpora: Parquet files, or folders with some, with a column `text` or `content` and perhaps `language`.
        out: where the tokenizer.json goes; a folder, or a name that ends in .json.
        settings: vocabulary, digits, special tokens, budget.

    Raises:
        InputError: there is no text.
        RecipeError: the pattern is none.
    """
    tokenizer = _untrained(settings)
    paths = [path for corpus in corpora for path in _parquet_files(Path(corpus))]
    total = max(1, sum(_text_bytes(path) for path in paths))
    share = min(1.0, settings.sample_bytes / total)
    sample = _Sample(paths, settings.seed, 0.0, share, settings.sample_bytes)
    library = open_library()
    trainer = library.trainers.BpeTrainer(
        vocab_size=settings.vocab_size,
        min_frequency=2,
        show_progress=False,
        special_tokens=list(settings.special_tokens),
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=settings.max_token_length,
    )
    tokenizer.train_from_iterator(sample.texts(), trainer)
    if not sample.documents:
        raise InputError(f"corpora: expected documents with text, got none in {', '.join(map(str, corpora))}")
    target = Path(out) if str(out).endswith(".json") else Path(out) / "tokenizer.json"
    Store(target.absolute().parent).write_bytes(target.name, tokenizer.to_str(pretty=True).encode())
    opened = open_tokenizer(target)
    held_out = share < 0.5
    low = share if held_out else 0.0
    measured = _Sample(paths, settings.seed, low, min(1.0, low + MEASURED_BYTES / total), MEASURED_BYTES)
    return Training(
        path=target,
        fingerprint=opened.fingerprint,
        vocab_size=opened.vocab_size,
        documents=sample.documents,
        bytes=sample.bytes,
        held_out=held_out,
        fertility=measure(opened, measured.batches()),
    )


def measure(tokenizer: Tokenizer, batches: Iterator[pa.RecordBatch]) -> dict[str, Fertility]:
    """Bytes and tokens of texts by language, most bytes first.

    Args:
        tokenizer: the one to judge.
        batches: columns `text` and `language`, no nulls in `text`.
    """
    sums: dict[str, list[int]] = {}
    for batch in batches:
        tokens = np.diff(tokenizer.encode(batch.column("text")).offsets)
        sizes = pc.binary_length(batch.column("text")).to_numpy()
        for language, size, count in zip(batch.column("language").to_pylist(), sizes, tokens, strict=True):
            entry = sums.setdefault(language or "unknown", [0, 0, 0])
            entry[0] += 1
            entry[1] += int(size)
            entry[2] += int(count)
    return {name: Fertility(*sums[name]) for name in sorted(sums, key=lambda name: (-sums[name][1], name))}


def pattern(settings: BpeSettings) -> str:
    """The regular expression that cuts text before BPE: one of data/pretokenizers.toml, or the setting itself."""
    table = tomllib.loads(files("codemill").joinpath("data/pretokenizers.toml").read_text(encoding="utf-8"))
    text = str(table["patterns"].get(settings.pattern, settings.pattern))
    return text.replace("{digits}", str(table["digits"][settings.digits]))


def _untrained(settings: BpeSettings) -> Any:
    library = open_library()
    tokenizer = library.Tokenizer(library.models.BPE())
    regex = pattern(settings)
    try:
        cut = library.pre_tokenizers.Split(library.Regex(regex), behavior="isolated")
    except Exception as error:  # the library raises nothing more special
        raise RecipeError(f"pattern: expected a name or a regular expression, got {regex!r}: {error}") from error
    tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(
        [cut, library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = library.decoders.ByteLevel()
    return tokenizer


# -- corpora -----------------------------------------------------------------------------------------------------


class _Sample:
    """Documents whose draw falls into [low, high), until a budget of bytes is used up; read a few rows at a time."""

    def __init__(self, paths: list[Path], seed: int, low: float, high: float, budget: int) -> None:
        self.paths, self.seed, self.low, self.high, self.budget = paths, seed, low, high, budget
        self.documents = 0
        self.bytes = 0

    def texts(self) -> Iterator[list[str]]:
        for batch in self.batches():
            yield batch.column("text").to_pylist()

    def batches(self) -> Iterator[pa.RecordBatch]:
        row = 0
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                text = _text_column(path, file)
                columns = [text, *(["language"] if "language" in file.schema_arrow.names else [])]
                for batch in file.iter_batches(ROWS, columns=columns):
                    chance = _chances(row, batch.num_rows, self.seed)
                    row += batch.num_rows
                    drawn = self._within(
                        _texts(batch, text).filter(pa.array((chance >= self.low) & (chance < self.high)))
                    )
                    if drawn.num_rows:
                        yield drawn
                    if self.bytes >= self.budget:
                        return

    def _within(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows before which the budget is not used up."""
        batch = batch.filter(pc.fill_null(pc.greater(pc.binary_length(batch.column("text")), 0), False))
        sizes = np.cumsum(np.asarray(pc.binary_length(batch.column("text")).to_numpy(), np.int64))
        stop = min(len(sizes), int(np.searchsorted(sizes, self.budget - self.bytes, "left")) + 1)
        self.documents += stop
        self.bytes += int(sizes[stop - 1]) if stop else 0
        return batch.slice(0, stop)


def _texts(batch: pa.RecordBatch, text: str) -> pa.RecordBatch:
    language = batch.column("language") if "language" in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
    return pa.record_batch({"text": batch.column(text).cast(pa.large_string()), "language": language.cast(pa.string())})


def _chances(start: int, count: int, seed: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each row; SplitMix64, so that it is the same everywhere."""
    mixed = np.arange(start, start + count, dtype=np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) / 2.0**64, np.float64)


def _parquet_files(path: Path) -> list[Path]:
    found = sorted(path.rglob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise InputError(f"corpus {path}: expected a Parquet file or a folder with some, got none")
    return found


def _text_bytes(path: Path) -> int:
    """About the bytes of text in a file, by its metadata."""
    try:
        with pq.ParquetFile(path) as file:
            name = _text_column(path, file)
            groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
            columns = [group.column(place) for group in groups for place in range(group.num_columns)]
            return sum(column.total_uncompressed_size for column in columns if column.path_in_schema == name)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"corpus {path}: expected a Parquet file, got {error}") from error


def _text_column(path: Path, file: pq.ParquetFile) -> str:
    name = next((name for name in TEXT_COLUMNS if name in file.schema_arrow.names), None)
    if name is None:
        raise InputError(f"corpus {path}: expected a column text or content, got {', '.join(file.schema_arrow.names)}")
    kind = file.schema_arrow.field(name).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InputError(f"corpus {path}: expected strings in {name}, got {kind}")
    return name
