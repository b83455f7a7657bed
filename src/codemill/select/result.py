"""What a selection is: the decisions, what each rule did, and the evidence; how it is stored and read back."""

from dataclasses import dataclass, field

import pyarrow as pa

from codemill.recipe import Rule, parse_rule
from codemill.store import Store
from codemill.tables import AnyTable, StoredTable


@dataclass(frozen=True)
class Step:
    """What one rule of a corpus did, in order.

    Attributes:
        rule: name of the rule (`preset.rule` inside presets); `readable` is the first and built in.
        setting: the rule as the recipe has it; None for `readable`.
        seen, dropped, errored: occurrences that reached the rule, and what it did with them.
        dropped_bytes, dropped_tokens: the same drops by weight.
        cuts: by group (`all`, a language, a source, a value of a column): for quantile rules the value below (above)
            which rows went, for samples the share that stays.
    """

    rule: str
    setting: Rule | None
    seen: int
    dropped: int
    errored: int
    dropped_bytes: int
    dropped_tokens: int
    cuts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """Decisions of one corpus.

    Attributes:
        corpus: its name in the recipe.
        decisions: schema `DECISION`, one row for every occurrence.
        signals: same rows, same order: `occurrence_id` and a column `annotator.field` for every column rules look at.
        steps: what each rule did.
        evidence: rule name -> table of what was dropped against what (dedup rules).
        alarms: sentences about groups that lost an unusual share to deduplication.
    """

    corpus: str
    decisions: AnyTable
    signals: AnyTable
    steps: list[Step]
    evidence: dict[str, pa.Table]
    alarms: list[str]

    @property
    def kept(self) -> int:
        """How many occurrences are kept: all that no rule took."""
        return int(self.decisions.num_rows) - sum(step.dropped + step.errored for step in self.steps)


def forget_selection(store: Store, folder: str, corpus: str) -> None:
    """Take the mark of completeness off a stored selection that is to be overwritten.

    A kill between its files must not leave an old summary beside new decisions.
    """
    marker = f"{folder}/{corpus}.json"
    if store.exists(marker):
        store.delete(marker)


def write_summary(store: Store, folder: str, selection: Selection) -> None:
    """Store what explains decisions that are stored already; the summary, written last, marks all of it complete."""
    for rule, table in selection.evidence.items():
        store.write(f"{folder}/{selection.corpus}.evidence.{rule}.parquet", table)
    steps = [
        {
            **vars(step),
            "setting": step.setting and step.setting.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        for step in selection.steps
    ]
    summary = {"corpus": selection.corpus, "steps": steps, "alarms": selection.alarms}
    summary["evidence"] = sorted(selection.evidence)
    store.write_json(f"{folder}/{selection.corpus}.json", summary)


def read_selection(store: Store, folder: str, corpus: str) -> Selection:
    """A stored selection; its rows stay in the store until they are asked for.

    Raises:
        StoreError: it is not there or can't be read.
    """
    summary = store.read_json(f"{folder}/{corpus}.json")
    steps = [Step(**{**step, "setting": step["setting"] and parse_rule(step["setting"])}) for step in summary["steps"]]
    evidence = {rule: store.read(f"{folder}/{corpus}.evidence.{rule}.parquet") for rule in summary["evidence"]}
    decisions = StoredTable(store, f"{folder}/{corpus}.parquet")
    signals = StoredTable(store, f"{folder}/{corpus}.signals.parquet")
    return Selection(corpus, decisions, signals, steps, evidence, summary["alarms"])
