"""Ingestion on real folders and repositories: nothing lost, nothing twice, the same bytes after interruptions."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.engine import Engine
from codemill.recipe import DirectorySource, GitSource, IngestSettings
from codemill.schema import OCCURRENCE, blob_id
from codemill.sources import ingest as ingestion
from codemill.sources.ingest import content_problem, contents, ingest, owners
from codemill.store import Store
from tests.sources.helpers import commit, make_repo

SMALL = IngestSettings(max_bytes=1000, shard_bytes=600, shard_files=6)


def make_store(path) -> Store:
    store = Store(path)
    store.create()
    return store


def directories(path):
    return DirectorySource(kind="directories", name="d", path=str(path))


def run(store, *sources, given=SMALL):
    return ingest(store, Engine(workers=1), sources, given)


def occurrences(store, done):
    return store.read_all([f"occurrences/{shard}.parquet" for shard in done.shards], OCCURRENCE)


def tables(root) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(Path(root).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def fill(root, repos: dict[str, dict[str, bytes]]) -> None:
    for repo, files in repos.items():
        for path, content in files.items():
            (root / repo / path).parent.mkdir(parents=True, exist_ok=True)
            (root / repo / path).write_bytes(content)


REPOS = {
    f"r{repo}": {f"f{index}.py": f"x = {index * (repo % 3)}\n".encode() * 20 for index in range(5)} for repo in range(8)
}
trees = st.dictionaries(
    st.sampled_from(["one", "two", "three"]),
    st.dictionaries(st.sampled_from([f"f{index}" for index in range(9)]), st.binary(max_size=1200), min_size=1),
    min_size=1,
)


def check(store, done, repos, limit=1000):
    """Every file is one occurrence, every distinct readable content one owned blob, and they belong together."""
    table = occurrences(store, done)
    found = {(row["repo"], row["path"]): row for row in table.to_pylist()}
    assert found.keys() == {(repo, path) for repo, files in repos.items() for path in files}
    assert len(set(table["occurrence_id"].to_pylist())) == table.num_rows == done.occurrences
    readable = {}
    for (repo, path), row in found.items():
        content = repos[repo][path]
        assert row["bytes"] == len(content)
        if len(content) > limit:
            assert (row["blob_id"], row["problem"]) == (None, "too_large")
        else:
            assert (row["blob_id"], row["problem"]) == (blob_id(content), content_problem(content))
            readable[blob_id(content)] = content
    owned = owners(store, pa.array(sorted(readable), pa.string()))
    ids = [key for keys in owned.values() for key in keys.to_pylist()]
    assert sorted(ids) == sorted(readable)  # complete, and each once
    stored = {}
    for shard, keys in owned.items():
        for batch in contents(store, shard, keys, ["blob_id", "content"]):
            stored.update({row["blob_id"]: row["content"] for row in batch.to_pylist()})
    assert stored == {key: content for key, content in readable.items() if content_problem(content) is None}


@settings(max_examples=25, deadline=None)
@given(trees)
def test_conservation_for_any_tree(tmp_path_factory, repos):
    root = tmp_path_factory.mktemp("any")
    fill(root / "in", repos)
    store = make_store(root / "store")
    check(store, run(store, directories(root / "in")), repos)


@settings(max_examples=15, deadline=None)
@given(trees, trees)
def test_conservation_for_any_change(tmp_path_factory, before, after):
    """Whatever was there before, the second run holds what is there now and nothing else."""
    root = tmp_path_factory.mktemp("change")
    fill(root / "in", before)
    store = make_store(root / "store")
    run(store, directories(root / "in"))
    shutil.rmtree(root / "in")
    fill(root / "in", after)
    check(store, run(store, directories(root / "in")), after)


def test_workers_give_the_same_bytes(tmp_path):
    fill(tmp_path / "in", REPOS)
    for workers, name in ((1, "a"), (2, "b")):
        store = make_store(tmp_path / name)
        tasks = Engine(workers=workers)
        ingest(store, tasks, [directories(tmp_path / "in")], SMALL)
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


@pytest.mark.parametrize("calls", [1, 2, 4])
def test_a_kill_between_shards_changes_nothing(tmp_path, monkeypatch, calls):
    fill(tmp_path / "in", REPOS)
    whole = make_store(tmp_path / "whole")
    run(whole, directories(tmp_path / "in"))
    broken = make_store(tmp_path / "broken")
    made = []

    def dying(source, batch, seen):
        made.append(1)
        if len(made) > calls:
            raise KeyboardInterrupt
        return real(source, batch, seen)

    real = ingestion.hash_batch
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ingestion, "hash_batch", dying)
        run(broken, directories(tmp_path / "in"))
    assert tables(tmp_path / "broken") != tables(tmp_path / "whole")
    run(broken, directories(tmp_path / "in"))
    assert tables(tmp_path / "broken") == tables(tmp_path / "whole")


@pytest.mark.parametrize("lost", ["ingested", "owners", "occurrences", "blobs"])
def test_lost_markers_are_made_again(tmp_path, lost):
    fill(tmp_path / "in", REPOS)
    store = make_store(tmp_path / "store")
    run(store, directories(tmp_path / "in"))
    before = tables(tmp_path / "store")
    (name,) = sorted((tmp_path / "store" / lost).iterdir())[1:2]
    name.unlink()
    if lost in ("occurrences", "blobs"):  # data without its marker is data that never was
        (tmp_path / "store" / "ingested" / f"{name.stem}.json").unlink()
    run(store, directories(tmp_path / "in"))
    assert tables(tmp_path / "store") == before


def test_a_second_run_does_only_what_is_new(tmp_path):
    fill(tmp_path / "in", REPOS)
    store = make_store(tmp_path / "store")
    first = run(store, directories(tmp_path / "in"))
    before = tables(tmp_path / "store")
    again = run(store, directories(tmp_path / "in"))
    assert (again.shards, again.new_shards) == (first.shards, 0)
    assert tables(tmp_path / "store") == before
    more = {**REPOS, "new": {"a.py": b"new\n", "b.py": REPOS["r1"]["f1.py"]}}
    fill(tmp_path / "in", {"new": more["new"]})
    grown = run(store, directories(tmp_path / "in"))
    assert grown.new_shards == 1
    assert grown.shards[:-1] == first.shards
    assert {name: data for name, data in tables(tmp_path / "store").items() if name in before} == before
    check(store, grown, more)


def test_a_changed_repository_leaves_no_old_rows(tmp_path):
    fill(tmp_path / "in", REPOS)
    roomy = IngestSettings(max_bytes=1000)  # all in one shard
    store = make_store(tmp_path / "store")
    run(store, directories(tmp_path / "in"), given=roomy)
    changed = {**REPOS, "r1": {"other.py": b"other\n"}}
    shutil.rmtree(tmp_path / "in" / "r1")
    fill(tmp_path / "in", {"r1": changed["r1"]})
    check(store, run(store, directories(tmp_path / "in"), given=roomy), changed)
    shutil.rmtree(tmp_path / "in" / "r2")
    del changed["r2"]
    check(store, run(store, directories(tmp_path / "in"), given=roomy), changed)


def test_git_history_that_grows(tmp_path):
    make_repo(tmp_path / "in" / "one", {"a.py": b"1\n"})
    make_repo(tmp_path / "in" / "two", {"b.py": b"2\n"})
    source = GitSource(kind="git", name="g", path=str(tmp_path / "in"))
    store = make_store(tmp_path / "store")
    first = run(store, source)
    assert run(store, source).new_shards == 0
    sha = commit(tmp_path / "in" / "one", {"a.py": b"3\n"})
    second = run(store, source)
    rows = occurrences(store, second).to_pylist()
    assert {(row["repo"], row["path"], row["blob_id"]) for row in rows} == {
        ("one", "a.py", blob_id(b"3\n")),
        ("two", "b.py", blob_id(b"2\n")),
    }
    assert sha in {row["revision"] for row in rows}
    assert first.shards != second.shards


def test_new_facts_reach_the_rows(tmp_path):
    fill(tmp_path / "in", {"one": {"a": b"a"}, "two": {"b": b"b"}})
    store = make_store(tmp_path / "store")
    for stars in (1, 2):
        (tmp_path / "facts.csv").write_text(f"repo,stars\none,{stars}\n")
        given = DirectorySource(
            kind="directories", name="d", path=str(tmp_path / "in"), facts=str(tmp_path / "facts.csv")
        )
        rows = occurrences(store, run(store, given)).to_pylist()
        assert sorted((row["repo"], row["stars"]) for row in rows) == [("one", stars), ("two", None)]


def test_other_limits_are_other_shards(tmp_path):
    fill(tmp_path / "in", {"one": {"a": b"a" * 50}})
    store = make_store(tmp_path / "store")
    for limit, problem in ((100, None), (10, "too_large"), (100, None)):
        rows = occurrences(store, run(store, directories(tmp_path / "in"), given=IngestSettings(max_bytes=limit)))
        assert rows["problem"].to_pylist() == [problem]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"a\0b", "binary"),
        (b"a" * 8000 + b"\0", None),
        (b"a\xff", "undecodable"),
        ("ü".encode("latin-1"), "undecodable"),
        (b"\xef\xbb\xbfx", None),
        ("ü".encode(), None),
    ],
)
def test_what_is_wrong_with_contents(content, problem):
    assert content_problem(content) == problem
