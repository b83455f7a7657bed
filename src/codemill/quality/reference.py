"""The scorer that ships: n-grams, a kernel machine and boosted trees over compiled measures; no torch, no network.

How a file is judged, in order:
1. `features.extract` measures its first 7,000 characters; n-grams of bytes and tokens are hashed and weighed (TF-IDF).
2. Ridge regressions on the n-grams give first opinions. A kernel machine gives second ones: from the ranks of the
   measures and of a latent semantic projection of the tokens, the language and the first opinions, by a distance that
   was learned.
3. Boosted trees judge by the measures and those opinions: the chance that the zero rule holds, the overall rating if it
   does not, and the aspects.
4. The two are combined: a likely zero pulls the rating to 0.

A file's rating does not depend on its company: no sum is taken in an order that a batch could change.
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
from codemill.quality import features, kernels
from codemill.quality.machine import LANES, Machine, Space, opinions_of, ready, to_points
from codemill.quality.scorer import SCHEMA, as_list, languages_of
from codemill.quality.stored import StoredArrays, read_card
from codemill.quality.trees import Forests, plant, walk

Floats = NDArray[Any]

_ROWS = 256  # files judged at once: bounds memory


@dataclass(frozen=True)
class Arrays(StoredArrays):
    """The fitted model.

    Sizes: F measures, L projections, C languages, R opinions, D dimensions, N supports, K knots, T nodes.
    """

    what: ClassVar[str] = "a fitted reference model"

    character_idf: Floats  # float16[2**17]
    character_weights: Floats  # int8[2**17, R], see `expand`
    character_scale: Floats  # float32[R]
    token_idf: Floats  # float16[2**15]
    token_weights: Floats  # int8[2**15, R + L], see `expand`
    token_scale: Floats  # float32[R + L]
    text_language: Floats  # float32[languages + 1, R]: mean and language terms; the last row is for unknown ones
    knots: Floats  # float32[F + L, K], padded with infinity
    ranks: Floats  # float32[F + L, K]: normal scores at the knots, each measure's scaled to a spread of one
    metric: Floats  # float16[F + L + C + R, D]: measures, languages and first opinions times this are points
    supports: Floats  # int8[N, D]
    reach: Floats  # float32[1]: distance at which nearness has fallen to 1/e
    alphas: Floats  # float16[N, R]
    alpha_scale: Floats  # float32[R]
    kernel_mean: Floats  # float32[R]
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
        return self.rate(measures, texts, codes)

    def rate(self, measures: Floats, texts: Floats, codes: NDArray[np.int64]) -> Floats:
        """Ratings of files already read: float32[N, 5].

        Args:
            measures: float32[N, F].
            texts: what the n-grams' weights sum up to, float32[N, R + L]: first opinions without the language's part,
                and the latent projection.
            codes: of the languages, by the card's list; the number of languages where one is not known.
        """
        a = self._arrays
        opinions = texts[:, : a.character_scale.shape[0]] + a.text_language[codes]
        values = np.hstack([measures, texts[:, a.character_scale.shape[0] :]])
        second = self._second(values, codes, opinions)
        inputs = np.hstack([measures, opinions, second, a.language_facts[codes]]).astype(np.float32)
        return decode(walk(inputs, self._trees), self.card["decode"])

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
    def _trees(self) -> Forests:
        return plant(self._arrays)

    @cached_property
    def _kernel(self) -> tuple[Space, Machine]:
        a = self._arrays
        return Space(a.knots, a.ranks, a.metric.astype(np.float32)), ready(a.supports, a.alphas, float(a.reach[0]))

    def _second(self, values: Floats, codes: NDArray[np.int64], opinions: Floats) -> Floats:
        """Second opinions, from measures and projections (float32[rows, F + L]) and first ones: float32[rows, R]."""
        a = self._arrays
        space, machine = self._kernel
        points = to_points(values, codes, opinions, space)
        return np.asarray(opinions_of(points, machine, a.alphas.shape[1]) * a.alpha_scale + a.kernel_mean)


def squares(steps: Floats) -> Floats:
    """Weights without their scale, int16: the square of each integer, with its sign; rows filled up to whole lanes."""
    whole = steps.astype(np.int16)
    return np.pad(whole * np.abs(whole), ((0, 0), (0, -whole.shape[1] % LANES)))


def expand(steps: Floats, scale: Floats) -> Floats:
    """Weights from their stored form: the square of the integer, with its sign, times the column's scale; float32."""
    whole = steps.astype(np.float32)
    return np.asarray(whole * np.abs(whole) * scale)


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
