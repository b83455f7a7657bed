"""Measures near-dedup on real files: what it found against the exact similarity of all pairs."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.run import run_annotators
from codemill.dedup.allpairs import Pairs, all_pairs, drop_by_pairs
from codemill.dedup.minhash import MinHashAnnotator, MinHashParams, band_hashes
from codemill.dedup.near import Candidates, NearSettings, near_duplicates
from codemill.engine import Engine
from codemill.errors import InputError
from codemill.lexer import Shingles, distinct_shingles
from codemill.recipe import DirectorySource, IngestSettings
from codemill.schema import BLOB
from codemill.sources.ingest import contents, ingest, owners
from codemill.store import Store

STEPS = (0.1, 0.2)  # bands of similarity above the threshold: [t, t + 0.1), [t + 0.1, t + 0.2), the rest


@dataclass(frozen=True)
class Band:
    """True pairs with a similarity in [low, high), and how many of them share a bucket."""

    low: float
    high: float
    pairs: int
    proposed: int

    @property
    def recall(self) -> float:
        return self.proposed / self.pairs if self.pairs else 1.0


@dataclass(frozen=True)
class Recall:
    """Near-dedup against the truth.

    Attributes:
        files: files compared, all pairs of them.
        pairs: all pairs at or above the threshold; `bands` has them by similarity.
        evidence: pairs that near-dedup names; `true_evidence` of them have exactly that similarity, at or above it.
        true_drops: files that a walk with knowledge of all pairs drops; `found_drops` of them were dropped.
    """

    files: int
    pairs: Band
    bands: tuple[Band, ...]
    evidence: int
    true_evidence: int
    true_drops: int
    found_drops: int

    @property
    def precision(self) -> float:
        """Share of the named pairs that are true."""
        return self.true_evidence / self.evidence if self.evidence else 1.0

    @property
    def drop_recall(self) -> float:
        """Share of the files to drop that were dropped."""
        return self.found_drops / self.true_drops if self.true_drops else 1.0

    def lines(self) -> list[str]:
        """The result for people, one measure a line."""
        pairs = [self.pairs, *self.bands]
        return [
            f"{self.files:,} files, all pairs compared",
            f"precision {self.precision:.5f} ({self.true_evidence:,} of {self.evidence:,} pairs of the evidence)",
            *(
                f"recall of pairs {b.low:.2f} to {b.high:.2f}: {b.recall:.5f} ({b.proposed:,} of {b.pairs:,})"
                for b in pairs
            ),
            f"recall of drops {self.drop_recall:.5f} ({self.found_drops:,} of {self.true_drops:,} files)",
        ]


def measure_path(path: str, engine: Engine, sample: int, sketches: MinHashParams, settings: NearSettings) -> Recall:
    """Measure on a store, or on a folder of files, which is read into a store that is removed again.

    Raises:
        InputError: the path is neither, or there are no files.
    """
    store = Store(path)
    if store.exists("codemill.json"):
        with store.lock():
            store.require()
            shards = [file.removeprefix("ingested/")[:-5] for file in store.files("ingested", ".json")]
            return measure(store, engine, shards, sample, (sketches, settings))
    source = DirectorySource(kind="directories", name="sample", path=str(Path(path)), layout="single")
    with tempfile.TemporaryDirectory(prefix="codemill-") as folder:
        store = Store(folder)
        store.create()
        done = ingest(store, engine, [source], IngestSettings())
        if not done.occurrences:
            raise InputError(f"dedup-recall {path}: expected files, got an empty folder")
        return measure(store, engine, done.shards, sample, (sketches, settings))


def measure(
    store: Store, engine: Engine, shards: Sequence[str], sample: int, how: tuple[MinHashParams, NearSettings]
) -> Recall:
    """Near-dedup of a sample of a store's files against all pairs of the sample.

    Args:
        store: where the files are.
        engine: runs what the sample needs.
        shards: whose files may be in the sample.
        sample: at most so many, those with the least blob ids, which are as good as drawn by chance; 0: all.
        how: parameters of the sketches, settings of the rule.
    """
    sketches, settings = how
    annotator = MinHashAnnotator(sketches)
    annotation = run_annotators(store, engine, shards, [annotator])["minhash"]
    found = store.read_all(annotation.files, annotator.schema(), ["blob_id", "shingles"])
    blobs = store.read_all([f"blobs/{shard}.parquet" for shard in shards], BLOB, ["blob_id"])["blob_id"]
    here = pc.and_(pc.greater(found["shingles"], 0), pc.is_in(found["blob_id"], value_set=pc.unique(blobs)))
    ids = found.filter(here).sort_by("blob_id")["blob_id"].slice(0, sample or None).combine_chunks()
    table = pa.table({"blob_id": ids, "rank": np.arange(len(ids))})
    candidates = Candidates.of(table)
    evidence = near_duplicates(store, engine, candidates, annotation.files, sketches, settings).evidence
    sets = _shingles(store, ids, sketches.ngram)
    truth = all_pairs(sets, settings.threshold)
    kept = pc.index_in(evidence["kept"], value_set=ids).to_numpy().astype(np.int64)
    dropped = pc.index_in(evidence["dropped"], value_set=ids).to_numpy().astype(np.int64)
    to_drop = drop_by_pairs(truth, len(ids))
    proposed = _proposed(truth, sets, sketches)
    edges = [settings.threshold, *(settings.threshold + step for step in STEPS if settings.threshold + step < 1), 1.0]
    return Recall(
        files=len(ids),
        pairs=_band(truth, proposed, edges[0], edges[-1]),
        bands=tuple(_band(truth, proposed, low, high) for low, high in pairwise(edges)),
        evidence=evidence.num_rows,
        true_evidence=_true(truth, kept, dropped, evidence["similarity"].to_numpy()),
        true_drops=int(to_drop.sum()),
        found_drops=int(to_drop[dropped].sum()),
    )


def _shingles(store: Store, ids: pa.Array, ngram: int) -> Shingles:
    """Distinct shingles of these blobs, in their order."""
    parts = []
    for shard, owned in owners(store, ids).items():
        for batch in contents(store, shard, owned, ["blob_id", "content"]):
            parts.append((batch.column("blob_id"), batch.column("content")))
    order = pc.index_in(ids, value_set=pa.chunked_array([part for part, _ in parts], pa.string()).combine_chunks())
    content = pa.chunked_array([part for _, part in parts], pa.large_binary()).combine_chunks()
    return distinct_shingles(content.take(order), ngram)


def _proposed(truth: Pairs, sets: Shingles, sketches: MinHashParams) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which pairs share a bucket."""
    bands = band_hashes(sets.values, sets.offsets, sketches)
    shared = np.zeros(len(truth.first), np.bool_)
    for band in bands.T:
        shared |= band[truth.first] == band[truth.second]
    return shared


def _true(truth: Pairs, kept: np.ndarray, dropped: np.ndarray, similarity: np.ndarray) -> int:
    """How many pairs of the evidence are in the truth, with the very same similarity."""
    known = dict(zip(zip(truth.first.tolist(), truth.second.tolist(), strict=True), truth.similarity, strict=True))
    named = zip(kept.tolist(), dropped.tolist(), similarity.tolist(), strict=True)
    return sum(known.get((better, worse)) == value for better, worse, value in named)


def _band(truth: Pairs, proposed: np.ndarray[tuple[int], np.dtype[np.bool_]], low: float, high: float) -> Band:
    inside = (truth.similarity >= low) & ((truth.similarity < high) | (high == 1.0))
    return Band(low, high, int(inside.sum()), int(proposed[inside].sum()))
