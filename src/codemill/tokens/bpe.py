"""Trains a byte-level BPE tokenizer on corpora and tells how well it does: bytes per token, by language."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.corpus.read import Corpus, InputPart, find_parts, read_documents
from codemill.errors import InputError, RecipeError
from codemill.store import Store
from codemill.tokens.settings import BpeSettings
from codemill.tokens.tokenizer import Tokenizer, open_library, open_tokenizer

# Read at a time; texts of this many rows are Python strings at once.
ROWS = 512
# Of documents that were not trained on, so many bytes are enough to measure.
MEASURED_BYTES = 100_000_000

Place = tuple[str, Mapping[str, str], InputPart]  # of a corpus: label, columns, one of its parts


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
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> rows read that are no documents


def train(corpora: Sequence[str | Path | Corpus], out: str | Path, settings: BpeSettings) -> Training:
    """Train on a sample of corpora and write a tokenizer.json. The same corpora and settings give the same bytes.

    Args:
        corpora: Parquet or JSON lines: files, folders, globs, URLs; with a column `text` or `content` and perhaps
            `language`, or as `Corpus.columns` has it.
        out: where the tokenizer.json goes; a folder, or a name that ends in .json.
        settings: vocabulary, digits, special tokens, budget.

    Raises:
        InputError: there is no text.
        RecipeError: the pattern is none.
    """
    tokenizer = _untrained(settings)
    known = [one if isinstance(one, Corpus) else Corpus(f"corpus {one}", str(one)) for one in corpora]
    parts = [(one.label, one.columns, part) for one in known for part in find_parts(one)]
    total = max(1, sum(part.bytes for _, _, part in parts))
    share = min(1.0, settings.sample_bytes / total)
    sample = _Sample(parts, settings.seed, 0.0, share, settings.sample_bytes)
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
        raise InputError(f"corpora: expected documents with text, got none in {', '.join(one.path for one in known)}")
    target = Path(out) if str(out).endswith(".json") else Path(out) / "tokenizer.json"
    Store(target.absolute().parent).write_bytes(target.name, tokenizer.to_str(pretty=True).encode())
    opened = open_tokenizer(target)
    held_out = share < 0.5
    low = share if held_out else 0.0
    measured = _Sample(parts, settings.seed, low, min(1.0, low + MEASURED_BYTES / total), MEASURED_BYTES)
    return Training(
        path=target,
        fingerprint=opened.fingerprint,
        vocab_size=opened.vocab_size,
        documents=sample.documents,
        bytes=sample.bytes,
        held_out=held_out,
        fertility=measure(opened, measured.batches()),
        left_out=dict(sorted(sample.beside.items())),
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

    def __init__(self, parts: list[Place], seed: int, low: float, high: float, budget: int) -> None:
        self.parts, self.seed, self.low, self.high, self.budget = parts, seed, low, high, budget
        self.beside: Counter[str] = Counter()
        self.documents = 0
        self.bytes = 0

    def texts(self) -> Iterator[list[str]]:
        for batch in self.batches():
            yield batch.column("text").to_pylist()

    def batches(self) -> Iterator[pa.RecordBatch]:
        row = 0
        for label, columns, part in self.parts:
            for documents, beside in read_documents(part.path, columns, label, part.groups):
                self.beside.update(beside)
                for start in range(0, documents.num_rows, ROWS):
                    batch = documents.slice(start, ROWS)
                    chance = _chances(row, batch.num_rows, self.seed)
                    row += batch.num_rows
                    drawn = self._within(batch.filter(pa.array((chance >= self.low) & (chance < self.high))))
                    if drawn.num_rows:
                        yield drawn
                    if self.bytes >= self.budget:
                        return

    def _within(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows before which the budget is not used up."""
        sizes = np.cumsum(np.asarray(pc.binary_length(batch.column("text")).to_numpy(), np.int64))
        stop = min(len(sizes), int(np.searchsorted(sizes, self.budget - self.bytes, "left")) + 1)
        self.documents += stop
        self.bytes += int(sizes[stop - 1]) if stop else 0
        return batch.slice(0, stop)


def _chances(start: int, count: int, seed: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each row; SplitMix64, so that it is the same everywhere."""
    mixed = np.arange(start, start + count, dtype=np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) / 2.0**64, np.float64)
