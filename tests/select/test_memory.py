"""What selection and report hold of a commit is a few numbers, however long the history."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa

from codemill.commits.table import CommitTable
from codemill.dedup.minhash import MinHashAnnotator, banding
from codemill.schema import OCCURRENCE
from codemill.store import Store

SHARD = 1000  # commits

# In a process of its own, since Arrow tells the most it ever held and forgets nothing.
MEASURE = """
import json, sys, tracemalloc
import pyarrow as pa
from codemill import tables
from codemill.annotate.run import Annotation, Data
from codemill.commits.table import CommitTable
from codemill.dedup import candidates
from codemill.dedup.minhash import MinHashAnnotator
from codemill.engine import Engine
from codemill.recipe import Recipe
from codemill.report.frame import Frame
from codemill.report.sections import corpus_view
from codemill.select import select
from codemill.select.result import read_selection
from codemill.store import Store

tables.PART_ROWS, candidates.PASS_ENTRIES = 1024, 20_000
store = Store(sys.argv[1])
shards = [path[len("ingested/"):-len(".json")] for path in store.files("ingested", ".json")]


def annotation(kind, name):
    return Annotation(kind(kind.Params()), name, [f"{name}/{shard}.parquet" for shard in shards])


commit = annotation(CommitTable, "commit")
known = {"commit": commit, "language": commit, "rules": commit, "minhash": annotation(MinHashAnnotator, "minhash")}
recipe = Recipe.model_validate({"name": "n", "store": store.root, "output": store.root + "-out",
    "source": [{"kind": "directories", "name": "one", "path": store.root}],
    "rule": [
        {"name": "words", "column": "commit.subject_words", "min": 300},
        {"name": "same", "dedup": "exact", "on": "commit.patch_id", "prefer": ["-commit.subject_words"]},
        {"name": "near", "dedup": "near", "prefer": ["commit.subject_words", "occurrence.path"]},
        {"name": "low", "column": "commit.tokens", "drop_lowest": 0.1, "by": "tokens"},
    ],
    "corpus": {"c": {"rules": ["words", "same", "near", "low"], "columns": ["commit.subject_words"]}}})
data = Data(tuple(shards), known)
select(store, Engine(workers=1), recipe, data, "before", "commits")  # what is compiled and loaded once
tracemalloc.start()
[selection] = select(store, Engine(workers=1), recipe, data, "decisions", "commits")
view = corpus_view(Frame(read_selection(store, "decisions", "c"), ("source", "repo")), "commit", 4)
assert view.overview.adds_up and view.overview.repositories_seen == 1
dropped = {step.rule: step.dropped for step in selection.steps}
print(json.dumps([pa.default_memory_pool().max_memory(), tracemalloc.get_traced_memory()[1], dropped]))
"""


def table(schema, **known):
    return pa.table({one.name: known.get(one.name, pa.nulls(SHARD, one.type)) for one in schema}, schema=schema)


def write_history(root, count):
    """What selection reads of a history of so many commits; every 20th has a change that another has, too."""
    store, rng = Store(root), np.random.default_rng(0)
    sketches = MinHashAnnotator(MinHashAnnotator.Params())
    bands = banding(sketches.params.permutations, sketches.params.threshold).bands

    def hexes(length):
        return pa.array([rng.bytes(length // 2).hex() for _ in range(SHARD)])

    for number in range(count // SHARD):
        ids, blobs, shas, one = hexes(32), hexes(64), hexes(40), pa.array(["one"] * SHARD)
        weights = pa.array(rng.integers(1, 5000, SHARD))
        place = {"source": one, "repo": one, "revision": shas, "path": pa.array([f"{sha}"[:12] for sha in shas])}
        rows = table(OCCURRENCE, occurrence_id=ids, blob_id=blobs, bytes=weights, **place)
        patches = pa.array([f"{n:040d}" if n % 20 == 0 else sha.as_py() for n, sha in enumerate(shas)])
        values = {"patch_id": patches, "subject_words": weights, "tokens": weights}
        spoken = pa.array(["C", "Go"] * (SHARD // 2))
        first = number * SHARD * bands  # no two hashes are alike: nothing is proposed
        hashes = (np.arange(first, first + SHARD * bands, dtype=np.uint64) + np.uint64(1)) << np.uint64(28)
        lists = pa.ListArray.from_arrays(np.arange(SHARD + 1, dtype=np.int32) * bands, pa.array(hashes))
        marks = table(sketches.schema(), blob_id=blobs, shingles=pa.array([9] * SHARD), bands=lists)
        shard = f"{number:03d}"
        store.write(f"occurrences/{shard}.parquet", rows)
        store.write(
            f"commit/{shard}.parquet", table(CommitTable.schema(), occurrence_id=ids, language=spoken, **values)
        )
        store.write(f"minhash/{shard}.parquet", marks)
        store.write_json(f"ingested/{shard}.json", {"occurrences": SHARD})


def peak(root, count):
    """The most bytes that Arrow and Python held at a time, added up, and what rules dropped."""
    write_history(root, count)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(root)], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    arrow, python, dropped = json.loads(done.stdout)
    assert dropped["words"] > count / 20 < dropped["low"]
    assert dropped["same"] > count / 40
    return arrow + python


def test_a_commit_more_is_a_few_numbers_more(tmp_path):
    few, many = 6_000, 24_000
    grown = peak(tmp_path / "many", many) - peak(tmp_path / "few", few)
    # 97 bytes as measured; whole columns of decisions and signals alone would be over 400.
    assert grown < 150 * (many - few)
