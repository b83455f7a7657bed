"""Words: what separates them, which depth they have, and that layout changes neither."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.decontaminate.words import BORDER, STATE_SIZE, depth, next_word, start_text


def read(text):
    """(word, depth) of every word, a None for every border but the first."""
    data = np.frombuffer(text.encode(), np.uint8)
    state = np.zeros(STATE_SIZE, np.int64)
    start_text(state)
    state[BORDER] = 0
    place, found = 0, []
    while True:
        begin, place, _ = next_word(data, place, state)
        if state[BORDER]:
            state[BORDER] = 0
            found.append(None)
        if begin == place:
            return found
        found.append((data[begin:place].tobytes().decode(), depth(state)))


def words(text):
    return [one and one[0] for one in read(text)]


def at(text, most):
    """The words of one view: those of a depth of at most `most`."""
    return [word for word, level in read(text) if level <= most]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", []),
        ("  \n\t", []),
        ("def f(x_1, y2): return x_1+y2", ["def", "f", "x_1", "y2", "return", "x_1", "y2"]),
        ("1.5e3", ["1", "5e3"]),
        ("don't don\u2019t don\u00a0t", ["don", "t", "don", "t", "don", "t"]),
        ("na\u00efve caf\u00e9 \u00b5m", ["na\u00efve", "caf\u00e9", "\u00b5m"]),
        ("a\u2192b \u2265c\U0001f600d", ["a", "b", "c", "d"]),
        ("\u8bd5\u9a8c ab\u3002\uff0ccd", ["\u8bd5", "\u9a8c", "ab", "cd"]),
        ("ab\u6f22cd", ["ab", "\u6f22", "cd"]),
        ("\u041f\u0440\u0438\u0432\u0435\u0442 \ud55c\uad6d", ["\u041f\u0440\u0438\u0432\u0435\u0442", "\ud55c\uad6d"]),
        ("\ufeffhead", ["head"]),
        (r"a\nb\tc\\nd\"e\\", ["a", "b", "c", "d", "e"]),
        (r"\alpha", ["alpha"]),
        ("a\0b", ["a", None, "b"]),
    ],
)
def test_what_separates(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    "text, code, with_docstrings",
    [
        ("a # b c\nd", ["a", "d"], ["a", "d"]),
        ("a#b\nc", ["a", "b", "c"], ["a", "b", "c"]),
        ("// a\nb // c\n", ["b", "c"], ["b", "c"]),  # in Python that divides
        ("b; // c\nd", ["b", "d"], ["b", "d"]),
        ("/* a\n * b */ c", ["c"], ["c"]),
        ("a/*b", ["a", "b"], ["a", "b"]),
        ("f(/* a */ b)", ["f", "b"], ["f", "b"]),
        ("-- a\nb", ["b"], ["b"]),
        ("--a\nb", ["a", "b"], ["a", "b"]),
        ("; a\nb; c", ["b", "c"], ["b", "c"]),
        ('"""a\nb"""\nc', ["c"], ["a", "b", "c"]),
        ("'''a \"\"\" b'''\nc", ["c"], ["a", "b", "c"]),
        ('x = """a # b\nc"""\nd # e', ["x", "a", "c", "d"], ["x", "a", "c", "d"]),
        ('"""a\n# b\nc # d """\ne', ["e"], ["a", "c", "e"]),
        ('# """ a\nb', ["b"], ["b"]),
        (r"# a\nb", ["b"], ["b"]),
        (r"\"\"\"a\n\"\"\"\nb", ["b"], ["a", "b"]),
        ("# a\0b", ["b"], ["b"]),
        ("+# a\n-b\n-# c\n> # d\n>>> e", ["b", "e"], ["b", "e"]),
        ('+"""a\n+"""\n+b', ["b"], ["a", "b"]),
        ('"""a\0b', ["b"], ["a", "b"]),
    ],
)
def test_depth(text, code, with_docstrings):
    plain = [one for one in read(text) if one]
    assert [word for word, level in plain if level == 0] == code
    assert [word for word, level in plain if level <= 1] == with_docstrings


TOKENS = st.lists(st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True), max_size=40)
GAPS = st.lists(st.text(" \n\t\r,.()[]:=+<>", min_size=1, max_size=6), min_size=41, max_size=41)


@given(TOKENS, GAPS)
def test_layout_changes_no_word(tokens, gaps):
    text = "".join(gap + token for gap, token in zip(gaps, tokens, strict=False)) + gaps[-1]
    assert words(text) == tokens


@given(st.text())
def test_any_text_ends_and_words_are_its_own(text):
    for word in words(text):
        assert word is None or (word in text and not re.search(r"[ \t\r\n(),.\x00]", word))


@given(TOKENS.filter(bool), st.sampled_from(["# {}", "/* {} */", "-- {}", '"""{}"""', "// {}", "; {}"]))
def test_comments_between_lines_leave_the_code(tokens, comment):
    lines = [" ".join(tokens[start : start + 3]) for start in range(0, len(tokens), 3)]
    text = "\n".join(f"{comment.format('one two 3')}\n{line}" for line in lines)
    assert at(text, 0) == tokens


@given(st.binary(max_size=40))
def test_bytes_that_are_no_text_end(data):
    array = np.frombuffer(data, np.uint8)
    state = np.zeros(STATE_SIZE, np.int64)
    start_text(state)
    place, last = 0, -1
    while True:
        begin, place, _ = next_word(array, place, state)
        if begin == place:
            break
        assert last < begin < place <= len(data)
        last = begin
