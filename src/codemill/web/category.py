"""Which kind of page a page is: documentation, forum, shop …, from its address and its text, with a probability.

`data/web_category.toml` has the kinds' definitions and the marks that are looked for. A page's inputs are those marks,
a few measures of its shape, and hashed words and pairs of words of its path, its beginning and its end; a softmax
regression weighs them. It is fitted by `category_fit.py`.
"""

import json
import re
import tomllib
import urllib.parse
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codemill.errors import InputError

Floats = NDArray[Any]

HEAD, TAIL = 2_500, 700  # characters of a text that are looked at
BITS = 14  # buckets of hashed words: 2**14
MODEL, CARD = "category.npz", "category.json"

_WORD = re.compile(r"[a-z]+|[0-9]+")
_PACKAGED = re.compile(r"^/usr/share/(doc/)?")  # where packages put their pages: no part of a site's address
_FENCE = re.compile(r"^ *`{3,}.*$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Marks:
    """What `data/web_category.toml` says: kinds and their definitions, compiled marks by name."""

    version: int
    definitions: dict[str, str]
    url: dict[str, re.Pattern[str]]
    text: dict[str, re.Pattern[str]]

    @property
    def categories(self) -> tuple[str, ...]:
        """Names in the order of the file."""
        return tuple(self.definitions)


@cache
def marks() -> Marks:
    """The file's content, read once."""
    values = tomllib.loads((files("codemill.data") / "web_category.toml").read_text(encoding="utf-8"))
    url = {name: re.compile(pattern) for name, pattern in values["url"].items()}
    text = {name: re.compile(pattern, re.MULTILINE) for name, pattern in values["text"].items()}
    return Marks(values["version"], {k: " ".join(v.split()) for k, v in values["categories"].items()}, url, text)


@dataclass(frozen=True)
class Seen:
    """A page as inputs: dense ones, and buckets of words with their weights (unit length)."""

    dense: Floats
    buckets: NDArray[np.int64]
    weights: Floats


def look(host: str, path: str, text: str) -> Seen:
    """The inputs of a page.

    Args:
        host: as in the page table.
        path: path and query of the URL.
        text: as extracted; only its first and last characters are looked at.
    """
    host, path = host.lower(), _PACKAGED.sub("/", urllib.parse.unquote(path[:500].lower()))
    part = text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"
    low = _FENCE.sub("", part.lower())
    dense = [*_url_marks(host, path), *_text_marks(low), *_shape(part, len(text))]
    return Seen(np.array(dense, np.float32), *_words(path, low))


def _url_marks(host: str, path: str) -> list[float]:
    return [
        float(
            bool(pattern.search(host if name.startswith("host") else path if name.startswith("path") else host + path))
        )
        for name, pattern in marks().url.items()
    ]


def _text_marks(low: str) -> list[float]:
    return [float(np.log1p(sum(1 for _ in pattern.finditer(low)))) for pattern in marks().text.values()]


def _shape(part: str, length: int) -> list[float]:
    """Measures of a text's form: how much there is, how much of it is code, headings, lists, tables, short lines."""
    lines = [line for line in part.split("\n") if line.strip()]
    count = max(len(lines), 1)
    code = sum(len(found.group()) for found in _CODE.finditer(part))
    words = len(part.split())
    return [
        float(np.log1p(length)),
        code / max(len(part), 1),
        part.count("`") / max(words, 1),
        sum(line.startswith("#") for line in lines) / count,
        sum(line.lstrip().startswith(("- ", "* ")) for line in lines) / count,
        sum(line.startswith("|") for line in lines) / count,
        sum(len(line) < 40 for line in lines) / count,
        sum(len(line) > 200 for line in lines) / count,
        float(np.log1p(words / count)),
        sum(map(part.count, "?!")) / max(words, 1),
        float(part.lstrip().startswith("#")),
        sum(character.isdigit() for character in part) / max(len(part), 1),
    ]


def _words(path: str, low: str) -> tuple[NDArray[np.int64], Floats]:
    """Hashed words and pairs of neighbours of the text, and words of the path; numbers count as one word."""
    found = ["0" if word[0].isdigit() else word for word in _WORD.findall(low)]
    terms = [*found, *map(" ".join, pairwise(found))]
    # The name of a site says nothing of the next one.
    terms += [f"/{word}" for word in _WORD.findall(path)]
    hashes = np.array([zlib.crc32(term.encode()) for term in terms], np.int64) & ((1 << BITS) - 1)
    buckets, counts = np.unique(hashes, return_counts=True)
    weights = 1 + np.log(counts.astype(np.float32)) if len(counts) else np.zeros(0, np.float32)
    return buckets, (weights / max(float(np.sqrt((weights**2).sum())), 1e-9)).astype(np.float32)


class CategoryModel:
    """A fitted model at work."""

    def __init__(self, arrays: dict[str, Floats], card: dict[str, Any]) -> None:
        """Takes `dense` (float32[D + 1, C], last row the intercepts), `mean`, `scale` (float32[D]), `words`
        (int8[2**14, C]) with `step` (float32[C]), and the card."""
        if card.get("marks") != marks().version:
            raise InputError(f"category model: expected marks {marks().version}, got {card.get('marks')}; fit it again")
        self.card = card
        self._dense, self._mean, self._scale = arrays["dense"], arrays["mean"], arrays["scale"]
        self._words = arrays["words"].astype(np.float32) * arrays["step"]

    @classmethod
    def load(cls, folder: Path | None = None) -> "CategoryModel":
        """The model in a folder, or the one that ships.

        Raises:
            InputError: there is none, or it is of another version.
        """
        if folder is None:
            with as_file(files("codemill.web").joinpath("models")) as shipped:
                return cls.load(shipped)
        try:
            with np.load(folder / MODEL, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            return cls(arrays, json.loads((folder / CARD).read_text(encoding="utf-8")))
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"category model {folder}: expected a fitted model, got {error}") from error

    @property
    def fingerprint(self) -> str:
        """Name, version and hash of the model."""
        return str(self.card["fingerprint"])

    def probabilities(self, page: Seen) -> Floats:
        """Of each category, in the order of the card: float64[C]."""
        dense = (page.dense - self._mean) / self._scale
        scores = (dense @ self._dense[:-1] + self._dense[-1]).astype(np.float64)
        scores += (page.weights[:, None] * self._words[page.buckets]).sum(axis=0)
        odds = np.exp(scores - scores.max())
        return np.asarray(odds / odds.sum())

    def judge(self, host: str, path: str, text: str) -> tuple[str, float]:
        """The likeliest category and its probability."""
        chances = self.probabilities(look(host, path, text))
        best = int(np.argmax(chances))
        return str(self.card["categories"][best]), float(chances[best])


@cache
def open_category(folder: str | None = None) -> CategoryModel:
    """The model in a folder, or the one that ships, read once.

    Raises:
        InputError: there is none.
    """
    return CategoryModel.load(None if folder is None else Path(folder))
