"""Lexing and measures of single files: comments, strings, tokens and counts are what a reader would say."""

import numpy as np
import pytest

from codemill.quality import features, kernels


@pytest.fixture(scope="module")
def scratch():
    return features.Scratch()


def states(text, language):
    b = np.frombuffer(text.encode(), np.uint8)
    state = np.zeros(len(b), np.uint8)
    kernels.lex(b, len(b), features.syntax_of(language), state)
    return "".join("cLBDs"[s] for s in state)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("Python", "a # b\nc", "ccLLLcc"),
        ("Python", '"""d"""\n', "DDDDDDDc"),
        ("Python", "'#'+1", "ssscc"),
        ("C", "a/*b*/c", "cBBBBBc"),
        ("C", "a//b\nc", "cLLLcc"),
        ("C", 'f("//")', "ccssssc"),
        ("JavaScript", "http://x", "cccccccc"),
        ("OCaml", "(*a*)b", "BBBBBc"),
        ("Lua", "--[[a]]b", "BBBBBBBc"),
        ("Haskell", "a -- b", "ccLLLL"),
        ("Rust", "&'a b", "ccccc"),
        ("SQL", "a -- b", "ccLLLL"),
        ("Shell", "$# a", "cccc"),
        ("Markdown", "it's <!-- a --> b", "cccccBBBBBBBBBBcc"),
        ("reStructuredText", "# 'a'", "ccccc"),
        ("C", '"open\nb', "sssssccc"[:7]),
        ("C", '"a\\"b"c', "ssssssc"),
    ],
)
def test_comments_and_strings_are_told_from_code(language, text, expected):
    assert states(text, language) == expected


def test_every_listed_mark_fits_its_place():
    for family in features._toml("syntax.toml").values():
        opening, closing = family.get("block", ("", ""))
        assert len(family.get("line", "")) <= 2
        assert len(family.get("line2", "")) <= 2
        assert len(opening) <= 4
        assert len(closing) <= 3


def test_phrases_are_what_the_matcher_can_find():
    for group in features._toml("phrases.toml").values():
        for phrase in group:
            words = phrase.split()
            assert 1 <= len(words) <= 4
            assert all(c.islower() or c.isdigit() or c == "_" for word in words for c in word)


def test_a_language_is_in_one_family_only():
    listed = [name for family in features._toml("syntax.toml").values() for name in family.get("languages", ())]
    assert len(listed) == len(set(listed))


def test_tokens_of_a_line(scratch):
    b, size = features.head(b"int x1 = 42;\n")
    features.extract(b, size, "C", scratch)
    kinds = scratch.space.tokens[: scratch.n_tokens, kernels.T_KIND].tolist()
    assert kinds == [kernels.WORD, kernels.WORD, kernels.PUNCTUATION, kernels.NUMBER, kernels.PUNCTUATION, 3]


def test_ngram_counts_add_up(scratch):
    b, size = features.head(b"abcdef")
    features.extract(b, size, "C", scratch)
    for kind, expected in (("characters", 5 + 4 + 3 + 2), ("tokens", 2)):
        found = features.count_ngrams(b, scratch, kind)
        assert scratch.counts[scratch.touched[:found]].sum() == expected
        scratch.counts[scratch.touched[:found]] = 0
    assert not scratch.counts.any()


def test_measures_do_not_depend_on_the_file_before(scratch):
    b, size = features.head(b"def f(x):\n    return x\n")
    first = features.extract(b, size, "Python", scratch).copy()
    other, other_size = features.head(b"x = '" + b"y" * 9000)
    features.extract(other, other_size, "Ruby", scratch)
    assert (features.extract(b, size, "Python", scratch) == first).all()
    assert len(first) == features.feature_count()


def test_only_the_head_is_read():
    text = "é" * 10_000
    b, size = features.head(text.encode())
    assert len(b) == 2 * features.CHARACTERS
    assert size == 20_000
    again, guessed = features.head(text)
    assert (again == b).all()
    assert guessed == 20_000
