"""Puts documents into sequences of one length, and sequences into Arrow with what attention and loss need to know.

Best fit is the method of Ding et al. 2024, "Fewer Truncations Improve Language Modeling": documents longer than a
sequence are cut, and all pieces are placed in order of decreasing length, each where it leaves least room.
"""

from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from codemill.tokens.encode import Encoded

Ints = npt.NDArray[np.int64]
Method = Literal["best_fit", "concatenate"]

SEQUENCE = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),  # as many in every row, filled up with the pad token
        ("length", pa.int32()),  # tokens before the padding
        ("document_starts", pa.list_(pa.int32())),  # where documents begin, the first at 0; padding is none
        ("loss_mask", pa.list_(pa.uint8())),  # 1: this token is to be predicted
    ]
)
POSITIONS = pa.field("position_ids", pa.list_(pa.int32()))


@dataclass(frozen=True)
class Packing:
    """Which pieces of documents stand in which of s sequences. Every token of every document is in exactly one.

    Attributes:
        size: tokens of a sequence.
        offsets: s + 1; sequence i holds the fragments offsets[i]:offsets[i + 1].
        documents: of each fragment.
        begins, ends: tokens of the document that a fragment holds.
        cut: documents that were cut.
    """

    size: int
    offsets: Ints
    documents: Ints
    begins: Ints
    ends: Ints
    cut: int

    @property
    def sequences(self) -> int:
        """How many sequences there are."""
        return len(self.offsets) - 1

    @property
    def tokens(self) -> int:
        """Tokens of documents in all sequences."""
        return int((self.ends - self.begins).sum())

    @property
    def padding(self) -> int:
        """Tokens of padding in all sequences."""
        return self.sequences * self.size - self.tokens

    @property
    def padding_share(self) -> float:
        """Padding as a share of all tokens of all sequences; 0 where there are none."""
        return self.padding / (self.sequences * self.size) if self.sequences else 0.0


def pack(lengths: npt.ArrayLike, size: int, method: Method = "best_fit", seed: int = 0) -> Packing:
    """Place n documents. The same lengths, size, method and seed give the same packing.

    Args:
        lengths: tokens of each document; empty ones get no place.
        size: tokens of a sequence.
        method: `best_fit` cuts documents only where they are longer than `size`; `concatenate` puts them one after the
            other and cuts wherever a sequence is full, so that only the last one is padded.
        seed: order of the sequences with `best_fit`, which makes them in order of length.
    """
    sizes = np.ascontiguousarray(lengths, np.int64)
    if method == "concatenate":
        documents, begins, ends = _cut_stream(sizes, size)
        places = (np.cumsum(ends - begins) - (ends - begins)) // size
        count = int(places.max(initial=-1)) + 1
        offsets = np.searchsorted(places, np.arange(count + 1)).astype(np.int64)
    else:
        documents, begins, ends = _cut_documents(sizes, size)
        order, _ = _sorted(size - (ends - begins), size)
        places = _best_fit(ends - begins, order, size)
        count = int(places.max(initial=-1)) + 1
        order, offsets = _sorted(_shuffled(count, seed)[places], count)
        documents, begins, ends = documents[order], begins[order], ends[order]
    fragments = np.bincount(documents, minlength=len(sizes))
    return Packing(size, offsets, documents, begins, ends, int((fragments > 1).sum()))


def _shuffled(count: int, seed: int) -> Ints:
    """A permutation that is the same on every machine and with every version of every library."""
    mixed = np.arange(count, dtype=np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    mixed = (mixed + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray(np.argsort(mixed, kind="stable"), np.int64)


@numba.njit(cache=True)
def _cut_documents(lengths: Ints, size: int) -> tuple[Ints, Ints, Ints]:
    count = 0
    for length in lengths:
        count += (length + size - 1) // size
    documents, begins, ends = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    at = 0
    for document in range(len(lengths)):
        begin = 0
        while begin < lengths[document]:
            documents[at], begins[at], ends[at] = document, begin, min(begin + size, lengths[document])
            begin += size
            at += 1
    return documents, begins, ends


@numba.njit(cache=True)
def _cut_stream(lengths: Ints, size: int) -> tuple[Ints, Ints, Ints]:
    count, room = 0, size
    for length in lengths:
        if length > 0:
            count += 2 + length // size
    documents, begins, ends = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    at = 0
    for document in range(len(lengths)):
        begin = 0
        while begin < lengths[document]:
            end = min(begin + room, lengths[document])
            documents[at], begins[at], ends[at] = document, begin, end
            room -= end - begin
            if room == 0:
                room = size
            begin = end
            at += 1
    return documents[:at], begins[:at], ends[:at]


@numba.njit(cache=True)
def _sorted(keys: Ints, count: int) -> tuple[Ints, Ints]:
    """A stable order by keys below `count`, and where each key begins in it; by counting, in O(n + count)."""
    offsets = np.zeros(count + 1, np.int64)
    for key in keys:
        offsets[key + 1] += 1
    offsets = np.cumsum(offsets)
    free = offsets.copy()
    order = np.empty(len(keys), np.int64)
    for place in range(len(keys)):
        order[free[keys[place]]] = place
        free[keys[place]] += 1
    return order, offsets


@numba.njit(cache=True)
def _best_fit(lengths: Ints, order: Ints, size: int) -> Ints:
    """The sequence of each piece, none longer than `size`, in O(n log size).

    Sequences with the same room are a stack; a binary tree over rooms says which of them are not empty.

    Args:
        lengths: of the pieces.
        order: of decreasing length.
        size: tokens of a sequence.
    """
    count = len(lengths)
    width = 1
    while width < size + 1:
        width *= 2
    tree = np.zeros(2 * width, np.uint8)  # tree[width + room]: is there a sequence with this room
    heads = np.full(size + 1, -1, np.int64)
    below = np.full(count, -1, np.int64)  # the next sequence on the same stack
    places = np.empty(count, np.int64)
    made = 0
    for piece in order:
        length = lengths[piece]
        node = width + length
        # Up until a subtree to the right holds a room, then down to its least one.
        if not tree[node]:
            while node > 1 and not (node % 2 == 0 and tree[node + 1]):
                node //= 2
            node = node + 1 if node > 1 else 0
            while 0 < node < width:
                node = 2 * node if tree[2 * node] else 2 * node + 1
        if node:
            room = node - width
            place = heads[room]
            heads[room] = below[place]
            if heads[room] < 0:
                while node >= 1:
                    tree[node] = tree[2 * node] | tree[2 * node + 1] if node < width else 0
                    if tree[node]:
                        break
                    node //= 2
        else:
            room, place = size, made
            made += 1
        places[piece] = place
        room -= length
        if room > 0:
            below[place] = heads[room]
            heads[room] = place
            node = width + room
            while node >= 1 and not tree[node]:
                tree[node] = 1
                node //= 2
    return places


def materialize(
    packing: Packing, encoded: Encoded, pad: int, first: int = 0, last: int | None = None, *, position_ids: bool = False
) -> pa.RecordBatch:
    """The sequences first:last as rows of SEQUENCE.

    A document's first token in a sequence bears no loss: what stands before it belongs to something else.

    Args:
        packing: made of `encoded.lengths`.
        encoded: the documents.
        pad: id of the token that fills sequences up.
        first, last: which sequences; last None: to the end.
        position_ids: add the column `position_ids`: positions that start anew with every document and with the padding.
    """
    last = packing.sequences if last is None else last
    lo, hi = packing.offsets[first], packing.offsets[last]
    begins, ends = packing.begins[lo:hi], packing.ends[lo:hi]
    ids, loss, lengths, starts, positions = _fill(
        (encoded.ids, encoded.loss),
        encoded.offsets[packing.documents[lo:hi]] + begins,
        ends - begins,
        packing.offsets[first : last + 1] - lo,
        (packing.size, pad),
    )
    columns = [
        _lists(pa.array(ids.ravel()), packing.size, last - first),
        pa.array(lengths),
        pa.ListArray.from_arrays(pa.array((packing.offsets[first : last + 1] - lo).astype(np.int32)), pa.array(starts)),
        _lists(pa.array(loss.ravel()), packing.size, last - first),
    ]
    schema = SEQUENCE
    if position_ids:
        columns.append(_lists(pa.array(positions.ravel()), packing.size, last - first))
        schema = schema.append(POSITIONS)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _lists(values: pa.Array, size: int, count: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * np.int32(size)), values)


@numba.njit(cache=True)
def _fill(tokens, sources, lengths, offsets, shape):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    ids, loss = tokens
    size, pad = shape
    count = len(offsets) - 1
    out = np.full((count, size), pad, np.int32)
    bears = np.zeros((count, size), np.uint8)
    used = np.zeros(count, np.int32)
    starts = np.empty(len(sources), np.int32)
    positions = np.empty((count, size), np.int32)
    for sequence in range(count):
        at = 0
        for fragment in range(offsets[sequence], offsets[sequence + 1]):
            starts[fragment] = at
            source = sources[fragment]
            for index in range(lengths[fragment]):
                out[sequence, at + index] = ids[source + index]
                bears[sequence, at + index] = loss[source + index] if index else 0
                positions[sequence, at + index] = index
            at += lengths[fragment]
        used[sequence] = at
        for index in range(at, size):
            positions[sequence, index] = index - at
    return out, bears, used, starts, positions
