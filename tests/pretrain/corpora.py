"""Small corpora and a tokenizer, written and trained by the tests."""

import hashlib
import random

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.conftest import c_module, python_module

MARKS = ["<|endoftext|>", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"]


def texts(count, seed=0):
    """So many different small files, of one to twelve functions."""
    pick = random.Random(seed)
    kinds = [pick.randint(0, 12) for _ in range(count)]
    first = seed * 10_000
    return [
        python_module(first + n, functions) if functions else f"/* {first + n} */\n" + c_module(n)
        for n, functions in enumerate(kinds)
    ]


def write_files(path, contents):
    """A corpus as `codemill run` writes one over files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [hashlib.sha256(text.encode()).hexdigest() for text in contents]
    languages = ["C" if text.startswith("/*") else "Python" for text in contents]
    columns = {"content": pa.array(contents, pa.large_string()), "blob_id": ids, "language": languages}
    pq.write_table(pa.table(columns), path, row_group_size=16)


def write_samples(path, count):
    """A corpus of samples: a context that bears no loss and a target that does."""
    rows = []
    for number in range(count):
        context, target = f"# change {number}\n" + python_module(number, 1), f"return {number}\n"
        spans = [
            {"part": "context", "start": 0, "end": len(context), "target": False},
            {"part": "change", "start": len(context), "end": len(context) + len(target), "target": True},
        ]
        rows.append({"text": context + target, "spans": spans, "occurrence_id": f"{number:032x}", "language": "Python"})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def train_tokenizer(path, contents):
    """A byte-level BPE of 600 tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(contents, trainer)
    tokenizer.save(str(path))
