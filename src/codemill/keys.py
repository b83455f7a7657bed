"""Text keys as 128-bit hashes: sixteen bytes a row in numpy arrays, where the ids themselves take seventy and more.

What spans a whole set on one machine (joins, duplicates, counts of different keys) is done with these. Two different
texts among a billion have the same hash with a chance of about 10^-21, as with the ids of occurrences themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from codemill.lexer import Bytes, Hashes, Ints, buffers, jit, mix

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_START = np.uint64(0xD6E8FEB86659FD93)
_BYTE = np.uint64(8)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Keys:
    """Hashes of n texts, as two uint64 arrays of n."""

    high: Hashes
    low: Hashes

    def __len__(self) -> int:
        return len(self.high)

    def take(self, rows: Ints | Mask) -> "Keys":
        """The keys of these rows, by number or by mask."""
        return Keys(self.high[rows], self.low[rows])

    def order(self, then: Ints | None = None) -> Ints:
        """Rows with equal keys side by side; among them in the order of `then`, else of the rows."""
        return np.lexsort((self.low, self.high) if then is None else (then, self.low, self.high))

    def starts(self, order: Ints) -> Mask:
        """For rows in such an order, which of them begin another key."""
        fresh = np.ones(len(order), dtype=np.bool_)
        high, low = self.high[order], self.low[order]
        fresh[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        return fresh


def keys_of(column: pa.Array | pa.ChunkedArray, *more: pa.Array | pa.ChunkedArray) -> Keys:
    """Keys of a column of texts, or of several columns read together. Nulls read as empty: mask them."""
    found = [_hash(chunk) for chunk in chunks(column)]
    keys = join_keys(found)
    for other in more:
        beside = join_keys([_hash(chunk) for chunk in chunks(other)])
        _combine(keys.high, keys.low, beside.high, beside.low)
    return keys


def join_keys(parts: Iterable[Keys]) -> Keys:
    """Keys one after the other."""
    parts = list(parts)
    none = np.zeros(0, np.uint64)
    return Keys(
        np.concatenate([none, *(part.high for part in parts)]), np.concatenate([none, *(part.low for part in parts)])
    )


def chunks(column: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    """The arrays that a column consists of."""
    return list(column.chunks) if isinstance(column, pa.ChunkedArray) else [column]


def best_of_each(keys: Keys, rank: Ints) -> Ints:
    """For each row the row of the same key that has the least rank, itself where it is that."""
    order = keys.order(rank)
    if not len(order):
        return order
    starts = np.flatnonzero(keys.starts(order))
    best = np.empty(len(order), np.int64)
    best[order] = np.repeat(order[starts], np.diff(starts, append=len(order)))
    return best


def count_different(keys: Keys) -> int:
    """How many different keys there are."""
    return int(keys.starts(keys.order()).sum())


class KeyIndex:
    """Where each of a set of keys stands.

    Attributes:
        repeated: whether a key is there twice; one of its places is found then.
    """

    def __init__(self, keys: Keys, places: Ints | None = None) -> None:
        """Index these keys, which stand at these places, else at 0, 1, …"""
        order = keys.order()
        self.repeated = not bool(keys.starts(order).all())
        self._keys = keys.take(order)
        at = order if places is None else places[order]
        self._order = at if len(at) and at.max() >= 2**31 else at.astype(np.int32)

    def find(self, keys: Keys) -> Ints:
        """The place of each key, or -1."""
        found = _find(self._keys.high, self._keys.low, keys.high, keys.low)
        known = found >= 0
        found[known] = self._order[found[known]]
        return found


def _hash(array: pa.Array) -> Keys:
    data, offsets = buffers(array)
    return Keys(*_hash_texts(data, offsets))


@jit
def _hash_texts(data: Bytes, offsets: Ints) -> tuple[Hashes, Hashes]:
    """Two hashes of every text, eight bytes at a time, each chained through both lanes."""
    count = len(offsets) - 1
    high, low = np.empty(count, np.uint64), np.empty(count, np.uint64)
    for row in range(count):
        size = offsets[row + 1] - offsets[row]
        first, second = mix(_START ^ np.uint64(size)), mix(_GOLDEN + np.uint64(size))
        at = offsets[row]
        while at < offsets[row + 1]:
            word = np.uint64(0)
            for place in range(at, min(at + 8, offsets[row + 1])):
                word = (word << _BYTE) | np.uint64(data[place])
            first = mix(first ^ word) + second
            second = mix(second + word * _START) ^ (first + _GOLDEN)
            at += 8
        high[row], low[row] = mix(first), mix(second)
    return high, low


@jit
def _combine(high: Hashes, low: Hashes, other_high: Hashes, other_low: Hashes) -> None:
    for row in range(len(high)):
        first = mix(high[row] + _GOLDEN) ^ other_high[row]
        second = mix(low[row] + _START) ^ other_low[row]
        high[row], low[row] = mix(first) + second, mix(second ^ (first + _GOLDEN))


@jit
def _find(high: Hashes, low: Hashes, wanted_high: Hashes, wanted_low: Hashes) -> Ints:
    """Place of each wanted key among sorted ones, or -1."""
    found = np.full(len(wanted_high), -1, np.int64)
    for row in range(len(wanted_high)):
        first, second = wanted_high[row], wanted_low[row]
        left, right = 0, len(high)
        while left < right:
            middle = (left + right) // 2
            if high[middle] < first or (high[middle] == first and low[middle] < second):
                left = middle + 1
            else:
                right = middle
        if left < len(high) and high[left] == first and low[left] == second:
            found[row] = left
    return found
