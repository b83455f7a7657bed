"""Decides: runs a corpus's rules in order over the signals and gives every occurrence one decision and its reasons.

Everything that holds a threshold is here and in the recipe. Changing one recomputes decisions and nothing else.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow.compute as pc

from codemill.annotate.run import Data
from codemill.engine import Engine, give_back
from codemill.errors import ConservationError
from codemill.keys import count_different, join_keys, keys_of
from codemill.presets import load_preset
from codemill.recipe import DedupRule, PresetRule, QuantileRule, Recipe, Rule, SampleRule, ValueRule
from codemill.select.gather import SCRATCH, gather
from codemill.select.judged import Judged
from codemill.select.result import Selection, forget_selection, write_summary
from codemill.select.signals import check_columns, wanted_columns
from codemill.store import Store
from codemill.tables import StoredTable, parts


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


def judge(
    store: Store, engine: Engine, recipe: Recipe, data: Data, called: str = "files"
) -> Iterator[tuple[str, Judged]]:
    """Apply the rules of every corpus of the recipe: (corpus, who is left and why the others are not).

    The rows that are looked at belong to the iteration and are gone after it.

    Raises:
        RecipeError: a rule names a column that isn't there, or compares it with the wrong type.
        ConservationError: there are more or fewer rows than there should be.
    """
    rules = {name: expand(recipe, corpus.rules) for name, corpus in recipe.corpus.items()}
    columns = wanted_columns([rule for several in rules.values() for rule in several], recipe.corpus.values())
    check_columns(columns, {name: annotation.annotator.schema() for name, annotation in data.annotations.items()})
    signals = gather(store, data, columns)
    give_back()
    for name in recipe.corpus:
        judged = Judged(signals, called)
        for rule in rules[name]:
            if isinstance(rule, DedupRule):
                judged.dedup(rule, store, engine, data)
                give_back()
            elif isinstance(rule, QuantileRule):
                judged.quantile(rule)
            elif isinstance(rule, SampleRule):
                judged.sample(rule)
            elif isinstance(rule, ValueRule):
                judged.value(rule)
        yield name, judged
    store.delete_folder(SCRATCH)


def select(  # noqa: PLR0917 - six parameters are what a selection depends on
    store: Store, engine: Engine, recipe: Recipe, data: Data, folder: str | None = None, called: str = "files"
) -> list[Selection]:
    """Decide for every corpus of the recipe.

    Args:
        store: where everything lies.
        engine: runs what is expensive.
        recipe: rules and corpora.
        data: shards and annotations.
        folder: where in the store decisions are put, part by part; without one they are held in memory.
        called: what a row is, in the plural; alarms say it.

    Raises:
        RecipeError: a rule names a column that isn't there, or compares it with the wrong type.
        ConservationError: the counts don't add up.
    """
    expected = sum(store.read_json(f"ingested/{shard}.json")["occurrences"] for shard in data.shards)
    selections = []
    for corpus, judged in judge(store, engine, recipe, data, called):
        if folder is None:
            selection = judged.finish(corpus, recipe.alarm)
        else:
            forget_selection(store, folder, corpus)
            selection = judged.selection(corpus, recipe.alarm, _put_down(store, folder, corpus, judged))
        check_conservation(selection, expected)
        if folder is not None:
            write_summary(store, folder, selection)
        selections.append(selection)
        give_back()
    return selections


def _put_down(store: Store, folder: str, corpus: str, judged: Judged) -> tuple[StoredTable, StoredTable]:
    """Write decisions, and the signals beside them, a part at a time; the tables they make."""
    files = (f"{folder}/{corpus}.parquet", f"{folder}/{corpus}.signals.parquet")
    schemas = judged.schemas()
    with store.table_writer(files[0], schemas[0]) as decisions, store.table_writer(files[1], schemas[1]) as signals:
        for decided, looked_at in judged.parts():
            decisions(decided)
            signals(looked_at)
    return StoredTable(store, files[0]), StoredTable(store, files[1])


def check_conservation(selection: Selection, expected: int) -> None:
    """Raise unless every occurrence has exactly one decision and the counts of all rules add up.

    Raises:
        ConservationError: says which sum is off.
    """
    counts: Counter[str] = Counter()
    keys, unexplained = [], 0
    for _, part in parts(selection.decisions, ["occurrence_id", "status", "reason"]):
        counts.update({row["values"]: row["counts"] for row in pc.value_counts(part["status"]).to_pylist()})
        silent = pc.and_(pc.not_equal(part["status"], "kept"), pc.is_null(part["reason"]))
        unexplained += pc.sum(silent).as_py() or 0
        keys.append(keys_of(part["occurrence_id"]))
    kept, dropped, errored = (counts[name] for name in ("kept", "dropped", "errored"))
    if kept + dropped + errored != expected or selection.decisions.num_rows != expected:
        raise ConservationError(
            f"corpus {selection.corpus}: expected {expected} seen = kept + dropped + errored, "
            f"got {kept} + {dropped} + {errored}"
        )
    if count_different(join_keys(keys)) != expected:
        raise ConservationError(f"corpus {selection.corpus}: expected {expected} different occurrences")
    for name, total in (("dropped", dropped), ("errored", errored)):
        by_rule = sum(getattr(step, name) for step in selection.steps)
        if by_rule != total:
            raise ConservationError(f"corpus {selection.corpus}: expected {total} {name}, got {by_rule} over its rules")
    if unexplained:
        raise ConservationError(f"corpus {selection.corpus}: {unexplained} dropped without a reason")
