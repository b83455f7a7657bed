"""Evaluates a scorer against ratings: one table with simple baselines beside it, languages, aspects, calibration."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from codemill.assess import baselines
from codemill.assess.charts import box_plot, calibration_plot
from codemill.assess.pages import figure, plain, text_table, write_page
from codemill.errors import InputError, MissingExtra
from codemill.quality.metrics import calibration, cmae, folds, lowest_decile, mae, spearman, summary
from codemill.quality.rubric import ASPECTS
from codemill.quality.scorer import Scorer
from codemill.quality.table import read_labels, with_contents

FIGURES = ("mae", "cmae", "spearman", "auc_low", "precision_lowest", "recall_lowest")
BASELINES = ("mean", "rules", "fasttext")
_BATCH = 256


@dataclass(frozen=True)
class Method:
    """One line of the comparison: figures by name (`metrics.summary`), and what to know of them."""

    name: str
    figures: dict[str, float]
    note: str = ""


@dataclass(frozen=True)
class Evaluation:
    """How a scorer meets ratings.

    Attributes:
        scorer, fingerprint: what was evaluated.
        files: rated files with contents; left_out: rows without a rating; missing: rated files without contents.
        files_per_second: pace of scoring, in one process.
        folds: how baselines that learn were held apart.
        methods: the scorer first, then the baselines.
        languages, aspects: figures for each.
        boxes: for each rating the quantiles of the predictions.
        calibration: mean prediction, mean rating, files of bins of equally many files.
        lowest: dropping the lowest tenth (`metrics.lowest_decile`).
        rows_are: what was rated, in the plural.
    """

    scorer: str
    fingerprint: str
    files: int
    left_out: int
    missing: int
    files_per_second: float
    folds: str
    methods: list[Method]
    languages: list[dict[str, Any]]
    aspects: list[dict[str, Any]]
    boxes: list[dict[str, float]]
    calibration: list[tuple[float, float, int]]
    lowest: dict[str, float]
    rows_are: str = "files"

    def text(self) -> str:
        """The comparison and the languages as tables for a terminal."""
        head = ("method", "MAE", "cMAE", "Spearman", "AUC<=3", "prec 10%", "recall 10%")
        rows = [(m.name, *(figure(m.figures[name]) for name in FIGURES)) for m in self.methods]
        tongues = [
            (row["name"], f"{row['files']:,}", *(figure(row[name]) for name in ("mae", "cmae", "spearman")))
            for row in self.languages
        ]
        notes = [f"{m.name}: {m.note}" for m in self.methods if m.note]
        parts = [
            f"{self.files:,} {self.rows_are}, {self.files_per_second:,.0f} {self.rows_are}/s",
            text_table(head, rows),
            text_table(("language", self.rows_are, "MAE", "cMAE", "Spearman"), tongues),
        ]
        return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values; NaN is null."""
        return dict(plain(asdict(self)))

    def write_html(self, path: str | Path) -> None:
        """A self-contained page. Raises StoreError where it can't be written."""
        values = {
            "title": f"Scorer {self.scorer}",
            "e": self,
            "figures": FIGURES,
            "notes": any(method.note for method in self.methods),
            "boxes": box_plot(self.boxes, across="rating", down="prediction"),
            "calibration": calibration_plot(self.calibration, across="mean prediction", down="mean rating"),
        }
        write_page(path, "evaluation.html.j2", values)


def evaluate_scorer(
    scorer: Scorer,
    labels: str | Path,
    contents: str | Path | None = None,
    *,
    name: str = "scorer",
    with_baselines: Sequence[str] = BASELINES,
) -> Evaluation:
    """Evaluate a scorer on a table of labels with contents.

    The figures mean something only for files that the scorer has not learned from.

    Args:
        labels: a table of labels, or the folder of a labelling run.
        contents: a table with the contents, where they are not with the labels.
        name: what to call the scorer.
        with_baselines: which of `BASELINES` to put beside it.

    Raises:
        InputError: the labels can't be used, or hold too few files.
    """
    table, left_out = read_labels(labels)
    table, missing = with_contents(table, labels, contents)
    if table.num_rows < 2:
        raise InputError(f"labels {labels}: expected at least two rated files, got {table.num_rows}")
    rated = np.asarray(table["overall"].cast(pa.float64()).to_numpy())
    start = time.perf_counter()
    scores = _score(scorer, table)
    seconds = time.perf_counter() - start
    predicted = scores["overall"]
    groups, fold_note = _groups(table)
    fold = folds(groups, baselines.FOLDS)
    if with_baselines and len(np.unique(fold)) < 2:
        raise InputError(
            f"labels {labels}: expected files of several repositories, some to learn from, got those of one"
        )
    methods = [Method(name, summary(rated, predicted))]
    of_commits = set(table["language"].to_pylist()) == {"Diff"}
    # The rule preset is about files.
    methods += [_baseline(kind, table, rated, fold) for kind in with_baselines if kind != "rules" or not of_commits]
    return Evaluation(
        scorer=name,
        fingerprint=scorer.fingerprint,
        files=table.num_rows,
        left_out=left_out,
        missing=missing,
        files_per_second=table.num_rows / max(seconds, 1e-9),
        folds=fold_note,
        methods=methods,
        languages=_languages(table, rated, predicted),
        aspects=_aspects(table, scores),
        boxes=_boxes(rated, predicted),
        calibration=calibration(rated, predicted),
        lowest=lowest_decile(rated, predicted),
        rows_are="commits" if of_commits else "files",
    )


def _score(scorer: Scorer, table: pa.Table) -> dict[str, np.ndarray]:
    parts = []
    for batch in table.select(["content", "language", "path"]).to_batches(max_chunksize=_BATCH):
        parts.append(scorer.score(*batch.columns))
    whole = pa.Table.from_batches(parts)
    return {name: whole[name].to_numpy().astype(np.float64) for name in whole.column_names}


def _groups(table: pa.Table) -> tuple[list[str], str]:
    keys = ["repo", "blob_id", "git_blob"]
    rows = zip(*(table[key].to_pylist() for key in keys), strict=True)
    groups = [repo or blob or git or "" for repo, blob, git in rows]
    kind = "file" if table["repo"].null_count == table.num_rows else "repository"
    return groups, f"in {baselines.FOLDS} folds by {kind}"


def _baseline(kind: str, table: pa.Table, rated: np.ndarray, fold: np.ndarray) -> Method:
    makers: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
        "mean": ("mean rating", lambda: baselines.mean(rated, fold)),
        "rules": ("rule preset", lambda: baselines.rules(table, rated, fold)),
        "fasttext": ("fastText", lambda: baselines.fasttext(table["content"].to_pylist(), rated, fold)),
    }
    if kind not in makers:
        raise InputError(f"baselines: expected {', '.join(makers)}, got {kind!r}")
    name, make = makers[kind]
    try:
        predicted = make()
    except MissingExtra as error:
        return Method(name, dict.fromkeys(("files", *FIGURES), float("nan")), str(error))
    figures = summary(rated, predicted)
    if kind == "mean":
        # The folds' means differ a little, in no order that would mean anything.
        figures |= dict.fromkeys(FIGURES[2:], float("nan"))
    return Method(name, figures)


def _languages(table: pa.Table, rated: np.ndarray, predicted: np.ndarray) -> list[dict[str, Any]]:
    names = np.asarray([name or "unknown" for name in table["language"].to_pylist()], dtype=object)
    rows = [
        {
            "name": str(name),
            "files": int((names == name).sum()),
            "mae": mae(rated[names == name], predicted[names == name]),
            "cmae": cmae(rated[names == name], predicted[names == name]),
            "spearman": spearman(rated[names == name], predicted[names == name]),
            "rated": float(rated[names == name].mean()),
            "predicted": float(predicted[names == name].mean()),
        }
        for name in np.unique(names)
    ]
    return sorted(rows, key=lambda row: -row["files"])


def _aspects(table: pa.Table, scores: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in ASPECTS:
        truth = np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False))
        known = ~np.isnan(truth)
        if known.any():
            pair = truth[known], scores[name][known]
            rows.append({"name": name, "files": int(known.sum()), "mae": mae(*pair), "spearman": spearman(*pair)})
    return rows


def _boxes(rated: np.ndarray, predicted: np.ndarray) -> list[dict[str, float]]:
    shares = (5, 25, 50, 75, 95)
    return [
        {
            "rating": float(rating),
            "files": int((rated == rating).sum()),
            **{
                f"p{share}": float(value)
                for share, value in zip(shares, np.percentile(predicted[rated == rating], shares), strict=True)
            },
        }
        for rating in np.unique(rated)
    ]
