"""A selection as arrays that count fast: where each occurrence stopped, why, and what it weighs.

Everything the report says of a corpus is a sum over these arrays. None of it loops over rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.select.result import Selection

NO_TEXT = "(no text content)"

Ints = npt.NDArray[np.int64]
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

    Attributes:
        selection: what it was made of.
        reasons: names of the reasons there are, in the order of the funnel: problems of reading first, then rules.
        step_of: for each reason the index of the step it belongs to.
        reason: index into `reasons` of every row; `len(reasons)` where it was kept.
        stopped: index of the step that stopped a row; the number of steps where it was kept.
        errored: rows that errored rather than being dropped.
        bytes, tokens: weights; unknown ones are 0.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._columns: dict[str, pa.Array] = {}
        decisions = selection.decisions
        self.count = decisions.num_rows
        rules = [step.rule for step in selection.steps]
        coded = _chunk(decisions["reason"]).dictionary_encode()
        found = coded.dictionary.to_pylist()
        problems = sorted(name for name in found if name not in rules)
        self.reasons: list[str] = problems + rules[1:]
        self.step_of: list[int] = [0] * len(problems) + list(range(1, len(rules)))
        place = {name: index for index, name in enumerate(self.reasons)}
        codes = np.array([*(place[name] for name in found), len(self.reasons)], dtype=np.int64)
        index = coded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False).astype(np.int64)
        self.reason: Ints = codes[index]
        self.stopped: Ints = np.array([*self.step_of, len(rules)], dtype=np.int64)[self.reason]
        self.errored: Mask = np.asarray(pc.equal(decisions["status"], "errored").to_numpy(), dtype=np.bool_)
        self.bytes: Ints = _whole(decisions["bytes"])
        self.tokens: Ints = _whole(decisions["tokens"])
        self.has_tokens = decisions["tokens"].null_count < self.count

    @property
    def corpus(self) -> str:
        return self.selection.corpus

    @property
    def kept(self) -> Mask:
        return np.asarray(self.reason == len(self.reasons), dtype=np.bool_)

    def column(self, name: str) -> pa.Array:
        """A column of the decisions (`path`) or of the signals (`annotator.field`) as one array."""
        if name not in self._columns:
            table = self.selection.signals if "." in name else self.selection.decisions
            self._columns[name] = _chunk(table[name])
        return self._columns[name]

    @cached_property
    def repositories(self) -> tuple[Ints, pa.Array]:
        """Repository of every row as an index into the second: keys `source NUL repo NUL revision`."""
        names = [pc.fill_null(self.column(name), "") for name in ("source", "repo", "revision")]
        return encode(pc.binary_join_element_wise(*names, "\0"))

    @cached_property
    def languages(self) -> tuple[Ints, pa.Array]:
        """Language of every row as an index into the second; what has no text content is a group of its own."""
        named = pc.fill_null(self.column("language"), "unknown")
        return encode(pc.if_else(pa.array(self.stopped > 0), named, NO_TEXT))

    def weigh(self, mask: Mask) -> Weight:
        return Weight(int(mask.sum()), int(self.bytes[mask].sum()), int(self.tokens[mask].sum()))

    def weigh_by(self, groups: Ints, length: int, mask: Mask | None = None) -> list[Weight]:
        """The weight of each of `length` groups, of the rows in `mask` where given."""
        if mask is not None:
            groups = groups[mask]
        files = np.bincount(groups, minlength=length)
        sums = [
            _sum_by(groups, values if mask is None else values[mask], length) for values in (self.bytes, self.tokens)
        ]
        return [Weight(int(a), int(b), int(c)) for a, b, c in zip(files, *sums, strict=True)]


def encode(values: pa.Array) -> tuple[Ints, pa.Array]:
    """Values as indices into their distinct ones, which come sorted, so that a report's order hangs on nothing else."""
    coded = values.dictionary_encode()
    order = pc.sort_indices(coded.dictionary).to_numpy()
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[coded.indices.to_numpy()], coded.dictionary.take(pa.array(order))


def _sum_by(groups: Ints, values: Ints, length: int) -> Ints:
    """Exact sums by group: floats would lose bytes beyond 2**53."""
    sums = np.zeros(length, dtype=np.int64)
    np.add.at(sums, groups, values)
    return sums


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)  # combining copies even a single one
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _whole(column: pa.ChunkedArray) -> Ints:
    return np.asarray(_chunk(column).fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
