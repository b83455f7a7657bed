"""Sketches of files whose equal parts propose near-duplicates: MinHash over token n-grams, hashed into LSH bands.

The sketch is a MinHash whose components are filled by a few passes over the set instead of one pass for each
(Dahlgaard, Knudsen and Thorup, *Fast Similarity Sketching*, FOCS 2017): every component of two sets is equal with
probability equal to their Jaccard similarity, as with one permutation each (Broder 1997), for a hundredth of the work.
Bands of components (Indyk and Motwani 1998) make the proposals; `near.py` verifies them.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from codemill.annotate.base import Annotator, Key
from codemill.lexer import Hashes, Ints, buffers, distinct_shingles, jit, mix
from codemill.recipe import Strict

# Pieces of this many bytes keep the hashes of a piece in the processor's cache.
PIECE_BYTES = 2_000_000
# Least chance that a pair exactly at the threshold is proposed.
LEAST_RECALL = 0.99

_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW = np.uint64((1 << 48) - 1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Banding:
    """How a sketch is cut: `bands` groups of `rows` components; files that agree on a whole band become candidates."""

    bands: int
    rows: int

    def probability(self, similarity: float) -> float:
        """Chance that two files of this Jaccard similarity become candidates: 1 - (1 - s^rows)^bands."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def banding(permutations: int, threshold: float) -> Banding:
    """The most selective banding that still proposes pairs at the threshold with a chance of at least 0.99."""
    options = (Banding(permutations // rows, rows) for rows in range(permutations, 0, -1))
    return next((one for one in options if one.probability(threshold) >= LEAST_RECALL), Banding(permutations, 1))


class MinHashParams(Strict):
    """What sketches are made of. Files are comparable only if they share all of these."""

    permutations: int = Field(256, ge=1, le=4096, description="components of a sketch")
    ngram: int = Field(5, ge=1, le=64, description="tokens of a shingle")
    threshold: float = Field(
        0.7, gt=0, le=1, description="least similarity that proposals must cover; rules may ask for more, not for less"
    )
    seed: int = Field(1, ge=0, lt=2**63)


class MinHashAnnotator(Annotator):
    """`shingles`: how many different token n-grams a file has; `bands`: the hashes of its sketch's bands."""

    name: ClassVar[str] = "minhash"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "blob"
    fields: ClassVar[pa.Schema] = pa.schema([("shingles", pa.int64()), ("bands", pa.list_(pa.uint64()))])
    Params: ClassVar[type[Strict]] = MinHashParams

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        params = self.params
        assert isinstance(params, MinHashParams)
        parts = []
        for piece in pieces(batch.column("content")):
            found = distinct_shingles(piece, params.ngram)
            bands = band_hashes(found.values, found.offsets, params)
            # A file without tokens resembles nothing: it has no bands.
            lengths = np.where(np.diff(found.offsets) > 0, bands.shape[1], 0)
            places = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
            lists = pa.ListArray.from_arrays(places, pa.array(bands[lengths > 0].reshape(-1)))
            parts.append(pa.RecordBatch.from_arrays([pa.array(np.diff(found.offsets)), lists], schema=self.fields))
        return pa.concat_batches(parts) if parts else pa.RecordBatch.from_pylist([], schema=self.fields)


def pieces(content: pa.Array) -> list[pa.Array]:
    """The array cut into slices of about `PIECE_BYTES`, at least one row each."""
    _, offsets = buffers(content)
    cuts = [0]
    while cuts[-1] < len(content):
        stop = int(np.searchsorted(offsets, offsets[cuts[-1]] + PIECE_BYTES, "right")) - 1
        cuts.append(min(max(stop, cuts[-1] + 1), len(content)))
    return [content.slice(start, stop - start) for start, stop in pairwise(cuts)]


def band_hashes(values: Hashes, offsets: Ints, params: MinHashParams) -> Hashes:
    """Hashes of the bands of every set's sketch, shape (sets, bands). Sets are as `lexer.Shingles` holds them."""
    cut = banding(params.permutations, params.threshold)
    return _bands(sketch(values, offsets, params.permutations, np.uint64(params.seed)), cut.bands, cut.rows)


@jit
def sketch(values: Hashes, offsets: Ints, size: int, seed: np.uint64) -> Hashes:
    """Fast similarity sketches, shape (sets, size): equal components estimate the Jaccard similarity.

    In each of the first `size` rounds every value falls into a random component, in round `size + i` into component
    `i`. A component holds the least (round, hash) that fell into it, so once all are filled later rounds change
    nothing and are left out.
    """
    sketches = np.full((len(offsets) - 1, size), _EMPTY)
    for row in range(len(sketches)):
        own = sketches[row]
        start, stop = offsets[row], offsets[row + 1]
        waiting = size if stop > start else 0
        turn = 0
        while waiting:
            key = mix(seed + np.uint64(turn + 1) * _GOLDEN)
            prefix = np.uint64(turn) << np.uint64(48)
            for index in range(start, stop):
                value = mix(values[index] ^ key)
                if turn < size:
                    component = ((value >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32)
                else:
                    component = np.uint64(turn - size)
                candidate = prefix | (value & _LOW)
                if candidate < own[component]:
                    waiting -= own[component] == _EMPTY
                    own[component] = candidate
            turn += 1
    return sketches


@jit
def _bands(sketches: Hashes, bands: int, rows: int) -> Hashes:
    hashes = np.empty((len(sketches), bands), np.uint64)
    for index in range(len(sketches)):
        for band in range(bands):
            value = np.uint64(band) * _GOLDEN
            for row in range(rows):
                value = mix(value ^ sketches[index, band * rows + row]) + _GOLDEN
            hashes[index, band] = value
    return hashes
