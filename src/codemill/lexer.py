"""Tokens of code as bytes, language-independent: the unit that counting, n-grams and deduplication share.

A token is a run of letters, digits, underscores and non-ASCII bytes, or one other visible byte; case is kept and
whitespace separates. That keeps what text pipelines throw away (case, punctuation) and what tells code apart. The
kernels are compiled by numba, run over Arrow's own buffers without copies, and release the GIL.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])

SPACE, WORD, MARK = 0, 1, 2

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MURMUR1 = np.uint64(0xFF51AFD7ED558CCD)
_MURMUR2 = np.uint64(0xC4CEB9FE1A85EC53)
_ONE = np.uint64(1)
_FNV_START = np.uint64(14695981039346656037)
_FNV_PRIME = np.uint64(1099511628211)
# 3 modulo 8, which keeps powers of the base far apart modulo 2**64: swapped tokens give another sum.
_BASE = np.uint64(0xD6E8FEB86659FD93)


def _classes() -> Bytes:
    table = np.full(256, MARK, np.uint8)
    table[list(b" \t\n\r\f\v")] = SPACE
    table[list(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] = WORD
    table[128:] = WORD
    return table


CLASSES = _classes()  # numba compiles it in as a constant


@dataclass(frozen=True)
class Shingles:
    """Hashes of token n-grams of several files, one file after the other.

    Attributes:
        values: uint64 hashes, never 0, which marks free slots in hash tables.
        offsets: int64, one more than files; file `i` has `values[offsets[i]:offsets[i + 1]]`.
    """

    values: Hashes
    offsets: Ints


def buffers(array: pa.Array) -> tuple[Bytes, Ints]:
    """The bytes of a binary or string array and its offsets into them (int64, one more than rows), mostly no copy.

    Slices keep their offsets into the whole buffer. Nulls read as empty.

    Raises:
        TypeError: the array holds neither bytes nor text.
    """
    kind = array.type
    large = pa.types.is_large_binary(kind) or pa.types.is_large_string(kind)
    if not (large or pa.types.is_binary(kind) or pa.types.is_string(kind)):
        raise TypeError(f"expected a binary or string array, got {kind}")
    if array.null_count:
        array = pc.fill_null(array, b"" if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else "")
    _, places, data = array.buffers()
    if places is None or not len(array):
        return np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    width = np.dtype(np.int64 if large else np.int32)
    offsets = np.frombuffer(places, width, len(array) + 1, array.offset * width.itemsize)
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return content, offsets.astype(np.int64, copy=False)


def count_tokens(column: pa.Array | pa.ChunkedArray) -> Ints:
    """Tokens of every row of a binary or string column (int64); nulls have none."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return np.concatenate([np.zeros(0, np.int64), *(_count(*buffers(chunk)) for chunk in chunks)])


def shingle(column: pa.Array | pa.ChunkedArray, n: int) -> Shingles:
    """Hashes of the token `n`-grams of every row, in order of place, repeated ones included.

    A row of fewer than `n` tokens has one shingle of all of them, so that short files still compare; a row of no
    tokens has none.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [_shingle_chunk(*buffers(chunk), n) for chunk in chunks]
    if len(parts) == 1:
        return Shingles(*parts[0])
    values = np.concatenate([np.zeros(0, np.uint64), *(part for part, _ in parts)])
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(places) for _, places in parts)])
    return Shingles(values, np.cumsum(sizes))


def distinct_shingles(column: pa.Array | pa.ChunkedArray, n: int) -> Shingles:
    """As `shingle`, each hash once per row, in order of first place."""
    found = shingle(column, n)
    offsets = distinct_in_place(found.values, found.offsets)
    return Shingles(found.values[: offsets[-1]], offsets)


def _shingle_chunk(data: Bytes, offsets: Ints, n: int) -> tuple[Hashes, Ints]:
    counts = _count(data, offsets)
    sizes = np.where(counts >= n, counts - n + 1, np.minimum(counts, 1))
    places = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    values = np.empty(places[-1], np.uint64)
    _shingle(data, offsets, n, values, places)
    return values, places


def jit(function: Kernel) -> Kernel:
    """Compile with numba: no GIL, no Python objects, machine code cached on disk where there is a place to write it."""
    try:
        return cast(Kernel, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # neither beside the module nor in the user's cache folder
        return cast(Kernel, numba.njit(nogil=True)(function))


@jit
def mix(value: np.uint64) -> np.uint64:
    """MurmurHash3's 64-bit finaliser: every bit of the result depends on every bit of the value."""
    value ^= value >> np.uint64(33)
    value *= _MURMUR1
    value ^= value >> np.uint64(33)
    value *= _MURMUR2
    value ^= value >> np.uint64(33)
    return value


@jit
def _count(data: Bytes, offsets: Ints) -> Ints:
    counts = np.empty(len(offsets) - 1, np.int64)
    for row in range(len(counts)):
        total = 0
        before = np.uint8(SPACE)
        for place in range(offsets[row], offsets[row + 1]):
            kind = CLASSES[data[place]]
            # A token begins at every mark, and at a word byte that no word byte precedes.
            total += (kind == MARK) | ((kind == WORD) & (before != WORD))
            before = kind
        counts[row] = total
    return counts


@jit
def _shingle(data: Bytes, offsets: Ints, n: int, out: Hashes, places: Ints) -> None:
    """Rolling polynomial over the hashes of the last `n` tokens (Karp and Rabin 1987), then mixed."""
    top = np.uint64(1)
    for _ in range(n):
        top *= _BASE
    ring = np.zeros(n, np.uint64)
    for row in range(len(offsets) - 1):
        place, stop, at, count = offsets[row], offsets[row + 1], places[row], 0
        rolling = np.uint64(0)
        slot = 0
        while place < stop:
            kind = CLASSES[data[place]]
            if kind == SPACE:
                place += 1
                continue
            token = (_FNV_START ^ np.uint64(data[place])) * _FNV_PRIME
            place += 1
            if kind == WORD:
                while place < stop and CLASSES[data[place]] == WORD:
                    token = (token ^ np.uint64(data[place])) * _FNV_PRIME
                    place += 1
            token = (token ^ (token >> np.uint64(29))) * _GOLDEN
            rolling = rolling * _BASE + token
            if count >= n:
                rolling -= ring[slot] * top
            ring[slot] = token
            slot = slot + 1 if slot + 1 < n else 0
            count += 1
            if count >= n:
                out[at] = max(mix(rolling), _ONE)
                at += 1
        if 0 < count < n:
            out[at] = max(mix(rolling + np.uint64(count) * _GOLDEN), _ONE)


@jit
def distinct_in_place(values: Hashes, offsets: Ints) -> Ints:
    """Drop repeated hashes (none may be 0) within each row, moving the rest forward; the new offsets."""
    largest = 0
    for row in range(len(offsets) - 1):
        largest = max(largest, offsets[row + 1] - offsets[row])
    table = np.zeros(table_size(largest), np.uint64)
    kept = np.empty(len(offsets), np.int64)
    kept[0] = 0
    write = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        size = table_size(stop - start)
        mask = np.uint64(size - 1)
        table[:size] = 0
        for index in range(start, stop):
            value = values[index]
            slot = value & mask
            while table[slot] != 0 and table[slot] != value:
                slot = (slot + _ONE) & mask
            if table[slot] == 0:
                table[slot] = value
                values[write] = value
                write += 1
        kept[row + 1] = write
    return kept


@jit
def table_size(count: int) -> int:
    """Slots of an open-addressed table for so many values: a power of two, at most half full."""
    size = 4
    while size < 2 * count:
        size *= 2
    return size
