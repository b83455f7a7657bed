"""Writes files as the text of a sequence, each under a header with its path, and counts their tokens."""

import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from codemill.longcontext.graph import Ints

Measure = Callable[[Sequence[str]], Ints]

CHUNK = 4_000_000  # characters that a tokenizer sees at a time


@cache
def headers() -> dict[str, str]:
    """The header templates by name."""
    return {name: str(row["file"]) for name, row in _table()["header"].items()}


@cache
def _marks() -> dict[str, tuple[str, str]]:
    """Language -> the marks before and behind a comment; "" for all others."""
    marks: dict[str, tuple[str, str]] = {}
    for row in _table()["comment"]:
        for language in row["languages"] or [""]:
            marks[language] = (row["open"], row["close"])
    return marks


def _table() -> dict[str, Any]:
    return tomllib.loads(files("codemill.data").joinpath("imports_headers.toml").read_text(encoding="utf-8"))


def piece(header: str, repo: str, path: str, language: str | None, text: str) -> str:
    """A file as it stands in a sequence: header, content, and a line break and a blank line at its end."""
    before, behind = _marks().get(language or "", _marks()[""])
    # A path may hold line breaks, a header may not.
    words = {"path": " ".join(path.split("\n")), "repo": repo, "language": language or "", "open": before}
    return f"{headers()[header].format(close=behind, **words)}{text}{'' if text.endswith(chr(10)) else chr(10)}\n"


def measure_with(tokenizer: str | None, bytes_per_token: float) -> Measure:
    """A function that counts the tokens of texts: by a tokenizer, or estimated from their bytes, rounded up.

    Raises:
        CodemillError: the tokenizer can't be opened.
    """
    if tokenizer is None:

        def estimate(texts: Sequence[str]) -> Ints:
            sizes = np.array([len(text.encode("utf-8", "replace")) for text in texts], np.float64)
            return np.ceil(sizes / bytes_per_token).astype(np.int64)

        return estimate
    from codemill.tokens.tokenizer import open_tokenizer

    opened = open_tokenizer(tokenizer)

    def count(texts: Sequence[str]) -> Ints:
        lengths = [np.zeros(0, np.int64)]
        start = held = 0
        for stop, text in enumerate(texts, start=1):
            held += len(text)
            if held > CHUNK or stop == len(texts):
                lengths.append(np.diff(opened.encode(list(texts[start:stop])).offsets))
                start, held = stop, 0
        return np.concatenate(lengths)

    return count
