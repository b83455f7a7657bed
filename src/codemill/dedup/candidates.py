"""Which sets may be similar: buckets of equal band hashes, and the connected components that split the work.

All arrays speak of positions: 0 is the best-ranked set.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from codemill.lexer import Hashes, Ints, jit

# Position and hash share one word, so that sorting plain integers groups them; 40 bits of the hash remain up to 16
# million sets. What collides in those is proposed in vain and refused by verification. A constant, since a bucket must
# not depend on how many other sets there are.
POSITION_BITS = 24
# Entries sorted at once; more are done in several passes over the sketches.
PASS_ENTRIES = 64_000_000


@dataclass(frozen=True)
class Buckets:
    """Groups of at least two sets that share a band hash.

    Attributes:
        offsets: int64, one more than buckets.
        members: int64 positions, ascending within a bucket.
    """

    offsets: Ints
    members: Ints

    @property
    def sizes(self) -> Ints:
        return np.diff(self.offsets)


def group(parts: Iterable[tuple[Ints, Hashes]], total: int, turn: int = 0, turns: int = 1) -> Buckets:
    """Buckets of band hashes; in each of several `turns` those of another share of the hashes.

    Args:
        parts: (positions, shape (rows,); band hashes, shape (rows, bands)), each position once over all parts.
        total: more than every position.
    """
    bits = max(POSITION_BITS, int(total).bit_length())
    words = [_words(positions, hashes, bits, turn, turns) for positions, hashes in parts]
    keys = np.concatenate([np.zeros(0, np.uint64), *words])
    del words
    keys.sort()
    return Buckets(*_runs(keys, bits))


def passes(entries: int) -> int:
    """How many passes over the sketches keep sorting within `PASS_ENTRIES` words."""
    return max(1, -(-entries // PASS_ENTRIES))


def join(groups: list[Buckets]) -> Buckets:
    """Buckets of several passes as one."""
    members = np.concatenate([np.zeros(0, np.int64), *(one.members for one in groups)])
    sizes = np.concatenate([np.zeros(1, np.int64), *(one.sizes for one in groups)])
    return Buckets(np.cumsum(sizes), members)


def components(buckets: Buckets, total: int) -> Ints:
    """The component of every position: the least position that is linked to it through shared buckets."""
    return _components(buckets.offsets, buckets.members, total)


@jit
def _words(positions: Ints, hashes: Hashes, bits: int, turn: int, turns: int) -> Hashes:
    words = np.empty(hashes.shape[0] * hashes.shape[1], np.uint64)
    shift = np.uint64(bits)
    at = 0
    for row in range(hashes.shape[0]):
        for band in range(hashes.shape[1]):
            kept = hashes[row, band] >> shift
            if turns == 1 or np.int64(kept % np.uint64(turns)) == turn:
                words[at] = (kept << shift) | np.uint64(positions[row])
                at += 1
    return words[:at].copy()


@jit
def _runs(keys: Hashes, bits: int) -> tuple[Ints, Ints]:
    """Offsets and members of runs of at least two equal hashes in sorted words."""
    shift = np.uint64(bits)
    low = (np.uint64(1) << shift) - np.uint64(1)
    runs, kept, start = 0, 0, 0
    for index in range(1, len(keys) + 1):
        if index == len(keys) or keys[index] >> shift != keys[start] >> shift:
            if index - start > 1:
                runs, kept = runs + 1, kept + index - start
            start = index
    offsets, members = np.zeros(runs + 1, np.int64), np.empty(kept, np.int64)
    runs, kept, start = 0, 0, 0
    for index in range(1, len(keys) + 1):
        if index == len(keys) or keys[index] >> shift != keys[start] >> shift:
            if index - start > 1:
                for place in range(start, index):
                    members[kept] = np.int64(keys[place] & low)
                    kept += 1
                runs += 1
                offsets[runs] = kept
            start = index
    return offsets, members


@jit
def _components(offsets: Ints, members: Ints, total: int) -> Ints:
    parent = np.arange(total)
    for bucket in range(len(offsets) - 1):
        first = _root(parent, members[offsets[bucket]])
        for place in range(offsets[bucket] + 1, offsets[bucket + 1]):
            other = _root(parent, members[place])
            if other < first:
                parent[first] = other
                first = other
            else:
                parent[other] = first
    for position in range(total):
        parent[position] = _root(parent, position)
    return parent


@jit
def _root(parent: Ints, position: int) -> int:
    while parent[position] != position:
        parent[position] = parent[parent[position]]
        position = parent[position]
    return position
