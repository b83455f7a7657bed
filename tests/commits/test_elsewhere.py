"""A run over histories is the same on an object store and on a Ray cluster as on this machine."""

import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from codemill.commits.pipeline import run_commits
from codemill.engine import Engine
from codemill.store import Store
from tests.commits.histories import gauge
from tests.commits.test_command import RECIPE
from tests.commits.test_run import decisions, recipe, samples
from tests.sources.test_remote import bucket, server  # noqa: F401 - fixtures
from tests.test_ray import ON_RAY


def test_store_and_output_on_an_object_store(bucket, tmp_path):  # noqa: F811 - the fixture
    _, name, query = bucket
    gauge(tmp_path / "repositories" / "gauge")
    here = run_commits(recipe(tmp_path, tmp_path / "repositories"), Engine(workers=1))
    there = {key: f"s3://{name}/{key}{query}" for key in ("store", "out")}
    settings = recipe(tmp_path, tmp_path / "repositories", store=there["store"], output=there["out"])
    told = []
    summary = run_commits(settings, Engine(workers=1), say=lambda stage, line, _: told.append(f"{stage}: {line}"))
    assert summary.corpora == here.corpora
    store, output = Store(there["store"]), Store(there["out"])
    expected = decisions(tmp_path, here)
    assert store.read(f"{summary.decisions}/diff.parquet").equals(expected)
    parts = output.files("diff/parquet")
    texts = sorted(text for part in parts for text in output.read(part)["text"].to_pylist())
    assert texts == sorted(samples(tmp_path)["text"].to_pylist())
    assert output.exists("codemill.json")
    assert not store.files("scratch/commits")
    told.clear()
    run_commits(settings, Engine(workers=1), say=lambda stage, line, _: told.append(f"{stage}: {line}"))
    assert "read: 15 commits, 0 of 4 shards new" in told
    assert "sample diff: 8 commits, 0 of them new, 3 parts" in told


@pytest.mark.timeout(280)
def test_ray_gives_the_same_samples(tmp_path):
    pytest.importorskip("ray", reason="needs the extra `ray`")
    found = []
    for place, prefix, options in (
        ("here", ["-c", "from codemill.cli import main; main()"], []),
        ("ray", ["-c", ON_RAY], ["--runner", "ray"]),
    ):
        folder = tmp_path / place
        gauge(folder / "repositories" / "gauge")
        (folder / "r.toml").write_text(RECIPE + "[work]\nshard_commits = 4\n")
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        command = [sys.executable, *prefix, "run", "r.toml", "--json", *options]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        parts = sorted((folder / "out" / "samples" / "parquet").iterdir())
        kept = {path.name: path.read_bytes() for path in parts}
        decided = pq.read_table(next((folder / "store" / "decisions").glob("*/samples.parquet")))
        found.append((kept, decided))
    assert len(found[0][0]) == 4
    assert found[0][0] == found[1][0]
    assert found[0][1].equals(found[1][1])
