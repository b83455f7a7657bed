"""The report of a run: one page that says how each source grew, what each round was worth, and shows documents."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from codemill.highquality.documents import Documents, Ints, Pool, shuffled
from codemill.highquality.inputs import as_text, chosen_batches
from codemill.highquality.measure import Measured, by_language
from codemill.highquality.rounds import Outcome, by_part
from codemill.highquality.settings import HighQualityRecipe
from codemill.report.charts import Axes, histogram
from codemill.report.contents import Excerpt, Head, excerpt
from codemill.report.histogram import Cut, fill, make_edges, make_scale
from codemill.report.html import recipe_toml, render_page
from codemill.report.summary import Stage
from codemill.report.wording import clip, visible

SHOWN = 10  # documents on each side at the end
LANGUAGES = 15


@dataclass
class Shown:
    """A document on the page."""

    repo: str
    path: str
    language: str
    bytes: int
    value: str
    excerpt: Excerpt | None = None


@dataclass
class SourceView:
    """What the page, the card and the summary say of a source.

    Attributes:
        name, description: as in the recipe.
        kept: files, bytes, parts of the set.
        tally: documents by kept and each reason.
        pool: how many candidates, seeds, hard negatives, held out there are.
        rounds: figures; samples: for each round documents by what became of them.
        used, stopped: the last round that counts, and why there is no further one.
        chart: probabilities of the candidates, with the threshold.
        languages: (language, candidates, seed, set), the largest sets first.
        ends: documents of the set and dropped candidates, at random.
    """

    name: str
    description: str
    kept: dict[str, int]
    tally: dict[str, int]
    pool: dict[str, int]
    rounds: list[Measured]
    used: int
    stopped: str
    chart: Markup | None
    languages: list[tuple[str, int, int, int]]
    samples: list[dict[str, list[Shown]]] = field(default_factory=list)
    ends: dict[str, list[Shown]] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """What a machine is told."""
        return {
            **self.kept,
            "tally": self.tally,
            "pool": self.pool,
            "used": self.used,
            "stopped": self.stopped,
            "rounds": [one.to_json() for one in self.rounds],
        }


def source_view(
    recipe: HighQualityRecipe,
    documents: Documents,
    pool: Pool,
    outcome: Outcome,
    counts: tuple[dict[str, int], dict[str, int]],
) -> SourceView:
    """The view of a source; `counts` are the tally of its decisions and what its set holds."""
    masks = {"candidates": pool.candidate, "seed": pool.seed, "hard": pool.hard, "held_out": pool.held & pool.candidate}
    order = shuffled(documents.key, "ends")
    ends = {
        "in the set": np.flatnonzero(outcome.taken),
        "candidates that are not": np.flatnonzero(pool.candidate & ~outcome.taken),
    }
    ends = {name: np.sort(rows[np.argsort(order[rows])[:SHOWN]]) for name, rows in ends.items()}
    groups = [*outcome.samples, ends]
    shown = _shown(
        documents, outcome, recipe, np.unique(np.concatenate([r for group in groups for r in group.values()]))
    )
    views = [{name: [shown[row] for row in rows.tolist()] for name, rows in group.items()} for group in groups]
    return SourceView(
        name=outcome.name,
        description=recipe.source[outcome.name].description,
        kept=counts[1],
        tally=counts[0],
        pool={name: int(mask.sum()) for name, mask in masks.items()},
        rounds=outcome.rounds,
        used=outcome.used,
        stopped=outcome.stopped,
        chart=_chart(recipe, pool, outcome),
        languages=_languages(documents, pool, outcome),
        samples=views[:-1],
        ends=views[-1],
    )


def _languages(documents: Documents, pool: Pool, outcome: Outcome) -> list[tuple[str, int, int, int]]:
    candidates, seed = by_language(documents, pool.candidate), by_language(documents, pool.seed)
    taken = by_language(documents, outcome.taken)
    names = sorted(candidates, key=lambda name: (-taken.get(name, 0), -candidates[name], name))[:LANGUAGES]
    return [(name, candidates[name], seed.get(name, 0), taken.get(name, 0)) for name in names]


def _chart(recipe: HighQualityRecipe, pool: Pool, outcome: Outcome) -> Markup | None:
    values = outcome.state.probability[pool.candidate]
    if not outcome.used or not len(values):
        return None
    cuts = [Cut(recipe.rounds.threshold, "low")]
    scale = make_scale(np.append(values, [0.0, 1.0]), cuts)
    data = fill(values, ~outcome.taken[pool.candidate], scale, make_edges(scale, cuts))
    label = f"probabilities of {len(values)} candidates of {outcome.name}"
    return histogram(data, cuts, label, axes=Axes("probability by the last classifier that counts", "candidates"))


def _shown(documents: Documents, outcome: Outcome, recipe: HighQualityRecipe, rows: Ints) -> dict[int, Shown]:
    """These rows as documents to show; their beginnings are read from the corpora."""
    found = {}
    for part, here in by_part(documents, rows):
        mine = rows[here]
        for index, table in chosen_batches(documents.parts[part].file, documents.place[mine]):
            texts, _ = as_text(table, recipe.notebooks)
            for row, text, entry in zip(
                mine[index].tolist(),
                texts.to_pylist(),
                table.select(["repo", "path", "language", "bytes"]).to_pylist(),
                strict=True,
            ):
                whole = text.decode("utf-8", "replace") if isinstance(text, bytes) else text or ""
                chance = outcome.state.probability[row]
                found[row] = Shown(
                    clip(visible(entry["repo"] or ""), 100),
                    clip(visible(entry["path"] or ""), 200),
                    entry["language"] or "unknown",
                    entry["bytes"] or 0,
                    "" if np.isnan(chance) else f"{chance:.3f}",
                    excerpt(Head(whole[:20_000], whole.count("\n") + 1)),
                )
    return found


def build_report(
    recipe: HighQualityRecipe,
    fingerprint: str,
    documents: Documents,
    views: Sequence[SourceView],
    stages: Sequence[Stage],
) -> str:
    """The page as HTML."""
    return render_page(
        "highquality.html.j2",
        recipe=recipe,
        fingerprint=fingerprint,
        recipe_text=recipe_toml(recipe),
        documents=documents.count,
        sources=views,
        stages=stages,
    )
