"""A corpus while its rules run: who is left, who failed what. Rows stay where they are and are read a part at a time.

For a row there are kept two flags, the reason it stopped for, and one bit a rule: whether it failed it. What is said of
it is made of the values once more when the decisions are written.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.run import Data
from codemill.engine import Engine
from codemill.recipe import AlarmSettings, DedupRule, QuantileRule, Rule, SampleRule, ValueRule
from codemill.schema import DECISION, READ_PROBLEMS
from codemill.select import reasons
from codemill.select.duplicates import Rows, find_duplicates
from codemill.select.result import Selection, Step
from codemill.select.rules import Mask, beyond_cut, draws, fails, quantile_cuts, rank, to_mask
from codemill.select.signals import LANGUAGE, TOKENS
from codemill.store import Store
from codemill.tables import AnyTable, encode, gathered, one_chunk, parts

READABLE = "readable"
NO_GROUP = "unknown"  # the group of rows that have no value in the column that tells groups apart
COPIED = ("occurrence_id", "blob_id", "source", "repo", "revision", "path")

# From rows of signals, the number of the first, and which of them failed: what is said of each of those.
Note = Callable[[pa.Table, int, Mask], pa.Array]


@dataclass(frozen=True)
class _Failures:
    """The readable rows that failed a rule, one bit a row, and how to say what they were judged by."""

    rule: str
    bits: npt.NDArray[np.uint8]
    note: Note

    def among(self, start: int, stop: int) -> Mask:
        """Which of these rows failed."""
        bits = np.unpackbits(self.bits[start // 8 : -(-stop // 8)])
        return bits[start % 8 : start % 8 + stop - start].astype(np.bool_)


class Judged:
    """The rules of a corpus applied, in order, to rows of signals.

    Attributes:
        signals: as gathered.
        called: what a row is, in the plural.
        alive: rows that no rule has stopped.
        steps: what each rule did; weights are known once decisions are made.
    """

    def __init__(self, signals: AnyTable, called: str = "files") -> None:
        self.signals, self.called = signals, called
        self.count = signals.num_rows
        self.alive: Mask = np.ones(self.count, dtype=np.bool_)
        self.errored: Mask = np.zeros(self.count, dtype=np.bool_)
        self.steps: list[Step] = []
        self.evidence: dict[str, pa.Table] = {}
        self.names: list[str | None] = [None]  # reasons there are; None: kept
        self.reason: npt.NDArray[np.int16] = np.zeros(self.count, dtype=np.int16)
        self._of_step: list[int] = [-1]  # for each reason the step that it belongs to
        self.failed: list[_Failures] = []
        self.lost: Mask | None = None  # rows that dedup rules dropped, of those that came to the first of them
        self.before_dedup: Mask | None = None
        self._read()

    def _read(self) -> None:
        """The built-in first rule: what has no content goes, with the problem as the reason."""
        for start, part in parts(self.signals, ["problem"]):
            coded = one_chunk(part["problem"]).dictionary_encode()
            codes = np.array([*(self._code(name, 0) for name in coded.dictionary.to_pylist()), 0], dtype=np.int16)
            here = slice(start, start + part.num_rows)
            self.reason[here] = codes[coded.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)]
        self.alive = self.reason == 0
        broken = [number for number, name in enumerate(self.names) if name in READ_PROBLEMS]
        self.errored = np.isin(self.reason, np.array(broken, dtype=np.int16))
        self.readable = self.alive.copy()
        self._step(READABLE, None, self.count, ~self.alive & ~self.errored, self.errored)

    def _code(self, name: str, step: int) -> int:
        if name not in self.names:
            self.names.append(name)
            self._of_step.append(step)
        return self.names.index(name)

    def _step(self, name: str, rule: Rule | None, seen: int, dropped: Mask, errored: Mask) -> None:
        self.steps.append(Step(name, rule, seen, int(dropped.sum()), int(errored.sum()), 0, 0))

    def _apply(self, rule: Rule, failed: Mask, note: Note, broken: Mask | None = None) -> None:
        """Record a rule's failures; `broken` rows errored: the rule had to judge them and could not."""
        seen = int(self.alive.sum())
        broken = np.zeros(self.count, dtype=np.bool_) if broken is None else broken & self.alive
        dropped = failed & self.alive & ~broken
        self.failed.append(_Failures(rule.name, np.packbits(failed & self.readable), note))
        self.reason[dropped | broken] = self._code(rule.name, len(self.steps))
        self.alive &= ~(dropped | broken)
        self.errored |= broken
        self._step(rule.name, rule, seen, dropped, broken)

    # -- rules ---------------------------------------------------------------------------------------------------

    def value(self, rule: ValueRule) -> None:
        failed = np.zeros(self.count, dtype=np.bool_)
        broken = np.zeros(self.count, dtype=np.bool_)
        for start, part in self._parts(rule.column, rule.groups):
            here = slice(start, start + part.num_rows)
            failed[here] = fails(rule, one_chunk(part[rule.column]), _groups(part, rule.groups))
            broken[here] = _broken(part, rule.column)
        self._apply(rule, failed, _value_note(rule.name, rule.column), broken)

    def quantile(self, rule: QuantileRule) -> None:
        numbers, broken = np.empty(self.count, dtype=np.float64), np.zeros(self.count, dtype=np.bool_)
        codes = np.empty(self.count, dtype=np.int32)
        groups: dict[str, int] = {}
        for start, part in self._parts(rule.column, rule.within):
            here = slice(start, start + part.num_rows)
            numbers[here] = one_chunk(part[rule.column]).cast(pa.float64()).to_numpy(zero_copy_only=False)
            broken[here] = _broken(part, rule.column)
            codes[here] = encode(_groups(part, rule.within), groups)
        here_too = self.alive & ~np.isnan(numbers)
        cuts = {}
        if here_too.any():
            weights = self._weights(rule.by, here_too)
            cuts = quantile_cuts(rule, numbers[here_too], weights, (codes[here_too], list(groups)))
        failed = beyond_cut(rule, numbers, (codes, list(groups)), cuts)
        if rule.missing == "drop":
            failed |= np.isnan(numbers)
        self._apply(rule, failed, _value_note(rule.name, rule.column), broken)
        self.steps[-1].cuts.update(cuts)

    def sample(self, rule: SampleRule) -> None:
        failed = np.zeros(self.count, dtype=np.bool_)
        found: dict[str, float] = {}

        def draw(part: pa.Table) -> tuple[pa.Array, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
            groups = _groups(part, rule.groups).dictionary_encode()
            rates = {name: rule.per.get(name, rule.sample) for name in groups.dictionary.to_pylist()}
            found.update(rates)
            rate = np.array(list(rates.values()), dtype=np.float64)[groups.indices.to_numpy()]
            return groups, rate, draws(one_chunk(part["blob_id"]), rule.seed)

        for start, part in self._parts("blob_id", rule.groups):
            _, rate, drawn = draw(part)
            failed[start : start + part.num_rows] = drawn >= rate

        def note(part: pa.Table, _: int, rows: Mask) -> pa.Array:
            groups, rate, drawn = draw(part)
            here = pa.array(rows)
            named = groups.filter(here).cast(pa.string())
            return reasons.sample_note(rule.name, named, pa.array(rate).filter(here), pa.array(drawn).filter(here))

        self._apply(rule, failed, note)
        self.steps[-1].cuts.update(found)

    def dedup(self, rule: DedupRule, store: Store, engine: Engine, data: Data) -> None:
        rows = Rows(self.signals, np.flatnonzero(self.alive), rule.on or "blob_id")
        found = find_duplicates(rule, rows, rank(self.signals, rule.prefer, self.alive), store, engine, data)
        del rows
        failed = np.zeros(self.count, dtype=np.bool_)
        failed[found.dropped] = True
        self.evidence[rule.name] = found.evidence
        if self.lost is None:
            self.before_dedup, self.lost = self.alive.copy(), failed.copy()
        else:
            self.lost |= failed
        self._apply(rule, failed, lambda _, start, here: reasons.wrap(rule.name, found.notes(start, here)))

    def _parts(self, column: str, groups: str) -> Iterator[tuple[int, pa.Table]]:
        """The rows with a column, what goes with it, and what tells groups apart."""
        wanted = [column, f"{column.split('.', maxsplit=1)[0]}.error"]
        wanted.append(LANGUAGE if groups == "language" else groups)
        return parts(self.signals, [name for name in dict.fromkeys(wanted) if name in self.signals.column_names])

    def _weights(self, by: str, rows: Mask) -> npt.NDArray[np.float64]:
        name = {"rows": None, "tokens": TOKENS, "bytes": "bytes"}[by]
        if name is None:
            return np.ones(int(rows.sum()))
        if name not in self.signals.column_names:
            return np.zeros(int(rows.sum()))
        return gathered(self.signals, name, _numbers, np.float64)[rows]

    # -- what came of it -----------------------------------------------------------------------------------------

    def parts(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Decisions (schema `DECISION`) and the signals beside them, a part of the rows at a time."""
        weights = np.zeros((len(self.steps), 2), dtype=np.int64)
        steps = np.array(self._of_step, dtype=np.int64)
        columns = self._signals()
        for start, rows in parts(self.signals):
            decided = self._decide(rows, start)
            here = slice(start, start + rows.num_rows)
            gone = ~self.alive[here] & ~self.errored[here]
            of = steps[self.reason[here][gone]]
            for unit, name in enumerate(("bytes", "tokens")):
                np.add.at(weights[:, unit], of, _numbers(one_chunk(decided[name]))[gone].astype(np.int64))
            yield decided, rows.select(columns)
        self.steps = [
            replace(step, dropped_bytes=int(weight[0]), dropped_tokens=int(weight[1]))
            for step, weight in zip(self.steps, weights, strict=True)
        ]

    def _signals(self) -> list[str]:
        return ["occurrence_id", *(name for name in self.signals.column_names if "." in name)]

    def schemas(self) -> tuple[pa.Schema, pa.Schema]:
        """Of decisions and of the signals beside them."""
        return DECISION, pa.schema([self.signals.schema.field(name) for name in self._signals()])

    def _decide(self, rows: pa.Table, start: int) -> pa.Table:
        stop = start + rows.num_rows
        alive, errored = self.alive[start:stop], self.errored[start:stop]
        status = np.where(alive, "kept", np.where(errored, "errored", "dropped"))
        failed = [(one.rule, one.among(start, stop)) for one in self.failed]
        notes = [one.note(rows, start, mask) for one, (_, mask) in zip(self.failed, failed, strict=True)]
        named = LANGUAGE in rows.column_names
        return pa.table(
            {
                **{name: rows[name] for name in COPIED},
                "language": _groups(rows, "language") if named else pa.array(["unknown"] * rows.num_rows, pa.string()),
                "bytes": rows["bytes"],
                "tokens": rows[TOKENS] if TOKENS in rows.column_names else pa.nulls(rows.num_rows, pa.int64()),
                "status": pa.array(status, pa.string()),
                "reason": pa.array(self.names, pa.string()).take(pa.array(self.reason[start:stop])),
                "reasons": reasons.failed_rules(failed, one_chunk(rows["problem"])),
                "evidence": reasons.join_notes(failed, notes, rows.num_rows),
            },
            schema=DECISION,
        )

    def selection(self, corpus: str, alarm: AlarmSettings, tables: tuple[AnyTable, AnyTable]) -> Selection:
        """The selection whose decisions and signals were put down as these tables."""
        return Selection(corpus, *tables, self.steps, self.evidence, self.alarms(alarm))

    def finish(self, corpus: str, alarm: AlarmSettings) -> Selection:
        """The selection, in memory."""
        made = list(self.parts())
        empty = [schema.empty_table() for schema in self.schemas()]
        decisions, signals = (pa.concat_tables([one[i] for one in made] or [empty[i]]) for i in (0, 1))
        return self.selection(corpus, alarm, (decisions, signals))

    def alarms(self, alarm: AlarmSettings) -> list[str]:
        """Groups that lost an unusual share of their rows to deduplication."""
        if self.lost is None or self.before_dedup is None:
            return []
        seen: dict[str, Counter[str]] = {"language": Counter(), "source": Counter()}
        gone: dict[str, Counter[str]] = {"language": Counter(), "source": Counter()}
        known = [name for name in (LANGUAGE, "source") if name in self.signals.column_names]
        for start, part in parts(self.signals, known):
            here = slice(start, start + part.num_rows)
            for kind in seen:
                groups = _groups(part, kind)
                for counts, mask in ((seen, self.before_dedup), (gone, self.lost & self.before_dedup)):
                    for entry in pc.value_counts(groups.filter(pa.array(mask[here]))).to_pylist():
                        counts[kind][entry["values"]] += entry["counts"]
        sentences = []
        for kind, groups_seen in seen.items():
            for group, count in sorted(groups_seen.items()):
                lost = gone[kind][group]
                if count >= alarm.min_files and lost / count >= alarm.share:
                    sentences.append(
                        f"{kind} {group} lost {lost:,} of {count:,} {self.called} ({lost / count:.0%}) to deduplication"
                    )
        return sentences


def _value_note(rule: str, column: str) -> Note:
    def note(part: pa.Table, _: int, rows: Mask) -> pa.Array:
        here = pa.array(rows)
        error = _error(part, column)
        return reasons.value_note(
            rule, one_chunk(part[column]).filter(here), None if error is None else error.filter(here)
        )

    return note


def _error(part: pa.Table, column: str) -> pa.Array | None:
    name = f"{column.split('.', maxsplit=1)[0]}.error"
    return one_chunk(part[name]) if name in part.column_names else None


def _broken(part: pa.Table, column: str) -> Mask:
    """Rows that have no value because their annotator failed on them."""
    error = _error(part, column)
    if error is None:
        return np.zeros(part.num_rows, dtype=np.bool_)
    return to_mask(pc.and_(pc.is_null(part[column]), pc.is_valid(error)))


def _groups(part: pa.Table, what: str) -> pa.Array:
    """The group of every row: `all`, its language, its source, or its value of a column."""
    if what == "all":
        return pa.array(["all"]).take(pa.array(np.zeros(part.num_rows, dtype=np.int32)))
    if what == "language":
        if LANGUAGE not in part.column_names:
            return pa.nulls(part.num_rows, pa.string()).fill_null("unknown")
        return one_chunk(part[LANGUAGE]).fill_null("unknown")
    return one_chunk(part[what]).cast(pa.string()).fill_null(NO_GROUP)


def _numbers(values: pa.Array) -> npt.NDArray[np.float64]:
    return np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.float64)
