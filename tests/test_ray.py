"""The same recipe on a Ray cluster that the test starts gives the same decisions, evidence and corpora as here."""

import os
import subprocess
import sys

import pytest
import tomli_w

from codemill.engine import Engine
from codemill.pretrain.pipeline import PretrainPipeline
from codemill.pretrain.settings import load_pretrain_recipe
from tests.pretrain.corpora import texts, train_tokenizer, write_files
from tests.test_pipeline import corpus_hashes, make_recipe, run

pytest.importorskip("ray", reason="needs the extra `ray`")

# In a process of its own: a session knows one runner, and the cluster goes with it.
ON_RAY = """
import sys
import ray
import codemill.engine
from codemill.cli import main

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
codemill.engine.INLINE_WEIGHT = 0
main()
"""


def run_on_ray(path):
    """Run a recipe from its folder on a cluster of two workers."""
    command = [sys.executable, "-c", ON_RAY, "run", str(path), "--runner", "ray", "--workers", "2", "--json"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(280)
def test_ray_gives_the_same_bytes(tmp_path, repositories):
    small = {"max_bytes = 1_000_000": "max_bytes = 1_000_000\nshard_bytes = 40_000"}
    run(make_recipe(tmp_path / "here", repositories, **small), workers=1)
    run_on_ray(make_recipe(tmp_path / "cluster", repositories, **small))
    expected = corpus_hashes(tmp_path / "here")
    assert len(expected) > 10
    assert corpus_hashes(tmp_path / "cluster") == expected


@pytest.mark.timeout(280)
def test_mixtures_on_ray_give_the_same_bytes(tmp_path):
    write_files(tmp_path / "files" / "a.parquet", texts(30))
    write_files(tmp_path / "files" / "b.parquet", texts(30, seed=1))
    train_tokenizer(tmp_path / "tokenizer.json", texts(30))
    stage = {"name": "all", "tokens": 20_000, "length": 2048, "weights": {"files": 1}}
    values = {
        "kind": "pretrain",
        "name": "test",
        "tokenizer": {"path": str(tmp_path / "tokenizer.json")},
        "source": [{"name": "files", "path": str(tmp_path / "files")}],
        "phase": [{"name": "only", "fim": {"rate": 0.5}, "stage": [stage]}],
        "shards": {"tokens": 8000},
    }
    shards = {}
    for place in ("here", "cluster"):
        folder = tmp_path / place
        folder.mkdir()
        path = folder / "recipe.toml"
        path.write_text(tomli_w.dumps({**values, "store": str(folder / "store"), "output": str(folder / "shards")}))
        if place == "here":
            PretrainPipeline(load_pretrain_recipe(path), Engine(workers=1)).run()
        else:
            run_on_ray(path)
        files = sorted((folder / "shards" / "only" / "all" / "parquet").glob("*.parquet"))
        shards[place] = {file.name: file.read_bytes() for file in files}
    assert len(shards["here"]) > 1
    assert shards["cluster"] == shards["here"]
