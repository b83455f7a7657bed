"""Fits the kernel machine of the reference scorer: learns a distance, then what near files say about a file."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codemill.quality import machine
from codemill.quality.fitting import training
from codemill.quality.machine import RANK_LIMIT, Space

Floats = NDArray[Any]
Ints = NDArray[np.int64]

KNOTS = 33
DIMENSIONS = 128
SUPPORTS = 4000  # files that others are compared with; of more, a random choice
SLOPES = 3000  # files at which the slope of the first machine is taken
LANGUAGE, OPINION = (
    2.0,
    2.0,
)  # how much a language and a first opinion weigh beside a measure, before distance is learned
FIRST_RIDGE, RIDGE = 2.0, 0.2
WIDTH = 1.0  # the median distance, over the reach of the kernel
POWER = 0.45  # of the eigenvalues of the mean outer product of slopes: less than one forgets less


@dataclass(frozen=True)
class Fitted:
    """A machine: what `reference.Arrays` stores of it, in float."""

    space: Space
    supports: Floats  # int8[N, D]
    alphas: Floats  # float64[N, targets]
    mean: Floats  # float64[targets]
    reach: float

    def judge(self, values: Floats, codes: Ints, opinions: Floats) -> Floats:
        """What it says of files: float32[rows, targets]."""
        points = machine.to_points(values, codes, opinions, self.space)
        made = machine.ready(self.supports, self.alphas, self.reach)
        return np.asarray(machine.opinions_of(points, made, len(self.mean)) + self.mean, np.float32)


@dataclass(frozen=True)
class Lesson:
    """What a machine learns from. Targets before `split` are learned from all files, the rest from `nonzero` alone."""

    values: Floats  # float32[N, V]
    codes: Ints
    opinions: Floats  # float32[N, R], by parts that had not seen the file
    targets: Floats  # float64[N, targets]
    split: int
    nonzero: NDArray[np.bool_]
    languages: int

    def take(self, rows: NDArray[Any]) -> "Lesson":
        """Some of the files."""
        return Lesson(
            self.values[rows], self.codes[rows], self.opinions[rows], self.targets[rows], self.split,
            self.nonzero[rows], self.languages,
        )  # fmt: skip


def rank_tables(values: Floats) -> tuple[Floats, Floats]:
    """Knots of each column, and normal scores there, scaled so that the column spreads by one."""
    places = np.linspace(0, 1, 257)
    normal = np.array([NormalDist().inv_cdf(p) for p in np.clip(places, 1e-3, 1 - 1e-3)])
    normal = np.clip(normal, -RANK_LIMIT, RANK_LIMIT)
    knots = np.full((values.shape[1], KNOTS), np.inf, np.float32)
    ranks = np.zeros((values.shape[1], KNOTS), np.float32)
    for j in range(values.shape[1]):
        quantiles = np.quantile(values[:, j], places).astype(np.float32)
        distinct, inverse = np.unique(quantiles, return_inverse=True)
        score = np.bincount(inverse, normal) / np.bincount(inverse)
        chosen = np.unique(np.linspace(0, len(distinct) - 1, KNOTS).astype(int))
        knots[j, : len(chosen)], ranks[j, : len(chosen)] = distinct[chosen], score[chosen]
        spread = float(np.interp(values[:, j], distinct, score).std())
        # A measure that hardly varies would otherwise weigh as much as any when it does.
        ranks[j] *= 1 / max(spread, 0.25) if spread > 0.05 else 0.0
    return knots, ranks


def fit_machine(lesson: Lesson, knots: Floats, ranks: Floats, seed: int) -> Fitted:
    """Learns a distance from the slopes of a first machine, and a second machine on it."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(lesson.targets))[:SUPPORTS])
    inputs, scale = _inputs(lesson, knots, ranks)
    mean = _means(lesson)
    slopes = _slopes(inputs, chosen, lesson, mean, rng)
    values, axes = np.linalg.eigh(slopes)
    order = np.argsort(-values)[:DIMENSIONS]
    metric = axes[:, order] * np.maximum(values[order], 0) ** (POWER / 2)
    spread = float(np.quantile(np.abs(inputs @ metric), 0.9995))
    metric = (metric * scale[:, None] * 127 / max(spread, 1e-9)).astype(np.float16).astype(np.float32)
    space = Space(knots, ranks, metric)
    points = machine.to_points(lesson.values, lesson.codes, lesson.opinions, space)
    supports = points[chosen]
    distance = _distances(points.astype(np.float32), supports.astype(np.float32))
    reach = float(np.median(distance)) / WIDTH
    return Fitted(space, supports, _solve(np.exp(-distance / reach), chosen, lesson, mean, RIDGE), mean, reach)


def _inputs(lesson: Lesson, knots: Floats, ranks: Floats) -> tuple[Floats, Floats]:
    """All inputs side by side, each as the first distance weighs it: float32[N, V + C + R]; and those weights."""
    scores = machine.normal_scores(lesson.values, knots, ranks)
    known = np.eye(lesson.languages + 1, lesson.languages, dtype=np.float32)[lesson.codes]
    weights = OPINION / (lesson.opinions.std(axis=0) + 1e-6)
    scale = np.concatenate([np.ones(scores.shape[1]), np.full(lesson.languages, LANGUAGE), weights])
    return (np.hstack([scores, known, lesson.opinions]) * scale).astype(np.float32), scale


def _means(lesson: Lesson) -> Floats:
    rest = lesson.targets[lesson.nonzero] if lesson.nonzero.any() else lesson.targets
    return np.concatenate([lesson.targets[:, : lesson.split].mean(axis=0), rest[:, lesson.split :].mean(axis=0)])


def _distances(a: Floats, b: Floats) -> Floats:
    squared = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * (a @ b.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0)))


def _solve(near: Floats, chosen: Ints, lesson: Lesson, mean: Floats, ridge: float) -> Floats:
    """Weights of the supports by least squares over all files (subset of regressors): float64[supports, targets]."""
    out = np.zeros((len(chosen), lesson.targets.shape[1]))
    among = near[chosen].astype(np.float64)
    for rows, part in (
        (np.arange(len(near)), slice(None, lesson.split)),
        (np.flatnonzero(lesson.nonzero), slice(lesson.split, None)),
    ):
        mine = near[rows].astype(np.float64)
        normal = mine.T @ mine + ridge * among
        normal[np.diag_indices_from(normal)] += 1e-3
        right = mine.T @ (lesson.targets[rows, part] - mean[part])
        out[:, part] = training("scipy.linalg").solve(normal, right, assume_a="pos")
    return out


def _slopes(inputs: Floats, chosen: Ints, lesson: Lesson, mean: Floats, rng: np.random.Generator) -> Floats:
    """Mean outer product of the slopes of a machine on the inputs as they are: float64[inputs, inputs].

    Opinions on overall and zero count whole, those on reasons and aspects less.
    """
    supports = inputs[chosen]
    distance = _distances(inputs, supports)
    reach = float(np.median(distance)) / WIDTH
    alphas = _solve(np.exp(-distance / reach), chosen, lesson, mean, FIRST_RIDGE).astype(np.float32)
    rows = np.sort(rng.permutation(len(inputs))[:SLOPES])
    places, distance = inputs[rows], distance[rows]
    # A file's nearness to itself has no slope.
    pull = np.where(distance > 1e-3 * reach, np.exp(-distance / reach) / np.maximum(distance, 1e-3 * reach), 0)
    out = np.zeros((inputs.shape[1],) * 2)
    weights = np.full(lesson.targets.shape[1], 0.3)
    weights[[0, 1, lesson.split]] = 1.0
    for target, weight in enumerate(weights):
        w = (pull * alphas[:, target]).astype(np.float32)
        slope = places * w.sum(axis=1)[:, None] - w @ supports
        out += weight * (slope.T @ slope)
    return out
