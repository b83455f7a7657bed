"""Near-dedup of a store against brute force, and what must not change its result."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from codemill import engine as engine_module
from codemill.dedup import candidates as candidates_module
from codemill.dedup.minhash import MinHashAnnotator, MinHashParams
from codemill.dedup.near import Candidates, NearSettings, near_duplicates
from codemill.dedup.walk import SCRATCH, spill_shard
from codemill.engine import Engine
from codemill.errors import EngineError, RecipeError
from codemill.schema import EVIDENCE
from tests.dedup.samples import INLINE, families, jaccard, make_store, shingle_set

SKETCHES = MinHashParams()


def ranked(blobs, seed: int = 0) -> pa.Table:
    """The blobs in a rank of their own order, as a table in an order drawn by the seed."""
    ids = list(dict.fromkeys(blobs))
    table = pa.table({"blob_id": ids, "rank": pa.array([3 * i - 7 for i in range(len(ids))], pa.int64())})
    return table.take(pa.array(np.random.default_rng(seed).permutation(len(ids))))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    files = families(1, 25, 6)
    store, found, blobs = make_store(tmp_path_factory.mktemp("near"), files)
    return store, found, blobs, {blobs[path]: shingle_set(content) for path, content in files.items()}


def forget(store) -> None:
    """Delete what earlier runs found out, so that the next one computes."""
    for folder in Path(store.path("annotations")).glob("near-*"):
        shutil.rmtree(folder)


def run(made, table, settings=None, engine=INLINE):
    store, found, *_ = made
    forget(store)
    return near_duplicates(store, engine, Candidates.of(table), found, SKETCHES, settings or NearSettings())


def test_evidence_is_true_complete_and_in_rank_order(made) -> None:
    _, _, blobs, shingles = made
    table = ranked(blobs.values())
    result = run(made, table)
    rank = dict(zip(table["blob_id"].to_pylist(), table["rank"].to_pylist(), strict=True))
    kept: list[str] = []
    expected = []
    for blob in sorted(rank, key=rank.get):
        similar = [(jaccard(shingles[blob], shingles[other]), -place, other) for place, other in enumerate(kept)]
        best, _, other = max(similar, default=(0.0, 0, ""))
        if best >= 0.7:
            expected.append({"dropped": blob, "kept": other, "similarity": best})
        else:
            kept.append(blob)
    # The sketches are seeded, so this is no matter of chance: on these files they miss nothing.
    assert result.evidence.schema == EVIDENCE
    assert result.evidence.to_pylist() == expected
    stats = result.stats
    assert (stats.files, stats.unsketched, stats.dropped) == (len(rank), 0, len(expected))
    assert 40 < stats.dropped < len(rank) - 25
    assert stats.components_new == stats.components >= 20
    assert stats.candidate_pairs >= stats.verified_pairs >= stats.dropped
    assert 2 <= stats.largest_cluster + 1 <= stats.largest_component
    assert stats.capped_buckets == 0


def test_order_of_input_tasks_passes_and_workers_change_nothing(made, monkeypatch) -> None:
    store, found, blobs, _ = made
    expected = run(made, ranked(blobs.values()))
    for seed, task_bytes, entries in ((1, 1, 64_000_000), (2, 20_000, 2_000)):
        monkeypatch.setattr(candidates_module, "PASS_ENTRIES", entries)
        again = run((store, found[::-1]), ranked(blobs.values(), seed), NearSettings(task_bytes=task_bytes))
        assert again.evidence.equals(expected.evidence)
        assert again.stats == expected.stats
    monkeypatch.setattr(engine_module, "INLINE_WEIGHT", 0)
    spread = run(made, ranked(blobs.values(), 3), NearSettings(task_bytes=50_000), Engine(workers=2))
    assert spread.evidence.equals(expected.evidence)


def test_scratch_is_removed_and_that_of_a_killed_run_ignored(made) -> None:
    store, _, blobs, _ = made
    expected = run(made, ranked(blobs.values()))
    assert not store.exists(SCRATCH)
    for name in ("tasks/0", "buckets/0", "members/made"):
        store.write(f"{SCRATCH}/{name}.parquet", pa.table({"junk": [1]}))
    assert run(made, ranked(blobs.values())).evidence.equals(expected.evidence)
    assert not store.exists(SCRATCH)


def test_a_run_killed_between_tasks_does_the_rest_only(made, monkeypatch) -> None:
    store, found, blobs, _ = made
    settings = NearSettings(task_bytes=20_000)
    expected = run(made, ranked(blobs.values()), settings)
    results = sorted(Path(store.path("annotations")).glob("near-*/*.parquet"))
    assert len(results) > 3
    results[1].unlink()
    again = near_duplicates(store, INLINE, Candidates.of(ranked(blobs.values())), found, SKETCHES, settings)
    assert again.evidence.equals(expected.evidence)
    assert 0 < again.stats.components_new < again.stats.components / 2


def test_unchanged_files_cost_nothing_and_new_ones_what_they_touch(tmp_path) -> None:
    old, new = families(3, 20, 4), families(4, 1, 3)
    lines = old["f3/0.py"].splitlines()
    new = {f"new/{path}": content for path, content in new.items()} | {"new/near.py": b"\n".join([*lines, b"end"])}
    store, found, blobs = make_store(tmp_path / "a", old)
    first = near_duplicates(store, INLINE, Candidates.of(ranked(blobs.values())), found, SKETCHES, NearSettings())
    assert near_duplicates(
        store, INLINE, Candidates.of(ranked(blobs.values())), found, SKETCHES, NearSettings()
    ).stats == replace(first.stats, components_new=0)
    store, found, blobs = make_store(tmp_path / "a", old | new)
    second = near_duplicates(store, INLINE, Candidates.of(ranked(blobs.values())), found, SKETCHES, NearSettings())
    assert 0 < second.stats.components_new <= 3
    assert blobs["new/near.py"] in second.evidence["dropped"].to_pylist()
    clean = make_store(tmp_path / "b", old | new)
    assert near_duplicates(
        *(clean[0], INLINE), Candidates.of(ranked(blobs.values())), clean[1], SKETCHES, NearSettings()
    ).evidence.equals(second.evidence)


def test_another_rank_keeps_others(made) -> None:
    _, _, blobs, _ = made
    table = ranked(blobs.values())
    first = run(made, table)
    turned = run(made, table.set_column(1, "rank", pc.negate(table["rank"])))
    assert set(first.evidence["kept"].to_pylist()) & set(turned.evidence["dropped"].to_pylist())


def test_only_candidates_take_part(made) -> None:
    _, _, blobs, _ = made
    some = [blob for path, blob in blobs.items() if path.endswith(("/0.py", "/1.py"))]
    result = run(made, ranked(some))
    assert result.stats.files == len(set(some))
    assert set(result.evidence["kept"].to_pylist() + result.evidence["dropped"].to_pylist()) <= set(some)
    assert run(made, ranked(some).slice(0, 0)).evidence.num_rows == 0
    assert run(made, ranked(some).slice(0, 1)).evidence.num_rows == 0


def test_blobs_without_a_sketch_are_kept_and_counted(made) -> None:
    store, found, blobs, _ = made
    unknown = pa.table({"blob_id": ["0" * 64], "rank": pa.array([-100], pa.int64())})
    result = run(made, pa.concat_tables([ranked(blobs.values()), unknown]))
    assert result.stats.unsketched == 1
    failed = pa.table({"blob_id": ["0" * 64], "shingles": [None], "bands": [None], "error": ["why"]})
    store.write("failed.parquet", failed.cast(MinHashAnnotator.schema()))
    again = run((store, [*found, "failed.parquet"]), pa.concat_tables([ranked(blobs.values()), unknown]))
    assert again.evidence.equals(result.evidence)
    assert again.stats == result.stats


def test_a_threshold_below_that_of_the_sketches_is_refused(made) -> None:
    _, _, blobs, _ = made
    with pytest.raises(RecipeError, match=r"annotate\.minhash\.threshold: expected at most 0\.6.*got 0\.7"):
        run(made, ranked(blobs.values()), NearSettings(threshold=0.6))
    strict = run(made, ranked(blobs.values()), NearSettings(threshold=0.9)).evidence
    assert strict.num_rows
    assert pc.min(strict["similarity"]).as_py() >= 0.9


def test_ranks_must_be_a_total_order(made) -> None:
    table = pa.table({"blob_id": ["a", "b"], "rank": [1, 1]})
    with pytest.raises(ValueError, match="every rank once"):
        run(made, table)


def test_caps_are_reported_and_drops_stay_true(made) -> None:
    _, _, blobs, shingles = made
    result = run(made, ranked(blobs.values()), NearSettings(max_representatives=1))
    free = run(made, ranked(blobs.values()))
    assert result.stats.capped_buckets > 0
    assert result.stats.candidate_pairs < free.stats.candidate_pairs
    dropped = set(result.evidence["dropped"].to_pylist())
    for row in result.evidence.to_pylist():
        assert row["kept"] not in dropped
        assert row["similarity"] == jaccard(shingles[row["dropped"]], shingles[row["kept"]]) >= 0.7


def test_content_that_no_longer_fits_its_sketch_is_an_error(made) -> None:
    store = made[0]
    shard = store.files("owners", ".parquet")[0].removeprefix("owners/")[:-8]
    ids = store.read(f"owners/{shard}.parquet")["blob_id"]
    table = pa.table({"blob_id": ids, "offset": [0] * len(ids), "shingles": [1] * len(ids)})
    store.write(f"{SCRATCH}/members/{shard}.parquet", table)
    with pytest.raises(EngineError, match="got others"):
        spill_shard({"store": store.root, "shard": shard, "ngram": 5})
    store.write(f"{SCRATCH}/members/{shard}.parquet", pa.table({"blob_id": ["x"], "offset": [0], "shingles": [1]}))
    with pytest.raises(EngineError, match="got 1 less"):
        spill_shard({"store": store.root, "shard": shard, "ngram": 5})
    store.delete_folder(SCRATCH)
