"""Gathering in parts and windows against one join in memory."""

import numpy as np
import pyarrow as pa
import pytest

from codemill import tables
from codemill.annotate import build
from codemill.annotate.run import Annotation, Data
from codemill.errors import ConservationError, EngineError
from codemill.schema import OCCURRENCE
from codemill.select.gather import ORDER, gather
from codemill.store import Store
from codemill.tables import StoredTable

SHARDS, ROWS = 5, 40
COLUMNS = ["occurrence.stars", "occurrence.depth", "minhash.shingles", "language.language"]


@pytest.fixture
def made(tmp_path):
    """Shards whose blobs are known in other shards' tables, too, some in none."""
    rng, store = np.random.default_rng(0), Store(tmp_path)
    blobs = [f"{number:064x}" for number in range(90)]
    language, minhash = build("language"), build("minhash")
    for number in range(SHARDS):
        ids = [rng.bytes(16).hex() for _ in range(ROWS)]
        chosen = [None if rng.random() < 0.1 else blobs[one] for one in rng.integers(0, 90, ROWS)]
        known = {
            "occurrence_id": ids,
            "source": ["s"] * ROWS,
            "repo": [f"r{one}" for one in rng.integers(0, 3, ROWS)],
            "revision": [""] * ROWS,
            "path": [f"a/{one}.py" for one in rng.integers(0, 20, ROWS)],
            "blob_id": chosen,
            "stars": rng.integers(0, 9, ROWS),
        }
        rows = {one.name: known.get(one.name, pa.nulls(ROWS, one.type)) for one in OCCURRENCE}
        store.write(f"occurrences/{number}.parquet", pa.table(rows, schema=OCCURRENCE))
        spoken = {"occurrence_id": ids[::-1], "language": [f"l{key[0]}" for key in ids[::-1]]}
        rows = {one.name: spoken.get(one.name, pa.nulls(ROWS, one.type)) for one in language.schema()}
        store.write(f"language/{number}.parquet", pa.table(rows, schema=language.schema()))
        mine = blobs[number::SHARDS][:-1]
        rows = {one.name: pa.nulls(len(mine), one.type) for one in minhash.schema()}
        rows |= {"blob_id": mine, "shingles": [int(key, 16) for key in mine]}
        store.write(f"minhash/{number}.parquet", pa.table(rows, schema=minhash.schema()))
        store.write_json(f"ingested/{number}.json", {"occurrences": ROWS})
    names = tuple(str(number) for number in range(SHARDS))
    found = {
        one.name: Annotation(one, one.name, [f"{one.name}/{name}.parquet" for name in names])
        for one in (language, minhash)
    }
    return store, Data(names, found)


def test_parts_are_what_one_table_is(made, monkeypatch):
    store, data = made
    whole = gather(store, data, COLUMNS)
    assert isinstance(whole, pa.Table)
    keys = [tuple(row[name] for name in ORDER) for row in whole.to_pylist()]
    assert keys == sorted(keys)
    for row in whole.to_pylist():
        known = row["blob_id"] is not None and int(row["blob_id"], 16) < 90 - SHARDS
        assert row["minhash.shingles"] == (int(row["blob_id"], 16) if known else None)
        assert row["language.language"] == f"l{row['occurrence_id'][0]}"
        assert (row["occurrence.stars"], row["occurrence.depth"]) == (row["occurrence.stars"], 1)
    for size in (7, 50, 100):
        monkeypatch.setattr(tables, "PART_ROWS", size)
        parted = gather(store, data, COLUMNS)
        assert isinstance(parted, StoredTable)
        assert len(list(parted.parts(["path"]))) == -(-SHARDS * ROWS // size)
        assert parted.read().equals(whole)


def test_a_key_that_stands_twice_and_rows_that_are_lost_are_refused(made):
    store, data = made
    data.annotations["minhash"].files.append("minhash/0.parquet")
    with pytest.raises(EngineError, match="each key once"):
        gather(store, data, COLUMNS)
    store.write_json("ingested/0.json", {"occurrences": ROWS + 1})
    with pytest.raises(ConservationError, match="got 200"):
        gather(store, data, COLUMNS)
