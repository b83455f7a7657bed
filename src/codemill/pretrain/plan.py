"""Lays out a stage: which document goes to which shard, as tasks that spread and write them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from codemill.pretrain.draw import Draw
from codemill.pretrain.spread import LISTING
from codemill.pretrain.tokenize import mix
from codemill.store import Store


@dataclass(frozen=True)
class Layout:
    """Where the documents of a stage go.

    Attributes:
        listings: token file -> its rows that the stage takes, as `LISTING`.
        tokens: of each shard.
    """

    listings: dict[str, pa.Table]
    tokens: list[int]


def lay_out(draws: Sequence[Draw], shard_tokens: int, salt: int, by_source: bool) -> Layout:
    """Put the documents of a stage in an order drawn by `salt`, and cut that order into shards.

    Args:
        draws: what the stage takes, sources in their order.
        shard_tokens: about so many in a shard.
        salt: another one gives another order.
        by_source: keep sources apart, in their order.
    """
    if not draws:
        return Layout({}, [])
    lengths = np.concatenate([draw.table.length[draw.rows] for draw in draws])
    keys = np.concatenate([_places(draw, salt) for draw in draws])
    names = list(dict.fromkeys(draw.table.source for draw in draws))
    groups = np.repeat([names.index(draw.table.source) for draw in draws], [len(draw.rows) for draw in draws])
    order = np.lexsort((keys, groups)) if by_source else np.argsort(keys, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    begins = np.cumsum(lengths[order]) - lengths[order]
    shard = np.empty(len(order), np.int64)
    count = max(1, round(int(lengths.sum()) / shard_tokens))
    size = -(-int(lengths.sum()) // count)
    shard[order] = begins // size
    # A document longer than a shard may leave the next one empty.
    used, parts = np.unique(shard, return_inverse=True)
    tokens = np.zeros(len(used), np.int64)
    np.add.at(tokens, parts, lengths)
    return Layout(_listings(draws, parts.astype(np.int32), place), tokens.tolist())


def _places(draw: Draw, salt: int) -> np.ndarray:
    """What a stage's order sorts by. Pieces of a document part ways, since each fills a sequence of its own."""
    keys, pieces = mix(mix(draw.table.key[draw.rows], salt), draw.epoch), draw.pieces
    return np.where(pieces > 0, mix(keys, pieces.astype(np.uint64)), keys)


def _listings(draws: Sequence[Draw], shard: np.ndarray, place: np.ndarray) -> dict[str, pa.Table]:
    found: dict[str, list[pa.Table]] = {}
    start = 0
    for draw in draws:
        stop = start + len(draw.rows)
        files = draw.table.file[draw.rows]
        order = np.argsort(files, kind="stable")
        edges = np.searchsorted(files[order], np.arange(len(draw.table.files) + 1))
        columns = (draw.table.row[draw.rows], shard[start:stop], place[start:stop])
        for number, path in enumerate(draw.table.files):
            rows = order[edges[number] : edges[number + 1]]
            if len(rows):
                arrays = [pa.array(column[rows]) for column in columns]
                found.setdefault(path, []).append(pa.Table.from_arrays(arrays, schema=LISTING))
        start = stop
    return {path: pa.concat_tables(tables) for path, tables in found.items()}


def write_listings(store: Store, layout: Layout, folder: str) -> list[dict[str, str]]:
    """Write the listings into the store; a task for each to spread its file."""
    tasks = []
    for number, (path, listing) in enumerate(sorted(layout.listings.items())):
        task = {
            "store": store.root,
            "tokens": path,
            "listing": f"{folder}/{number}.listing.parquet",
            "out": f"{folder}/{number}.arrow",
        }
        store.write(task["listing"], listing)
        tasks.append(task)
    return tasks
