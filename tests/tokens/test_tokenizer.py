"""Any tokenizer gives the ids its own library gives, and text never becomes a special token."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.errors import InputError, MissingExtra, RecipeError
from codemill.tokens import tokenizer as module
from codemill.tokens.tokenizer import Tokenizer, open_tokenizer
from tests.tokens.conftest import MARKS, TEXTS

KINDS = ("gpt2", "digits", "llama3", "nfc", "spaces", "unigram")
BYTE_LEVEL = ("gpt2", "digits", "llama3", "spaces")
# Text as code has it, and text that nobody writes; special tokens among both.
SCRAPS = st.sampled_from(
    [
        *MARKS,
        "<tool_call>",
        "<unk>",
        " ",
        "  ",
        "    ",
        "\n",
        "\r\n",
        "\t",
        "'ll",
        "'S",
        "def",
        "0x1F",
        "12345",
        "é",
        "e\u0301",
    ]
)
TEXT = st.lists(st.one_of(SCRAPS, st.text(max_size=6)), max_size=20).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(TEXT, max_size=6))
@settings(max_examples=60)
def test_ids_are_those_of_the_library_and_no_special_tokens(opened, files, kind, texts):
    tokenizer = opened[kind]
    found = tokenizer.encode(texts)
    assert found.offsets[0] == 0
    assert found.offsets[-1] == len(found.ids)
    assert not set(found.ids.tolist()) & {tokenizer.special(mark) for mark in MARKS}
    library = tokenizers.Tokenizer.from_file(str(files[kind]))
    for text, start, stop in zip(texts, found.offsets, found.offsets[1:], strict=False):
        ids = found.ids[start:stop].tolist()
        if kind in BYTE_LEVEL:
            assert tokenizer.decode(ids) == text
        if not any(mark in text for mark in (*MARKS, "<tool_call>", "<unk>")):
            assert ids == library.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(TEXT, max_size=4))
@settings(max_examples=40)
def test_spans_are_those_of_the_library(opened, kind, texts):
    found = opened[kind].encode(texts, spans=True)
    slow = opened[kind]._slow_spans(texts)
    assert found.ids.tolist() == slow.ids.tolist()
    assert found.starts.tolist() == slow.starts.tolist()
    assert found.ends.tolist() == slow.ends.tolist()


def test_byte_level_tokenizers_are_fast_and_arrow_goes_in(opened):
    assert {kind for kind in KINDS if opened[kind].fast} >= {"gpt2", "llama3"}
    batch = pa.array(TEXTS, pa.large_string())
    for kind in KINDS:
        one, two = opened[kind].encode(batch), opened[kind].encode(TEXTS)
        assert np.array_equal(one.ids, two.ids)
        assert one.ids.dtype == np.uint32
        assert one.offsets.dtype == np.int64


def test_a_fast_library_with_other_ids_is_not_used(files, monkeypatch):
    """Where the probes or the first text differ, the library that defines the ids encodes."""
    definition = json.loads(files["gpt2"].read_text())
    right = Tokenizer(definition, "right").encode(TEXTS).ids
    honest = module._flat

    def wrong_on(what):
        def flat(fast, strings):
            ids, offsets = honest(fast, strings)
            return (ids ^ 1 if any(what in text for text in strings) else ids), offsets

        return flat

    monkeypatch.setattr(module, "_flat", wrong_on("endoftext"))
    assert not Tokenizer(definition, "probes").fast
    monkeypatch.setattr(module, "_flat", wrong_on("Helpers"))
    tokenizer = Tokenizer(definition, "first text")
    assert tokenizer.fast
    assert np.array_equal(tokenizer.encode(TEXTS).ids, right)
    assert not tokenizer.fast

    def broken(fast, strings):
        if len(strings) == len(TEXTS):
            raise ValueError("match limit exceeded")
        return honest(fast, strings)

    monkeypatch.setattr(module, "_flat", broken)
    tokenizer = Tokenizer(definition, "limits")
    assert np.array_equal(tokenizer.encode(TEXTS).ids, right)


def test_special_tokens_have_names(opened, files):
    assert opened["llama3"].special("<|endoftext|>") == 0
    assert opened["llama3"].vocab_size == tokenizers.Tokenizer.from_file(str(files["llama3"])).get_vocab_size()
    assert opened["spaces"].special("<tool_call>") == opened["spaces"].vocab_size - 1
    with pytest.raises(RecipeError, match=r"expected the special token '<eot>', got only <\[fim-middle\]>"):
        opened["llama3"].special("<eot>")


def test_fingerprints_follow_content(files, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(files["gpt2"].read_bytes())
    assert open_tokenizer(tmp_path).fingerprint == open_tokenizer(files["gpt2"]).fingerprint
    assert open_tokenizer(files["digits"]).fingerprint != open_tokenizer(files["gpt2"]).fingerprint


def test_mistakes_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"expected a tokenizer\.json or a folder with one"):
        open_tokenizer(tmp_path)
    with pytest.raises(InputError, match=r"expected a tokenizer\.json or a folder with one"):
        open_tokenizer("no/such/place/tokenizer.json")
    for name, content in (("text", "{"), ("list", "[]"), ("other", '{"model": {"type": "Magic"}}')):
        (tmp_path / name).write_text(content)
        with pytest.raises(RecipeError, match=rf"tokenizer .*{name}: expected"):
            open_tokenizer(tmp_path / name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = "from codemill.tokens.tokenizer import open_tokenizer as open\n"
    code += "try: open('some/model')\nexcept Exception as error: print(repr(error))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert said.startswith("InputError('tokenizer some/model: expected a file, a folder or a repository of the hub")
    assert len(said.strip().splitlines()) == 1


def test_libraries_that_are_not_there(files, monkeypatch):
    """Without the fast one ids are the same; without both there is one line that says what to install."""
    right = open_tokenizer(files["llama3"]).encode(TEXTS).ids
    monkeypatch.setitem(sys.modules, "fastokens", None)
    slow = open_tokenizer(files["llama3"])
    assert not slow.fast
    assert np.array_equal(slow.encode(TEXTS).ids, right)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'codemill\[tokenizers\]'"):
        open_tokenizer(files["llama3"])


def test_threads_are_told_to_both_libraries(files, monkeypatch):
    for variable in ("RAYON_NUM_THREADS", "FASTOKENS_BPE_THREADS", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(variable, "")  # so that it is put back afterwards
        monkeypatch.delenv(variable)
    open_tokenizer(files["gpt2"])
    assert "FASTOKENS_BPE_THREADS" not in os.environ
    open_tokenizer(files["gpt2"], threads=1)
    assert os.environ["FASTOKENS_BPE_THREADS"] == os.environ["RAYON_NUM_THREADS"] == "1"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
