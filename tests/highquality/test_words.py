"""Words come out of code as documented: parts of names, marks alone, numbers alike; no line breaks, no labels."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.highquality.words import LONGEST, spaced


def words(text, split=True, size=10_000):
    return spaced(pa.array([text]), size, split)[0].split(" ")[:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("readHTTPLine", ["read", "HTTP", "Line"]),
        ("__init__", ["init"]),
        ("snake_case_2", ["snake", "case", "0"]),
        ("x1y", ["x", "0", "y"]),
        ("A aB ABC", ["A", "a", "B", "ABC"]),
        ("f(a);", ["f", "(", "a", ")", ";"]),
        ("1234 + 5", ["0", "+", "0"]),
        ("#kind:good", ["#", "kind", ":", "good"]),
        ("caf\u00e9", ["caf\u00e9"]),
        ("a" * (LONGEST + 1), ["~"]),
        ("\x00\x07\t\n", []),
        ("", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_names_may_stay_whole():
    assert words("readHTTPLine(x_1)", split=False) == ["readHTTPLine", "(", "x_1", ")"]


@given(st.lists(st.text(max_size=60), max_size=5), st.booleans(), st.integers(1, 50))
def test_a_line_is_a_line(texts, split, size):
    lines = spaced(pa.array(texts, pa.string()), size, split)
    assert len(lines) == len(texts)
    for text, line in zip(texts, lines, strict=True):
        assert not set(line) & set("\n\r\0\t\v\f")
        assert "#kind" not in line
        # Nothing visible is lost that lies within the bound, save what a number or a long run hides.
        if len(text.encode()) <= size and text.isascii() and not any(c.isdigit() or c == "_" for c in text) and split:
            assert line.replace(" ", "") == "".join(c for c in text if 32 < ord(c) < 127) or "~" in line


@given(st.lists(st.text("abAB_1 (", max_size=30), min_size=1, max_size=6))
def test_rows_do_not_see_each_other(texts):
    whole = pa.array(["pad", *texts], pa.large_string()).slice(1)
    assert spaced(whole, 100, True) == [spaced(pa.array([text]), 100, True)[0] for text in texts]
