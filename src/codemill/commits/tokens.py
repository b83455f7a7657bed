"""What budgets are counted in: lexical tokens, which need no model, or those of a tokenizer file."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from codemill.errors import MissingExtra, RecipeError
from codemill.lexer import Ints, count_tokens

LEXICAL = "lexical"


class Tokens(Protocol):
    """Counts the tokens of texts."""

    def count(self, text: str) -> int:
        """Tokens of a text."""

    def lines(self, text: str) -> Ints:
        """Tokens of every line of a text, as `text.split("\\n")` has them."""


class LexicalTokens:
    """Words and punctuation marks, as `lexer` counts them."""

    def count(self, text: str) -> int:
        return int(count_tokens(pa.array([encode(text)], pa.large_binary()))[0])

    def lines(self, text: str) -> Ints:
        data = encode(text)
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
        offsets = np.concatenate([np.zeros(1, np.int64), ends, np.full(1, len(data), np.int64)])
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        return count_tokens(pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers))


class ModelTokens:
    """Tokens of a Hugging Face tokenizer. Parts are counted apart, lines with their newlines."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def count(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def lines(self, text: str) -> Ints:
        lines = [f"{line}\n" for line in text.split("\n")]
        found = self.tokenizer.encode_batch(lines, add_special_tokens=False)
        return np.array([len(one.ids) for one in found], np.int64)


def encode(text: str) -> bytes:
    """A text's bytes; surrogates become the bytes they stand for."""
    return text.encode("utf-8", "surrogateescape")


@lru_cache(maxsize=4)
def load_tokens(name: str) -> Tokens:
    """What `tokenizer` of a corpus names.

    Raises:
        RecipeError: it is neither `lexical` nor a tokenizer file.
        MissingExtra: the library for such files is not installed.
    """
    if name == LEXICAL:
        return LexicalTokens()
    if not Path(name).is_file():
        raise RecipeError(f"tokenizer: expected {LEXICAL!r} or a tokenizer.json, got {name!r}")
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtra("a model's tokenizer", "tokenizers") from error
    try:
        return ModelTokens(tokenizers.Tokenizer.from_file(name))
    except Exception as error:  # the library raises nothing more special
        raise RecipeError(f"tokenizer {name}: expected a tokenizer.json, got {error}") from error


def head(text: str, budget: int, tokens: Tokens) -> str:
    """The first whole lines of a text that a budget allows."""
    stop = int(np.searchsorted(np.cumsum(tokens.lines(text)), budget, "right"))
    return "\n".join(text.split("\n")[:stop])


def window(
    text: str, budget: int, tokens: Tokens, hits: npt.NDArray[np.int32], weights: npt.NDArray[np.float64]
) -> tuple[str, int, int, int]:
    """The run of whole lines within a budget that says most about a query; the first of equals.

    A run is weighed as BM25 weighs a text: each term by its weight, and the more often it stands there the less each
    time adds.

    Args:
        text: n lines.
        budget: tokens.
        tokens: what they are counted in.
        hits: how often each line holds each of k terms, shape (n, k).
        weights: of the terms, k.

    Returns:
        The lines, the first and last of them (from 1; last < first if there are none), and how many there are in all.
    """
    lines = text.split("\n")
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(tokens.lines(text))])
    if ends[-1] <= budget:
        return text, 1, len(lines), len(lines)
    starts = np.arange(len(lines))
    stops = np.maximum(np.searchsorted(ends, ends[:-1] + budget, "right") - 1, starts)
    counts = np.concatenate([np.zeros((1, len(weights)), np.int64), np.cumsum(hits, axis=0, dtype=np.int64)])
    within = counts[stops] - counts[starts]
    worth = (within / (within + 1.0)) @ weights
    best = int(np.argmax(worth))
    if worth[best]:
        # Runs that begin with their first hit show nothing of what leads there: the room behind the last hit is shared.
        held = np.flatnonzero(hits[best : stops[best]] @ weights)
        spare = budget - int(ends[best + held[-1] + 1] - ends[best])
        best = int(np.searchsorted(ends, ends[best] - spare // 2, "left"))
    stop = int(stops[best])
    return "\n".join(lines[best:stop]), best + 1, stop, len(lines)
