"""What a run writes lies outside of what it reads."""

from types import SimpleNamespace

import pytest

from codemill.errors import RecipeError
from codemill.sources.apart import check_outside


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A working directory with a folder of data."""
    (tmp_path / "data/part").mkdir(parents=True)
    (tmp_path / "data/rows.jsonl").touch()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path)


def check(path, output, kind="directories"):
    check_outside([SimpleNamespace(name="s", path=path, kind=kind)], store="/elsewhere/store", output=output)


@pytest.mark.parametrize("output", ["data/out", "data", "./data/part/out", "link/out"])
@pytest.mark.parametrize("path", ["data", "data/", "../{here}/data", "link", ".", "dat?", "*", "data/**/*.parquet"])
def test_a_source_never_reads_what_is_written(data, tmp_path, path, output):
    path = path.replace("{here}", tmp_path.name)
    if path == "data/**/*.parquet" and output == "data":
        output = "data/x"
    with pytest.raises(RecipeError, match=r"^output: expected a folder outside of source 's', got '.*'$"):
        check(path, output)


@pytest.mark.parametrize("path", ["data/rows.jsonl", "data/*.jsonl", "data/par?", "nowhere", "s3://bucket/data", "[a]"])
def test_what_reads_something_else_passes(data, path):
    check(path, "data/out")


def test_git_reads_objects_alone(data):
    check("data", "data/out", "git")
    with pytest.raises(RecipeError, match="store"):
        check_outside([SimpleNamespace(name="s", path="data", kind="table")], store="data/store", output="s3://b/out")
