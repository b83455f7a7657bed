"""Draws what a round learns from: positives that vary, random negatives in their languages, hard ones, bad ones.

Every draw is an order that hangs on the contents' ids, the round and the seed, so that a run repeats.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from codemill.highquality.documents import Documents, Hashes, Ints, Pool, shuffled
from codemill.highquality.settings import RoundSettings, SourceSettings
from codemill.select.rules import Mask
from codemill.tables import one_chunk


@dataclass(frozen=True)
class Draw:
    """Rows to learn from, each kind sorted.

    Attributes:
        good: positives; random, hard, bad: negatives. No row is in two.
    """

    good: Ints
    random: Ints
    hard: Ints
    bad: Ints

    def counts(self) -> dict[str, int]:
        return {name: len(rows) for name, rows in vars(self).items()}

    @property
    def rows(self) -> Ints:
        return np.concatenate([self.good, self.random, self.hard, self.bad])

    @property
    def labels(self) -> Mask:
        """True for the positives among `rows`."""
        return np.arange(len(self.rows)) < len(self.good)


def draw(
    documents: Documents,
    pool: Pool,
    *,
    settings: tuple[SourceSettings, RoundSettings],
    number: int,
    taken: Mask,
    recalled: Mask,
) -> Draw:
    """What round `number` (from 1) learns from.

    Args:
        documents: all of them.
        pool: what the source says of them.
        settings: the source's and the rounds'.
        number: of the round.
        taken: the set after the round before; the seed in round 1.
        recalled: what the classifier of the round before recalled; nothing in round 1.
    """
    source, rounds = settings
    free = pool.candidate & ~pool.held
    order = shuffled(documents.key, "draw", number)
    good = np.flatnonzero(taken & free)
    if number == 1:
        good = varied(good, order, documents.group, source.seed_per_repository, source.seed_size)
    else:
        good = first(good, order, rounds.most_positives)
    bad_pool = free & recalled & pool.bad & ~taken
    bad = first(np.flatnonzero(bad_pool), order, int(rounds.bad_negatives * len(good)))
    hard = first(np.flatnonzero(free & pool.hard & ~taken & ~bad_pool), order, int(rounds.hard_negatives * len(good)))
    # Neither what was recalled nor what may well be good: a random negative should be one.
    rest = np.flatnonzero(free & ~taken & ~pool.seed & ~pool.hard & ~bad_pool & ~(recalled & pool.take))
    wanted = int(rounds.random_negatives * len(good))
    if rounds.match_languages:
        random = matched(rest, good, order, documents.table["language"], wanted)
    else:
        random = first(rest, order, wanted)
    return Draw(good, random, hard, bad)


def first(rows: Ints, order: Hashes, count: int) -> Ints:
    """The first `count` of the rows in that order, sorted by place."""
    if len(rows) <= count:
        return rows
    return np.sort(rows[np.argsort(order[rows], kind="stable")[:count]])


def varied(rows: Ints, order: Hashes, groups: Hashes, each: int, count: int) -> Ints:
    """At most `each` of every group and `count` of all, the first in that order, sorted by place."""
    rows = rows[np.lexsort((order[rows], groups[rows]))]
    if not len(rows):
        return rows
    begins = np.concatenate([[True], groups[rows][1:] != groups[rows][:-1]])
    starts = np.flatnonzero(begins)
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff([*starts, len(rows)]))
    return first(np.sort(rows[rank < each]), order, count)


def matched(rows: Ints, like: Ints, order: Hashes, languages: pa.ChunkedArray, count: int) -> Ints:
    """`count` of the rows, by language in the shares of `like`; what a language lacks comes from all that are left."""
    coded = one_chunk(languages).dictionary_encode()
    codes = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
    shares = np.bincount(codes[like], minlength=len(coded.dictionary) + 1) / max(len(like), 1)
    chosen = [
        first(rows[codes[rows] == code], order, round(float(count * shares[code]))) for code in np.flatnonzero(shares)
    ]
    found = np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]))
    left = np.setdiff1d(rows, found, assume_unique=True)
    # Others only where the languages of the positives have too few: better another language than no negative.
    return np.sort(np.concatenate([found, first(left, order, max(count - len(found), 0))]))
