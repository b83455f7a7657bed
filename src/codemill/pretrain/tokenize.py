"""Encodes one file of a source for one phase and pass: a file of token ids, and beside it what a plan needs to know."""

import functools
import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codemill.corpus.read import read_documents
from codemill.engine import Task
from codemill.schema import DOCUMENT
from codemill.store import COMPRESSION, Store
from codemill.tokens.encode import Encoded, encode_documents
from codemill.tokens.settings import FimSettings
from codemill.tokens.tokenizer import Tokenizer, open_tokenizer

VERSION = 2  # raise it when the same documents give other files

# A row is a document, or with fill-in-the-middle at context level a piece of one.
INDEX = pa.schema(
    [
        ("key", pa.uint64()),  # of its document; what shuffling sorts by
        ("length", pa.int64()),  # tokens
        ("loss", pa.int64()),  # tokens that bear the loss
        ("first", pa.bool_()),  # the first piece of its document
        ("fim", pa.bool_()),
        ("language", pa.dictionary(pa.int32(), pa.string())),
    ]
)


def token_schema(vocabulary: int) -> pa.Schema:
    """Columns of a token file: ids in as few bytes as the vocabulary allows, and loss marks (null: all bear it)."""
    kind = pa.uint16() if vocabulary <= 1 << 16 else pa.uint32()
    return pa.schema([("ids", pa.large_list(kind)), ("loss", pa.large_list(pa.bool_()))])


@functools.lru_cache(maxsize=2)
def tokenizer_of(path: str) -> Tokenizer:
    """The tokenizer, opened once in a worker process."""
    return open_tokenizer(path, threads=1)  # the engine has a process for each core


def tokenize_file(task: Task) -> Task:
    """Encode a file. The task names it, the tokenizer, the draw (`fim`, `epoch`, `length`) and the files to write.

    Returns what became of its rows: documents, tokens, and the rows beside them by reason.
    """
    store = Store(task["store"])
    tokenizer = tokenizer_of(task["tokenizer"])
    schema = token_schema(tokenizer.vocab_size)
    fim = FimSettings.model_validate(task["fim"]) if task["fim"] else None
    beside: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    with (
        store.writing(task["tokens"]) as tokens,
        pa.ipc.new_file(tokens, schema) as writer,
        store.writing(task["index"]) as index,
        pq.ParquetWriter(index, INDEX, **COMPRESSION) as rows,
    ):
        for batch, others in read_documents(task["path"], task["columns"], f"source {task['source']}", task["groups"]):
            beside += others
            if not batch.num_rows:
                continue
            encoded = encode_documents(
                batch, tokenizer, fim, end=task["end"], epoch=task["epoch"], length=task["length"]
            )
            writer.write_batch(_ids(encoded, schema))
            described = _describe(batch, encoded, task["source"])
            rows.write_batch(described)
            totals["documents"] += batch.num_rows
            totals["rows"] += described.num_rows
            totals["tokens"] += len(encoded.ids)
            totals["bytes"] += batch.column(DOCUMENT.get_field_index("text")).nbytes
    value = {**totals, "beside": dict(beside)}
    store.write_json(task["done"], value)
    return value


def _ids(encoded: Encoded, schema: pa.Schema) -> pa.RecordBatch:
    offsets = pa.array(encoded.offsets)
    ids = pa.LargeListArray.from_arrays(
        offsets, pa.array(encoded.ids.astype(schema.field("ids").type.value_type.to_pandas_dtype()))
    )
    whole = _loss(encoded) == encoded.lengths
    marks = pa.LargeListArray.from_arrays(offsets, pa.array(encoded.loss.astype(bool)), mask=pa.array(whole))
    return pa.RecordBatch.from_arrays([ids, marks], schema=schema)


def _loss(encoded: Encoded) -> np.ndarray:
    """Tokens of each piece that bear the loss."""
    before = np.concatenate([[0], np.cumsum(encoded.loss, dtype=np.int64)])
    return np.diff(before[encoded.offsets])


def _describe(batch: pa.RecordBatch, encoded: Encoded, source: str) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        "key": order_keys(batch.column("document_id").to_pylist(), source)[encoded.rows],
        "length": encoded.lengths,
        "loss": _loss(encoded),
        "first": np.concatenate([[True], encoded.rows[1:] != encoded.rows[:-1]]),
        "fim": encoded.order > 0,
        "language": batch.column("language").take(pa.array(encoded.rows)).dictionary_encode(),
    }
    return pa.RecordBatch.from_pydict(columns, schema=INDEX)


def order_keys(ids: list[str], source: str) -> np.ndarray:
    """64 bits for every document, from its id and its source: what shuffling sorts by, whatever file it lies in."""
    salt = source.encode()[:64]
    joined = b"".join(hashlib.blake2b(one.encode(), digest_size=8, key=salt).digest() for one in ids)
    return np.frombuffer(joined, "<u8")


def mix(keys: np.ndarray, salt: "np.ndarray | int") -> np.ndarray:
    """Other 64 bits for every key, by a salt: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        z = np.asarray(keys, np.uint64) + (np.asarray(salt, np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)
