"""Shuffles what no memory holds: the rows of a token file that a stage takes, sorted by the shard they go to.

One file comes out for each that goes in, with a batch for every shard; a shard's writer then reads its batch of every
file. This is how engines shuffle between two steps of a plan.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.engine import Task
from codemill.errors import ConservationError
from codemill.store import Store

# Where a row of the listing goes: to which shard, and at which place of the stage's order.
LISTING = pa.schema([("row", pa.int64()), ("shard", pa.int32()), ("place", pa.int64())])


def spread_file(task: Task) -> Task:
    """Sort the listed rows of a token file by shard; the task names file, listing and the file to write.

    Returns the shards in the order of the batches.

    Raises:
        ConservationError: the file has fewer rows than the listing says.
    """
    store = Store(task["store"])
    listing = store.read(task["listing"]).sort_by([("shard", "ascending"), ("row", "ascending")])
    shards = listing["shard"].to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(shards)]
    with store.fs.open_input_file(store.path(task["tokens"])) as stream:
        reader = pa.ipc.open_file(stream)
        schema = reader.schema.append(pa.field("place", pa.int64()))
        pieces = _by_row(reader, listing)
        with store.writing(task["out"]) as sink, pa.ipc.new_file(sink, schema) as writer:
            for start, stop in pairwise(edges):
                if stop > start:
                    rows = pieces.slice(start, stop - start).combine_chunks()
                    writer.write_batch(pa.RecordBatch.from_pydict({n: rows[n].chunk(0) for n in schema.names}))
    return {"out": task["out"], "shards": [int(shards[start]) for start in edges[:-1]] if len(shards) else []}


def _by_row(reader: pa.RecordBatchFileReader, listing: pa.Table) -> pa.Table:
    """The listed rows in the order of the listing."""
    table = reader.read_all()
    rows = listing["row"].combine_chunks()
    if len(rows) and pc.max(rows).as_py() >= table.num_rows:
        raise ConservationError(f"token file: expected row {pc.max(rows)}, got {table.num_rows} rows")
    return table.take(rows).append_column("place", listing["place"])


def gather(store: Store, files: list[tuple[str, int]]) -> pa.Table:
    """A shard's rows out of all files, each (file, number of the batch), in the order of the stage."""
    found = list(_batches(store, files))
    table = pa.Table.from_batches(found)
    order = pc.sort_indices(table, [("place", "ascending")])
    return table.take(order).combine_chunks()


def _batches(store: Store, files: list[tuple[str, int]]) -> Iterator[pa.RecordBatch]:
    for path, number in files:
        with store.fs.open_input_file(store.path(path)) as stream:
            yield pa.ipc.open_file(stream).get_batch(number)
