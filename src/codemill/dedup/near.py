"""Near-duplicate files of a store: sketches propose, the whole shingle sets decide, a table of evidence says so.

Only files that share a bucket of band hashes take part. Connected components of shared buckets are independent of each
other, so they are the unit of work and of memory: the shingles of their files are computed shard by shard, laid out by
task in scratch files, and each task walks its components alone. What came of a component depends on its files and
their order alone, so it is kept: a later run redoes only components that new files joined or reordered.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.dedup.candidates import Buckets, components, group, join, passes
from codemill.dedup.minhash import MinHashAnnotator, MinHashParams, banding
from codemill.dedup.walk import COMPONENT, SCRATCH
from codemill.engine import Engine
from codemill.errors import EngineError, RecipeError
from codemill.lexer import Hashes, Ints
from codemill.schema import EVIDENCE, digest
from codemill.sources.ingest import owners
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
class _Files:
    """The blobs asked about, best-ranked first: ids, distinct shingles (0 where there is no sketch), buckets."""

    ids: pa.Array
    shingles: Ints
    buckets: Buckets


def near_duplicates(  # noqa: PLR0917 - eight parameters is the house limit
    store: Store,
    engine: Engine,
    candidates: pa.Table,
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
        candidates: columns `blob_id` and `rank` (int64, lower is better), each blob and each rank once.
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
    found = _load(store, candidates, files, sketches)
    label = components(found.buckets, len(found.ids))
    members = np.unique(found.buckets.members)
    members = members[np.argsort(label[members], kind="stable")]
    ids = found.ids.take(pa.array(members))
    names = _names(ids, label[members])
    parts = (MinHashAnnotator(sketches).fingerprint(), str(VERSION), str(settings.threshold))
    folder = annotation_folder("near", digest((*parts, str(settings.max_representatives))))
    known = store.read_all(store.files(folder, ".parquet"), COMPONENT, ["component"])["component"]
    fresh = np.flatnonzero(~pc.is_in(names, value_set=known.combine_chunks()).to_numpy(zero_copy_only=False))
    if len(fresh):
        _compute(store, engine, found, _Work(members, label[members], names, fresh), (folder, sketches, settings))
    done = store.read_all(store.files(folder, ".parquet"), COMPONENT)
    done = done.filter(pc.is_in(done["component"], value_set=names))
    evidence = _evidence(done, found.ids)
    sizes = np.unique(label[members], return_counts=True)[1]
    stats = NearStats(
        files=len(found.ids),
        unsketched=int((found.shingles < 0).sum()),
        proposed=len(members),
        buckets=len(found.buckets.sizes),
        components=len(names),
        components_new=len(fresh),
        largest_component=int(sizes.max(initial=0)),
        candidate_pairs=pc.sum(done["candidates"]).as_py() or 0,
        verified_pairs=pc.sum(done["verified"]).as_py() or 0,
        dropped=evidence.num_rows,
        largest_cluster=pc.max(pc.value_counts(evidence["kept"]).field("counts")).as_py() or 0,
        capped_buckets=pc.sum(done["capped"]).as_py() or 0,
    )
    return NearResult(evidence, stats)


def _load(store: Store, candidates: pa.Table, files: Sequence[str], sketches: MinHashParams) -> _Files:
    """Sketches of the candidates, by rank. Blobs without one get -1 shingles."""
    ids = candidates.sort_by("rank")["blob_id"].combine_chunks()
    if len(pc.unique(candidates["rank"])) != len(ids) or len(pc.unique(ids)) != len(ids):
        raise ValueError("candidates: expected every blob and every rank once, got repeated ones")
    shingles = np.full(len(ids), -1, np.int64)
    places = []
    for file in files:
        table = store.read(file, ["blob_id", "shingles"])
        place = pc.fill_null(pc.index_in(table["blob_id"], value_set=ids), -1).to_numpy().astype(np.int64)
        counts = pc.fill_null(table["shingles"], -1).to_numpy()
        shingles[place[place >= 0]] = counts[place >= 0]
        places.append(np.where(counts > 0, place, -1))
    bands = banding(sketches.permutations, sketches.threshold).bands
    turns = passes(len(ids) * bands)
    groups = []
    for turn in range(turns):
        parts = (_bands(store, file, place, bands) for file, place in zip(files, places, strict=True))
        groups.append(group(parts, len(ids), turn, turns))
    return _Files(ids, shingles, join(groups))


def _bands(store: Store, file: str, place: Ints, bands: int) -> tuple[Ints, Hashes]:
    """Positions and band hashes of the rows of a file that are wanted (those with a place)."""
    if not (place >= 0).any():
        return np.zeros(0, np.int64), np.zeros((0, bands), np.uint64)
    wanted = store.read(file, ["bands"])["bands"].filter(pa.array(place >= 0)).combine_chunks()
    return place[place >= 0], wanted.flatten().to_numpy().reshape(-1, bands)


def _names(ids: pa.Array, label: Ints) -> pa.Array:
    """What identifies each component: a hash over its blob ids in rank order (`ids`, `label`: sorted by component)."""
    starts = np.flatnonzero(np.diff(label, prepend=-1))
    text = "".join(ids.to_pylist())
    cuts = [*(starts * 64).tolist(), len(text)]
    names = [hashlib.sha256(text[a:b].encode()).hexdigest()[:32] for a, b in pairwise(cuts)]
    return pa.array(names, pa.string())


def _evidence(done: pa.Table, ids: pa.Array) -> pa.Table:
    """Evidence of components as one table in rank order."""
    columns = [pc.list_flatten(done[name]).combine_chunks() for name in EVIDENCE.names]
    order = pc.sort_indices(pc.index_in(columns[0], value_set=ids))
    return pa.Table.from_arrays(columns, schema=EVIDENCE).take(order)


@dataclass(frozen=True)
class _Work:
    """Components and which of them are to do.

    Attributes:
        members: positions of all proposed files, by component, then rank.
        label: their components' labels, ascending.
        names: one for each component, in that order.
        fresh: indices into `names` of those to do.
    """

    members: Ints
    label: Ints
    names: pa.Array
    fresh: Ints


def _compute(
    store: Store, engine: Engine, found: _Files, work: _Work, how: tuple[str, MinHashParams, NearSettings]
) -> None:
    """Walk the components of `work.fresh`; what came of them is stored in the folder."""
    folder, sketches, settings = how
    store.delete_folder(SCRATCH)
    try:
        table, tasks = _plan(store, found, work, settings.task_bytes)
        weight = int(found.shingles[table["position"].to_numpy()].sum()) * 8
        spills = []
        for shard in pc.unique(table["shard"]).to_pylist():
            store.write(f"{SCRATCH}/members/{shard}.parquet", table.filter(pc.equal(table["shard"], shard)))
            spills.append({"store": store.root, "shard": shard, "ngram": sketches.ngram})
        list(engine.map("codemill.dedup.walk:spill_shard", spills, weight // WRITE_PACE))
        common = {
            "store": store.root,
            "folder": folder,
            "threshold": settings.threshold,
            "max_representatives": settings.max_representatives,
        }
        walks = [{**common, "task": task} for task in range(tasks)]
        list(engine.map("codemill.dedup.walk:walk_task", walks, weight // WALK_PACE))
    finally:
        store.delete_folder(SCRATCH)


def _plan(store: Store, found: _Files, work: _Work, task_bytes: int) -> tuple[pa.Table, int]:
    """Lay the work out: write what each task needs; the table of all members, and how many tasks there are.

    The table is in the order of the shards' scratch files (shard, task, position), with each member's place there.
    """
    starts = np.flatnonzero(np.diff(work.label, prepend=-1))
    index = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(work.label)))
    todo = np.zeros(len(starts), bool)
    todo[work.fresh] = True
    position, index = work.members[todo[index]], index[todo[index]]
    sizes = found.shingles[position]
    weights = np.bincount(index, sizes * 8.0, len(starts))[todo]
    task_of = np.zeros(len(starts), np.int64)
    task_of[todo] = (np.cumsum(weights) - weights) // task_bytes
    task_of[todo] = np.unique(task_of[todo], return_inverse=True)[1]
    task = task_of[index]

    ids = found.ids.take(pa.array(position))
    by_shard = owners(store, ids)
    shard = np.full(len(ids), -1, np.int64)
    for number, owned in enumerate(by_shard.values()):
        shard[pc.index_in(owned, value_set=ids).to_numpy()] = number
    if (shard < 0).any():
        raise EngineError("near-dedup: expected every sketched file to belong to a shard, got files without one")
    order = np.lexsort((position, task, shard))
    offset = np.empty(len(order), np.int64)
    offset[order] = np.cumsum(sizes[order]) - sizes[order]
    first = np.full(len(by_shard), np.iinfo(np.int64).max)
    np.minimum.at(first, shard, offset)
    table = pa.table(
        {
            "blob_id": ids,
            "position": position,
            "component": work.names.take(pa.array(index)),
            "task": task,
            "shard": pa.array(list(by_shard), pa.string()).take(pa.array(shard)),
            "offset": offset - first[shard],
            "shingles": sizes,
        }
    )
    tasks = int(task.max()) + 1
    _write_tasks(store, table.take(pa.array(np.lexsort((position, task)))), found.buckets, tasks)
    return table.take(pa.array(order)), tasks


def _write_tasks(store: Store, table: pa.Table, buckets: Buckets, tasks: int) -> None:
    """Write members and buckets of each task; buckets speak of rows of the task's members."""
    task, position = table["task"].to_numpy(), table["position"].to_numpy()
    bounds = np.searchsorted(task, np.arange(tasks + 1))
    row = np.full(int(max(position.max(), buckets.members.max())) + 1, -1, np.int64)
    row[position] = np.arange(len(position)) - bounds[task]
    owner = np.full(len(row), -1, np.int64)
    owner[position] = task
    task_of_bucket = owner[buckets.members[buckets.offsets[:-1]]]
    order = np.argsort(task_of_bucket, kind="stable")
    cuts = np.searchsorted(task_of_bucket[order], np.arange(tasks + 1))
    lists = pa.LargeListArray.from_arrays(buckets.offsets, row[buckets.members])
    for number in range(tasks):
        store.write(
            f"{SCRATCH}/tasks/{number}.parquet", table.slice(bounds[number], bounds[number + 1] - bounds[number])
        )
        mine = lists.take(pa.array(order[cuts[number] : cuts[number + 1]]))
        store.write(f"{SCRATCH}/buckets/{number}.parquet", pa.table({"rows": mine}))
