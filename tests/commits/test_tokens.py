"""Budgets are counted in lexical tokens or in a model's, and cut at lines."""

import sys

import numpy as np
import pytest

from codemill.commits.tokens import LexicalTokens, head, load_tokens, window
from codemill.errors import MissingExtra, RecipeError

LEXICAL = LexicalTokens()
TEXT = "a b\n\nc d e\nf"


def test_lexical_tokens_are_words_and_marks():
    assert LEXICAL.count("f(x) = 1") == 6
    assert LEXICAL.lines(TEXT).tolist() == [2, 0, 3, 1]
    assert LEXICAL.lines("").tolist() == [0]
    assert LEXICAL.count(b"\xff".decode("utf-8", "surrogateescape")) == 1


@pytest.mark.parametrize(("budget", "text"), [(6, TEXT), (5, "a b\n\nc d e"), (4, "a b\n"), (1, "")])
def test_heads_are_whole_lines(budget, text):
    assert head(TEXT, budget, LEXICAL) == text


def test_windows_hold_what_says_most():
    text = "\n".join(f"w{number} x" for number in range(100))
    hits = np.zeros((100, 2), np.int32)
    hits[10:14, 0] = 5  # often the same common word
    hits[70, 0] = hits[72, 1] = 1  # once each, the second one rare
    excerpt, first, last, lines = window(text, 20, LEXICAL, hits, np.array([1.0, 4.0]))
    assert (last - first + 1, lines) == (10, 100)
    assert first <= 71
    assert last >= 73
    assert excerpt == "\n".join(text.split("\n")[first - 1 : last])
    assert first < 71, "what leads to the first hit is shown too"
    assert window(text, 1000, LEXICAL, hits, np.array([1.0, 4.0]))[0] == text
    assert window(text, 1, LEXICAL, hits, np.array([1.0, 4.0]))[2] < window(text, 1, LEXICAL, hits, np.ones(2))[1] + 1
    assert window(text, 20, LEXICAL, np.zeros((100, 0), np.int32), np.zeros(0))[1] == 1


def test_tokens_of_a_model(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    path = tmp_path / "tokenizer.json"
    model.save(str(path))
    tokens = load_tokens(str(path))
    assert tokens.count("a b c") == 3
    assert tokens.lines("a b\n\nc").tolist() == [2, 0, 1]
    assert head("a b\nc", 2, tokens) == "a b"
    path.write_text("{}")
    load_tokens.cache_clear()
    with pytest.raises(RecipeError, match=r"expected a tokenizer\.json"):
        load_tokens(str(path))


def test_a_missing_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    path = tmp_path / "other.json"
    path.write_text("{}")
    with pytest.raises(MissingExtra, match=r"codemill\[tokenizers\]"):
        load_tokens(str(path))
