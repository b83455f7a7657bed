"""Keys of texts against dictionaries."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from codemill.keys import KeyIndex, best_of_each, count_different, join_keys, keys_of

texts = st.lists(st.text(max_size=20) | st.sampled_from(["a", "b", "a" * 8, "a" * 9, "\0", ""]), max_size=30)


@given(texts, texts)
def test_an_index_finds_what_a_dictionary_finds(known, wanted):
    known = list(dict.fromkeys(known))
    index = KeyIndex(keys_of(pa.array(known, pa.string())))
    assert not index.repeated
    places = {text: place for place, text in enumerate(known)}
    assert index.find(keys_of(pa.array(wanted, pa.string()))).tolist() == [places.get(text, -1) for text in wanted]


@given(texts, st.integers(1, 5))
def test_chunks_and_slices_change_no_key(values, size):
    whole = keys_of(pa.array(["before", *values], pa.string()).slice(1))
    pieces = pa.chunked_array([values[at : at + size] for at in range(0, len(values), size)], pa.string())
    assert keys_of(pieces).high.tolist() == whole.high.tolist()
    assert keys_of(pieces).low.tolist() == whole.low.tolist()
    assert count_different(whole) == len(set(values))


def test_several_columns_are_told_apart_from_one():
    one, other = pa.array(["ab", "a", "a"]), pa.array(["c", "bc", "bd"])
    keys = join_keys([keys_of(one, other), keys_of(other, one), keys_of(one), keys_of(pa.array(["abc"]))])
    assert count_different(keys) == 3 + 3 + 2 + 1
    assert KeyIndex(keys).repeated


@given(
    st.lists(st.sampled_from("abc"), max_size=20).flatmap(
        lambda x: st.tuples(st.just(x), st.permutations(range(len(x))))
    )
)
def test_the_best_of_each_is_the_one_of_least_rank(case):
    values, rank = case
    found = best_of_each(keys_of(pa.array(values, pa.string())), np.array(rank, np.int64)).tolist()
    for value, best in zip(values, found, strict=True):
        assert values[best] == value
        assert rank[best] == min(one for one, other in zip(rank, values, strict=True) if other == value)
