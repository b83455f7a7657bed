"""What texts share with benchmarks: how much, which benchmark, which problem, which words."""

from typing import Any

import numpy as np
import pyarrow as pa

from codemill.decontaminate.grams import BEGIN, COVERED, END, ENTRY, ROW, WORDS, Found, find
from codemill.decontaminate.index import Evidence, Index, load_indexes
from codemill.lexer import Bytes, Ints, buffers

SHOWN = 300  # characters of the words that are shown

FIELDS = pa.schema(
    [
        ("hits", pa.int64()),
        ("share", pa.float64()),
        ("problems", pa.int64()),
        ("benchmark", pa.string()),
        ("problem", pa.string()),
        ("words", pa.string()),
    ]
)


class Matcher:
    """Compares texts with an index."""

    def __init__(self, index: Index, evidence: Evidence) -> None:
        self.index = index
        self.table, rows = index.lookup(evidence)
        self.problem = index.column("problem")[rows]

    def match(self, texts: pa.Array) -> pa.RecordBatch:
        """`FIELDS` of every text of a binary or string array; nulls share nothing."""
        found = find(texts, self.index.n, self.table)
        data, offsets = buffers(texts)
        size = len(texts)
        columns: dict[str, Any] = {name: [None] * size for name in ("benchmark", "problem", "words")}
        columns["hits"] = np.bincount(found.places[:, ROW], minlength=size)
        columns["problems"] = np.zeros(size, np.int64)
        columns["share"] = found.rows[:, COVERED] / np.maximum(found.rows[:, WORDS], 1)
        for row, places in _by_row(found):
            problems, counts = np.unique(self.problem[places[:, ENTRY]], return_counts=True)
            most = int(problems[np.argmax(counts)])
            first = places[np.argmax(self.problem[places[:, ENTRY]] == most)]
            columns["problems"][row] = len(problems)
            columns["benchmark"][row], columns["problem"][row] = self.index.named(most)
            columns["words"][row] = _shown(data[offsets[row] + first[BEGIN] : offsets[row] + first[END]])
        return pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in FIELDS], schema=FIELDS)


def open_matcher(indexes: tuple[str, ...], evidence: Evidence) -> Matcher:
    """The matcher of these indexes together.

    Raises:
        InputError: an index can't be read.
    """
    return Matcher(load_indexes(indexes), evidence)


def _by_row(found: Found) -> list[tuple[int, Ints]]:
    """What was found, text by text; in order of place within each."""
    rows, starts = np.unique(found.places[:, ROW], return_index=True)
    return list(zip(rows.tolist(), np.split(found.places, starts[1:]), strict=True)) if len(rows) else []


def _shown(part: Bytes) -> str:
    """The words as they stand in the text, on one line."""
    text = " ".join(part.tobytes().decode("utf-8", "replace").replace("\0", " ").split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
