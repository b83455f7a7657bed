"""Fetches the few contents a report shows out of stores of any size, reading only the row groups that hold them."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codemill.errors import StoreError
from codemill.report.wording import clip, visible
from codemill.store import Store

EXCERPT_LINES = 12
EXCERPT_WIDTH = 160  # characters of a line
HEAD_BYTES = 65_536  # of each content, all that is looked at
LONG_HEADER = 5  # lines of comment at the top from which on an excerpt begins below them
READERS = 8  # files open at a time: what a remote store needs to be fast; each holds a row group of contents
LOCAL_READERS = 2
ROWS = 256  # decoded at a time within a row group

_COMMENT = ("# ", "//", "/*", "*", "--", ";", "%", '"""', "'''", "<!--", "..", "dnl ", "!", "'")


@dataclass(frozen=True)
class Head:
    """The beginning of a content and how many lines all of it has."""

    text: str
    lines: int


@dataclass(frozen=True)
class Excerpt:
    """A few lines of a file: `first` is the number of the first one, of `lines` in all."""

    text: str
    first: int
    last: int
    lines: int


def excerpt(head: Head) -> Excerpt:
    """The first lines; those after the header where a long comment, most often a licence, opens the file."""
    lines = head.text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    start = next((number for number, line in enumerate(lines) if not _opens(line)), 0)
    start = start if start >= LONG_HEADER else 0
    chosen = [clip(visible(line.rstrip("\r")), EXCERPT_WIDTH) for line in lines[start : start + EXCERPT_LINES]]
    return Excerpt("\n".join(chosen), start + 1, start + len(chosen), head.lines)


def _opens(line: str) -> bool:
    """Whether a line may belong to a comment at the top: a guess that costs nothing but which lines are shown."""
    text = line.strip()
    return not text or text == "#" or (line[:1].isspace() and text[:1].isalpha()) or text.startswith(_COMMENT)


def read_heads(store: Store, shards: Sequence[str], wanted: Iterable[str]) -> dict[str, Head]:
    """The heads of these blobs, by id; those without content (binary ones) are left out.

    Raises:
        StoreError: a shard can't be read.
    """
    ids = pa.array(sorted(wanted), pa.string())
    if not len(ids):
        return {}
    with ThreadPoolExecutor(LOCAL_READERS if store.local else READERS) as pool:
        places = list(pool.map(lambda shard: _find(store, shard, ids), shards))
        taken = np.zeros(len(ids), dtype=np.bool_)
        work = []
        for shard, found in zip(shards, places, strict=True):
            rows = [(row, which) for row, which in found if not taken[which]]
            taken[[which for _, which in rows]] = True
            work.append((shard, sorted(row for row, _ in rows)))
        heads: dict[str, Head] = {}
        for part in pool.map(lambda one: _read(store, *one), work):
            heads.update(part)
    return heads


def _find(store: Store, shard: str, ids: pa.Array) -> list[tuple[int, int]]:
    """(row of the shard, index into ids) of the ids that the shard holds; only its column of ids is read."""
    held = store.read(f"blobs/{shard}.parquet", ["blob_id"])["blob_id"]
    index = pc.index_in(held, value_set=ids).combine_chunks()
    rows = np.flatnonzero(pc.is_valid(index).to_numpy(zero_copy_only=False))
    which = index.take(pa.array(rows)).to_pylist()
    return list(zip(rows.tolist(), which, strict=True))


def _read(store: Store, shard: str, rows: Sequence[int]) -> dict[str, Head]:
    """The contents in these rows (sorted) of a shard, row group by row group, each only as far as needed."""
    heads: dict[str, Head] = {}
    path = f"blobs/{shard}.parquet"
    try:
        with store.fs.open_input_file(store.path(path)) as stream:
            file = pq.ParquetFile(stream)
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                here = [row - start for row in rows if start <= row < stop]
                if here:
                    heads.update(_read_group(file, group, here))
                start = stop
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"store {store.root}: cannot read {path}: {error}") from error
    return heads


def _read_group(file: pq.ParquetFile, group: int, rows: Sequence[int]) -> dict[str, Head]:
    heads: dict[str, Head] = {}
    start = 0
    for batch in file.iter_batches(ROWS, row_groups=[group], columns=["blob_id", "content"], use_threads=False):
        for row in rows:
            if start <= row < start + batch.num_rows:
                content = batch.column("content")[row - start]
                if content.is_valid:
                    buffer = content.as_buffer()
                    heads[batch.column("blob_id")[row - start].as_py()] = _head(buffer)
        start += batch.num_rows
        if start > rows[-1]:
            break
    return heads


def _head(content: pa.Buffer) -> Head:
    data = content.to_pybytes()
    lines = data.count(b"\n") + (0 if data.endswith(b"\n") or not data else 1)
    return Head(data[:HEAD_BYTES].decode("utf-8", "replace"), lines)
