"""Decides: runs a corpus's rules in order over the signals and gives every occurrence one decision and its reasons.

Everything that holds a threshold is here and in the recipe. Changing one recomputes decisions and nothing else.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.run import Data
from codemill.engine import Engine, give_back
from codemill.errors import ConservationError
from codemill.presets import load_preset
from codemill.recipe import AlarmSettings, DedupRule, PresetRule, QuantileRule, Recipe, Rule, SampleRule, ValueRule
from codemill.schema import DECISION, READ_PROBLEMS
from codemill.select import reasons
from codemill.select.duplicates import Duplicates, find_duplicates
from codemill.select.result import Selection, Step
from codemill.select.rules import Mask, beyond_cut, draws, fails, quantile_cuts, rank, to_mask
from codemill.select.signals import LANGUAGE, TOKENS, check_columns, gather, wanted_columns
from codemill.store import Store

READABLE = "readable"
# What each kind of deduplication looks at, beside ranks: the rest of a wide table is not copied for it.
LOOKED_AT = {
    "exact": ["occurrence_id", "blob_id"],
    "near": ["blob_id"],
    "repository": ["occurrence_id", "source", "repo", "revision", "path", "blob_id"],
}
Note = Callable[[pa.Array], pa.Array]  # from the rows that failed, as a mask, to what is said of each of them
NO_GROUP = "unknown"  # the group of rows that have no value in the column that tells groups apart


def expand(recipe: Recipe, names: Sequence[str]) -> list[Rule]:
    """The rules of these names in order, presets replaced by their rules (`preset.rule`)."""
    by_name = {rule.name: rule for rule in recipe.rule}
    expanded: list[Rule] = []
    for name in names:
        rule = by_name[name]
        if isinstance(rule, PresetRule):
            inner = load_preset(rule.preset)
            expanded += [one.model_copy(update={"name": f"{rule.name}.{one.name}"}) for one in inner]
        else:
            expanded.append(rule)
    return expanded


def select(store: Store, engine: Engine, recipe: Recipe, data: Data) -> list[Selection]:
    """Decide for every corpus of the recipe.

    Raises:
        RecipeError: a rule names a column that isn't there, or compares it with the wrong type.
        ConservationError: the counts don't add up.
    """
    rules = {name: expand(recipe, corpus.rules) for name, corpus in recipe.corpus.items()}
    columns = wanted_columns([rule for several in rules.values() for rule in several], recipe.corpus.values())
    check_columns(columns, {name: annotation.annotator.schema() for name, annotation in data.annotations.items()})
    signals = gather(store, engine, data, columns)
    give_back()
    expected = sum(store.read_json(f"ingested/{shard}.json")["occurrences"] for shard in data.shards)
    selections = []
    for name in recipe.corpus:
        run = _Run(signals)
        for rule in rules[name]:
            if isinstance(rule, DedupRule):
                run.dedup(rule, store, engine, data)
                give_back()
            elif isinstance(rule, QuantileRule):
                run.quantile(rule)
            elif isinstance(rule, SampleRule):
                run.sample(rule)
            elif isinstance(rule, ValueRule):
                run.value(rule)
        selection = run.finish(name, recipe.alarm)
        check_conservation(selection, expected)
        selections.append(selection)
    return selections


class _Run:
    """The state of one corpus while its rules run: who is alive, who failed what."""

    def __init__(self, signals: pa.Table) -> None:
        self.signals = signals
        self.count = signals.num_rows
        none = pa.nulls(self.count, pa.string())
        has_language, has_tokens = LANGUAGE in signals.column_names, TOKENS in signals.column_names
        self.languages = self.column(LANGUAGE).fill_null("unknown") if has_language else none.fill_null("unknown")
        self.tokens = self.column(TOKENS) if has_tokens else pa.nulls(self.count, pa.int64())
        self.bytes = self.column("bytes")
        self.steps: list[Step] = []
        self.failed: list[tuple[str, Mask]] = []  # every rule's failures among readable rows
        self.notes: list[pa.Array] = []  # and what these rows were judged by, as JSON members
        self.evidence: dict[str, pa.Table] = {}
        self.dedup_steps: list[tuple[Mask, Mask]] = []
        self._read()

    def column(self, name: str) -> pa.Array:
        chunks = self.signals[name]
        return chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()  # which copies even a single one

    def _read(self) -> None:
        """The built-in first rule: what has no content goes, with the problem as the reason."""
        problem = self.column("problem")
        self.alive = to_mask(pc.is_null(problem))
        self.errored = to_mask(pc.is_in(problem, value_set=pa.array(READ_PROBLEMS)))
        self.readable = self.alive.copy()
        self.reason = problem
        self._step(READABLE, None, np.ones(self.count, dtype=np.bool_), ~self.alive & ~self.errored, self.errored)

    def _step(self, name: str, rule: Rule | None, seen: Mask, dropped: Mask, errored: Mask) -> None:
        self.steps.append(
            Step(
                name,
                rule,
                int(seen.sum()),
                int(dropped.sum()),
                int(errored.sum()),
                _total(self.bytes, dropped),
                _total(self.tokens, dropped),
            )
        )

    def _apply(self, rule: Rule, failed: Mask, note: Note, broken: Mask | None = None) -> None:
        """Record a rule's failures; `broken` rows errored: the rule had to judge them and could not.

        Notes are made of the rows that failed alone: those of all rows would weigh more than all that is known of them.
        """
        seen = self.alive.copy()
        broken = np.zeros(self.count, dtype=np.bool_) if broken is None else broken & seen
        dropped = failed & seen & ~broken
        marked = failed & self.readable
        self.failed.append((rule.name, marked))
        self.notes.append(note(pa.array(marked)))
        self.reason = pc.if_else(pa.array(dropped | broken), rule.name, self.reason)
        self.alive &= ~(dropped | broken)
        self.errored |= broken
        self._step(rule.name, rule, seen, dropped, broken)

    def value(self, rule: ValueRule) -> None:
        values = self.column(rule.column)
        failed = fails(rule, values, self._groups(rule.groups))
        broken = self._broken(rule.column, values)
        self._apply(rule, failed, self._value_note(rule.name, rule.column), broken)

    def _value_note(self, rule: str, column: str) -> Note:
        values, error = self.column(column), self._error(column)
        return lambda rows: reasons.value_note(rule, values.filter(rows), None if error is None else error.filter(rows))

    def quantile(self, rule: QuantileRule) -> None:
        values = self.column(rule.column)
        broken = self._broken(rule.column, values)
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        weights = self._weights(rule.by)
        coded = self._groups(rule.within).dictionary_encode()
        # Names from the dictionary: one object for each group, not for each row.
        groups = np.array(coded.dictionary.to_pylist(), dtype=object)[coded.indices.to_numpy()]
        here = self.alive & ~np.isnan(numbers)
        cuts = quantile_cuts(rule, numbers[here], weights[here], groups[here].tolist()) if here.any() else {}
        failed = beyond_cut(rule, numbers, groups.tolist(), cuts)
        if rule.missing == "drop":
            failed |= np.isnan(numbers)
        self._apply(rule, failed, self._value_note(rule.name, rule.column), broken)
        self.steps[-1].cuts.update(cuts)

    def sample(self, rule: SampleRule) -> None:
        groups = self._groups(rule.groups).dictionary_encode()
        names = groups.dictionary.to_pylist()
        rates = np.array([rule.per.get(name, rule.sample) for name in names], dtype=np.float64)
        rate, draw = rates[groups.indices.to_numpy()], draws(self.column("blob_id"), rule.seed)

        def note(rows: pa.Array) -> pa.Array:
            named = groups.filter(rows).cast(pa.string())
            return reasons.sample_note(rule.name, named, pa.array(rate).filter(rows), pa.array(draw).filter(rows))

        self._apply(rule, draw >= rate, note)
        self.steps[-1].cuts.update(zip(names, rates.tolist(), strict=True))

    def dedup(self, rule: DedupRule, store: Store, engine: Engine, data: Data) -> None:
        names = LOOKED_AT[rule.dedup]
        alive = pa.array(self.alive)
        rows = self.signals
        if rule.on is not None:
            rows = rows.set_column(rows.column_names.index("blob_id"), "blob_id", rows[rule.on].cast(pa.string()))
        rows = rows.select(names).append_column("rank", pa.array(rank(self.signals, rule.prefer)))
        found: Duplicates = find_duplicates(rule, rows.filter(alive), store, engine, data)
        index = np.flatnonzero(self.alive)
        failed = np.zeros(self.count, dtype=np.bool_)
        failed[index[found.dropped]] = True
        self.evidence[rule.name] = found.evidence
        self.dedup_steps.append((self.alive.copy(), failed))
        self._apply(rule, failed, lambda _: reasons.wrap(rule.name, found.notes))

    def finish(self, corpus: str, alarm: AlarmSettings) -> Selection:
        """The decisions table out of what the rules left."""
        status = np.where(self.alive, "kept", np.where(self.errored, "errored", "dropped"))
        decisions = pa.table(
            {
                **{
                    name: self.column(name)
                    for name in ("occurrence_id", "blob_id", "source", "repo", "revision", "path")
                },
                "language": self.languages,
                "bytes": self.bytes,
                "tokens": self.tokens,
                "status": pa.array(status, pa.string()),
                "reason": self.reason,
                "reasons": reasons.failed_rules(self.failed, self.column("problem")),
                "evidence": reasons.join_notes(self.failed, self.notes, self.count),
            },
            schema=DECISION,
        )
        columns = [name for name in self.signals.column_names if "." in name]
        signals = self.signals.select(["occurrence_id", *columns])
        return Selection(corpus, decisions, signals, self.steps, self.evidence, self._alarms(alarm))

    def _error(self, column: str) -> pa.Array | None:
        name = f"{column.split('.', maxsplit=1)[0]}.error"
        return self.column(name) if name in self.signals.column_names else None

    def _broken(self, column: str, values: pa.Array) -> Mask | None:
        """Rows that have no value because their annotator failed on them."""
        error = self._error(column)
        return None if error is None else to_mask(pc.and_(pc.is_null(values), pc.is_valid(error)))

    def _weights(self, by: str) -> npt.NDArray[np.float64]:
        if by == "rows":
            return np.ones(self.count)
        values = self.tokens if by == "tokens" else self.bytes
        return np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.float64)

    def _groups(self, what: str) -> pa.Array:
        """The group of every row: `all`, its language, its source, or its value of a column."""
        if what == "all":
            return pa.array(["all"]).take(pa.array(np.zeros(self.count, dtype=np.int32)))
        if what == "language":
            return self.languages
        return self.column(what).cast(pa.string()).fill_null(NO_GROUP)

    def _alarms(self, alarm: AlarmSettings) -> list[str]:
        """Groups that lost an unusual share of their files to deduplication."""
        if not self.dedup_steps:
            return []
        before = self.dedup_steps[0][0]
        lost = np.logical_or.reduce([failed for _, failed in self.dedup_steps]) & before
        sentences = []
        for kind, values in (("language", self.languages), ("source", self.column("source"))):
            table = pa.table({"group": values.filter(pa.array(before)), "lost": pa.array(lost[before])})
            table = table.group_by("group", use_threads=False).aggregate([("lost", "sum"), ("lost", "count")])
            for row in table.sort_by("group").to_pylist():
                share = row["lost_sum"] / row["lost_count"]
                if row["lost_count"] >= alarm.min_files and share >= alarm.share:
                    sentences.append(
                        f"{kind} {row['group']} lost {row['lost_sum']:,} of {row['lost_count']:,} files "
                        f"({share:.0%}) to deduplication"
                    )
        return sentences


def _total(values: pa.Array, mask: Mask) -> int:
    return int(pc.sum(values.filter(pa.array(mask))).as_py() or 0)


def check_conservation(selection: Selection, expected: int) -> None:
    """Raise unless every occurrence has exactly one decision and the counts of all rules add up.

    Raises:
        ConservationError: says which sum is off.
    """
    decisions = selection.decisions
    counts = {row["values"]: row["counts"] for row in pc.value_counts(decisions["status"]).to_pylist()}
    kept, dropped, errored = (counts.get(name, 0) for name in ("kept", "dropped", "errored"))
    if kept + dropped + errored != expected or decisions.num_rows != expected:
        raise ConservationError(
            f"corpus {selection.corpus}: expected {expected} seen = kept + dropped + errored, "
            f"got {kept} + {dropped} + {errored}"
        )
    if pc.count_distinct(decisions["occurrence_id"]).as_py() != expected:
        raise ConservationError(f"corpus {selection.corpus}: expected {expected} different occurrences")
    for name, total in (("dropped", dropped), ("errored", errored)):
        by_rule = sum(getattr(step, name) for step in selection.steps)
        if by_rule != total:
            raise ConservationError(f"corpus {selection.corpus}: expected {total} {name}, got {by_rule} over its rules")
    unexplained = pc.sum(pc.and_(pc.not_equal(decisions["status"], "kept"), pc.is_null(decisions["reason"]))).as_py()
    if unexplained:
        raise ConservationError(f"corpus {selection.corpus}: {unexplained} dropped without a reason")
