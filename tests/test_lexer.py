"""The lexer against a plain regular expression, on any bytes and any layout of Arrow arrays."""

import inspect
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill import lexer

TOKEN = re.compile(rb"[A-Za-z0-9_\x80-\xff]+|[^ \t\n\r\f\v]", re.DOTALL)
TYPES = [pa.binary(), pa.large_binary()]
# Few different tokens, so that n-grams repeat and rows share some.
code = st.lists(st.sampled_from([b"a", b"b1", b"_", b"(", b")", b" ", b"\n", "ä".encode(), b"\0", b"\x7f"])).map(
    b"".join
)
rows = st.lists(st.one_of(st.none(), st.binary(max_size=40), code), max_size=12)


KNOWN = [1939395716914025650, 12949434160564817422, 10504341474758230759]


def grams(content: bytes | None, n: int) -> list[tuple[bytes, ...]]:
    tokens = TOKEN.findall(content or b"")
    if len(tokens) < n:
        return [tuple(tokens)] if tokens else []
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def per_row(found: lexer.Shingles) -> list[list[int]]:
    return [found.values[a:b].tolist() for a, b in zip(found.offsets, found.offsets[1:], strict=False)]


@given(rows, st.sampled_from(TYPES), st.integers(0, 3))
@settings(deadline=None)  # the first example pays for compiling
def test_counts_tokens(values: list[bytes | None], kind: pa.DataType, skip: int) -> None:
    array = pa.array(values, kind)[skip:]
    expected = [len(TOKEN.findall(value or b"")) for value in values[skip:]]
    assert lexer.count_tokens(array).tolist() == expected
    assert lexer.count_tokens(pa.chunked_array([array, array], kind)).tolist() == expected * 2


@given(rows, st.sampled_from(TYPES), st.integers(1, 6), st.integers(0, 3))
@settings(deadline=None)
def test_shingles_are_equal_exactly_where_ngrams_are(
    values: list[bytes | None], kind: pa.DataType, n: int, skip: int
) -> None:
    array = pa.array(values, kind)[skip:]
    found = per_row(lexer.shingle(array, n))
    expected = [grams(value, n) for value in values[skip:]]
    assert [len(row) for row in found] == [len(row) for row in expected]
    names: dict[tuple[bytes, ...], int] = {}
    for hashes, texts in zip(found, expected, strict=True):
        for value, text in zip(hashes, texts, strict=True):
            assert names.setdefault(text, value) == value
    assert len(set(names.values())) == len(names)


@given(rows, st.integers(1, 4))
@settings(deadline=None)
def test_distinct_shingles_are_the_set_in_order(values: list[bytes | None], n: int) -> None:
    halves = pa.chunked_array([values[: len(values) // 2], values[len(values) // 2 :]], pa.large_binary())
    every = per_row(lexer.shingle(halves, n))
    assert per_row(lexer.distinct_shingles(halves, n)) == [list(dict.fromkeys(row)) for row in every]


def test_case_and_punctuation_tell_apart_and_layout_does_not() -> None:
    texts = ["if (a == b) { f(a); }", "if(a==b){\n\tf(a);\n}", "if (A == b) { f(a); }", "if (a != b) { f(a); }"]
    first, second, third, fourth = per_row(lexer.shingle(pa.array(texts), 5))
    assert first == second
    assert first != third != fourth != first


def test_hashes_stay_what_they_were() -> None:
    """Stored sketches of one run meet those of the next: a changed hash needs a new annotator version."""
    assert lexer.shingle(pa.array([b"a b c d e f", b"x"]), 5).values.tolist() == KNOWN


def test_real_code_counts_as_the_regular_expression() -> None:
    sources = [inspect.getsource(module).encode() for module in (re, inspect, pytest)]
    assert lexer.count_tokens(pa.array(sources)).tolist() == [len(TOKEN.findall(source)) for source in sources]
    found = per_row(lexer.distinct_shingles(pa.array(sources, pa.large_binary()), 5))
    assert [len(row) for row in found] == [len(set(grams(source, 5))) for source in sources]


def test_no_rows_and_wrong_types() -> None:
    assert lexer.count_tokens(pa.chunked_array([], pa.binary())).tolist() == []
    assert lexer.shingle(pa.array([], pa.large_binary()), 5).offsets.tolist() == [0]
    assert lexer.count_tokens(pa.array([None, None], pa.string())).tolist() == [0, 0]
    with pytest.raises(TypeError, match="expected a binary or string array, got int64"):
        lexer.count_tokens(pa.array([1]))
