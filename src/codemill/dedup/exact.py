"""Exact duplicates: rows with the same key, most often the hash of their bytes, of which the best-ranked stays."""

import numpy as np

from codemill.keys import Keys, best_of_each
from codemill.lexer import Ints


def exact_duplicates(keys: Keys, rank: Ints) -> tuple[Ints, Ints]:
    """Rows to drop and, for each, the row that is kept for it.

    Args:
        keys: of n rows.
        rank: of n rows, unique, lower is better.

    Returns:
        All rows but the best-ranked of each key in the order of their rank, and that best-ranked row.
    """
    best = best_of_each(keys, rank)
    dropped = np.flatnonzero(best != np.arange(len(best)))
    dropped = dropped[np.argsort(rank[dropped])]
    return dropped, best[dropped]
