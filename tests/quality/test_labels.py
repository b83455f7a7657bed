"""The ratings that ship name nothing but blobs, and come back together with their contents."""

import pyarrow as pa
import pyarrow.compute as pc
import pygit2
import pytest

from codemill.errors import InputError
from codemill.quality.labels import SHIPPED, join_contents, load_labels, repositories


def test_shipped_labels_hold_what_the_data_card_says():
    labels = load_labels()
    assert labels.schema.equals(SHIPPED)
    assert labels.num_rows == len(set(labels["git_blob"].to_pylist())) > 5_000
    assert pc.value_counts(labels["set"]).to_pylist() == [
        {"values": 1, "counts": 5_320},
        {"values": 2, "counts": 23_117},
    ]
    first, second = (set(labels.filter(pc.equal(labels["set"], which))["group"].to_pylist()) for which in (1, 2))
    assert (len(first), len(second), len(first & second)) == (427, 1322, 423)
    for row in labels.slice(5_000, 800).to_pylist():
        assert 0 <= row["overall"] <= 10
        assert (row["zero"] is not None) == (row["overall"] == 0)
        assert len(row["git_blob"]) == 40


def labels_of(*blobs):
    return pa.table({"git_blob": list(blobs), "overall": list(range(len(blobs)))})


def test_contents_come_from_clones(tmp_path):
    blobs = []
    for place, bare in (("one", True), ("two", False)):
        repository = pygit2.init_repository(str(tmp_path / place), bare)
        blobs.append(str(repository.create_blob(place.encode())))
    table, missing = join_contents(labels_of(*blobs, "0" * 40), tmp_path)
    assert table["content"].to_pylist() == [b"one", b"two"]
    assert table["overall"].to_pylist() == [0, 1]
    assert missing == 1
    assert len(repositories(tmp_path)) == 2
    again, _ = join_contents(labels_of(*blobs), [tmp_path / "one", tmp_path / "two"])
    assert again["content"].to_pylist() == [b"one", b"two"]


def test_contents_come_from_a_table():
    source = pa.table({"blob": ["b", "a"], "content": ["second", "first"]})
    table, missing = join_contents(labels_of("a", "b", "c"), source)
    assert table["content"].to_pylist() == [b"first", b"second"]
    assert missing == 1


def test_what_can_not_be_joined_is_said(tmp_path):
    with pytest.raises(InputError, match="got none"):
        join_contents(labels_of("a"), tmp_path)
    with pytest.raises(InputError, match="expected columns git_blob and content"):
        join_contents(labels_of("a"), pa.table({"text": ["x"]}))
    with pytest.raises(InputError, match="expected a column git_blob"):
        join_contents(pa.table({"x": [1]}), tmp_path)
    with pytest.raises(InputError, match="got none of 1"):
        join_contents(labels_of("a"), pa.table({"git_blob": ["b"], "content": [b"x"]}))
