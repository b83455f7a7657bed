"""How well predictions meet ratings: the figures of merit of scorers and of oracles, as plain functions of arrays."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLASSES = 11  # ratings 0..10


def mae(rated: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(np.asarray(rated, float) - np.asarray(predicted, float))))


def cmae(rated: ArrayLike, predicted: ArrayLike) -> float:
    """Mean over the rating classes of the class's own mean absolute error (Seed-Coder, arXiv:2506.03524).

    Rare ratings weigh as much as frequent ones. Classes without files are left out.
    """
    truth = np.asarray(rated, float)
    error = np.abs(truth - np.asarray(predicted, float))
    return float(np.mean([error[truth == rating].mean() for rating in np.unique(truth)]))


def ranked(values: ArrayLike) -> np.ndarray:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, counts = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])


def spearman(rated: ArrayLike, predicted: ArrayLike) -> float:
    """Rank correlation; NaN where either side is constant."""
    a, b = ranked(rated), ranked(predicted)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def auc(positive: ArrayLike, score: ArrayLike) -> float:
    """Chance that a positive scores above a negative, ties counting half; NaN without both."""
    truth = np.asarray(positive, bool)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    return float((ranked(score)[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auc_low(rated: ArrayLike, predicted: ArrayLike, threshold: float = 3) -> float:
    """AUC of finding the files rated `threshold` or lower by a low prediction."""
    return auc(np.asarray(rated, float) <= threshold, -np.asarray(predicted, float))


def calibration(rated: ArrayLike, predicted: ArrayLike, bins: int = 10) -> list[tuple[float, float, int]]:
    """Mean prediction, mean rating and files of each bin of equally many predictions, from low to high."""
    truth, guess = np.asarray(rated, float), np.asarray(predicted, float)
    parts = np.array_split(np.argsort(guess, kind="stable"), min(bins, len(guess)) or 1)
    return [(float(guess[part].mean()), float(truth[part].mean()), len(part)) for part in parts if len(part)]


def lowest_decile(rated: ArrayLike, predicted: ArrayLike, share: float = 0.1) -> dict[str, float]:
    """Dropping the lowest `share` by prediction: how many of the dropped deserve it, how many of those it finds.

    Deserving are the files rated no higher than the rating below which `share` of the files lie. Ratings tie, so those
    are often more than `share`; `best_recall` is what a perfect order would reach.
    """
    truth, guess = np.asarray(rated, float), np.asarray(predicted, float)
    count = max(1, round(share * len(truth)))
    cut = np.sort(truth)[count - 1]
    low = truth <= cut
    dropped = np.argsort(guess, kind="stable")[:count]
    hits = int(low[dropped].sum())
    return {
        "precision": hits / count,
        "recall": hits / int(low.sum()),
        "best_recall": min(1.0, count / int(low.sum())),
        "rating": float(cut),
    }


def kappa(one: ArrayLike, other: ArrayLike, classes: int = CLASSES) -> float:
    """Cohen's kappa with quadratic weights between two raters (Cohen 1968); NaN where chance explains everything."""
    a, b = np.asarray(one, int), np.asarray(other, int)
    seen = np.zeros((classes, classes))
    np.add.at(seen, (a, b), 1)
    seen /= seen.sum()
    expected = np.outer(seen.sum(axis=1), seen.sum(axis=0))
    steps = np.arange(classes)
    weights = (steps[:, None] - steps[None, :]) ** 2
    chance = float((weights * expected).sum())
    return float("nan") if chance == 0 else 1 - float((weights * seen).sum()) / chance


def summary(rated: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """The figures of one line of a comparison: count, MAE, cMAE, Spearman, AUC of low ratings, the lowest tenth."""
    lowest = lowest_decile(rated, predicted)
    return {
        "files": len(np.asarray(rated)),
        "mae": mae(rated, predicted),
        "cmae": cmae(rated, predicted),
        "spearman": spearman(rated, predicted),
        "auc_low": auc_low(rated, predicted),
        "precision_lowest": lowest["precision"],
        "recall_lowest": lowest["recall"],
    }


def folds(groups: ArrayLike, count: int, seed: int = 0) -> NDArray[np.int64]:
    """A fold (0..count-1) for each row, at random; rows of one group share theirs, folds hold equally many groups."""
    distinct, inverse = np.unique(np.asarray(groups), return_inverse=True)
    return np.asarray((np.random.default_rng(seed).permutation(len(distinct)) % count)[inverse], np.int64)
