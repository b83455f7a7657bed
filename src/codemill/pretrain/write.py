"""Packs the documents of one shard into sequences and writes them in every format asked for."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.engine import Task
from codemill.errors import ConservationError
from codemill.pretrain.spread import gather
from codemill.shards import ShardSettings, Writer, open_writer
from codemill.store import Store
from codemill.tokens.encode import Encoded
from codemill.tokens.pack import Packing, materialize, pack

VERSION = 1  # raise it when the same documents give other shards
BATCH_TOKENS = 4_000_000  # how much of a shard is laid out at a time


def write_shard(task: Task) -> Task:
    """Write a shard. The task names its documents' batches, how to pack them, and the folder of each format.

    Returns what was written, and what it holds: sequences, tokens, tokens that bear the loss, padding, cut documents.

    Raises:
        ConservationError: another number of tokens went in than the plan says.
    """
    store = Store(task["store"])
    encoded = _encoded(gather(store, [tuple(one) for one in task["batches"]]))
    if len(encoded.ids) != task["tokens"]:
        raise ConservationError(f"shard {task['part']}: expected {task['tokens']} tokens, got {len(encoded.ids)}")
    packing = pack(encoded.lengths, task["length"], task["packing"], seed=task["seed"] + task["part"])
    if task["order"] == "sources":
        packing = _in_order(packing)
    settings = ShardSettings.model_validate(task["settings"])
    writers = {
        name: open_writer(name, folder, settings, vocab_size=task["vocabulary"], part=task["part"])
        for name, folder in task["folders"].items()
    }
    counts = _write(packing, encoded, task, writers)
    value = {"written": {name: writer.close() for name, writer in writers.items()}, "counts": counts}
    if counts["tokens"] != task["tokens"]:
        raise ConservationError(f"shard {task['part']}: expected {task['tokens']} tokens out, got {counts['tokens']}")
    store.write_json(task["done"], value)
    return {"part": task["part"], **value}


def _encoded(rows: pa.Table) -> Encoded:
    """Rows of token files as flat arrays."""
    ids = rows["ids"].chunk(0)
    lengths = pc.list_value_length(ids).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    loss = np.ones(int(offsets[-1]), np.uint8)
    marks = rows["loss"].chunk(0)
    for row in np.flatnonzero(marks.is_valid().to_numpy(zero_copy_only=False)):
        loss[offsets[row] : offsets[row + 1]] = marks[row].values.to_numpy(zero_copy_only=False)
    count = len(lengths)
    flat = ids.flatten().to_numpy().astype(np.uint32)
    return Encoded(flat, offsets, loss, np.arange(count), np.zeros(count, np.uint8))


def _in_order(packing: Packing) -> Packing:
    """The same sequences in the order of the first document of each."""
    starts, ends = packing.offsets[:-1], packing.offsets[1:]
    order = np.argsort(np.minimum.reduceat(packing.documents, starts), kind="stable") if len(starts) else starts
    fragments = np.concatenate([np.arange(starts[one], ends[one]) for one in order] or [starts])
    offsets = np.concatenate([[0], np.cumsum((ends - starts)[order])])
    return Packing(
        packing.size,
        offsets,
        packing.documents[fragments],
        packing.begins[fragments],
        packing.ends[fragments],
        packing.cut,
    )


def _write(packing: Packing, encoded: Encoded, task: Task, writers: dict[str, Writer]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    step = max(1, BATCH_TOKENS // packing.size)
    for first in range(0, packing.sequences, step):
        last = min(first + step, packing.sequences)
        batch = materialize(packing, encoded, task["pad"], first, last, position_ids=task["position_ids"])
        counts["tokens"] += pc.sum(batch.column("length")).as_py()
        counts["loss"] += int(batch.column("loss_mask").flatten().to_numpy().sum())
        for writer in writers.values():
            writer.write(batch)
    return {
        "tokens": counts["tokens"],
        "loss": counts["loss"],
        "sequences": packing.sequences,
        "padding": packing.padding,
        "cut": packing.cut,
    }
