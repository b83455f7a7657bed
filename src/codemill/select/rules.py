"""Evaluates single rules over columns: which rows fail, which have no value, where a quantile cuts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.errors import RecipeError
from codemill.recipe import Bounds, QuantileRule, Scalar, ValueRule
from codemill.tables import AnyTable, parts

Mask = npt.NDArray[np.bool_]
Groups = tuple[npt.NDArray[np.integer[Any]], Sequence[str]]  # a number for each row, the name of each number


def fails(rule: ValueRule, values: pa.Array, groups: pa.Array) -> Mask:
    """Rows that break the rule, each under the bounds of its group. Rows without a value are judged by `missing`.

    Args:
        rule: the rule.
        values: the rule's column, n rows.
        groups: what the rule tells apart, n names.

    Raises:
        RecipeError: a bound can't be compared with the column's type.
    """
    failed = outside(rule.name, rule, values)
    for group, bounds in rule.limits.items():
        here = to_mask(pc.equal(groups, group))
        if here.any():
            failed[here] = outside(rule.name, bounds, values.filter(pa.array(here)))
    failed[to_mask(pc.is_null(values))] = rule.missing == "drop"
    return failed


def outside(name: str, bounds: Bounds, values: pa.Array) -> Mask:
    """Rows with a value outside the bounds."""
    failed = np.zeros(len(values), dtype=np.bool_)
    for kind, bound in bounds.bounds().items():
        if bound is None:
            continue
        try:
            if kind == "min":
                broken = pc.less(values, bound)
            elif kind == "max":
                broken = pc.greater(values, bound)
            elif kind in {"equals", "not_equals"}:
                same = pc.equal(values, _typed(bound, values.type))
                broken = same if kind == "not_equals" else pc.invert(same)
            else:
                found = pc.is_in(values, value_set=pa.array(bound, values.type))
                broken = found if kind == "not_in" else pc.invert(found)
        except (pa.ArrowException, TypeError) as error:
            raise RecipeError(
                f"rule {name}.{kind}: expected a value comparable with {values.type}, got {bound!r}"
            ) from error
        failed |= to_mask(broken)
    return failed


def _typed(value: Scalar, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(value, kind)


def to_mask(values: pa.Array | pa.ChunkedArray) -> Mask:
    """A boolean column as a numpy mask; null is False."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def quantile_cuts(
    rule: QuantileRule, values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], groups: Groups
) -> dict[str, float]:
    """Where the rule cuts, by group.

    A row goes when its value lies below (for `drop_highest`: above) the cut. The cut is chosen so that at most the
    wanted share of the weight goes: rows that tie at the cut stay together, and stay.

    Args:
        rule: the rule.
        values, weights: of the rows the rule applies to (no NaN), n.
        groups: n numbers of groups, and the name of each.
    """
    codes, names = groups
    cuts = {}
    for code in sorted(np.unique(codes).tolist(), key=lambda one: names[one]):
        here = codes == code
        cuts[names[code]] = _cut(rule, values[here], weights[here])
    return cuts


def _cut(rule: QuantileRule, values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    share = rule.drop_lowest if rule.drop_lowest is not None else rule.drop_highest
    assert share is not None
    sign = 1.0 if rule.drop_lowest is not None else -1.0
    order = np.argsort(sign * values, kind="stable")
    ranked, cumulated = values[order], np.cumsum(weights[order])
    if not cumulated[-1]:
        return float(ranked[0])  # nothing weighs anything: no share of it can go
    # The first row whose weight no longer fits into the share is the first to stay.
    first = int(np.searchsorted(cumulated, share * cumulated[-1] * (1 + 1e-12), side="right"))
    return float(ranked[min(first, len(ranked) - 1)])


def beyond_cut(rule: QuantileRule, values: npt.NDArray[np.float64], groups: Groups, cuts: dict[str, float]) -> Mask:
    """Rows whose value lies beyond their group's cut; NaN and groups without a cut never do."""
    codes, names = groups
    limits = np.array([cuts.get(name, np.nan) for name in names], dtype=np.float64)[codes]
    with np.errstate(invalid="ignore"):
        return np.asarray(values < limits if rule.drop_lowest is not None else values > limits)


def draws(blobs: pa.Array, seed: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each blob id, as if drawn: SplitMix64's finalizer over its first 64 bits and the seed.

    Rows without a blob get 0.
    """
    texts = pc.utf8_slice_codeunits(blobs, 0, 16).fill_null("0" * 16).to_pylist()
    values = np.frombuffer(bytes.fromhex("".join(texts)), ">u8").astype(np.uint64)
    start = (seed + 1) * 0x9E3779B97F4A7C15 % 2**64
    with np.errstate(over="ignore"):
        values = values ^ np.uint64(start)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        values ^= values >> np.uint64(31)
    return np.asarray((values >> np.uint64(11)) / 2.0**53)


def rank(table: AnyTable, prefer: Sequence[str], rows: Mask) -> npt.NDArray[np.int64]:
    """Rank of these rows under a policy (0 is kept first): a total order, ties broken by the rows' order in the table.

    One column at a time, the one of least weight first.

    Args:
        table: with the columns the policy names.
        prefer: columns in order of weight; a minus in front sorts descending; rows without a value come last.
        rows: which rows of the table are ranked.
    """
    order = np.arange(int(rows.sum()))
    for name in reversed(prefer):
        column = name.removeprefix("-")
        found = [part[column].filter(pa.array(rows[at : at + part.num_rows])) for at, part in parts(table, [column])]
        values = pa.chunked_array([chunk for one in found for chunk in one.chunks], table.schema.field(column).type)
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        way = "descending" if name.startswith("-") else "ascending"
        places = pc.rank(values, way, tiebreaker="dense").to_numpy()
        order = order[np.argsort(places[order], kind="stable")]
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks
