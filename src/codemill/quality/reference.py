"""The scorer that ships: n-grams, a kernel machine and boosted trees over compiled measures; no torch, no network.

How a file is judged, in order:
1. `features.extract` measures its first 7,000 characters; n-grams of bytes and tokens are hashed and weighed (TF-IDF).
2. Ridge regressions on the n-grams, and a kernel machine on the ranks of the measures and of a latent semantic
   projection of the tokens, give first opinions.
3. Boosted trees judge by the measures and those opinions: the chance that the zero rule holds, the overall rating if it
   does not, and the aspects.
4. The two are combined: a likely zero pulls the rating to 0.

Every sum whose order a batch could change is a sum of small integers, which floats hold exactly: a file's rating does
not depend on its company.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codemill.errors import InputError
from codemill.lexer import jit
from codemill.quality import features, kernels
from codemill.quality.kernels import Array
from codemill.quality.scorer import SCHEMA, as_list, languages_of
from codemill.quality.stored import StoredArrays, read_card

Floats = NDArray[Any]

_ROWS = 256  # files judged at once: bounds memory
RANK_LIMIT = 2.5  # normal scores are cut here
_LANES = 16  # rows of weights are filled up to a multiple of this: whole vector registers
_BITS = 12


@dataclass(frozen=True)
class Arrays(StoredArrays):
    """The fitted model. Sizes: F measures, L projections, R first opinions, N rated files, K knots, T nodes."""

    what: ClassVar[str] = "a fitted reference model"

    character_idf: Floats  # float16[2**17]
    character_weights: Floats  # int8[2**17, R], see `expand`
    character_scale: Floats  # float32[R]
    token_idf: Floats  # float16[2**15]
    token_weights: Floats  # int8[2**15, R + L], see `expand`
    token_scale: Floats  # float32[R + L]
    text_language: Floats  # float32[languages + 1, R]: mean and language terms; the last row is for unknown ones
    knots: Floats  # float32[F + L, K], padded with infinity
    ranks: Floats  # float32[F + L, K]: normal scores at the knots, times what the kernel weighs the measure by
    supports: Floats  # int8[N, F + L]
    steps: Floats  # float32[1]: squared distance of one step of the integers
    alphas: Floats  # float16[N, R]
    alpha_scale: Floats  # float32[R]
    kernel_language: Floats  # float32[languages + 1, R]
    language_facts: Floats  # float32[languages + 1, 2]: share of zeros, mean rating of the rest
    node_feature: Floats  # int16[T]; -1 is a leaf
    node_threshold: Floats  # float32[T]; a leaf's value
    node_left: Floats  # int32[T]; the right child is next to it
    roots: Floats  # int32[trees]
    forests: Floats  # int32[7]: where each of the six forests begins in `roots`, and the end
    bases: Floats  # float32[6]


class ReferenceScorer:
    """A fitted reference model at work; see `codemill.quality.Scorer`. One instance serves one thread."""

    def __init__(self, arrays: Arrays, card: dict[str, Any]) -> None:
        """Takes a model and its card, which names the `languages` and the `decode` settings."""
        if card.get("features") != features.VERSION:
            raise InputError(f"scorer: expected features {features.VERSION}, got {card.get('features')}; fit it again")
        self.card = card
        self._arrays = arrays
        self._languages = {name: i for i, name in enumerate(card["languages"])}
        self._scratch = features.Scratch()

    @classmethod
    def load(cls, folder: Path) -> "ReferenceScorer":
        """The model in a folder that `train.fit_reference` wrote.

        Raises:
            InputError: there is none, or it is of another version.
        """
        return cls(Arrays.load(folder), read_card(folder, Arrays.what))

    @property
    def fingerprint(self) -> str:
        """Name, version and hash of the model."""
        return str(self.card["fingerprint"])

    def score(
        self,
        contents: Sequence[bytes | str] | pa.Array,
        languages: Sequence[str | None] | pa.Array | None = None,
        paths: Sequence[str | None] | pa.Array | None = None,
    ) -> pa.RecordBatch:
        """See `codemill.quality.Scorer.score`."""
        listed = as_list(contents, "contents", len(contents))
        if any(content is None for content in listed):
            raise InputError("contents: expected bytes or text, got null")
        known = languages_of(listed, as_list(languages, "languages", len(listed)), as_list(paths, "paths", len(listed)))
        out = np.zeros((len(listed), len(SCHEMA)), np.float32)
        for start in range(0, len(listed), _ROWS):
            rows = slice(start, start + _ROWS)
            out[rows] = self._judge(listed[rows], known[rows])
        return pa.RecordBatch.from_arrays([pa.array(column) for column in out.T.copy()], schema=SCHEMA)

    def _judge(self, contents: list[bytes | str], languages: list[str]) -> Floats:
        a = self._arrays
        codes = np.array([self._languages.get(name, len(self._languages)) for name in languages], np.int64)
        measures = np.zeros((len(contents), features.feature_count()), np.float32)
        texts = np.zeros((len(contents), a.token_scale.shape[0]), np.float32)
        for i, content in enumerate(contents):
            self._read(content, languages[i], measures[i], texts[i])
        latent = texts[:, a.character_scale.shape[0] :]
        opinions = texts[:, : a.character_scale.shape[0]] + a.text_language[codes]
        points = to_points(np.hstack([measures, latent]), a.knots, a.ranks)
        second = kernel_opinions(points, self._machine, a, codes)
        inputs = np.hstack([measures, opinions, second, a.language_facts[codes]]).astype(np.float32)
        raw = forest(inputs, a.node_feature, a.node_threshold, a.node_left, a.roots, a.forests, a.bases)
        return decode(raw, self.card["decode"])

    def _read(self, content: bytes | str, language: str, measures: Floats, texts: Floats) -> None:
        a, s = self._arrays, self._scratch
        b, size = features.head(content)
        measures[:] = features.extract(b, size, language, s)
        found = features.count_ngrams(b, s, "tokens")
        kernels.project(s.counts, s.touched, found, self._idf[1], self._weights[1], a.token_scale, texts)
        found = features.count_ngrams(b, s, "characters")
        opinions = texts[: a.character_scale.shape[0]]
        kernels.project(s.counts, s.touched, found, self._idf[0], self._weights[0], a.character_scale, opinions)

    @cached_property
    def _idf(self) -> tuple[Floats, Floats]:
        return self._arrays.character_idf.astype(np.float32), self._arrays.token_idf.astype(np.float32)

    @cached_property
    def _weights(self) -> tuple[Floats, Floats]:
        return squares(self._arrays.character_weights), squares(self._arrays.token_weights)

    @cached_property
    def _machine(self) -> "Machine":
        return machine(self._arrays)


def squares(steps: Floats) -> Floats:
    """Weights without their scale, int16: the square of each integer, with its sign; rows filled up to whole lanes."""
    whole = steps.astype(np.int16)
    return np.pad(whole * np.abs(whole), ((0, 0), (0, -whole.shape[1] % _LANES)))


def expand(steps: Floats, scale: Floats) -> Floats:
    """Weights from their stored form: the square of the integer, with its sign, times the column's scale; float32."""
    whole = steps.astype(np.float32)
    return np.asarray(whole * np.abs(whole) * scale)


def to_points(values: Floats, knots: Floats, ranks: Floats) -> Floats:
    """Measures as the kernel sees them: normal scores of their ranks, weighted, as whole numbers in float32."""
    out = np.zeros(values.shape, np.float32)
    _interpolate(values.astype(np.float32), knots, ranks, out)
    return out


class Machine(NamedTuple):
    """The kernel machine, made ready: numbers of rows are even, and rows of `alphas` filled up to full lanes."""

    supports: Floats  # int8[N, F + L]
    norms: Floats  # int32[N]: squared lengths
    alphas: Floats  # float32[N, lanes]
    low: Floats  # float32[2**12]: exp of a squared distance's lower bits
    high: Floats  # the same of its higher bits


def machine(a: Arrays) -> Machine:
    """Tables of the kernel machine. Squared distances are whole numbers, so exp comes from two tables."""
    rows, width = a.supports.shape
    supports = np.pad(a.supports, ((0, rows % 2), (0, 0)))
    norms = (supports.astype(np.int32) ** 2).sum(axis=1, dtype=np.int32)
    alphas = np.pad(a.alphas.astype(np.float32), ((0, rows % 2), (0, -a.alphas.shape[1] % _LANES)))
    step, farthest = float(a.steps[0]), (2 * 127) ** 2 * width
    low = np.exp(-step * np.arange(1 << _BITS))
    high = np.exp(-step * (1 << _BITS) * np.arange((farthest >> _BITS) + 1))
    return Machine(supports, norms, alphas, low.astype(np.float32), high.astype(np.float32))


def kernel_opinions(points: Floats, m: Machine, a: Arrays, codes: NDArray[np.int64]) -> Floats:
    """What a Gaussian kernel machine says: float32[rows, R]."""
    rows = len(points)
    whole = np.pad(points.astype(np.int8), ((0, -rows % 4), (0, 0)))
    out = np.zeros((len(whole), m.alphas.shape[1]), np.float32)
    _gaussian(whole, m, out)
    return np.asarray(out[:rows, : a.alphas.shape[1]] * a.alpha_scale + a.kernel_language[codes])


def decode(raw: Floats, settings: dict[str, float]) -> Floats:
    """Ratings from the six forests' values: log odds of zero, overall if not zero, four aspects.

    `shift` is added to the log odds and `sharpen` multiplies them: what is probably zero is best called so outright.
    `stretch` spreads the overall rating about `center`: it undoes the pull to the mean.
    """
    odds = settings["sharpen"] * (np.clip(raw[:, 0], -30, 30) + settings.get("shift", 0.0))
    spread = settings["center"] + settings["stretch"] * (raw[:, 1] - settings["center"])
    ratings = np.column_stack([np.clip(spread, 0, 10) / (1 + np.exp(odds)), raw[:, 2:]])
    return np.asarray(np.clip(ratings, 0, 10), np.float32)


def fingerprint(arrays: Arrays, card: dict[str, Any]) -> str:
    """A name for model, feature version and settings, from their bytes."""
    settings = json.dumps([card["languages"], card["decode"], card["features"]])
    return f"reference-{features.VERSION}-{arrays.hash_with(settings)}"


@jit
def _interpolate(values: Array, knots: Array, ranks: Array, out: Array) -> None:
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            v = values[i, j]
            low, high = 0, knots.shape[1]
            while low < high:
                middle = (low + high) // 2
                if knots[j, middle] <= v:
                    low = middle + 1
                else:
                    high = middle
            if low == 0:
                r = ranks[j, 0]
            elif low == knots.shape[1] or knots[j, low] == np.inf:
                r = ranks[j, low - 1]
            else:
                share = (v - knots[j, low - 1]) / (knots[j, low] - knots[j, low - 1])
                r = ranks[j, low - 1] + share * (ranks[j, low] - ranks[j, low - 1])
            out[i, j] = np.rint(r)


@jit
def _product(x: Array, y: Array) -> Array:
    return np.int32(np.int32(x) * np.int32(y))


@jit
def _gaussian(points: Array, m: Machine, out: Array) -> None:
    # Four files by two supports at a time keeps all eight sums in registers. One thread, unlike a matrix product by
    # BLAS, whose threads would fight with those of the processes beside this one.
    sums = np.zeros((4, 2), np.int32)
    for i in range(0, points.shape[0], 4):
        own = np.zeros(4, np.int32)
        for r in range(4):
            for k in range(points.shape[1]):
                own[r] += _product(points[i + r, k], points[i + r, k])
        for j in range(0, m.supports.shape[0], 2):
            a0, a1, a2, a3 = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            b0, b1, b2, b3 = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            for k in range(points.shape[1]):
                v, w = m.supports[j, k], m.supports[j + 1, k]
                a0 = np.int32(a0 + _product(points[i, k], v))
                a1 = np.int32(a1 + _product(points[i + 1, k], v))
                a2 = np.int32(a2 + _product(points[i + 2, k], v))
                a3 = np.int32(a3 + _product(points[i + 3, k], v))
                b0 = np.int32(b0 + _product(points[i, k], w))
                b1 = np.int32(b1 + _product(points[i + 1, k], w))
                b2 = np.int32(b2 + _product(points[i + 2, k], w))
                b3 = np.int32(b3 + _product(points[i + 3, k], w))
            sums[0, 0], sums[1, 0], sums[2, 0], sums[3, 0] = a0, a1, a2, a3
            sums[0, 1], sums[1, 1], sums[2, 1], sums[3, 1] = b0, b1, b2, b3
            for c in range(2):
                for r in range(4):
                    d = own[r] + m.norms[j + c] - 2 * sums[r, c]
                    near = m.high[d >> _BITS] * m.low[d & ((1 << _BITS) - 1)]
                    for q in range(out.shape[1]):
                        out[i + r, q] += near * m.alphas[j + c, q]


@jit
def forest(  # noqa: PLR0917 - eight parameters is the house limit
    inputs: Array,
    node_feature: Array,
    node_threshold: Array,
    node_left: Array,
    roots: Array,
    forests: Array,
    bases: Array,
) -> Any:
    """Sums of the trees' leaves by forest: float32[rows, forests]."""
    out = np.zeros((inputs.shape[0], bases.shape[0]), np.float32)
    for f in range(bases.shape[0]):
        out[:, f] = bases[f]
        # Trees outside, rows inside: a tree's nodes stay in the cache, and walks of several rows overlap.
        for t in range(forests[f], forests[f + 1]):
            for i in range(inputs.shape[0]):
                node = roots[t]
                while node_feature[node] >= 0:
                    node = node_left[node] + (inputs[i, node_feature[node]] > node_threshold[node])
                out[i, f] += node_threshold[node]
    return out
