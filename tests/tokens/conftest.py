"""Tokenizers of every kind, small and trained here."""

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from codemill.tokens.tokenizer import open_tokenizer
from tests.conftest import c_module, python_module

MARKS = ["<|endoftext|>", "<|pad|>", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"]
TEXTS = [python_module(seed) for seed in range(20)] + [c_module(seed) for seed in range(20)]
TEXTS += ["naïve café — 中文字符 한국어 \U0001f600 <|endoftext|> <[fim-middle]> it's 12345 \r\n\t\t x\n" * 3]
CODE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def byte_level(kind, vocab_size=900):
    """Byte-level BPE with one of the usual ways to cut text."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(tokenizers.Regex(CODE), behavior="isolated")
    tokenizer.pre_tokenizer = {
        "gpt2": whole,
        "digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole]),
        "llama3": pre_tokenizers.Sequence([split, bare]),
        "nfc": pre_tokenizers.Sequence([split, bare]),
        "spaces": whole,
    }[kind]
    if kind == "nfc":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=MARKS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    if kind == "spaces":  # as GPT-NeoX has them: added tokens that are content
        tokenizer.add_tokens([tokenizers.AddedToken(" " * count, normalized=False) for count in (24, 16, 8, 4)])
        # as Qwen has them: marks that say they are not special
        tokenizer.add_tokens([tokenizers.AddedToken("<tool_call>", normalized=False)])
    return tokenizer


def unigram():
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=500, special_tokens=["<unk>", *MARKS], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """tokenizer.json by kind."""
    folder = tmp_path_factory.mktemp("tokenizers")
    for kind in ("gpt2", "digits", "llama3", "nfc", "spaces"):
        byte_level(kind).save(str(folder / f"{kind}.json"))
    unigram().save(str(folder / "unigram.json"))
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="session")
def opened(files):
    return {kind: open_tokenizer(path) for kind, path in files.items()}
