"""The same recipe on a Ray cluster that the test starts gives the same decisions, evidence and corpora as here."""

import os
import subprocess
import sys

import pytest

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


@pytest.mark.timeout(280)
def test_ray_gives_the_same_bytes(tmp_path, repositories):
    small = {"max_bytes = 1_000_000": "max_bytes = 1_000_000\nshard_bytes = 40_000"}
    run(make_recipe(tmp_path / "here", repositories, **small), workers=1)
    path = make_recipe(tmp_path / "cluster", repositories, **small)
    command = [sys.executable, "-c", ON_RAY, "run", str(path), "--runner", "ray", "--workers", "2", "--json"]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = corpus_hashes(tmp_path / "here")
    assert len(expected) > 10
    assert corpus_hashes(tmp_path / "cluster") == expected
