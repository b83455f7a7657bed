"""Every token of every document lies in exactly one place of the sequences, and the columns say where documents are."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.tokens.encode import Encoded
from codemill.tokens.pack import SEQUENCE, materialize, pack

LENGTHS = st.lists(st.integers(0, 70), max_size=80)
METHODS = ("best_fit", "concatenate")


def coded(lengths):
    """Documents whose ids are all different, every third token without loss."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(1, offsets[-1] + 1, dtype=np.uint32)
    count = len(lengths)
    return Encoded(ids, offsets, (ids % 3 > 0).astype(np.uint8), np.arange(count), np.zeros(count, np.uint8))


def naive_best_fit(lengths, size):
    """The definition: decreasing lengths, each to the fullest sequence that has room."""
    pieces = sorted((min(size, length - begin) for length in lengths for begin in range(0, length, size)), reverse=True)
    rooms = []
    for piece in pieces:
        fitting = [room for room in rooms if room >= piece]
        if fitting:
            rooms.remove(min(fitting))
            rooms.append(min(fitting) - piece)
        else:
            rooms.append(size - piece)
    return sorted(rooms)


@pytest.mark.parametrize("method", METHODS)
@given(lengths=LENGTHS, size=st.integers(1, 40))
@settings(max_examples=150)
def test_every_token_is_placed_once(method, lengths, size):
    packing = pack(lengths, size, method)
    seen = [np.zeros(length, int) for length in lengths]
    for document, begin, end in zip(packing.documents, packing.begins, packing.ends, strict=True):
        assert end > begin
        seen[document][begin:end] += 1
    assert all((one == 1).all() for one in seen)
    filled = np.add.reduceat(packing.ends - packing.begins, packing.offsets[:-1]) if packing.sequences else np.zeros(0)
    assert (filled <= size).all()
    assert (filled > 0).all()
    assert packing.tokens == sum(lengths)
    assert packing.padding == packing.sequences * size - sum(lengths)
    fragments = np.bincount(packing.documents, minlength=len(lengths))
    assert packing.cut == (fragments > 1).sum()


@given(lengths=LENGTHS, size=st.integers(1, 70))
@settings(max_examples=150)
def test_best_fit_is_best_fit_decreasing(lengths, size):
    packing = pack(lengths, size)
    filled = np.add.reduceat(packing.ends - packing.begins, packing.offsets[:-1]) if packing.sequences else np.zeros(0)
    assert sorted((size - filled).tolist()) == naive_best_fit(lengths, size)
    # Documents that fit are whole, longer ones are in as few pieces as can be.
    fragments = np.bincount(packing.documents, minlength=len(lengths))
    assert fragments.tolist() == [-(-length // size) for length in lengths]


@given(lengths=LENGTHS, size=st.integers(1, 40))
@settings(max_examples=60)
def test_concatenation_pads_at_the_end_alone(lengths, size):
    packing = pack(lengths, size, "concatenate")
    assert packing.padding < size
    assert packing.documents.tolist() == sorted(packing.documents.tolist())
    assert packing.padding_share <= 1


@pytest.mark.parametrize("method", METHODS)
@given(lengths=LENGTHS, size=st.integers(2, 40), seed=st.integers(0, 3))
@settings(max_examples=100)
def test_columns_say_where_documents_are(method, lengths, size, seed):
    encoded, packing = coded(lengths), pack(lengths, size, method, seed)
    batch = materialize(packing, encoded, pad=0, position_ids=True)
    assert batch.schema.remove(4) == SEQUENCE
    assert batch.num_rows == packing.sequences
    owner = np.repeat(np.arange(len(lengths)), lengths)
    seen = []
    for row in batch.to_pylist():
        used, starts = row["length"], row["document_starts"]
        assert len(row["input_ids"]) == len(row["loss_mask"]) == len(row["position_ids"]) == size
        assert starts[0] == 0
        assert row["input_ids"][used:] == [0] * (size - used)
        assert not any(row["loss_mask"][used:])
        assert row["position_ids"][used:] == list(range(size - used))
        for begin, end in zip(starts, [*starts[1:], used], strict=True):
            ids = row["input_ids"][begin:end]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert len({owner[one - 1] for one in ids}) == 1
            assert row["position_ids"][begin:end] == list(range(end - begin))
            assert row["loss_mask"][begin:end] == [0, *(int(one % 3 > 0) for one in ids[1:])]
        seen += row["input_ids"][:used]
    assert sorted(seen) == encoded.ids.tolist()


def test_packing_is_the_same_every_time_and_comes_in_ranges():
    lengths = np.random.default_rng(1).integers(1, 300, 500)
    packing, encoded = pack(lengths, 128), coded(lengths)
    again = pack(lengths, 128)
    assert all(
        np.array_equal(getattr(packing, name), getattr(again, name)) for name in ("offsets", "documents", "begins")
    )
    whole = materialize(packing, encoded, pad=9, position_ids=True)
    halves = [
        materialize(packing, encoded, 9, *span, position_ids=True) for span in ((0, 100), (100, 101), (101, None))
    ]
    assert pa.Table.from_batches(halves).to_pylist() == whole.to_pylist()
    assert pack(lengths, 128, seed=5).documents.tolist() != packing.documents.tolist()
    # Best fit makes sequences in order of length; they must not be trained on in it.
    firsts = packing.ends[packing.offsets[:-1]] - packing.begins[packing.offsets[:-1]]
    assert (np.diff(firsts) > 0).mean() > 0.2


def test_best_fit_pads_little_and_cuts_less():
    """Lengths as files have them: most short, some very long."""
    lengths = np.minimum(np.random.default_rng(2).lognormal(6.5, 1.4, 20_000), 60_000).astype(int)
    best, plain = pack(lengths, 2048), pack(lengths, 2048, "concatenate")
    assert best.padding_share < 0.01
    assert best.cut == (lengths > 2048).sum()
    assert plain.cut > 2 * best.cut


def test_nothing_is_no_sequences():
    for method in METHODS:
        packing = pack([], 8, method)
        assert packing.sequences == packing.padding == packing.padding_share == 0
        assert materialize(packing, coded([]), 0).num_rows == 0
        assert pack([0, 0], 8, method).sequences == 0
