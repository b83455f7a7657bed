"""The scorer of commits: measures and hashed words, first opinions of two ridge regressions, then boosted trees.

How a commit is judged: `measures.measure` gives its measures, `hashed_words` its words. A ridge regression on the words
and a Gaussian kernel machine on the measures' ranks give first opinions; boosted trees judge by measures and opinions:
the chance that the zero rule holds, the overall rating if it does not, and the aspects. The trees and how their values
become ratings are those of the scorer of files.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codemill.errors import InputError
from codemill.quality.commits.measures import BITS, VERSION, hashed_words, measure
from codemill.quality.reference import decode
from codemill.quality.scorer import SCHEMA, as_list
from codemill.quality.stored import CARD, StoredArrays, read_card
from codemill.quality.trees import Forests, plant, walk

Floats = NDArray[Any]
NAME = "commits"
KERNEL_WIDTH = 0.5  # of the Gaussian kernel, per mean squared difference of standardized ranks


@dataclass(frozen=True)
class Arrays(StoredArrays):
    """The fitted model. Sizes: F measures, K knots, N rated commits, R opinions, T nodes."""

    what: ClassVar[str] = "a fitted scorer of commits"

    idf: Floats  # float32[2**BITS]
    words: Floats  # float32[2**BITS + 1, R]: weights, and last what is said where there are no words
    knots: Floats  # float32[F, K], padded with infinity
    scale: Floats  # float32[2, F]: means and spreads of the ranks
    supports: Floats  # float32[N, F]
    alphas: Floats  # float32[N + 1, R]: coefficients, and last the mean
    node_feature: Floats  # int16[T]; -1 is a leaf
    node_threshold: Floats  # float32[T]; a leaf's value
    node_left: Floats  # int32[T]; the right child is next to it
    roots: Floats  # int32[trees]
    forests: Floats  # int32[7]
    bases: Floats  # float32[6]


class CommitScorer:
    """A fitted scorer of commits at work; see `codemill.quality.scorer.Scorer`. Contents are message and patch."""

    def __init__(self, arrays: Arrays, card: dict[str, Any]) -> None:
        """Take a model and its card, which holds the `decode` settings.

        Raises:
            InputError: the model is of other measures.
        """
        if card.get("measures") != VERSION:
            raise InputError(f"scorer: expected measures {VERSION}, got {card.get('measures')}; fit it again")
        self.card, self._arrays = card, arrays

    @classmethod
    def load(cls, folder: Path) -> "CommitScorer":
        """The model in a folder that `fit_commits` wrote.

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
        """See `codemill.quality.scorer.Scorer.score`; languages and paths change nothing."""
        listed = as_list(contents, "contents", len(contents))
        if any(content is None for content in listed):
            raise InputError("contents: expected bytes or text, got null")
        texts = [one if isinstance(one, str) else bytes(one).decode("utf-8", "replace") for one in listed]
        # One by one: the order of a sum, and with it the last digit, must not depend on a commit's company.
        rows = [judge(self._arrays, self._trees, *read([text]), self.card["decode"])[0] for text in texts]
        out = np.array(rows, np.float32).reshape(len(texts), len(SCHEMA))
        return pa.RecordBatch.from_arrays([pa.array(column) for column in out.T.copy()], schema=SCHEMA)

    @cached_property
    def _trees(self) -> Forests:
        return plant(self._arrays)


def is_of_commits(folder: Path) -> bool:
    """Whether the scorer in a folder is one of commits, as its card says."""
    try:
        return bool(json.loads((folder / CARD).read_text()).get("name") == NAME)
    except (OSError, ValueError):
        return False


def read(texts: Sequence[str]) -> tuple[Floats, Floats]:
    """Measures (float64[N, F]) and counts of hashed words (float32[N, 2**BITS]) of commits."""
    measures = np.array([list(measure(text).values()) for text in texts], np.float64)
    counts = np.zeros((len(texts), 1 << BITS), np.float32)
    for row, text in enumerate(texts):
        for bucket, count in hashed_words(text).items():
            counts[row, bucket] = count
    return measures, counts


def weigh(counts: Floats, idf: Floats) -> Floats:
    """TF-IDF rows of length one."""
    weights = np.log1p(counts) * idf
    return np.asarray(weights / (np.linalg.norm(weights, axis=1, keepdims=True) + 1e-9), np.float32)


def ranks(measures: Floats, knots: Floats, scale: Floats | None = None) -> Floats:
    """Measures as standardized ranks: which of the knots they have reached."""
    out = np.column_stack([np.searchsorted(knots[j], measures[:, j], "right") for j in range(len(knots))])
    share = out / np.maximum(np.isfinite(knots).sum(axis=1), 1)
    return np.asarray(share if scale is None else (share - scale[0]) / scale[1], np.float32)


def kernel(points: Floats, supports: Floats) -> Floats:
    """Gaussian kernel between rows: float64[N, M]."""
    squared = (points**2).sum(axis=1)[:, None] + (supports**2).sum(axis=1)[None, :] - 2 * points @ supports.T
    return np.asarray(np.exp(-KERNEL_WIDTH * np.maximum(squared, 0) / points.shape[1]))


def inputs(measures: Floats, opinions: Floats) -> Floats:
    """What the trees see."""
    return np.hstack([measures, opinions]).astype(np.float32)


def judge(a: Arrays, trees: Forests, measures: Floats, counts: Floats, settings: dict[str, float]) -> Floats:
    """Ratings of commits already read: float32[N, 5]."""
    said = weigh(counts, a.idf) @ a.words[:-1] + a.words[-1]
    looks = kernel(ranks(measures, a.knots, a.scale), a.supports) @ a.alphas[:-1] + a.alphas[-1]
    rows = inputs(measures, np.hstack([said, looks]))
    return decode(walk(rows, trees), settings)


def fingerprint(arrays: Arrays, card: dict[str, Any]) -> str:
    """A name for model, measures and settings, from their bytes."""
    settings = json.dumps([card["decode"], card["measures"]], sort_keys=True)
    return f"{NAME}-{VERSION}-{arrays.hash_with(settings)}"
