"""Near-duplicate files of a store: sketches propose, the whole shingle sets decide, a table of evidence says so.

Only files that share a bucket of band hashes take part. Connected components of shared buckets are independent of each
other, so they are the unit of work and of memory: the shingles of their files are computed shard by shard, laid out by
task in scratch files, and each task walks its components alone. What came of a component depends on its files and
their order alone, so it is kept: a later run redoes only components that new files joined or reordered.

For a file there are held a key of 16 bytes and a few numbers; band hashes of many files are laid out on disk by hash
and grouped a pile at a time.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.dedup import candidates as sets
from codemill.dedup.candidates import Buckets
from codemill.dedup.minhash import MinHashAnnotator, MinHashParams, banding
from codemill.dedup.walk import SCRATCH
from codemill.engine import Engine
from codemill.errors import EngineError, RecipeError
from codemill.keys import KeyIndex, Keys, keys_of
from codemill.lexer import Hashes, Ints, buffers
from codemill.schema import EVIDENCE, digest
from codemill.store import Store, annotation_folder

MEMBERS_AT_ONCE = 65_536  # ids of so many files are fetched together
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
    ids: Callable[[Ints], pa.Array]

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
        return _Search(store, candidates).run(engine, files, (folder, sketches, settings))
    finally:
        store.delete_folder(SCRATCH)


class _Search:
    """Near-duplicates among the candidates of one call.

    Attributes:
        shingles: of each candidate; -1 where it has no sketch.
        parent: each candidate's component, once all buckets are linked.
        linked: candidates that share a bucket with another.
        held: the buckets, where they are few; else `spilled` files hold them.
    """

    def __init__(self, store: Store, candidates: Candidates) -> None:
        self.store, self.candidates = store, candidates
        self.total = len(candidates.keys)
        self.index = KeyIndex(candidates.keys)
        if self.index.repeated:
            raise ValueError("candidates: expected every blob once, got repeated ones")
        self.bits = sets.position_bits(self.total)
        self.shingles = np.full(self.total, -1, np.int64)
        self.parent = np.arange(self.total)
        self.linked = np.zeros(self.total, np.bool_)
        self.buckets = 0
        self.held: list[Buckets] = []
        self.spilled = 0

    def run(self, engine: Engine, files: Sequence[str], how: tuple[str, MinHashParams, NearSettings]) -> NearResult:
        folder, sketches, _ = how
        self._group(files, sketches)
        label = sets.components(self.parent)
        members = np.flatnonzero(self.linked)
        members = members[np.argsort(label[members], kind="stable")]
        label = label[members]
        names = self._names(members, label)
        index = KeyIndex(keys_of(names))
        fresh = np.ones(len(names), np.bool_)
        for file in self.store.files(folder, ".parquet"):
            known = index.find(keys_of(self.store.read(file, ["component"])["component"]))
            fresh[known[known >= 0]] = False
        if fresh.any():
            work = _Work(members, label, names, fresh)
            _compute(self, engine, work, how)
        evidence, sums = self._done(folder, index)
        stats = NearStats(
            files=self.total,
            unsketched=int((self.shingles < 0).sum()),
            proposed=len(members),
            buckets=self.buckets,
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

    # -- buckets -------------------------------------------------------------------------------------------------

    def _group(self, files: Sequence[str], sketches: MinHashParams) -> None:
        """Read all sketches and link what shares a band hash."""
        bands = banding(sketches.permutations, sketches.threshold).bands
        turns = sets.passes(self.total * bands)
        held, cuts = [np.zeros(0, np.uint64)], []
        for number, file in enumerate(files):
            words = self._words(file, bands)
            if turns == 1:
                held.append(words)
                continue
            words, starts = sets.piles(words, self.bits, turns)
            cuts.append(starts)
            with self.store.writing(f"{SCRATCH}/words/{number}.bin") as stream:
                stream.write(words)
        for turn in range(turns):
            words = np.concatenate(held) if turns == 1 else self._pile(cuts, turn)
            held.clear()
            self._link(sets.buckets_of(words, self.bits), turns > 1)

    def _words(self, file: str, bands: int) -> Hashes:
        """Band hashes of the candidates that a file sketches, which are counted on the way."""
        table = self.store.read(file, ["blob_id", "shingles", "bands"])
        place = self.index.find(keys_of(table["blob_id"]))
        counts = pc.fill_null(table["shingles"], -1).to_numpy()
        self.shingles[place[place >= 0]] = counts[place >= 0]
        wanted = (place >= 0) & (counts > 0)
        if not wanted.any():
            return np.zeros(0, np.uint64)
        hashes = table["bands"].filter(pa.array(wanted)).combine_chunks().flatten().to_numpy().reshape(-1, bands)
        return sets.pack(place[wanted], hashes, self.bits)

    def _pile(self, cuts: Sequence[Ints], turn: int) -> Hashes:
        """The words of one pile, from the scratch files of all sketches."""
        parts = [np.zeros(0, np.uint64)]
        for number, starts in enumerate(cuts):
            low, high = int(starts[turn]), int(starts[turn + 1])
            if high > low:
                with self.store.fs.open_input_file(self.store.path(f"{SCRATCH}/words/{number}.bin")) as file:
                    parts.append(np.frombuffer(file.read_at((high - low) * 8, low * 8), np.uint64))
        return np.concatenate(parts)

    def _link(self, buckets: Buckets, spill: bool) -> None:
        sets.link(self.parent, buckets)
        self.linked[buckets.members] = True
        self.buckets += len(buckets.sizes)
        if not spill:
            self.held.append(buckets)
            return
        lists = pa.LargeListArray.from_arrays(buckets.offsets, buckets.members)
        self.store.write(f"{SCRATCH}/groups/{self.spilled}.parquet", pa.table({"members": lists}))
        self.spilled += 1

    def all_buckets(self) -> Iterator[Buckets]:
        """The buckets of every pile."""
        yield from self.held
        for number in range(self.spilled):
            lists = self.store.read(f"{SCRATCH}/groups/{number}.parquet")["members"].combine_chunks()
            yield Buckets(lists.offsets.to_numpy(), lists.values.to_numpy())

    # -- components ----------------------------------------------------------------------------------------------

    def _names(self, members: Ints, label: Ints) -> pa.Array:
        """What identifies each component: a hash over its blob ids in rank order (members sorted by component)."""
        starts = np.append(np.flatnonzero(np.diff(label, prepend=-1)), len(label))
        names: list[str] = []
        for first, last in in_runs(starts):
            data, offsets = buffers(self.candidates.ids(members[starts[first] : starts[last]]))
            cuts = offsets[starts[first : last + 1] - starts[first]].tolist()
            names += [hashlib.sha256(data[low:high].data).hexdigest()[:32] for low, high in pairwise(cuts)]
        return pa.array(names, pa.string())

    def _done(self, folder: str, index: KeyIndex) -> tuple[pa.Table, dict[str, int]]:
        """What is known of the components now: evidence in rank order, and sums."""
        sums = dict.fromkeys(("candidates", "verified", "capped"), 0)
        parts = []
        for file in self.store.files(folder, ".parquet"):
            done = self.store.read(file)
            done = done.filter(pa.array(index.find(keys_of(done["component"])) >= 0))
            sums = {name: count + (pc.sum(done[name]).as_py() or 0) for name, count in sums.items()}
            columns = [pc.list_flatten(done[name]).combine_chunks() for name in EVIDENCE.names]
            parts.append(pa.Table.from_arrays(columns, schema=EVIDENCE))
        evidence = pa.concat_tables([EVIDENCE.empty_table(), *parts]).combine_chunks()
        order = np.argsort(self.index.find(keys_of(evidence["dropped"])), kind="stable")
        return evidence.take(pa.array(order)), sums


def in_runs(starts: Ints) -> Iterator[tuple[int, int]]:
    """Ranges of neighbouring pieces that hold about `MEMBERS_AT_ONCE` rows together.

    Args:
        starts: where each piece begins, and where the last one ends.
    """
    first = 0
    for last in range(1, len(starts)):
        if last == len(starts) - 1 or starts[last] - starts[first] >= MEMBERS_AT_ONCE:
            yield first, last
            first = last


@dataclass(frozen=True)
class _Work:
    """Components and which of them are to do.

    Attributes:
        members: positions of all proposed files, by component, then rank.
        label: their components' labels, ascending.
        names: one for each component, in that order.
        fresh: which of them are to do.
    """

    members: Ints
    label: Ints
    names: pa.Array
    fresh: np.ndarray[tuple[int], np.dtype[np.bool_]]


def _compute(search: _Search, engine: Engine, work: _Work, how: tuple[str, MinHashParams, NearSettings]) -> None:
    """Walk the components that are to do; what came of them is stored in the folder."""
    store = search.store
    folder, sketches, settings = how
    tasks = _lay_out(search, work, settings.task_bytes)
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


@dataclass(frozen=True)
class _Tasks:
    """How the work is laid out: the members in the order (task, position), and the shards that hold them."""

    count: int
    sizes: Ints
    shards: list[str]


def _lay_out(search: _Search, work: _Work, task_bytes: int) -> _Tasks:
    """Write what each shard is to spill and each task is to walk."""
    starts = np.flatnonzero(np.diff(work.label, prepend=-1))
    component = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(work.label)))
    todo = work.fresh[component]
    position, component = work.members[todo], component[todo]
    sizes = search.shingles[position]
    weights = np.bincount(component, sizes * 8.0, len(starts))[work.fresh]
    task_of = np.zeros(len(starts), np.int64)
    task_of[work.fresh] = (np.cumsum(weights) - weights) // task_bytes
    task_of[work.fresh] = np.unique(task_of[work.fresh], return_inverse=True)[1]
    task = task_of[component]
    order = np.lexsort((position, task))
    position, component, sizes, task = position[order], component[order], sizes[order], task[order]
    shards, shard, offset = _members(search, position, task)
    count = int(task[-1]) + 1
    bounds = np.searchsorted(task, np.arange(count + 1))
    for first, last in in_runs(bounds):
        ids = search.candidates.ids(position[bounds[first] : bounds[last]])
        for number in range(first, last):
            here = slice(int(bounds[number]), int(bounds[number + 1]))
            table = pa.table(
                {
                    "blob_id": ids.slice(here.start - bounds[first], here.stop - here.start),
                    "component": work.names.take(pa.array(component[here])),
                    "shard": pa.array(shards, pa.string()).take(pa.array(shard[here])),
                    "offset": offset[here],
                    "shingles": sizes[here],
                }
            )
            search.store.write(f"{SCRATCH}/tasks/{number}.parquet", table)
    _write_buckets(search, position, task, bounds)
    return _Tasks(count, sizes, sorted({shards[number] for number in np.unique(shard).tolist()}))


def _members(search: _Search, position: Ints, task: Ints) -> tuple[list[str], Ints, Ints]:
    """Write the members that each shard owns, in the order of its scratch file (task, position).

    Returns:
        Names of shards, and for each member the number of its shard and its place in that file.
    """
    row_of = np.full(search.total, -1, np.int64)
    row_of[position] = np.arange(len(position))
    shard, offset = np.full(len(position), -1, np.int64), np.zeros(len(position), np.int64)
    shards: list[str] = []
    for path in search.store.files("owners", ".parquet"):
        ids = search.store.read(path)["blob_id"].combine_chunks()
        places = search.index.find(keys_of(ids))
        rows = np.where(places >= 0, row_of[places], -1)
        held = np.flatnonzero(rows >= 0)
        if not len(held):
            continue
        held = held[np.argsort(rows[held])]  # members are in the order (task, position)
        rows = rows[held]
        sizes = search.shingles[position[rows]]
        offset[rows] = np.cumsum(sizes) - sizes
        shard[rows] = len(shards)
        shards.append(path.removeprefix("owners/").removesuffix(".parquet"))
        table = pa.table({"blob_id": ids.take(pa.array(held)), "offset": offset[rows], "shingles": sizes})
        search.store.write(f"{SCRATCH}/members/{shards[-1]}.parquet", table)
    if (shard < 0).any():
        raise EngineError("near-dedup: expected every sketched file to belong to a shard, got files without one")
    return shards, shard, offset


def _write_buckets(search: _Search, position: Ints, task: Ints, bounds: Ints) -> None:
    """Write the buckets of each task; they speak of rows of the task's members."""
    row, owner = np.full(search.total, -1, np.int64), np.full(search.total, -1, np.int64)
    row[position] = np.arange(len(position)) - bounds[task]
    owner[position] = task
    for number, buckets in enumerate(search.all_buckets()):
        if not len(buckets.sizes):
            continue
        task_of = owner[buckets.members[buckets.offsets[:-1]]]
        order = np.argsort(task_of, kind="stable")
        lists = pa.LargeListArray.from_arrays(buckets.offsets, row[buckets.members])
        numbers, firsts = np.unique(task_of[order], return_index=True)
        for one, group in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
            if one >= 0:
                file = f"{SCRATCH}/buckets/{one}/{number}.parquet"
                search.store.write(file, pa.table({"rows": lists.take(pa.array(group))}))
