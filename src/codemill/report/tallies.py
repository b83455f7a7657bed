"""Counts what went in, what each rule took and what is left, over all and by language, source and repository."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.report.frame import NO_TEXT, Codes, Frame, Ints, Weight, weight_of
from codemill.report.wording import condition, share, units

MOST_GROUPS = 25  # rows of a table by language, source or repository; the rest is one row
MOST_REASONS = 10  # columns of such a table; the rest is one column
FEW_FILES = 50  # groups smaller than this are not worth a remark


@dataclass(frozen=True)
class FunnelRow:
    """What one step did.

    Attributes:
        rule, condition: its name, and what it asks.
        reached, dropped, errored, left: what came to it, what it took, and what remains after it.
        failed: files that break the rule wherever they stopped, 0 for dedup's and the first step's later failures.
        alone: files it dropped that no other rule would have.
    """

    rule: str
    condition: str
    reached: Weight
    dropped: Weight
    errored: Weight
    left: Weight
    failed: int
    alone: int


@dataclass(frozen=True)
class Term:
    """One term of the sum: a reason and what it accounts for."""

    reason: str
    weight: Weight
    errored: bool


@dataclass(frozen=True)
class Overview:
    """The sum that must hold: seen = kept + every dropped term + every errored term."""

    seen: Weight
    kept: Weight
    dropped: Weight
    errored: Weight
    terms: list[Term]
    repositories_seen: int
    repositories_kept: int
    adds_up: bool


@dataclass(frozen=True)
class GroupRow:
    """A language, source or repository: what was seen of it, what became of it; `reasons` are files by column."""

    name: str
    seen: Weight
    kept: Weight
    dropped: int
    errored: int
    reasons: list[int]
    main: str


@dataclass(frozen=True)
class GroupTable:
    """The largest groups, the rest as one row, and all together; `columns` are the reasons that took most."""

    columns: list[str]
    rows: list[GroupRow]
    rest: GroupRow | None
    total: GroupRow


def overview(frame: Frame) -> Overview:
    """The sum over all reasons, checked against what the rules themselves counted."""
    length = len(frame.reasons) + 1
    dropped = frame.weigh_by(frame.reason, length, ~frame.errored & ~frame.kept)
    errored = frame.weigh_by(frame.reason, length, frame.errored)
    terms = [Term(name, weight, False) for name, weight in zip(frame.reasons, dropped, strict=False) if weight.files]
    terms += [Term(name, weight, True) for name, weight in zip(frame.reasons, errored, strict=False) if weight.files]
    repository, names = frame.repositories
    seen, kept = Weight(frame.count, int(frame.bytes.sum()), int(frame.tokens.sum())), frame.weigh(frame.kept)
    all_dropped, all_errored = _sum(dropped), _sum(errored)
    steps = frame.selection.steps
    adds_up = (
        seen == kept + all_dropped + all_errored
        and sum(step.dropped for step in steps) == all_dropped.files
        and sum(step.errored for step in steps) == all_errored.files
    )
    alive = len(np.unique(repository[frame.kept]))
    return Overview(seen, kept, all_dropped, all_errored, terms, len(names), alive, adds_up)


def funnel(frame: Frame) -> list[FunnelRow]:
    """One row for each step, in order."""
    steps = frame.selection.steps
    length = len(steps) + 1
    dropped = frame.weigh_by(frame.stopped, length, ~frame.errored & ~frame.kept)
    errored = frame.weigh_by(frame.stopped, length, frame.errored)
    failed, alone = _failures(frame)
    rows = []
    left = Weight(frame.count, int(frame.bytes.sum()), int(frame.tokens.sum()))
    for index, step in enumerate(steps):
        after = left - dropped[index] - errored[index]
        row = FunnelRow(
            step.rule,
            condition(step.setting),
            left,
            dropped[index],
            errored[index],
            after,
            int(failed[index]),
            int(alone[index]),
        )
        rows.append(row)
        left = after
    return rows


def _failures(frame: Frame) -> tuple[Ints, Ints]:
    """For each step: rows that name it among all their reasons, and rows it dropped that name nothing else."""
    place = {name: frame.step_of[index] for index, name in enumerate(frame.reasons)}
    failed = np.zeros(len(frame.selection.steps), dtype=np.int64)
    alone = np.zeros(len(failed) + 1, dtype=np.int64)
    dropped = ~frame.errored & ~frame.kept
    for start, reasons in frame.column("reasons"):
        for entry in pc.value_counts(pc.list_flatten(reasons)).to_pylist():
            failed[place.get(entry["values"], 0)] += entry["counts"]
        here = slice(start, start + len(reasons))
        single = pc.equal(pc.list_value_length(reasons), 1).fill_null(False).to_numpy(zero_copy_only=False)
        alone += np.bincount(frame.stopped[here][single & dropped[here]], minlength=len(alone))
    return failed, alone[: len(failed)]


def by_group(frame: Frame, groups: Codes, names: pa.Array) -> GroupTable:
    """What became of each group.

    Args:
        frame: n rows.
        groups: n indices into `names`.
        names: distinct names of groups.
    """
    length, width = len(names), len(frame.reasons) + 1
    cells = np.zeros((length, width), dtype=np.int32)
    np.add.at(cells, (groups, frame.reason), 1)
    errored = np.bincount(groups[frame.errored], minlength=length)
    seen = frame.sums_by(groups, length)
    kept = frame.sums_by(groups, length, frame.kept)
    took = cells[:, :-1].sum(axis=0)
    columns = [int(index) for index in np.argsort(-took, kind="stable")[:MOST_REASONS] if took[index]]
    columns.sort()
    other = [index for index in range(width - 1) if took[index] and index not in columns]

    def row(name: str, rows: Ints) -> GroupRow:
        counts = cells[rows].sum(axis=0)
        files = [int(counts[index]) for index in columns]
        if other:
            files.append(int(counts[other].sum()))
        most = int(np.argmax(counts[:-1])) if width > 1 else 0
        main = frame.reasons[most] if width > 1 and counts[most] else ""
        whole, stayed = weight_of(seen[rows].sum(axis=0)), weight_of(kept[rows].sum(axis=0))
        failures = int(errored[rows].sum())
        return GroupRow(name, whole, stayed, whole.files - stayed.files - failures, failures, files, main)

    order = np.argsort(-cells.sum(axis=1), kind="stable")
    shown = [row(_name(names[int(i)].as_py()), np.array([i])) for i in order[:MOST_GROUPS]]
    rest = row(f"{length - MOST_GROUPS:,} others", order[MOST_GROUPS:]) if length > MOST_GROUPS else None
    titles = [frame.reasons[index] for index in columns] + (["other reasons"] if other else [])
    return GroupTable(titles, shown, rest, row("all", order))


def _name(key: str) -> str:
    """A group's key as a name; of a commit's id twelve digits, as git shows it."""
    return " ".join(
        part[:12] if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", part) else part for part in key.split("\0")
    ).strip()


def remarks(frame: Frame, rows: list[FunnelRow], languages: GroupTable) -> list[str]:
    """Sentences on what a reader should look at beside the alarms: facts about this corpus, no verdicts."""
    found = []
    many = units().many
    if frame.count and not rows[-1].left.files:
        found.append("Nothing was kept.")
    for row in rows:
        if row.dropped.files == row.reached.files > 0:
            found.append(f"Rule {row.rule} dropped all {row.reached.files:,} {many} that reached it.")
        elif row.dropped.files * 2 >= row.reached.files > 0:
            part = share(row.dropped.files, row.reached.files)
            found.append(f"Rule {row.rule} dropped {part} of the {row.reached.files:,} {many} that reached it.")
        if row.errored.files * 100 >= row.reached.files > 0:
            part = share(row.errored.files, row.reached.files)
            found.append(f"{row.rule}: {row.errored.files:,} {many} errored ({part} of what reached it).")
    lost = [group for group in languages.rows if not group.kept.files and group.name != NO_TEXT]
    named = [f"{group.name} ({group.seen.files:,}, {group.main})" for group in lost if group.seen.files >= FEW_FILES]
    if named:
        found.append(f"Nothing was kept of these languages ({many} seen, main reason): {', '.join(named)}.")
    idle = [row.rule for row in rows[1:] if not row.failed and not row.errored.files]
    if idle:
        found.append(f"No {units().one} breaks these rules: {', '.join(idle)}.")
    return found


def _sum(weights: list[Weight]) -> Weight:
    total = Weight(0, 0, 0)
    for weight in weights:
        total += weight
    return total
