"""N-grams of words, rolled over the bytes of texts: looked up in a table, or all of them for building one.

Every text is read once, in three views: all its words, without those of comments, and without those of docstrings as
well (`words.py`). The kernel holds the last n words of each, so its memory does not grow with the text.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from codemill.decontaminate.words import BORDER, STATE_SIZE, VIEWS, depth, next_word, start_text, tells
from codemill.lexer import Bytes, Hashes, Ints, buffers, jit, mix, table_size

# 3 modulo 8, as in `lexer.py`: swapped words give another sum.
_BASE = np.uint64(0xD6E8FEB86659FD93)
_ONE = np.uint64(1)
_BITS_PER_GRAM = 16

# Columns of what is found.
ROW, ENTRY, BEGIN, END, TELLING, FOUND_SIZE = range(6)
# Columns of what is known of every row.
WORDS, COVERED, ROW_SIZE = range(3)
# Columns of a place in a ring of words.
_AT, _INDEX, _TELLS, _RING_SIZE = range(4)

Entries = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Table:
    """A set of n-grams to look for: open addressing, behind bits that answer most questions from the cache.

    Attributes:
        keys: uint64 by slot, 0 where free.
        entries: int32 by slot: number of the n-gram.
        bits: uint8; bit `hash >> 64 - log2(8 * len(bits))` is set for every n-gram.
        size: n-grams.
    """

    keys: Hashes
    entries: Entries
    bits: Bytes
    size: int


@dataclass(frozen=True)
class Found:
    """N-grams found in texts.

    Attributes:
        places: int64 (found, FOUND_SIZE): row, entry, first and last byte of the n-gram in its text (end exclusive),
            how many different words of it tell something (`words.tells`).
        grams: uint64 (found,).
        rows: int64 (texts, ROW_SIZE): words of the text, and words within what was found.
    """

    places: Ints
    grams: Hashes
    rows: Ints


def make_table(grams: Hashes) -> Table:
    """The table of these n-grams (distinct, none 0)."""
    keys = np.zeros(table_size(len(grams)), np.uint64)
    entries = np.zeros(len(keys), np.int32)
    bits = np.zeros(max(table_size(len(grams)) * _BITS_PER_GRAM // 16, 64), np.uint8)
    _fill(grams, keys, entries, bits)
    return Table(keys, entries, bits, len(grams))


def find(array: pa.Array, n: int, table: Table | None) -> Found:
    """The n-grams of every text of a binary or string array: those of the table, each once a text, or all of them."""
    data, offsets = buffers(array)
    if table is None:
        table = make_table(np.zeros(0, np.uint64))
        size = -1
    else:
        size = table.size
    rows = np.zeros((len(offsets) - 1, ROW_SIZE), np.int64)
    places, grams = _scan(data, offsets, n, (table.keys, table.entries, table.bits), size, rows)
    return Found(places, grams, rows)


@jit
def _fill(grams: Hashes, keys: Hashes, entries: Entries, bits: Bytes) -> None:
    mask = np.uint64(len(keys) - 1)
    shift = _shift(bits)
    for index in range(len(grams)):
        gram = grams[index]
        slot = gram & mask
        while keys[slot] != 0:
            slot = (slot + _ONE) & mask
        keys[slot] = gram
        entries[slot] = index
        bit = gram >> shift
        bits[bit >> np.uint64(3)] |= np.uint8(1) << np.uint8(bit & np.uint64(7))


@jit
def _shift(bits: Bytes) -> np.uint64:
    width = 0
    while (1 << width) < 8 * len(bits):
        width += 1
    return np.uint64(64 - width)


@jit
def _look_up(gram: np.uint64, keys: Hashes, entries: Entries, bits: Bytes, shift: np.uint64) -> int:
    """The number of an n-gram, -1 if it is not in the table."""
    bit = gram >> shift
    if not (bits[bit >> np.uint64(3)] >> np.uint8(bit & np.uint64(7))) & np.uint8(1):
        return -1
    mask = np.uint64(len(keys) - 1)
    slot = gram & mask
    while keys[slot] != 0:
        if keys[slot] == gram:
            return int(entries[slot])
        slot = (slot + _ONE) & mask
    return -1


@jit
def _scan(  # noqa: PLR0917 - compiled functions take their arguments by position
    data: Bytes, offsets: Ints, n: int, table: tuple[Hashes, Entries, Bytes], size: int, rows: Ints
) -> tuple[Ints, Hashes]:
    """What `find` wants of all rows; a size of -1 asks for all n-grams."""
    keys, entries, bits = table
    shift = _shift(bits)
    seen = np.full(max(size, 1), -1, np.int64)
    found, grams, count = np.empty((64, FOUND_SIZE), np.int64), np.empty(64, np.uint64), 0
    state = np.zeros(STATE_SIZE, np.int64)
    # Of each view: its last n words, their hashes, the polynomial over these, and how many words it has had.
    ring, hashes = np.zeros((VIEWS, n, _RING_SIZE), np.int64), np.zeros((VIEWS, n), np.uint64)
    rolling, totals, slots = np.zeros(VIEWS, np.uint64), np.zeros(VIEWS, np.int64), np.zeros(VIEWS, np.int64)
    top = np.uint64(1)
    for _ in range(n):
        top *= _BASE
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]]
        start_text(state)
        place, words, covered, until = 0, 0, 0, 0
        while True:
            begin, place, token = next_word(text, place, state)
            if begin == place:
                break
            if state[BORDER]:
                state[BORDER] = 0
                _forget(totals, rolling, hashes)
            words += 1
            for view in range(VIEWS - depth(state)):
                slot = slots[view]
                rolling[view] = rolling[view] * _BASE + token - hashes[view, slot] * top
                hashes[view, slot] = token
                ring[view, slot, _AT], ring[view, slot, _INDEX] = begin, words
                ring[view, slot, _TELLS] = tells(text, begin, place)
                slot = slot + 1 if slot + 1 < n else 0
                slots[view] = slot
                totals[view] += 1
                if totals[view] < n or (view and rolling[view] == rolling[view - 1] and totals[view - 1] >= n):
                    continue  # none yet, or the same as in the view before
                gram = max(mix(rolling[view]), _ONE)
                entry = -1 if size < 0 else _look_up(gram, keys, entries, bits, shift)
                if size >= 0 and entry < 0:
                    continue
                # the ring is full: the oldest word stands where the next will
                covered += words + 1 - max(ring[view, slot, _INDEX], until)
                until = words + 1
                if size >= 0:
                    if seen[entry] == row:
                        continue
                    seen[entry] = row
                if count == len(found):
                    found, grams = _grown(found, grams)
                grams[count] = gram
                _note(found[count], row, entry, ring[view, slot, _AT], ring[view], hashes[view])
                found[count, END] = place
                count += 1
        rows[row, WORDS], rows[row, COVERED] = words, covered
    return found[:count].copy(), grams[:count].copy()


@jit
def _forget(totals: Ints, rolling: Hashes, hashes: Hashes) -> None:
    """Begin all views anew."""
    totals[:] = 0
    rolling[:] = 0
    hashes[:] = 0


@jit
def _grown(found: Ints, grams: Hashes) -> tuple[Ints, Hashes]:
    more, others = np.empty((2 * len(found), FOUND_SIZE), np.int64), np.empty(2 * len(found), np.uint64)
    more[: len(found)] = found
    others[: len(grams)] = grams
    return more, others


@jit
def _note(out: Ints, row: int, entry: int, begin: int, ring: Ints, hashes: Hashes) -> None:  # noqa: PLR0917
    """Fill a row of what was found, but for its end."""
    telling = 0
    for index in range(len(hashes)):
        fresh = ring[index, _TELLS] == 1
        for other in range(index):
            fresh &= hashes[other] != hashes[index]
        telling += fresh
    out[ROW], out[ENTRY], out[BEGIN], out[TELLING] = row, entry, begin, telling
