"""From the bytes of a file to the numbers that the reference scorer judges by: what is read, in which order, how named.

Only the first 7,000 characters are read, as much as the raters of the labels were shown, and one fact of the rest: the
file's size. So time and memory are bounded for any input.
"""

import tomllib
import zlib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codemill.lexer import jit
from codemill.quality import kernels, measures, wording
from codemill.quality.kernels import Array, File, Lookup, Phrases

CHARACTERS = 7_000
MAX_BYTES = 4 * CHARACTERS  # no character takes more in UTF-8
CHARACTER_BITS = 17  # buckets of byte n-grams: 2**17
TOKEN_BITS = 15
# Bumped with any change of what a value means: a model fits one version only.
VERSION = 1

_FNV, _PRIME, _FULL = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1
_MAX_LINES = 8_192
_MAX_FEATURES = 1_024
_TABLE = 1 << (2 * MAX_BYTES).bit_length()  # places of the work space that values are counted in

# Linguist's names for what the label set and the reference system call otherwise.
ALIASES = {"R Markdown": "RMarkdown", "CUDA": "Cuda", "AWK": "Awk", "Matlab": "MATLAB"}


def linguist_name(language: str | None) -> str:
    """The language's name in Linguist; an empty text where none is known."""
    name = language or ""
    return "" if name == "unknown" else ALIASES.get(name, name)


class Tables(NamedTuple):
    """The data files as tables that compiled code can search."""

    words: Lookup
    sets: Lookup  # slots are masks: a word may be in several
    phrases: Phrases


@cache
def tables() -> Tables:
    """Reads `data/words.toml` and `data/phrases.toml`."""
    vocabulary = _toml("words.toml")
    groups = _toml("phrases.toml")
    masks: dict[str, int] = {}
    for place, listed in enumerate(vocabulary["sets"].values()):
        for word in listed:
            masks[word] = masks.get(word, 0) | (1 << place)
    belongs: dict[str, list[int]] = {}
    for place, listed in enumerate(groups.values()):
        for phrase in dict.fromkeys(listed):
            belongs.setdefault(phrase, []).append(place)
    words = _hash_table([_hash(word) for word in vocabulary["words"]], range(len(vocabulary["words"])), -1, 29)
    sets = _hash_table([_hash(word) for word in masks], masks.values(), 0, 29)
    whole = {_phrase_hash(phrase): slot for slot, phrase in enumerate(belongs)}
    # What a phrase begins with stands in the table too, at a slot past the last phrase: a search can stop early.
    begun = {_phrase_hash(" ".join(phrase.split()[:k])): len(belongs) for phrase in belongs for k in range(1, 4)}
    places = {**begun, **whole}
    phrases = _hash_table(list(places), places.values(), -1, 31)
    offsets = np.cumsum([0, *(len(places) for places in belongs.values())]).astype(np.int64)
    members = np.array([place for found in belongs.values() for place in found], np.int64)
    return Tables(Lookup(*words), Lookup(*sets), Phrases(*phrases, offsets, members, len(groups)))


@cache
def syntax_of(language: str) -> NDArray[np.int64]:
    """The language's row for `kernels.lex`: its marks as byte values, as `data/syntax.toml` gives them."""
    families = _toml("syntax.toml")
    family = next((f for f in families.values() if language in f.get("languages", ())), families["default"])
    row = np.zeros(16, np.int64)
    opening, closing = family.get("block", ("", ""))
    for at, mark in ((0, family.get("line", "")), (2, opening), (6, closing), (14, family.get("line2", ""))):
        row[at : at + len(mark)] = list(mark.encode())
    row[9:12] = [quote in family["quotes"] for quote in "\"'`"]
    row[12] = family.get("triple", False)
    return row


class Space(NamedTuple):
    """Work space of compiled code."""

    state: Array
    lines: Array
    line_hashes: Array
    tokens: Array
    token_hashes: Array
    work: Array
    table: Array
    counts: Array
    line_facts: Array  # of each line: sets of its first words, of the first, number of words
    word_counts: Array
    phrase_counts: Array
    set_sums: Array  # of each set of words: in the file, in its comments


class Scratch:
    """Work space of one thread; reused from file to file, so that no file costs an allocation."""

    def __init__(self) -> None:
        t = tables()
        self.space = Space(
            state=np.zeros(MAX_BYTES + 1, np.uint8),
            lines=np.zeros((_MAX_LINES, 7), np.int64),
            line_hashes=np.zeros((_MAX_LINES, 2), np.uint64),
            tokens=np.zeros((MAX_BYTES + 1, 5), np.int64),
            token_hashes=np.zeros((MAX_BYTES + 1, 3), np.uint64),
            work=np.zeros(MAX_BYTES + 1, np.uint64),
            table=np.zeros(_TABLE, np.uint64),
            counts=np.zeros(_TABLE, np.int32),
            line_facts=np.zeros((3, _MAX_LINES), np.int64),
            word_counts=np.zeros(int(t.words.slots.max()) + 1, np.int64),
            phrase_counts=np.zeros(len(t.phrases.offsets) - 1, np.int64),
            set_sums=np.zeros((2, int(t.sets.slots.max()).bit_length()), np.int64),
        )
        self.out = np.zeros(_MAX_FEATURES, np.float64)
        self.counts = np.zeros(1 << max(CHARACTER_BITS, TOKEN_BITS), np.int32)
        self.touched = np.zeros(4 * MAX_BYTES, np.int64)
        self.n_tokens = 0


def head(content: bytes | str) -> tuple[NDArray[np.uint8], int]:
    """The part that is read, as UTF-8, and the size of the whole in bytes (of a text: about its bytes)."""
    if isinstance(content, str):
        shown = content[:CHARACTERS].encode("utf-8", "replace")
        size = len(shown) if len(content) <= CHARACTERS else len(shown) * len(content) // CHARACTERS
    else:
        shown = bytes(content[:MAX_BYTES]).decode("utf-8", "replace")[:CHARACTERS].encode("utf-8", "replace")
        size = len(content)
    return np.frombuffer(shown, np.uint8), size


def extract(b: NDArray[np.uint8], size: int, language: str, s: Scratch) -> NDArray[np.float64]:
    """The dense features of a file's head: float64[`feature_count()`], a view of `s.out`.

    Leaves the tokens in `s`, for the n-grams.
    """
    n = len(b)
    s.out[0] = np.log1p(size)
    s.out[1] = n < size
    s.out[2] = len(zlib.compress(b.tobytes(), 1)) / max(n, 1)
    k, s.n_tokens = _measure(b, syntax_of(language), s.space, tables(), s.out)
    return s.out[:k]


@cache
def feature_count() -> int:
    """How many dense features a file has."""
    return len(extract(np.frombuffer(b"x = 1\n", np.uint8), 6, "Python", Scratch()))


def count_ngrams(b: NDArray[np.uint8], s: Scratch, kind: str) -> int:
    """Counts n-grams of `characters` or `tokens` into `s.counts`; returns how many of `s.touched` are filled.

    Token counts need the tokens that `extract` left in `s`. Whoever reads the counts clears them.
    """
    if kind == "characters":
        return int(kernels.count_characters(b, len(b), CHARACTER_BITS, s.counts, s.touched))
    return int(kernels.count_tokens(s.space.token_hashes, s.n_tokens, TOKEN_BITS, s.counts, s.touched))


@jit
def _measure(b: Array, syntax: Array, space: Space, t: Tables, out: Array) -> tuple[int, int]:
    n = len(b)
    kernels.lex(b, n, syntax, space.state)
    nl = kernels.lines(b, n, space.state, space.lines, space.line_hashes)
    nt = kernels.tokens(b, n, space.state, space.tokens, space.token_hashes)
    f = File(
        b, n, space.state, space.lines, space.line_hashes, nl, space.tokens, space.token_hashes, nt,
        space.work, space.table, space.counts,
    )  # fmt: skip
    k = 3
    k = measures.characters(f, out, k)
    k = measures.line_shapes(f, out, k)
    k = measures.indentation(f, out, k)
    k = measures.repetition(f, out, k)
    k = measures.marks(f, out, k)
    k = wording.names(f, out, k)
    k = wording.vocabulary(f, t.words, space.word_counts, out, k)
    k = wording.phrases(f, t.phrases, space.phrase_counts, out, k)
    facts = space.line_facts[:, :nl]
    wording.sets_of_line(f, t.sets, facts, space.set_sums)
    k = wording.functions(f, facts, out, k)
    k = wording.comments(f, facts, out, k)
    k = wording.prose(f, facts, space.set_sums, out, k)
    return k, nt


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(files("codemill.quality").joinpath("data", name).read_text())


def _hash(word: str) -> int:
    h = _FNV
    for byte in word.encode():
        h = ((h ^ byte) * _PRIME) & _FULL
    return h


def _phrase_hash(phrase: str) -> int:
    g = 0
    for word in phrase.split():
        g = ((g * 31 + _hash(word)) * _PRIME + 11) & _FULL
    return g


def _hash_table(hashes: list[int], values: Any, empty: int, shift: int) -> tuple[Any, Any]:
    size = 1 << (4 * len(hashes) - 1).bit_length()
    keys = np.zeros(size, np.uint64)
    slots = np.full(size, empty, np.int64)
    for h, value in zip(hashes, values, strict=True):
        p = (h ^ (h >> shift)) & (size - 1)
        while slots[p] != empty:
            p = (p + 1) & (size - 1)
        keys[p], slots[p] = h, value
    return keys, slots
