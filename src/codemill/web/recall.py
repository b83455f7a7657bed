"""How likely a page is about code, by a fastText classifier: finds pages that are, but mark no code in their HTML.

A fastText classifier of two classes is linear: the mean of the vectors of a text's words, their character n-grams and
word pairs, times the difference of the classes' vectors. So a model is stored as one number for each word and each
bucket of n-grams and pairs, and scoring needs no fastText; `recall_fit` trains with it. Joulin et al., Bag of Tricks
for Efficient Text Classification, EACL 2017.
"""

import json
import re
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, ClassVar

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from codemill.annotate.base import Annotator, Key
from codemill.errors import InputError
from codemill.recipe import Strict
from codemill.schema import digest

# Part of every model: raise it when the words of the same text change.
WORDS = 1
CHARS = 2_000  # of a text, from its beginning, that are looked at: about what a rater reads
MODEL_FILE, CARD_FILE = "recall.npz", "recall.json"
PAIR = 116_049_371  # fastText's factor for hashes of word n-grams
END = np.uint32(3617362777)  # hash of `</s>`, the word that ends every text

# A number, a character of scripts without spaces, a word, a character that code is full of.
_WORD = re.compile(
    r"\d+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
    r"|[{}()\[\]<>=;/\\$#@|&*+%^~`\"']"
)

Floats = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint32]


def words(text: str) -> str:
    """The words that the classifier sees, spaces between: lower case, numbers as `0`, one line."""
    found = _WORD.findall(text[:CHARS].lower())
    return " ".join("0" if word[0].isdigit() else word for word in found)


@numba.njit(cache=True)
def _step(value: np.uint32, byte: np.uint8) -> np.uint32:
    """FNV-1a, 32 bit, with bytes that count as signed, as fastText has it."""
    wide = np.uint32(byte)
    if byte >= 128:
        wide |= np.uint32(0xFFFFFF00)
    return np.uint32((value ^ wide) * np.uint32(16777619))


@numba.njit(cache=True)
def hash_word(data: npt.NDArray[np.uint8], start: int, end: int) -> np.uint32:
    """fastText's hash of bytes start..end."""
    value = np.uint32(2166136261)
    for i in range(start, end):
        value = _step(value, data[i])
    return value


@numba.njit(cache=True)
def _parts(word: npt.NDArray[np.uint8], shortest: int, longest: int, buckets: Floats) -> tuple[float, int]:
    """Sum of the numbers of a word's character n-grams, and how many; `word` is UTF-8 with `<` and `>` around it."""
    total, count, size = 0.0, 0, len(word)
    for start in range(size):
        if word[start] & 0xC0 == 0x80:  # inside a character
            continue
        value, end, length = np.uint32(2166136261), start, 1
        while end < size and length <= longest:
            value = _step(value, word[end])
            end += 1
            while end < size and word[end] & 0xC0 == 0x80:
                value = _step(value, word[end])
                end += 1
            if length >= shortest and not (length == 1 and (start == 0 or end == size)):
                total += buckets[int(value % np.uint32(len(buckets)))]
                count += 1
            length += 1
    return total, count


@numba.njit(cache=True)
def _logit(
    data: npt.NDArray[np.uint8], known: Hashes, values: Floats, buckets: Floats, parts: tuple[int, int]
) -> float:
    """Mean of the numbers of a text's words (those known), their n-grams and word pairs.

    Args:
        data: words with single spaces between.
        parts: shortest and longest character n-gram.
    """
    total, count = 0.0, 0
    start, before, size = 0, np.uint32(0), len(data)
    while start < size:
        end = start
        while end < size and data[end] != 32:
            end += 1
        value = hash_word(data, start, end)
        place = np.searchsorted(known, value)
        if place < len(known) and known[place] == value:
            total += values[place]
            count += 1
        word = np.empty(end - start + 2, np.uint8)
        word[0], word[-1] = 60, 62
        word[1:-1] = data[start:end]
        more, several = _parts(word, parts[0], parts[1], buckets)
        total += more
        count += several
        if start > 0:
            total += buckets[_pair(before, value, len(buckets))]
            count += 1
        before, start = value, end + 1
    # Every text ends with a word that has no n-grams.
    place = np.searchsorted(known, END)
    if place < len(known) and known[place] == END:
        total += values[place]
        count += 1
    if size > 0:
        total += buckets[_pair(before, END, len(buckets))]
        count += 1
    return total / count if count else 0.0


@numba.njit(cache=True)
def _pair(first: np.uint32, second: np.uint32, buckets: int) -> int:
    """The bucket of two words: hashes count as signed 32-bit numbers, products and sums as unsigned 64-bit ones."""
    wide = np.uint64(np.int64(np.int32(first))) * np.uint64(PAIR) + np.uint64(np.int64(np.int32(second)))
    return int(wide % np.uint64(buckets))


class RecallModel:
    """A classifier, read from a folder with `recall.npz` and `recall.json`.

    Attributes:
        known: hashes of the words, ascending; `values`: a number for each.
        buckets: a number for each bucket of character n-grams and word pairs.
        card: `words` and `parts` (shortest and longest n-gram), how it was made and what it gave.
    """

    def __init__(self, known: Hashes, values: Floats, buckets: Floats, card: dict[str, Any]) -> None:
        self.known, self.values, self.buckets, self.card = known, values, buckets, card
        self.parts = (int(card["parts"][0]), int(card["parts"][1]))
        arrays = (array.tobytes().hex() for array in (known, values, buckets))
        self.fingerprint = digest((str(card["words"]), str(self.parts), *arrays))

    def score(self, text: str) -> float:
        """How likely a text is about code, 0..1."""
        data = np.frombuffer(words(text).encode("utf-8", "replace"), np.uint8)
        logit = _logit(data, self.known, self.values, self.buckets, self.parts)
        return float(1.0 / (1.0 + np.exp(-logit)))

    def save(self, folder: Path) -> None:
        """Write both files; numbers are kept in 16 bits, so read the model again before measuring it."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            "known": self.known,
            "values": self.values.astype(np.float16),
            "buckets": self.buckets.astype(np.float16),
        }
        part = folder / f".{MODEL_FILE}.part.npz"
        np.savez_compressed(part, allow_pickle=False, **arrays)
        part.replace(folder / MODEL_FILE)
        (folder / CARD_FILE).write_text(json.dumps(self.card, indent=1) + "\n", encoding="utf-8")


def read_model(folder: Path) -> RecallModel:
    """The classifier in a folder.

    Raises:
        InputError: there is none, or it was made for other words.
    """
    try:
        with np.load(folder / MODEL_FILE, allow_pickle=False) as arrays:
            known, values, buckets = (arrays[name] for name in ("known", "values", "buckets"))
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"recall model {folder}: expected {MODEL_FILE} and {CARD_FILE}, got {error}") from error
    if card.get("words") != WORDS:
        raise InputError(f"recall model {folder}: expected words {WORDS}, got {card.get('words')}")
    return RecallModel(known, values.astype(np.float32), buckets.astype(np.float32), card)


@cache
def open_model(name: str) -> RecallModel:
    """`reference`, which ships, or a folder of `codemill fit-recall`.

    Raises:
        InputError: there is no such model.
    """
    if name != "reference":
        return read_model(Path(name))
    with as_file(files("codemill.web").joinpath("recall_model")) as folder:
        return read_model(folder)


class RecallParams(Strict):
    """Which classifier."""

    model: str = Field("reference", description="`reference`, which ships, or a folder of `codemill fit-recall`")


class RecallAnnotator(Annotator):
    """How likely a page is about code, by a fastText classifier of the beginning of its text.

    Fields: `score`, 0..1. `docs/web-recall.md` says which threshold finds how much; the card of a model fitted to other
    pages (`recall.json`) says it for that one.
    """

    name: ClassVar[str] = "recall"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "blob"
    fields: ClassVar[pa.Schema] = pa.schema([("score", pa.float32())])
    Params: ClassVar[type[Strict]] = RecallParams

    def opened(self) -> RecallModel:
        """The classifier, read once."""
        assert isinstance(self.params, RecallParams)
        return open_model(self.params.model)

    def model(self) -> str:
        return self.opened().fingerprint

    def load(self) -> None:
        self.opened()

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        model = self.opened()
        scores = [
            # Four bytes a character at most.
            model.score(content.as_buffer().to_pybytes()[: 4 * CHARS].decode("utf-8", "replace"))
            for content in batch.column("content")
        ]
        return pa.RecordBatch.from_arrays([pa.array(scores, pa.float32())], schema=self.fields)
