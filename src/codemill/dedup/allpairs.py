"""Every pair of sets above a similarity, found exactly and without sketches: the truth that dedup is measured against.

An inverted index over the rarest elements of each set (prefix filtering: Bayardo, Ma and Srikant, *Scaling Up All Pairs
Similarity Search*, WWW 2007) leaves out only pairs that cannot reach the threshold, so the result is that of comparing
all pairs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codemill.lexer import Ints, Shingles, jit

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Pairs of positions, `first < second`, with their Jaccard similarity, in that order."""

    first: Ints
    second: Ints
    similarity: Reals


def all_pairs(sets: Shingles, threshold: float) -> Pairs:
    """All pairs of sets (each element once) of at least this Jaccard similarity; empty sets have none."""
    sizes = np.diff(sets.offsets)
    _, codes, counts = np.unique(sets.values, return_inverse=True, return_counts=True)
    rarity = np.empty(len(counts), np.int64)
    rarity[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    elements = rarity[codes]
    for start, stop in zip(sets.offsets, sets.offsets[1:], strict=False):
        elements[start:stop].sort()
    prefix = np.where(sizes > 0, sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1, 0)
    shared = np.zeros(len(counts) + 1, np.int64)
    _count_prefixes(elements, sets.offsets, prefix, shared)
    order = np.argsort(sizes, kind="stable")
    first, second, similarity = _all_pairs((elements, sets.offsets), prefix, np.cumsum(shared), order, threshold)
    low, high = np.minimum(first, second), np.maximum(first, second)
    found = np.lexsort((high, low))
    return Pairs(low[found], high[found], similarity[found])


@jit
def _count_prefixes(elements: Ints, offsets: Ints, prefix: Ints, shared: Ints) -> None:
    """Add up at `shared[e + 1]` in how many prefixes element `e` is."""
    for row in range(len(prefix)):
        for place in range(offsets[row], offsets[row] + prefix[row]):
            shared[elements[place] + 1] += 1


@jit
def _all_pairs(
    sets: tuple[Ints, Ints], prefix: Ints, places: Ints, order: Ints, threshold: float
) -> tuple[Ints, Ints, Reals]:
    """Sets by growing size, each against those before it that share an element of both prefixes."""
    elements, offsets = sets
    postings, held = np.empty(places[-1], np.int64), np.zeros(len(places) - 1, np.int64)
    met = np.full(len(order), -1)
    first, second, similarity = np.empty(1024, np.int64), np.empty(1024, np.int64), np.empty(1024)
    found = 0
    for here in order:
        size = offsets[here + 1] - offsets[here]
        for place in range(offsets[here], offsets[here] + prefix[here]):
            element = elements[place]
            for posting in range(places[element], places[element] + held[element]):
                other = postings[posting]
                if met[other] == here:
                    continue
                met[other] = here
                fewer = offsets[other + 1] - offsets[other]
                if fewer / size < threshold:
                    continue
                common = _common_sorted(
                    elements[offsets[here] : offsets[here + 1]], elements[offsets[other] : offsets[other + 1]]
                )
                value = common / (size + fewer - common)
                if value >= threshold:
                    if found == len(first):
                        first = np.concatenate((first, first))
                        second = np.concatenate((second, second))
                        similarity = np.concatenate((similarity, similarity))
                    first[found], second[found], similarity[found] = here, other, value
                    found += 1
            postings[places[element] + held[element]] = here
            held[element] += 1
    return first[:found].copy(), second[:found].copy(), similarity[:found].copy()


@jit
def _common_sorted(left: Ints, right: Ints) -> int:
    """How many elements two ascending arrays share."""
    common, place, other = 0, 0, 0
    while place < len(left) and other < len(right):
        if left[place] == right[other]:
            common, place, other = common + 1, place + 1, other + 1
        elif left[place] < right[other]:
            place += 1
        else:
            other += 1
    return common


def drop_by_pairs(pairs: Pairs, total: int) -> npt.NDArray[np.bool_]:
    """Which of the sets (by rank) a walk drops that knows all pairs: those that resemble a better one that is kept."""
    dropped = np.zeros(total, np.bool_)
    order = np.argsort(pairs.second, kind="stable")
    for first, second in zip(pairs.first[order].tolist(), pairs.second[order].tolist(), strict=True):
        if not dropped[first]:
            dropped[second] = True
    return dropped
