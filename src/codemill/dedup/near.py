"""Near-duplicate files of a store: sketches propose, the whole shingle sets decide, a table of evidence says so.

Only files that share a bucket of band hashes take part. Connected components of shared buckets are independent of each
other, so they are the unit of work and of memory: the shingles of their files are computed shard by shard, laid out by
task in scratch files, and each task walks its components alone. What came of a component depends on its files and
their order alone, so it is kept: a later run redoes only components that new files joined or reordered.

`proposals.py` finds the components, `layout.py` writes down the tasks, `walk.py` does them in workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.dedup.layout import Ids, Work, lay_out, name_components
from codemill.dedup.minhash import MinHashAnnotator, MinHashParams
from codemill.dedup.proposals import Proposals
from codemill.dedup.walk import SCRATCH
from codemill.engine import Engine
from codemill.errors import RecipeError
from codemill.keys import KeyIndex, Keys, keys_of
from codemill.schema import EVIDENCE, digest
from codemill.store import Store, annotation_folder

VERSION = 1  # raise it when the same files come out differently
# The engine weighs work by bytes of content at the pace of a parser. A byte of shingles is written so many times as
# fast, and compared so many times as fast: measured on 2 cores, below that the start of workers costs what it gains.
WRITE_PACE, WALK_PACE = 100, 1000


@dataclass(frozen=True)
class NearSettings:
    """What a rule asks for.

    Attributes:
        threshold: least Jaccard similarity of a near-duplicate.
        max_representatives: most kept files that one is compared with in one bucket.
        task_bytes: about how many bytes of shingles a worker holds; a single larger component is held as a whole.
    """

    threshold: float = 0.7
    max_representatives: int = 64
    task_bytes: int = 128_000_000


@dataclass(frozen=True)
class NearStats:
    """What it took.

    Attributes:
        files: distinct blobs asked about.
        unsketched: those with no sketch (their annotation failed); they are kept.
        proposed: those that share a bucket with another.
        buckets: groups of files with an equal band hash.
        components: independent groups of files linked by buckets; `components_new` had to be computed.
        largest_component: files in the largest one.
        candidate_pairs: pairs of a file and a kept one that shared a bucket.
        verified_pairs: those whose sizes allowed the threshold, so that their whole shingle sets were compared.
        dropped: near-duplicates found.
        largest_cluster: most files dropped against a single kept one.
        capped_buckets: buckets with more kept files than `max_representatives`; drops may be missing there.
    """

    files: int
    unsketched: int
    proposed: int
    buckets: int
    components: int
    components_new: int
    largest_component: int
    candidate_pairs: int
    verified_pairs: int
    dropped: int
    largest_cluster: int
    capped_buckets: int


@dataclass(frozen=True)
class NearResult:
    """`evidence` has schema `EVIDENCE`: blob ids, one row for each dropped blob, in the order of their rank."""

    evidence: pa.Table
    stats: NearStats


@dataclass(frozen=True)
class Candidates:
    """The blobs asked about, best-ranked first.

    Attributes:
        keys: of their ids, each once.
        ids: from places among them (int64) to their ids; asked for in few calls.
    """

    keys: Keys
    ids: Ids

    @classmethod
    def of(cls, table: pa.Table) -> "Candidates":
        """Those of a table with columns `blob_id` and `rank` (lower is better), in any order."""
        ids = table.sort_by("rank")["blob_id"].combine_chunks()
        if len(pc.unique(table["rank"])) != len(ids):
            raise ValueError("candidates: expected every rank once, got repeated ones")
        return cls(keys_of(ids), lambda places: ids.take(pa.array(places)))


def near_duplicates(  # noqa: PLR0917 - eight parameters is the house limit
    store: Store,
    engine: Engine,
    candidates: Candidates,
    files: Sequence[str],
    sketches: MinHashParams,
    settings: NearSettings,
) -> NearResult:
    """Drop every file that truly resembles a better-ranked file that is kept.

    Files are walked in rank order. One is dropped if its Jaccard similarity with a kept file among its LSH candidates
    is at least the threshold; the evidence names the most similar one, the better-ranked of equals.

    Args:
        store: holds the blobs, their owners and the annotation.
        engine: runs the tasks; the result does not depend on it.
        candidates: the files, by rank.
        files: Parquet files of the annotation `minhash` that hold the candidates' sketches.
        sketches: the parameters they were made with.
        settings: threshold and bounds.

    Raises:
        RecipeError: the threshold lies below the one the sketches were made for.
    """
    if settings.threshold < sketches.threshold:
        raise RecipeError(
            f"annotate.minhash.threshold: expected at most {settings.threshold}, the threshold of the rule, "
            f"got {sketches.threshold}"
        )
    parts = (MinHashAnnotator(sketches).fingerprint(), str(VERSION), str(settings.threshold))
    folder = annotation_folder("near", digest((*parts, str(settings.max_representatives))))
    store.delete_folder(SCRATCH)
    try:
        proposals = Proposals(store, candidates.keys)
        proposals.read(files, sketches)
        return _verify(proposals, engine, candidates.ids, (folder, sketches, settings))
    finally:
        store.delete_folder(SCRATCH)


def _verify(proposals: Proposals, engine: Engine, ids: Ids, how: tuple[str, MinHashParams, NearSettings]) -> NearResult:
    """Compute the components that the folder doesn't hold, and tell what came of all."""
    folder, store = how[0], proposals.store
    members, label = proposals.components()
    names = name_components(members, label, ids)
    index = KeyIndex(keys_of(names))
    fresh = np.ones(len(names), np.bool_)
    for file in store.files(folder, ".parquet"):
        known = index.find(keys_of(store.read(file, ["component"])["component"]))
        fresh[known[known >= 0]] = False
    if fresh.any():
        _compute(proposals, engine, Work(members, label, names, fresh, ids), how)
    evidence, sums = _done(proposals, folder, index)
    stats = NearStats(
        files=proposals.total,
        unsketched=int((proposals.shingles < 0).sum()),
        proposed=len(members),
        buckets=proposals.buckets,
        components=len(names),
        components_new=int(fresh.sum()),
        largest_component=int(np.unique(label, return_counts=True)[1].max(initial=0)),
        candidate_pairs=sums["candidates"],
        verified_pairs=sums["verified"],
        dropped=evidence.num_rows,
        largest_cluster=pc.max(pc.value_counts(evidence["kept"]).field("counts")).as_py() or 0,
        capped_buckets=sums["capped"],
    )
    return NearResult(evidence, stats)


def _compute(proposals: Proposals, engine: Engine, work: Work, how: tuple[str, MinHashParams, NearSettings]) -> None:
    """Walk the components that are to do; what came of them is stored in the folder."""
    store = proposals.store
    folder, sketches, settings = how
    tasks = lay_out(proposals, work, settings.task_bytes)
    weight = int(tasks.sizes.sum()) * 8
    spills = [{"store": store.root, "shard": shard, "ngram": sketches.ngram} for shard in tasks.shards]
    list(engine.map("codemill.dedup.walk:spill_shard", spills, weight // WRITE_PACE))
    common = {
        "store": store.root,
        "folder": folder,
        "threshold": settings.threshold,
        "max_representatives": settings.max_representatives,
    }
    walks = [{**common, "task": task} for task in range(tasks.count)]
    list(engine.map("codemill.dedup.walk:walk_task", walks, weight // WALK_PACE))


def _done(proposals: Proposals, folder: str, index: KeyIndex) -> tuple[pa.Table, dict[str, int]]:
    """What is known of the components now: evidence in rank order, and sums."""
    sums = dict.fromkeys(("candidates", "verified", "capped"), 0)
    parts = []
    for file in proposals.store.files(folder, ".parquet"):
        done = proposals.store.read(file)
        done = done.filter(pa.array(index.find(keys_of(done["component"])) >= 0))
        sums = {name: count + (pc.sum(done[name]).as_py() or 0) for name, count in sums.items()}
        columns = [pc.list_flatten(done[name]).combine_chunks() for name in EVIDENCE.names]
        parts.append(pa.Table.from_arrays(columns, schema=EVIDENCE))
    evidence = pa.concat_tables([EVIDENCE.empty_table(), *parts]).combine_chunks()
    order = np.argsort(proposals.index.find(keys_of(evidence["dropped"])), kind="stable")
    return evidence.take(pa.array(order)), sums
