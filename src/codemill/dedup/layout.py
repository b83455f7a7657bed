"""How the work of near-dedup is laid out: components by name, tasks of them, and scratch files that workers read.

`walk.py` has the tasks themselves.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from codemill.dedup.proposals import Proposals
from codemill.dedup.walk import SCRATCH
from codemill.errors import EngineError
from codemill.keys import Mask, keys_of
from codemill.lexer import Ints, buffers

MEMBERS_AT_ONCE = 65_536  # ids of so many files are fetched together

Ids: TypeAlias = Callable[[Ints], pa.Array]


@dataclass(frozen=True)
class Work:
    """Components and which of them are to do.

    Attributes:
        members: positions of all proposed files, by component, then rank.
        label: their components' labels, ascending.
        names: one for each component, in that order.
        fresh: which of them are to do.
        ids: from positions to blob ids.
    """

    members: Ints
    label: Ints
    names: pa.Array
    fresh: Mask
    ids: Ids


@dataclass(frozen=True)
class Tasks:
    """How the work is laid out: the members in the order (task, position), and the shards that hold them."""

    count: int
    sizes: Ints
    shards: list[str]


def name_components(members: Ints, label: Ints, ids: Ids) -> pa.Array:
    """What identifies each component: a hash over its blob ids in rank order.

    Args:
        members: positions of all proposed files, by component, then rank.
        label: their components' labels, ascending.
        ids: from positions to blob ids.
    """
    starts = np.append(np.flatnonzero(np.diff(label, prepend=-1)), len(label))
    names: list[str] = []
    for first, last in _in_runs(starts):
        data, offsets = buffers(ids(members[starts[first] : starts[last]]))
        cuts = offsets[starts[first : last + 1] - starts[first]].tolist()
        names += [hashlib.sha256(data[low:high].data).hexdigest()[:32] for low, high in pairwise(cuts)]
    return pa.array(names, pa.string())


def lay_out(proposals: Proposals, work: Work, task_bytes: int) -> Tasks:
    """Write what each shard is to spill and each task is to walk.

    Args:
        proposals: sizes, positions and buckets of the files.
        work: the components; at least one is fresh.
        task_bytes: about how many bytes of shingles a task holds.
    """
    starts = np.flatnonzero(np.diff(work.label, prepend=-1))
    component = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(work.label)))
    todo = work.fresh[component]
    position, component = work.members[todo], component[todo]
    sizes = proposals.shingles[position]
    weights = np.bincount(component, sizes * 8.0, len(starts))[work.fresh]
    task_of = np.zeros(len(starts), np.int64)
    task_of[work.fresh] = (np.cumsum(weights) - weights) // task_bytes
    task_of[work.fresh] = np.unique(task_of[work.fresh], return_inverse=True)[1]
    task = task_of[component]
    order = np.lexsort((position, task))
    position, component, sizes, task = position[order], component[order], sizes[order], task[order]
    shards, shard, offset = _members(proposals, position, task)
    count = int(task[-1]) + 1
    bounds = np.searchsorted(task, np.arange(count + 1))
    for first, last in _in_runs(bounds):
        ids = work.ids(position[bounds[first] : bounds[last]])
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
            proposals.store.write(f"{SCRATCH}/tasks/{number}.parquet", table)
    _write_buckets(proposals, position, task, bounds)
    return Tasks(count, sizes, sorted({shards[number] for number in np.unique(shard).tolist()}))


def _members(proposals: Proposals, position: Ints, task: Ints) -> tuple[list[str], Ints, Ints]:
    """Write the members that each shard owns, in the order of its scratch file (task, position).

    Returns:
        Names of shards, and for each member the number of its shard and its place in that file.
    """
    row_of = np.full(proposals.total, -1, np.int64)
    row_of[position] = np.arange(len(position))
    shard, offset = np.full(len(position), -1, np.int64), np.zeros(len(position), np.int64)
    shards: list[str] = []
    for path in proposals.store.files("owners", ".parquet"):
        ids = proposals.store.read(path)["blob_id"].combine_chunks()
        places = proposals.index.find(keys_of(ids))
        rows = np.where(places >= 0, row_of[places], -1)
        held = np.flatnonzero(rows >= 0)
        if not len(held):
            continue
        held = held[np.argsort(rows[held])]  # members are in the order (task, position)
        rows = rows[held]
        sizes = proposals.shingles[position[rows]]
        offset[rows] = np.cumsum(sizes) - sizes
        shard[rows] = len(shards)
        shards.append(path.removeprefix("owners/").removesuffix(".parquet"))
        table = pa.table({"blob_id": ids.take(pa.array(held)), "offset": offset[rows], "shingles": sizes})
        proposals.store.write(f"{SCRATCH}/members/{shards[-1]}.parquet", table)
    if (shard < 0).any():
        raise EngineError("near-dedup: expected every sketched file to belong to a shard, got files without one")
    return shards, shard, offset


def _write_buckets(proposals: Proposals, position: Ints, task: Ints, bounds: Ints) -> None:
    """Write the buckets of each task; they speak of rows of the task's members."""
    row, owner = np.full(proposals.total, -1, np.int64), np.full(proposals.total, -1, np.int64)
    row[position] = np.arange(len(position)) - bounds[task]
    owner[position] = task
    for number, buckets in enumerate(proposals.all_buckets()):
        if not len(buckets.sizes):
            continue
        task_of = owner[buckets.members[buckets.offsets[:-1]]]
        order = np.argsort(task_of, kind="stable")
        lists = pa.LargeListArray.from_arrays(buckets.offsets, row[buckets.members])
        numbers, firsts = np.unique(task_of[order], return_index=True)
        for one, group in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
            if one >= 0:
                file = f"{SCRATCH}/buckets/{one}/{number}.parquet"
                proposals.store.write(file, pa.table({"rows": lists.take(pa.array(group))}))


def _in_runs(starts: Ints) -> Iterator[tuple[int, int]]:
    """Ranges of neighbouring pieces that hold about `MEMBERS_AT_ONCE` rows together.

    Args:
        starts: where each piece begins, and where the last one ends.
    """
    first = 0
    for last in range(1, len(starts)):
        if last == len(starts) - 1 or starts[last] - starts[first] >= MEMBERS_AT_ONCE:
            yield first, last
            first = last
