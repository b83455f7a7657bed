"""Decides: thresholds and rules over annotation columns become one decision for every occurrence.

Everything that holds a threshold is here and in the recipe. Changing one recomputes decisions and nothing else.
"""

from dataclasses import dataclass, field

import pyarrow as pa

from codemill.recipe import Rule


@dataclass(frozen=True)
class Step:
    """What one rule of a corpus did, in order.

    Attributes:
        rule: name of the rule (`preset.rule` inside presets); `readable` is the first and built in.
        setting: the rule as the recipe has it; None for `readable`.
        seen, dropped, errored: occurrences that reached the rule, and what it did with them.
        dropped_bytes, dropped_tokens: the same drops by weight.
        cuts: for quantile rules the value below (above) which rows went, by group (`all`, a language, a source).
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
    decisions: pa.Table
    signals: pa.Table
    steps: list[Step]
    evidence: dict[str, pa.Table]
    alarms: list[str]
