"""The tasks of near-dedup that run in workers: write the shingles of a shard's files, walk a task's components.

What they need is laid out in scratch files by `layout.py`; a task itself only names them.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.dedup.candidates import Buckets
from codemill.dedup.representatives import KEPT, Sets, choose
from codemill.engine import Task
from codemill.errors import EngineError
from codemill.lexer import distinct_shingles
from codemill.schema import digest
from codemill.sources.ingest import contents
from codemill.store import Store

SCRATCH = "scratch/near"

# What is known of a component once it is done.
COMPONENT = pa.schema(
    [
        ("component", pa.string()),
        ("candidates", pa.int64()),
        ("verified", pa.int64()),
        ("capped", pa.int64()),
        ("dropped", pa.list_(pa.string())),
        ("kept", pa.list_(pa.string())),
        ("similarity", pa.list_(pa.float64())),
    ]
)


def spill_shard(task: Task) -> Task:
    """Write the distinct shingles of a shard's members to a scratch file, in the order of the plan."""
    store, shard = Store(task["store"]), task["shard"]
    members = store.read(f"{SCRATCH}/members/{shard}.parquet", ["blob_id", "offset", "shingles"])
    wanted = members["blob_id"].combine_chunks()
    offset, expected = members["offset"].to_numpy(), members["shingles"].to_numpy()
    values = np.empty(int(expected.sum()), np.uint64)
    left = len(wanted)
    for batch in contents(store, shard, wanted, ["blob_id", "content"]):
        rows = pc.index_in(batch.column("blob_id"), value_set=wanted).to_numpy()
        found = distinct_shingles(batch.column("content"), task["ngram"])
        sizes = np.diff(found.offsets)
        if (sizes != expected[rows]).any():
            raise EngineError(f"near-dedup: expected the shingles that shard {shard} was sketched with, got others")
        for row, start, size in zip(rows, found.offsets, sizes, strict=False):
            values[offset[row] : offset[row] + size] = found.values[start : start + size]
        left -= len(rows)
    if left:
        raise EngineError(f"near-dedup: expected all sketched files in shard {shard}, got {left} less")
    with store.writing(f"{SCRATCH}/shingles/{shard}.bin") as stream:
        stream.write(values)
    return {}


def walk_task(task: Task) -> Task:
    """Walk the components of one task and store what came of them."""
    store = Store(task["store"])
    members = store.read(f"{SCRATCH}/tasks/{task['task']}.parquet").combine_chunks()
    lists = [store.read(file)["rows"] for file in store.files(f"{SCRATCH}/buckets/{task['task']}", ".parquet")]
    sizes = np.concatenate([pc.list_value_length(one).to_numpy() for one in lists])
    rows = np.concatenate([pc.list_flatten(one).to_numpy() for one in lists])
    buckets = Buckets(np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]), rows)
    sets = _gather(store, members)
    result = choose(sets, buckets, task["threshold"], task["max_representatives"])
    component = members["component"].combine_chunks().dictionary_encode()
    names, of = component.dictionary, component.indices.to_numpy().astype(np.int64)
    bucket_of = of[buckets.members[buckets.offsets[:-1]]]
    dropped = np.flatnonzero(result.kept_by != KEPT)
    dropped = dropped[np.argsort(of[dropped], kind="stable")]
    offsets = pa.array(np.searchsorted(of[dropped], np.arange(len(names) + 1)), pa.int32())
    ids = members["blob_id"].combine_chunks()

    def lists_of(column: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, column)

    done = pa.table(
        {
            "component": names,
            "candidates": np.bincount(of, result.candidates, len(names)).astype(np.int64),
            "verified": np.bincount(of, result.verified, len(names)).astype(np.int64),
            "capped": np.bincount(bucket_of, result.capped, len(names)).astype(np.int64),
            "dropped": lists_of(ids.take(pa.array(dropped))),
            "kept": lists_of(ids.take(pa.array(result.kept_by[dropped]))),
            "similarity": lists_of(pa.array(result.similarity[dropped])),
        },
        schema=COMPONENT,
    )
    store.write(f"{task['folder']}/{digest(names.to_pylist())}.parquet", done)
    return {}


def _gather(store: Store, members: pa.Table) -> Sets:
    """Shingles of a task's members, read from the scratch files of the shards, one range of each."""
    sizes, offset = members["shingles"].to_numpy(), members["offset"].to_numpy()
    shards = members["shard"].combine_chunks().dictionary_encode()
    of = shards.indices.to_numpy()
    values, starts, filled = np.empty(int(sizes.sum()), np.uint64), np.empty(len(sizes), np.int64), 0
    for number, shard in enumerate(shards.dictionary.to_pylist()):
        mine = of == number
        low, count = int(offset[mine].min()), int(sizes[mine].sum())
        starts[mine] = offset[mine] - low + filled
        with store.fs.open_input_file(store.path(f"{SCRATCH}/shingles/{shard}.bin")) as file:
            values[filled : filled + count] = np.frombuffer(file.read_at(count * 8, low * 8), np.uint64)
        filled += count
    return Sets(values, starts, sizes)
