"""The parts of the reference scorer, each fitted to rated files and each exported as the arrays that scoring reads."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codemill.errors import MissingExtra
from codemill.quality import features

Floats = NDArray[Any]

PROJECTIONS = 64
TEXT_RIDGE = 0.15
DENSE_COLUMNS = 4096
BLOCK = 2048  # rows of a Gram matrix that are computed at a time
LANGUAGE_SHARE = 0.1  # what files of one language share
FOREST = {
    "n_estimators": 1200, "learning_rate": 0.015, "num_leaves": 31, "min_child_samples": 10, "colsample_bytree": 0.25,
    "subsample": 0.7, "subsample_freq": 1, "reg_lambda": 5, "extra_trees": True, "n_jobs": 1, "verbose": -1,
}  # fmt: skip


def training(module: str) -> Any:
    """A module that only fitting needs.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra("fitting a scorer", "train") from error


@dataclass(frozen=True)
class Inputs:
    """What is read of files: measures (float32[N, F]), n-gram counts (sparse[N, buckets]), languages' codes."""

    measures: Floats
    characters: Any
    tokens: Any
    codes: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> "Inputs":
        """Some of the files."""
        return Inputs(self.measures[rows], self.characters[rows], self.tokens[rows], self.codes[rows])


def read(contents: list[bytes], languages: list[str], known: list[str], characters: bool = True) -> Inputs:
    """Reads files as the scorer does. `known` gives languages their codes; `characters=False` skips their n-grams."""
    sparse = training("scipy.sparse")
    scratch = features.Scratch()
    codes = {name: i for i, name in enumerate(known)}
    measures = np.zeros((len(contents), features.feature_count()), np.float32)
    kinds = ("characters", "tokens") if characters else ("tokens",)
    parts: dict[str, list[Any]] = {"characters": [], "tokens": []}
    for i, (content, language) in enumerate(zip(contents, languages, strict=True)):
        b, size = features.head(content)
        measures[i] = features.extract(b, size, language, scratch)
        for kind in kinds:
            found = features.count_ngrams(b, scratch, kind)
            columns = scratch.touched[:found].astype(np.int32)
            parts[kind].append((columns, scratch.counts[columns].astype(np.float32)))
            scratch.counts[columns] = 0
    built = []
    for kind, bits in (("characters", features.CHARACTER_BITS), ("tokens", features.TOKEN_BITS)):
        rows = parts[kind] or [(np.zeros(0, np.int32), np.zeros(0, np.float32))] * len(contents)
        ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        data = np.concatenate([counts for _, counts in rows])
        columns = np.concatenate([columns for columns, _ in rows])
        built.append(sparse.csr_matrix((data, columns, ends), shape=(len(contents), 1 << bits)))
    numbers = np.array([codes.get(name, len(known)) for name in languages], np.int64)
    return Inputs(measures, built[0], built[1], numbers)


def inverse_frequency(counts: Any) -> Floats:
    """IDF of each bucket, smoothed, in the precision that is shipped."""
    present = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.asarray(np.log((1 + counts.shape[0]) / (1 + present)) + 1, np.float16)


def weigh(counts: Any, idf: Floats) -> Any:
    """TF-IDF rows of length one."""
    sparse = training("scipy.sparse")
    out = counts.copy().astype(np.float32)
    out.data = (1 + np.log(out.data)) * idf.astype(np.float32)[out.indices]
    norms = np.sqrt(np.asarray(out.multiply(out).sum(axis=1)).ravel()) + 1e-9
    return (sparse.diags(1 / norms) @ out).astype(np.float32).tocsr()


def gram(parts: tuple[Any, ...], codes: NDArray[np.int64]) -> Floats:
    """Products of all pairs of sparse rows, summed over `parts`, plus what files of one language share: float32[N, N].

    A sparse product's cost is the sum of squares of the columns' sizes, and a few columns make most of it: those are
    multiplied as dense ones. Half of the products are computed, a block of rows at a time: besides the result only a
    block is ever held.
    """
    count = len(codes)
    out = np.zeros((count, count), np.float32)
    blocks = [(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    for start, end in blocks:
        out[start:end, :end] = LANGUAGE_SHARE * (codes[start:end, None] == codes[None, :end])
    for rows in parts:
        sizes = np.bincount(rows.indices, minlength=rows.shape[1])
        crowded = np.zeros(rows.shape[1], bool)
        crowded[np.argsort(-sizes, kind="stable")[:DENSE_COLUMNS]] = True
        dense = rows[:, np.flatnonzero(crowded)].toarray()
        rest = rows[:, np.flatnonzero(~crowded)]
        for start, end in blocks:
            out[start:end, :end] += dense[start:end] @ dense[:end].T
            out[start:end, :end] += (rest[start:end] @ rest[:end].T).toarray()
    for start, end in blocks:
        out[:start, start:end] = out[start:end, :start].T
    return out


def quantize(weights: Floats) -> tuple[Floats, Floats]:
    """Columns as int8 and their scales, for `reference.expand`: finer steps for small weights, which most are."""
    scale = (np.abs(weights).max(axis=0) + 1e-12) / 127**2
    steps = np.sign(weights) * np.sqrt(np.abs(weights) / scale)
    return np.rint(steps).astype(np.int8), scale.astype(np.float32)


def projection(tokens: Any, seed: int) -> Floats:
    """Latent semantic projection: float32[buckets, L], from TF-IDF rows of any files, rated or not."""
    svd = training("sklearn.utils.extmath").randomized_svd
    size = min(PROJECTIONS, min(tokens.shape) - 1)
    _, _, axes = svd(tokens, n_components=size, n_iter=2, random_state=seed)
    out = np.zeros((tokens.shape[1], PROJECTIONS), np.float32)
    out[:, :size] = axes.T
    return out


def solve(gram: Floats, targets: Floats, rows: NDArray[Any], ridge: float) -> tuple[Floats, Floats]:
    """Dual coefficients of a ridge regression on some rows (zeros elsewhere), and the targets' means.

    In single precision: the ridge bounds the condition, and what is fitted is noisy by far more.
    """
    linalg = training("scipy.linalg")
    a = gram[np.ix_(rows, rows)]
    a[np.diag_indices_from(a)] += ridge
    mean = targets[rows].mean(axis=0)
    out = np.zeros((len(gram), targets.shape[1]))
    right = (targets[rows] - mean).astype(np.float32)
    # Of a symmetric matrix the transpose is the same, and in the order of columns that LAPACK overwrites.
    factor = linalg.cho_factor(a.T, overwrite_a=True, check_finite=False)
    out[rows] = linalg.cho_solve(factor, right, check_finite=False)
    return out, mean


def language_sums(alphas: Floats, codes: NDArray[np.int64], languages: int, mean: Floats) -> Floats:
    """The mean, and what a file's language adds: float32[languages + 1, R]; unknown languages add nothing."""
    out = np.tile(mean, (languages + 1, 1))
    for code in range(languages):
        out[code] += LANGUAGE_SHARE * alphas[codes == code].sum(axis=0)
    return out.astype(np.float32)


@dataclass(frozen=True)
class Text:
    """First opinions, fitted: dual coefficients (float64[N, R]), and terms of the languages."""

    alphas: Floats
    language: Floats  # float32[languages + 1, R]

    def judge(self, gram: Floats, rows: NDArray[Any]) -> Floats:
        """First opinions on some rows, by the Gram matrix, which knows the languages: float32[rows, R]."""
        unknown = self.language[-1]
        return np.asarray(gram[rows] @ self.alphas.astype(np.float32) + unknown, np.float32)


def fit_text(  # noqa: PLR0917 - eight parameters is the house limit
    full: Floats, targets: Floats, nonzero: NDArray[np.bool_], split: int, rows: NDArray[Any],
    codes: NDArray[np.int64], languages: int,
) -> Text:  # fmt: skip
    """Ridge regressions on some rows; the targets from `split` on are learned from files that are not zero alone.

    `full` is what `gram` gives.
    """
    first, mean = solve(full, targets[:, :split], rows, TEXT_RIDGE)
    second, rest = solve(full, targets[:, split:], rows[nonzero[rows]], TEXT_RIDGE)
    alphas = np.hstack([first, second])
    return Text(alphas, language_sums(alphas, codes, languages, np.concatenate([mean, rest])))


def language_facts(codes: NDArray[np.int64], zero: NDArray[np.bool_], overall: Floats, languages: int) -> Floats:
    """Share of zeros and mean rating of the rest by language, drawn to the mean of all: float32[languages + 1, 2]."""
    base = np.array([zero.mean(), overall[~zero].mean()])
    out = np.tile(base, (languages + 1, 1))
    for code in range(languages):
        mine = codes == code
        rest = mine & ~zero
        out[code, 0] = (zero[mine].sum() + 5 * base[0]) / (mine.sum() + 5)
        out[code, 1] = (overall[rest].sum() + 5 * base[1]) / (rest.sum() + 5)
    return out.astype(np.float32)


def export_forests(models: list[Any]) -> dict[str, Floats]:
    """LightGBM models as the flat arrays that `reference.forest` walks."""
    nodes: list[tuple[int, float, int]] = []
    roots: list[int] = []
    starts = [0]

    def place(at: int, tree: dict[str, Any]) -> None:
        if "leaf_value" in tree:
            nodes[at] = (-1, tree["leaf_value"], 0)
            return
        left = len(nodes)
        nodes.extend([(0, 0.0, 0)] * 2)
        nodes[at] = (tree["split_feature"], tree["threshold"], left)
        place(left, tree["left_child"])
        place(left + 1, tree["right_child"])

    for model in models:
        for tree in model.booster_.dump_model()["tree_info"]:
            roots.append(len(nodes))
            nodes.append((0, 0.0, 0))
            place(roots[-1], tree["tree_structure"])
        starts.append(len(roots))
    return {
        "node_feature": np.array([node[0] for node in nodes], np.int16),
        "node_threshold": np.array([node[1] for node in nodes], np.float32),
        "node_left": np.array([node[2] for node in nodes], np.int32),
        "roots": np.array(roots, np.int32),
        "forests": np.array(starts, np.int32),
        "bases": np.zeros(len(models), np.float32),
    }
