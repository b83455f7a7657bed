"""What part of a corpus is of which group, before and after: whether rules by group brought the wanted shares."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.recipe import SampleRule, ValueRule
from codemill.report.frame import Codes, Frame, Weight
from codemill.select.judged import NO_GROUP
from codemill.select.result import Step
from codemill.select.signals import groups_of
from codemill.tables import one_chunk

ANY_OTHER = "any other"
MOST_GROUPS = 20  # rows; smaller groups are one row


@dataclass(frozen=True)
class ShareRow:
    """A group: all of it that has text, what of it came to the first rule that goes by group, and what was kept."""

    name: str
    seen: Weight
    before: Weight
    kept: Weight


@dataclass(frozen=True)
class ShareTable:
    """Shares by the values of a column; `rule` is the first that goes by it, `total` all groups together."""

    column: str
    rule: str
    rows: list[ShareRow]
    total: ShareRow


def share_tables(frame: Frame) -> Iterator[ShareTable]:
    """A table for each column by which a rule of the corpus tells groups apart."""
    done = set()
    for index, step in enumerate(frame.selection.steps):
        column = groups_of(step.setting)
        if "." in column and column not in done:
            done.add(column)
            yield _table(frame, column, index)


def groups_by(frame: Frame, step: Step) -> tuple[Codes, pa.Array]:
    """The group of every row under the column that a rule goes by, as an index into the second.

    Whole numbers that the rule doesn't name are one group.
    """
    column = groups_of(step.setting)
    named = {NO_GROUP, *step.cuts}
    if isinstance(step.setting, ValueRule | SampleRule):
        named |= set(step.setting.limits if isinstance(step.setting, ValueRule) else step.setting.per)
    known = pa.array(sorted(named), pa.string())

    def name(rows: pa.Table, _: int) -> pa.Array:
        values = one_chunk(rows[column])
        groups = pc.fill_null(values.cast(pa.string()), NO_GROUP)
        return pc.if_else(pc.is_in(groups, known), groups, ANY_OTHER) if pa.types.is_integer(values.type) else groups

    return frame.encoded([column], name)


def _table(frame: Frame, column: str, index: int) -> ShareTable:
    codes, names = groups_by(frame, frame.selection.steps[index])
    masks = (frame.stopped > 0, frame.stopped >= index, frame.kept)
    weights = [frame.weigh_by(codes, len(names), mask) for mask in masks]
    order = [int(i) for i in np.argsort([-weight.files for weight in weights[1]], kind="stable")]
    order = [i for i in order if weights[0][i].files]
    rows = [ShareRow(names[i].as_py(), *(weight[i] for weight in weights)) for i in order]
    shown, rest = rows[:MOST_GROUPS], rows[MOST_GROUPS:]
    if rest:
        shown.append(_together(f"{len(rest):,} others", rest))
    return ShareTable(column, frame.selection.steps[index].rule, shown, _together("all", rows))


def _together(name: str, rows: list[ShareRow]) -> ShareRow:
    none = Weight(0, 0, 0)
    return ShareRow(
        name,
        sum((row.seen for row in rows), none),
        sum((row.before for row in rows), none),
        sum((row.kept for row in rows), none),
    )
