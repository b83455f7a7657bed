"""Which sets may be similar: buckets of equal band hashes, and the connected components that split the work.

All arrays speak of positions: 0 is the best-ranked set.
"""

from dataclasses import dataclass

import numpy as np

from codemill.lexer import Hashes, Ints, jit

# Position and hash share one word, so that sorting plain integers groups them; 40 bits of the hash remain up to 16
# million sets. What collides in those is proposed in vain and refused by verification. A constant, since a bucket must
# not depend on how many other sets there are.
POSITION_BITS = 24
# Entries sorted at once; more are laid out on disk by hash, and each pile is sorted alone.
PASS_ENTRIES = 1_000_000
MOST_PASSES = 64


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


def group(positions: Ints, hashes: Hashes, total: int) -> Buckets:
    """Buckets of band hashes.

    Args:
        positions: of the sets, each once, shape (rows,).
        hashes: of their bands, shape (rows, bands).
        total: more than every position.
    """
    bits = position_bits(total)
    return buckets_of(pack(positions, hashes, bits), bits)


def position_bits(total: int) -> int:
    """How many bits of a word hold a position, of so many sets."""
    return max(POSITION_BITS, int(total).bit_length())


def pack(positions: Ints, hashes: Hashes, bits: int) -> Hashes:
    """Band hashes and positions in one word each, shape (rows * bands,)."""
    return _words(positions, hashes, bits)


def buckets_of(words: Hashes, bits: int) -> Buckets:
    """The buckets among words, which are sorted in place."""
    words.sort()
    return Buckets(*_runs(words, bits))


def passes(entries: int) -> int:
    """Into how many piles words are sorted, so that each has at most `PASS_ENTRIES` or a bounded share of them."""
    return max(1, min(-(-entries // PASS_ENTRIES), MOST_PASSES))


def piles(words: Hashes, bits: int, turns: int) -> tuple[Hashes, Ints]:
    """Words by pile, those of equal hashes in the same one, and where each pile begins."""
    pile = (words >> np.uint64(bits)) % np.uint64(turns)
    order = np.argsort(pile, kind="stable")
    return words[order], np.searchsorted(pile[order], np.arange(turns + 1).astype(np.uint64))


def link(parent: Ints, buckets: Buckets) -> None:
    """Join the sets of each bucket in a forest of parents, at first each position's own."""
    _link(parent, buckets.offsets, buckets.members)


def components(parent: Ints) -> Ints:
    """The component of every position: the least position that is linked to it."""
    _settle(parent)
    return parent


@jit
def _words(positions: Ints, hashes: Hashes, bits: int) -> Hashes:
    words = np.empty(hashes.shape[0] * hashes.shape[1], np.uint64)
    shift = np.uint64(bits)
    at = 0
    for row in range(hashes.shape[0]):
        for band in range(hashes.shape[1]):
            words[at] = ((hashes[row, band] >> shift) << shift) | np.uint64(positions[row])
            at += 1
    return words


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
def _link(parent: Ints, offsets: Ints, members: Ints) -> None:
    for bucket in range(len(offsets) - 1):
        first = _root(parent, members[offsets[bucket]])
        for place in range(offsets[bucket] + 1, offsets[bucket + 1]):
            other = _root(parent, members[place])
            if other < first:
                parent[first] = other
                first = other
            else:
                parent[other] = first


@jit
def _settle(parent: Ints) -> None:
    for position in range(len(parent)):
        parent[position] = _root(parent, position)


@jit
def _root(parent: Ints, position: int) -> int:
    while parent[position] != position:
        parent[position] = parent[parent[position]]
        position = parent[position]
    return position
