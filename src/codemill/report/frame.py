"""A selection as arrays that count fast: where each occurrence stopped, why, and what it weighs.

Everything the report says of a corpus is a sum over these arrays. None of it loops over rows, and none of it holds more
of a row than a few numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.schema import REPOSITORY
from codemill.select.result import Selection
from codemill.tables import AnyTable, encode, one_chunk, parts, take

NO_TEXT = "(no text content)"

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]  # indices into names
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Weight:
    """How much something is, in three units; `tokens` is 0 throughout where none were counted."""

    files: int
    bytes: int
    tokens: int

    def __sub__(self, other: "Weight") -> "Weight":
        return Weight(self.files - other.files, self.bytes - other.bytes, self.tokens - other.tokens)

    def __add__(self, other: "Weight") -> "Weight":
        return Weight(self.files + other.files, self.bytes + other.bytes, self.tokens + other.tokens)


class Frame:
    """The decisions of one corpus as arrays of n rows, in the order of the decisions.

    Narrow numbers are held; columns are read when they are asked for, a part of the rows at a time.

    Attributes:
        selection: what it was made of.
        reasons: names of the reasons there are, in the order of the funnel: problems of reading first, then rules.
        step_of: for each reason the index of the step it belongs to.
        reason: index into `reasons` of every row; `len(reasons)` where it was kept.
        stopped: index of the step that stopped a row; the number of steps where it was kept.
        errored: rows that errored rather than being dropped.
        bytes, tokens: weights; unknown ones are 0.
        one_repository: columns that say which repository a row is of.
    """

    def __init__(self, selection: Selection, one_repository: Sequence[str] = REPOSITORY) -> None:
        self.selection, self.one_repository = selection, one_repository
        decisions = selection.decisions
        self.count = decisions.num_rows
        rules = [step.rule for step in selection.steps]
        codes, found = self._encode(["reason"], lambda rows, _: rows["reason"])
        names = [name for name in found if name is not None]
        problems = sorted(name for name in names if name not in rules)
        self.reasons: list[str] = problems + rules[1:]
        self.step_of: list[int] = [0] * len(problems) + list(range(1, len(rules)))
        place: dict[str | None, int] = {name: index for index, name in enumerate(self.reasons)}
        place[None] = len(self.reasons)
        self.reason: Codes = np.array([place[name] for name in found], dtype=np.int32)[codes]
        self.stopped: Codes = np.array([*self.step_of, len(rules)], dtype=np.int32)[self.reason]
        self.errored: Mask = np.zeros(self.count, dtype=np.bool_)
        self.bytes: Ints = np.zeros(self.count, dtype=np.int64)
        self.tokens: Ints = np.zeros(self.count, dtype=np.int64)
        self.has_tokens = False
        for start, rows in parts(decisions, ["status", "bytes", "tokens"]):
            here = slice(start, start + rows.num_rows)
            self.errored[here] = pc.equal(rows["status"], "errored").to_numpy()
            self.bytes[here], self.tokens[here] = _whole(rows["bytes"]), _whole(rows["tokens"])
            self.has_tokens |= rows["tokens"].null_count < rows.num_rows

    @property
    def corpus(self) -> str:
        return self.selection.corpus

    @property
    def kept(self) -> Mask:
        return np.asarray(self.reason == len(self.reasons), dtype=np.bool_)

    def table_of(self, column: str) -> AnyTable:
        """Where a column lies: `annotator.field` among the signals, others among the decisions."""
        return self.selection.signals if "." in column else self.selection.decisions

    def type_of(self, column: str) -> pa.DataType:
        return self.table_of(column).schema.field(column).type

    def column(self, name: str) -> Iterator[tuple[int, pa.Array]]:
        """A column, a part of the rows at a time: (number of the first row, values)."""
        for start, rows in parts(self.table_of(name), [name]):
            yield start, one_chunk(rows[name])

    def chosen(self, name: str, mask: Mask) -> Iterator[tuple[Ints, pa.Array]]:
        """A column's values in the rows of a mask, a part at a time: (numbers of the rows, values)."""
        for start, values in self.column(name):
            rows = np.flatnonzero(mask[start : start + len(values)])
            if len(rows):
                yield rows + start, values.take(pa.array(rows))

    def take(self, rows: Ints, columns: Sequence[str]) -> pa.Table:
        """These columns, all of one of the two tables, in these rows."""
        return take(self.table_of(columns[0]), rows, columns)

    def numbers(self, name: str) -> tuple[Floats, Mask]:
        """A numeric column, NaN where it has no value, and where it has one."""
        values, valid = np.empty(self.count, dtype=np.float64), np.empty(self.count, dtype=np.bool_)
        for start, column in self.column(name):
            here = slice(start, start + len(column))
            values[here] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            valid[here] = column.is_valid().to_numpy(zero_copy_only=False)
        return values, valid

    def encoded(self, columns: Sequence[str], name: Callable[[pa.Table, int], pa.Array]) -> tuple[Codes, pa.Array]:
        """Groups of rows as indices into their names, which come sorted, so that a report's order hangs on nothing
        else. `name` makes the names of some rows out of these columns, given the number of the first."""
        codes, names = self._encode(columns, name)
        texts = pa.array(names, pa.string())
        order = pc.sort_indices(texts).to_numpy()
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        return place[codes], texts.take(pa.array(order))

    def _encode(self, columns: Sequence[str], name: Callable[[pa.Table, int], Any]) -> tuple[Codes, list[str | None]]:
        """Values as numbers in the order of their first places, and the values."""
        codes = np.zeros(self.count, dtype=np.int32)
        known: dict[str | None, int] = {}
        for start, rows in parts(self.table_of(columns[0]), columns):
            values = name(rows, start)
            values = one_chunk(values) if isinstance(values, pa.ChunkedArray) else values
            codes[start : start + rows.num_rows] = encode(values, known)
        return codes, list(known)

    def groups(self, column: str) -> tuple[Codes, pa.Array]:
        """The values of a column of names, as indices into the different ones."""
        return self.encoded([column], lambda rows, _: rows[column])

    @cached_property
    def repositories(self) -> tuple[Codes, pa.Array]:
        """Repository of every row as an index into the second: keys such as `source NUL repo NUL revision`."""
        return self.encoded(self.one_repository, lambda rows, _: repository_keys(rows, self.one_repository))

    @cached_property
    def languages(self) -> tuple[Codes, pa.Array]:
        """Language of every row as an index into the second; what has no text content is a group of its own."""

        def name(rows: pa.Table, start: int) -> pa.Array:
            text = pa.array(self.stopped[start : start + rows.num_rows] > 0)
            return pc.if_else(text, pc.fill_null(one_chunk(rows["language"]), "unknown"), NO_TEXT)

        return self.encoded(["language"], name)

    def weigh(self, mask: Mask) -> Weight:
        return Weight(int(mask.sum()), int(self.bytes[mask].sum()), int(self.tokens[mask].sum()))

    def sums_by(self, groups: Codes, length: int, mask: Mask | None = None) -> Ints:
        """Files, bytes and tokens of each of `length` groups, of the rows in `mask` where given, shape (length, 3)."""
        sums = np.zeros((length, 3), dtype=np.int64)
        if mask is not None:
            groups = groups[mask]
        sums[:, 0] = np.bincount(groups, minlength=length)
        for unit, values in enumerate((self.bytes, self.tokens), start=1):
            # Exact sums: floats would lose bytes beyond 2**53.
            np.add.at(sums[:, unit], groups, values if mask is None else values[mask])
        return sums

    def weigh_by(self, groups: Codes, length: int, mask: Mask | None = None) -> list[Weight]:
        """The weight of each of `length` groups, of the rows in `mask` where given."""
        return [weight_of(row) for row in self.sums_by(groups, length, mask)]


def weight_of(row: Ints) -> Weight:
    """A row of sums as a weight."""
    return Weight(int(row[0]), int(row[1]), int(row[2]))


def repository_keys(rows: pa.Table, columns: Sequence[str]) -> pa.Array:
    """Names of repositories in one text each, joined by NUL."""
    return pc.binary_join_element_wise(*(pc.fill_null(one_chunk(rows[name]), "") for name in columns), "\0")


def _whole(column: pa.ChunkedArray) -> Ints:
    return np.asarray(one_chunk(column).fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
