"""Who stays: walks sets in rank order and drops each that truly resembles a better-ranked one that was kept.

Similarity is the Jaccard index of the whole sets, counted, never estimated. Dropped sets are compared with no more:
nothing goes through a chain of resemblances.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codemill.dedup.candidates import Buckets
from codemill.lexer import Hashes, Ints, jit, table_size

Reals = npt.NDArray[np.float64]
KEPT = -1


@dataclass(frozen=True)
class Sets:
    """The sets themselves, by position: set `i` is `values[starts[i]:starts[i] + sizes[i]]`.

    Attributes:
        values: uint64 elements, none 0, each once in a set.
        starts, sizes: int64.
    """

    values: Hashes
    starts: Ints
    sizes: Ints


@dataclass(frozen=True)
class Choice:
    """What became of the sets, all arrays by position except the last.

    Attributes:
        kept_by: position of the kept set that a dropped one resembles most (the better-ranked of equals); -1: kept.
        similarity: their Jaccard similarity; 0 where kept.
        candidates: kept sets that shared a bucket with it.
        verified: those of them whose sizes allowed the threshold, so that the intersection was counted.
        capped: by bucket: whether it had more kept sets than may represent it.
    """

    kept_by: Ints
    similarity: Reals
    candidates: Ints
    verified: Ints
    capped: npt.NDArray[np.bool_]


def choose(sets: Sets, buckets: Buckets, threshold: float, max_representatives: int) -> Choice:
    """Walk the sets by position and keep or drop each.

    Args:
        sets: what is compared.
        buckets: only sets that share one are compared.
        threshold: least Jaccard similarity that drops.
        max_representatives: a bucket offers its so many best-ranked kept sets for comparison, no more.
    """
    total = len(sets.starts)
    order = np.argsort(buckets.members, kind="stable")
    owners = np.repeat(np.arange(len(buckets.offsets) - 1), buckets.sizes)[order]
    own = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(buckets.members, minlength=total))])
    places = np.concatenate(
        [np.zeros(1, np.int64), np.cumsum(np.minimum(buckets.sizes, max_representatives), dtype=np.int64)]
    )
    return Choice(*_choose((sets.values, sets.starts, sets.sizes), (own, owners), places, threshold))


@jit
def _choose(
    sets: tuple[Hashes, Ints, Ints], buckets: tuple[Ints, Ints], places: Ints, threshold: float
) -> tuple[Ints, Reals, Ints, Ints, npt.NDArray[np.bool_]]:
    """The walk. `buckets`: offsets and buckets by set; `places`: room for the representatives of each bucket."""
    values, starts, sizes = sets
    total, (own, owners) = len(starts), buckets
    kept_by, similarity = np.full(total, KEPT), np.zeros(total)
    candidates, verified = np.zeros(total, np.int64), np.zeros(total, np.int64)
    representatives, held = np.empty(places[-1], np.int64), np.zeros(len(places) - 1, np.int64)
    capped = np.zeros(len(places) - 1, np.bool_)
    met = np.full(total, -1)
    table = np.empty(table_size(sizes.max() if total else 0), np.uint64)
    for here in range(total):
        built = False
        mask = np.uint64(table_size(sizes[here]) - 1)
        for entry in range(own[here], own[here + 1]):
            bucket = owners[entry]
            for place in range(places[bucket], places[bucket] + held[bucket]):
                other = representatives[place]
                if met[other] == here:
                    continue
                met[other] = here
                candidates[here] += 1
                small, large = min(sizes[here], sizes[other]), max(sizes[here], sizes[other])
                if small / max(large, 1) < threshold:  # similarity is at most this; empty sets resemble nothing
                    continue
                verified[here] += 1
                if not built:
                    _fill(table, mask, values[starts[here] : starts[here] + sizes[here]])
                    built = True
                aim = max(threshold, similarity[here])
                common = _common(table, mask, values[starts[other] : starts[other] + sizes[other]], sizes[here], aim)
                found = common / (small + large - common)
                if found >= threshold and (
                    found > similarity[here] or (found == similarity[here] and other < kept_by[here])
                ):
                    similarity[here], kept_by[here] = found, other
        if kept_by[here] != KEPT:
            continue
        for entry in range(own[here], own[here + 1]):
            bucket = owners[entry]
            if places[bucket] + held[bucket] < places[bucket + 1]:
                representatives[places[bucket] + held[bucket]] = here
                held[bucket] += 1
            else:
                capped[bucket] = True
    return kept_by, similarity, candidates, verified, capped


@jit
def _fill(table: Hashes, mask: np.uint64, values: Hashes) -> None:
    """Put values into an open-addressed table of `mask + 1` slots; 0 marks a free one."""
    table[: np.int64(mask) + 1] = 0
    for value in values:
        slot = value & mask
        while table[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = value


@jit
def _common(table: Hashes, mask: np.uint64, values: Hashes, filled: int, aim: float) -> int:
    """How many of `values` are in the table that holds `filled`; 0 as soon as a similarity of `aim` is out of reach."""
    # J = c / (a + b - c) >= aim  <=>  c >= aim / (1 + aim) * (a + b); one less keeps rounding on the safe side.
    least = np.int64(aim / (1 + aim) * (filled + len(values))) - 1
    allowed = len(values) - least
    missed = 0
    for value in values:
        slot = value & mask
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == 0:
            missed += 1
            if missed > allowed:
                return 0
    return len(values) - missed
