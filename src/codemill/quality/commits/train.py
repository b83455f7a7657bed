"""Fits the scorer of commits to rated commits, and measures it on repositories that it has never seen."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codemill.errors import InputError
from codemill.quality import metrics
from codemill.quality.commits import model
from codemill.quality.commits.measures import VERSION
from codemill.quality.commits.model import Arrays, Floats
from codemill.quality.fitting import export_forests, training
from codemill.quality.rubric import SCORES
from codemill.quality.stored import CARD
from codemill.quality.table import as_bytes
from codemill.quality.trees import plant

KNOTS = 33
RIDGE = 0.5
DECODE = {"sharpen": 2.0, "stretch": 1.0, "center": 5.5}
FOREST = {
    "n_estimators": 120, "learning_rate": 0.05, "num_leaves": 7, "min_child_samples": 10, "colsample_bytree": 0.3,
    "subsample": 0.7, "subsample_freq": 1, "reg_lambda": 5, "n_jobs": 1, "verbose": -1,
}  # fmt: skip
FOLDS = 5

Read = tuple[Floats, Floats]


def fit_commits(labels: pa.Table, out: Path, seed: int = 0, version: str = "1") -> dict[str, Any]:
    """Fit the scorer of commits and write it to the folder `out`.

    Args:
        labels: columns content (message and patch), the five ratings and `repo`, which keeps commits of one origin
            together.
        out: folder of the model; created.
        seed: of folds and trees.
        version: stands in the card.

    Returns:
        The card.

    Raises:
        InputError: a column is missing or has nulls.
        MissingExtra: LightGBM is not installed.
    """
    read, scores, groups = read_labels(labels)
    arrays = fit_arrays(read, scores, groups, seed)
    card: dict[str, Any] = {
        "name": model.NAME,
        "version": version,
        "measures": VERSION,
        "commits": labels.num_rows,
        "groups": len(np.unique(groups)),
        "fitted": date.today().isoformat(),
        "seed": seed,
        "decode": DECODE,
    }
    card["fingerprint"] = model.fingerprint(arrays, card)
    out.mkdir(parents=True, exist_ok=True)
    arrays.save(out)
    (out / CARD).write_text(json.dumps(card, indent=2) + "\n")
    return card


def read_labels(labels: pa.Table) -> tuple[Read, Floats, NDArray[np.int64]]:
    """What is read of rated commits, their ratings (float64[N, 5]), and the number of each one's repository.

    Raises:
        InputError: a column is missing or has nulls.
    """
    for name in ("content", "repo", *SCORES):
        if name not in labels.column_names or labels[name].null_count:
            raise InputError(
                f"labels: expected columns content, repo, {', '.join(SCORES)} without nulls; not so {name}"
            )
    texts = [content.decode("utf-8", "replace") for content in as_bytes(labels["content"]).to_pylist()]
    scores = np.column_stack([labels[name].to_numpy() for name in SCORES]).astype(np.float64)
    groups = np.unique(np.array(labels["repo"].to_pylist()), return_inverse=True)[1]
    return model.read(texts), scores, groups


def fit_arrays(read: Read, scores: Floats, groups: NDArray[np.int64], seed: int) -> Arrays:
    """Fit every part; the opinions that the trees learn from come from folds that had not seen the repository."""
    measures, counts = read
    targets = np.column_stack([scores[:, 0], 10.0 * (scores[:, 0] == 0), scores[:, 1:]])
    idf = np.asarray(np.log((1 + len(counts)) / (1 + (counts > 0).sum(axis=0))) + 1, np.float32)
    words = model.weigh(counts, idf)
    knots = _knots(measures)
    plain = model.ranks(measures, knots)
    scale = np.stack([plain.mean(axis=0), plain.std(axis=0) + 0.05]).astype(np.float32)
    points = model.ranks(measures, knots, scale)
    grams = (words @ words.T).astype(np.float64), model.kernel(points, points)
    opinions = np.zeros((len(scores), 2 * targets.shape[1]))
    # Where everything is of one repository, folds of commits are better than none.
    apart = groups if len(np.unique(groups)) > 1 else np.arange(len(groups))
    for number in range(FOLDS):
        held = np.isin(apart, np.unique(apart)[number::FOLDS])
        if held.any() and not held.all():
            seen = np.flatnonzero(~held)
            parts = [_solve(gram, targets, seen) for gram in grams]
            found = [gram[held] @ alphas + mean for gram, (alphas, mean) in zip(grams, parts, strict=True)]
            opinions[held] = np.hstack(found)
    (by_words, words_mean), (alphas, mean) = (_solve(gram, targets, np.arange(len(scores))) for gram in grams)
    trees = _fit_trees(model.inputs(measures, opinions), scores, seed)
    return Arrays(
        idf=idf,
        words=np.vstack([words.T @ by_words, words_mean]).astype(np.float32),
        knots=knots,
        scale=scale,
        supports=points,
        alphas=np.vstack([alphas, mean]).astype(np.float32),
        **trees,
    )


def _knots(measures: Floats) -> Floats:
    knots = np.full((measures.shape[1], KNOTS), np.inf, np.float32)
    for column in range(measures.shape[1]):
        distinct = np.unique(np.quantile(measures[:, column], np.linspace(0, 1, KNOTS)).astype(np.float32))
        knots[column, : len(distinct)] = distinct
    return knots


def _solve(gram: Floats, targets: Floats, rows: NDArray[Any]) -> tuple[Floats, Floats]:
    """Dual coefficients of a ridge regression on some rows (zeros elsewhere), and the targets' means."""
    mean = targets[rows].mean(axis=0)
    out = np.zeros((len(gram), targets.shape[1]))
    out[rows] = np.linalg.solve(gram[np.ix_(rows, rows)] + RIDGE * np.eye(len(rows)), targets[rows] - mean)
    return out, mean


def _fit_trees(rows: Floats, scores: Floats, seed: int) -> dict[str, Floats]:
    """The six forests: chance of zero, overall of what is not zero, and the aspects."""
    module = training("lightgbm")
    settings: dict[str, Any] = {**FOREST, "random_state": seed}
    zero = scores[:, 0] == 0
    models = [
        module.LGBMClassifier(**settings).fit(rows, zero),
        module.LGBMRegressor(**settings).fit(rows[~zero], scores[~zero, 0]),
        *(module.LGBMRegressor(**settings).fit(rows, scores[:, column]) for column in range(1, scores.shape[1])),
    ]
    return export_forests(models)


def cross_validate(labels: pa.Table, seed: int = 0) -> tuple[dict[str, dict[str, float]], Floats]:
    """What the scorer reaches on each repository when fitted to all others, beside the mean rating of the others.

    Returns:
        Metrics of the overall rating by name of scorer and of each aspect, and predictions (float32[rows, 5]).
    """
    (measures, counts), scores, groups = read_labels(labels)
    predicted, mean = np.zeros(scores.shape, np.float32), np.zeros(scores.shape)
    for group in np.unique(groups):
        held = groups == group
        arrays = fit_arrays((measures[~held], counts[~held]), scores[~held], groups[~held], seed)
        predicted[held] = model.judge(arrays, plant(arrays), measures[held], counts[held], DECODE)
        mean[held] = scores[~held].mean(axis=0)
    table = {}
    for column, name in enumerate(SCORES):
        table[name] = metrics.summary(scores[:, column], predicted[:, column])
        table[f"{name}, mean of the others"] = metrics.summary(scores[:, column], mean[:, column])
    return table, predicted
