"""N-grams: the kernel against plain Python, and no text of fewer than n words has any."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from codemill.decontaminate.grams import BEGIN, COVERED, END, ENTRY, ROW, TELLING, WORDS, find, make_table

WORD = st.sampled_from(["a", "b", "c", "lorem", "ipsum", "7"])
TEXT = st.lists(WORD, max_size=30).map(" ".join)


def texts(*values):
    return pa.array(values, pa.large_string())


def grams_of(text, n):
    words = text.split()
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


@given(st.lists(TEXT, max_size=5), st.integers(1, 6))
def test_all_ngrams_as_plain_python_has_them(values, n):
    found = find(texts(*values), n, None)
    expected = [(row, gram) for row, text in enumerate(values) for gram in grams_of(text, n)]
    got = [
        (row, tuple(values[row][begin:end].split())) for row, begin, end in found.places[:, [ROW, BEGIN, END]].tolist()
    ]
    assert got == expected
    # equal n-grams have equal hashes, others others
    assert len(set(found.grams.tolist())) == len({gram for _, gram in expected})
    assert len(set(zip(found.grams.tolist(), [gram for _, gram in expected], strict=True))) == len(
        {gram for _, gram in expected}
    )
    telling = [len({word for word in gram if len(word) >= 4}) for _, gram in expected]
    assert found.places[:, TELLING].tolist() == telling
    assert found.rows[:, WORDS].tolist() == [len(text.split()) for text in values]


@given(TEXT, st.lists(TEXT, max_size=4), st.integers(1, 6))
def test_finds_what_is_in_the_table_and_nothing_else(own, others, n):
    table = make_table(np.unique(find(texts(own), n, None).grams))
    found = find(texts(*others), n, table)
    expected = [len(set(grams_of(own, n)) & set(grams_of(text, n))) for text in others]
    assert np.bincount(found.places[:, ROW], minlength=len(others)).tolist() == expected
    covered = []
    for text in others:
        words = set()
        for start, gram in enumerate(grams_of(text, n)):
            words |= set(range(start, start + n)) if gram in set(grams_of(own, n)) else set()
        covered.append(len(words))
    assert found.rows[:, COVERED].tolist() == covered


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma"]), max_size=9), st.integers(0, 3))
def test_no_hit_below_n_words(words, comments):
    own = " ".join(["alpha", "beta", "gamma"] * 7)
    table = make_table(np.unique(find(texts(own), 10, None).grams))
    text = "\n# alpha\n".join(words[:comments]) + " " + " ".join(words[comments:])
    if len(text.split()) - text.count("#") < 10:
        assert not len(find(texts(text), 10, table).places)


def test_no_ngram_crosses_a_border():
    own = "one two three four"
    table = make_table(np.unique(find(texts(own), 4, None).grams))
    found = find(texts("one two\0three four", "one two three four", "x\0one two three four"), 4, table)
    assert found.places[:, ROW].tolist() == [1, 2]


def test_ngrams_of_all_views():
    found = find(texts('one """two""" # three\nfour\n"""five"""\nsix'), 2, None)
    got = {tuple(word.strip('"#\n ') for word in part.split() if word.strip('"#\n ')) for part in _parts(found)}
    assert {("one", "two"), ("two", "three"), ("three", "four"), ("four", "five"), ("five", "six")} <= got
    assert ("two", "three", "four") in {
        tuple("".join(c if c.isalnum() else " " for c in p).split()) for p in _parts(found)
    }


def _parts(found, text='one """two""" # three\nfour\n"""five"""\nsix'):
    return [text[begin:end] for begin, end in found.places[:, [BEGIN, END]].tolist()]


def test_slices_nulls_and_bytes():
    own = "one two three four five"
    table = make_table(np.unique(find(texts(own), 3, None).grams))
    array = pa.array([b"x", None, own.encode(), b"three four five"], pa.binary())
    found = find(array.slice(1), 3, table)
    assert found.places[:, ROW].tolist() == [1, 1, 1, 2]
    assert found.rows[:, WORDS].tolist() == [0, 5, 3]
    assert sorted(set(found.places[:, ENTRY].tolist())) == [0, 1, 2]


def test_more_hits_than_there_was_room_for():
    own = " ".join(f"w{index}" for index in range(5000))
    everything = find(texts(own), 10, None)
    assert len(everything.grams) == 4991
    found = find(texts(own, own), 10, make_table(np.unique(everything.grams)))
    assert len(found.places) == 2 * 4991
    assert found.rows[:, COVERED].tolist() == [5000, 5000]
