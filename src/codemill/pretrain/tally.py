"""Accounts for a mixture: what was planned, what was taken of each source and language, what became of the rest."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codemill.pretrain.draw import Draw, TokenTable


@dataclass
class SourceAccount:
    """What a stage took of a source.

    Attributes:
        weight: its part of the stage, planned.
        planned: tokens by weight.
        documents, fim: documents, and those of them whose middle was moved to the end.
        tokens, loss: delivered; those that bear the loss before packing.
        epochs: the passes in which they were taken.
        languages: tokens by language.
    """

    weight: float
    planned: int
    documents: int = 0
    fim: int = 0
    tokens: int = 0
    loss: int = 0
    epochs: list[int] = field(default_factory=list)
    languages: dict[str, int] = field(default_factory=dict)


def account(weight: float, planned: float, draws: Sequence[Draw]) -> SourceAccount:
    """Add up what was drawn."""
    found = SourceAccount(weight, round(planned))
    languages: Counter[str] = Counter()
    for draw in draws:
        table, rows = draw.table, draw.rows
        first = table.first[rows]
        found.documents += int(first.sum())
        found.fim += int((table.fim[rows] & first).sum())
        found.tokens += draw.tokens
        found.loss += int(table.loss[rows].sum())
        found.epochs.append(draw.epoch)
        languages.update(tokens_by_language(table, rows))
    found.languages = ranked(languages)
    return found


def tokens_by_language(table: TokenTable, rows: np.ndarray) -> Counter[str]:
    """Exact sums: floats would lose tokens beyond 2**53."""
    sums = np.zeros(len(table.languages), np.int64)
    np.add.at(sums, table.language[rows], table.length[rows])
    counts: Counter[str] = Counter()
    for name, tokens in zip(table.languages, sums, strict=True):
        counts[name] += int(tokens)
    return +counts


def ranked(counts: Counter[str]) -> dict[str, int]:
    """The largest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def totals(stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sums over stages: tokens by source, and by source and language."""
    tokens: Counter[str] = Counter()
    languages: dict[str, Counter[str]] = defaultdict(Counter)
    for stage in stages:
        for name, source in stage["sources"].items():
            tokens[name] += source["tokens"]
            languages[name].update(source["languages"])
    return {"tokens": dict(tokens), "languages": {name: ranked(counts) for name, counts in languages.items()}}
