"""Which n-grams of benchmarks are common idioms: counted by repository in a corpus of ordinary code."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from codemill.decontaminate.grams import ENTRY, ROW, Table, find
from codemill.decontaminate.index import Counts, Evidence, Index, with_reference
from codemill.decontaminate.rows import Rows, list_parts, parse, read_rows
from codemill.errors import InputError

# A text with so many n-grams that tell something is a copy of problems: it says nothing of how common they are.
COPY = 20
TEXT, REPOSITORY = "content", "repo"
Mask = npt.NDArray[np.bool_]


def count_repositories(index: Index, inputs: Sequence[str]) -> Index:
    """The index with, for every n-gram, the number of repositories that have it elsewhere than in copies of problems.

    Args:
        index: what to look for; counts that it has are replaced.
        inputs: tables with columns `content` and `repo`, as a corpus of codemill has them.

    Raises:
        InputError: a table can't be read or lacks those columns.
    """
    table, _ = index.lookup(Evidence(every=True))
    telling = index.column("telling") >= Evidence().telling
    numbers: dict[str, int] = {}
    pairs = np.zeros(0, np.int64)  # entry and repository in one number, distinct
    texts = size = 0
    for part in list_parts(inputs, (TEXT, REPOSITORY)):
        for rows in read_rows(part, (TEXT,)):
            owners = np.array([numbers.setdefault(name, len(numbers)) for name in _repositories(rows)], np.int64)
            texts += len(owners)
            size += rows.texts.nbytes
            found = _idioms(rows.texts, index.n, table, telling)
            pairs = np.union1d(pairs, found[1] << 32 | owners[found[0]])
    if not texts:
        raise InputError(f"reference {', '.join(inputs)}: expected rows with {TEXT} and {REPOSITORY}, got none")
    counts = np.bincount(pairs >> 32, minlength=len(telling))
    return with_reference(index, counts, {"repositories": len(numbers), "texts": texts, "bytes": size})


def _idioms(texts: pa.Array, n: int, table: Table, telling: Mask) -> tuple[Counts, Counts]:
    """Row and entry of every n-gram found, without those of copies."""
    places = find(texts, n, table).places
    rows, entries = places[:, ROW], places[:, ENTRY]
    ordinary = np.bincount(rows[telling[entries]], minlength=len(texts)) < COPY
    return rows[ordinary[rows]], entries[ordinary[rows]]


def _repositories(rows: Rows) -> list[str]:
    if isinstance(rows.whole, pa.RecordBatch):
        values = rows.whole.column(REPOSITORY).to_pylist()
    else:
        values = [
            None if problem else parse(line).get(REPOSITORY)
            for line, problem in zip(rows.whole, rows.problems, strict=True)
        ]
    for origin, value, problem in zip(rows.origins, values, rows.problems, strict=False):
        if problem is not None:
            raise InputError(f"reference row {origin}: expected {TEXT} and {REPOSITORY}, got {problem}")
        if not isinstance(value, str):
            raise InputError(f"reference row {origin}: expected the name of a repository, got {value!r}")
    return [str(value) for value in values]
