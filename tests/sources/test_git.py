"""Git sources on real repositories: what a commit holds comes out whole, and whatever can't is a row with a reason."""

import datetime
import os
import shutil

import pygit2
import pytest

from codemill.errors import InputError
from codemill.recipe import GitSource, IngestSettings
from codemill.schema import git_blob
from tests.sources.helpers import by_path, commit, git, make_repo, problems, rows_of, units_of


def source(path, **settings):
    return GitSource(kind="git", name="g", path=str(path), **settings)


FILES = {"README.md": b"# hi\n", "src/a.py": b"print(1)\n", "src/deep/b.c": b"int x;\n", "bin": b"\0\1"}


def test_every_file_of_the_commit_comes_out(tmp_path):
    sha = make_repo(tmp_path / "one", FILES)
    rows = by_path(rows_of(source(tmp_path)))
    assert {path: row["content"] for path, row in rows.items()} == FILES
    assert {(row["repo"], row["revision"]) for row in rows.values()} == {("one", sha)}
    listed = git(tmp_path / "one", "ls-tree", "-r", "HEAD").splitlines()
    assert {line.split()[2] for line in listed} == {git_blob(row["content"]) for row in rows.values()}


@pytest.mark.parametrize("shape", ["bare", "packed", "worktree"])
def test_bare_packed_and_linked_worktrees_read_alike(tmp_path, shape):
    sha = make_repo(tmp_path / "origin", FILES)
    places = tmp_path / "places"
    places.mkdir()
    if shape == "bare":
        git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "origin"), str(places / "x"))
    elif shape == "packed":
        shutil.copytree(tmp_path / "origin", places / "x")
        git(places / "x", "gc", "-q")
    else:
        git(tmp_path / "origin", "worktree", "add", "-q", "--detach", str(places / "x"))
    rows = rows_of(source(places))
    assert {row["path"]: row["content"] for row in rows} == FILES
    assert {row["revision"] for row in rows} == {sha}


def test_work_tree_and_index_are_not_looked_at(tmp_path):
    make_repo(tmp_path / "one", {"a.py": b"old\n"})
    (tmp_path / "one" / "a.py").write_bytes(b"edited\n")
    (tmp_path / "one" / "new.py").write_bytes(b"new\n")
    git(tmp_path / "one", "add", "new.py")
    assert {row["path"]: row["content"] for row in rows_of(source(tmp_path))} == {"a.py": b"old\n"}


def test_a_revision_may_be_a_tag_branch_or_expression(tmp_path):
    first = make_repo(tmp_path / "one", {"a.py": b"1\n"})
    git(tmp_path / "one", "tag", "-a", "v1", "-m", "t")
    commit(tmp_path / "one", {"a.py": b"2\n"})
    for revision in ("v1", "HEAD~1", first[:10]):
        rows = rows_of(source(tmp_path, revision=revision))
        assert [(row["revision"], row["content"]) for row in rows] == [(first, b"1\n")]


def test_links_and_submodules_are_rows_without_content(tmp_path):
    make_repo(tmp_path / "dep", {"x": b"x\n"})
    make_repo(tmp_path / "all" / "one", {"a/file": b"f\n"})
    one = tmp_path / "all" / "one"
    for path, target in {"in": "a/file", "a/up": "../a/file", "out": "../two", "abs": "/etc/passwd"}.items():
        (one / path).symlink_to(target)
    git(one, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(tmp_path / "dep"), "sub")
    commit(one, {})
    found = problems(rows_of(source(tmp_path / "all")))
    assert found == {
        "in": "symlink",
        "a/up": "symlink",
        "out": "symlink_outside",
        "abs": "symlink_outside",
        "sub": "submodule",
    }


def test_large_files_are_known_by_their_header(tmp_path, monkeypatch):
    make_repo(tmp_path / "one", {"big": b"x" * 5000, "small": b"y"})
    loaded = []

    class Odb:
        def read_header(self, oid):
            return real.read_header(oid)

        def read(self, oid):
            loaded.append(real.read_header(oid)[1])
            return real.read(oid)

    real = pygit2.Repository(str(tmp_path / "one")).odb
    monkeypatch.setattr(pygit2.Repository, "odb", Odb())
    rows = by_path(rows_of(source(tmp_path), IngestSettings(max_bytes=4000)))
    assert (rows["big"]["problem"], rows["big"]["bytes"], rows["big"]["content"]) == ("too_large", 5000, None)
    assert rows["small"]["content"] == b"y"
    assert loaded == [1]


def test_objects_that_are_missing_are_rows_and_come_when_fetched(tmp_path):
    make_repo(tmp_path / "all" / "one", {"a.py": b"a\n", "d/b.py": b"b\n", "e/c.py": b"c\n"})
    store = tmp_path / "all" / "one" / ".git" / "objects"
    blob = git(tmp_path / "all" / "one", "rev-parse", "HEAD:a.py")
    tree = git(tmp_path / "all" / "one", "rev-parse", "HEAD:d")
    for oid in (blob, tree):
        (store / oid[:2] / oid[2:]).rename(tmp_path / oid)
    rows = rows_of(source(tmp_path / "all"))
    assert problems(rows) == {"a.py": "missing_object", "d": "missing_object"}
    assert len(rows) == 3
    before = units_of(source(tmp_path / "all"))
    for oid in (blob, tree):
        (tmp_path / oid).rename(store / oid[:2] / oid[2:])
    after = units_of(source(tmp_path / "all"))
    assert before[0].key("g") != after[0].key("g")
    assert {row["path"] for row in rows_of(source(tmp_path / "all"))} == {"a.py", "d/b.py", "e/c.py"}


def test_partial_clones_keep_what_they_have(tmp_path):
    make_repo(tmp_path / "origin", {"small.py": b"s\n", "large.txt": b"l" * 20_000})
    git(tmp_path / "origin", "config", "uploadpack.allowFilter", "true")
    (tmp_path / "all").mkdir()
    url = f"file://{tmp_path / 'origin'}"
    git(tmp_path, "clone", "-q", "--bare", "--filter=blob:limit=10k", url, str(tmp_path / "all" / "x"))
    rows = rows_of(source(tmp_path / "all"))
    assert problems(rows) == {"large.txt": "missing_object"}
    assert len(rows) == 2


def test_corrupt_objects_cost_themselves_alone(tmp_path):
    make_repo(tmp_path / "all" / "one", {"a.py": b"a\n", "b.py": b"b\n"})
    oid = git(tmp_path / "all" / "one", "rev-parse", "HEAD:a.py")
    place = tmp_path / "all" / "one" / ".git" / "objects" / oid[:2] / oid[2:]
    place.chmod(0o644)
    place.write_bytes(b"no zlib stream")
    rows = rows_of(source(tmp_path / "all"))
    assert problems(rows) == {"a.py": "unreadable"}
    assert len(rows) == 2


def test_what_is_no_readable_repository_is_a_row(tmp_path):
    make_repo(tmp_path / "good", {"a.py": b"a\n"})
    git(tmp_path, "init", "-q", "unborn")
    (tmp_path / "plain").mkdir()
    (tmp_path / "loose.txt").write_text("x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".git").write_text("gitdir: /nowhere\n")
    rows = rows_of(source(tmp_path))
    assert {row["repo"]: row["problem"] for row in rows} == {
        "good": None,
        "unborn": "no_revision",
        "plain": "no_repository",
        "loose.txt": "no_repository",
        "broken": "unreadable",
    }


def test_an_empty_commit_has_no_rows_but_its_repository_is_read(tmp_path):
    make_repo(tmp_path / "one", {})
    assert rows_of(source(tmp_path)) == []


def test_a_revision_that_no_repository_has_is_the_users_mistake(tmp_path):
    make_repo(tmp_path / "one", {"a": b"a"})
    with pytest.raises(InputError, match=r"revision: expected one .* got 'v9'"):
        units_of(source(tmp_path, revision="v9"))
    make_repo(tmp_path / "two", {"a": b"a"})
    git(tmp_path / "two", "tag", "v9")
    assert {row["repo"]: row["problem"] for row in rows_of(source(tmp_path, revision="v9"))} == {
        "one": "no_revision",
        "two": None,
    }


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "got nothing there"),
        ("empty", "got an empty folder"),
        ("file", "got a file"),
        ("no*", "got nothing"),
    ],
)
def test_paths_that_lead_nowhere_are_one_line(tmp_path, path, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=message):
        units_of(source(tmp_path / path))


def test_one_repository_where_many_are_expected_is_told(tmp_path):
    make_repo(tmp_path / "one", {"a": b"a"})
    with pytest.raises(InputError, match="single"):
        units_of(source(tmp_path / "one"))
    assert [row["path"] for row in rows_of(source(tmp_path / "one", layout="single"))] == ["a"]


def test_globs_name_repositories_by_what_they_match(tmp_path):
    make_repo(tmp_path / "owner+name" / "repo", {"a": b"a"})
    make_repo(tmp_path / "other+name" / "repo", {"b": b"b"})
    (tmp_path / "third").mkdir()
    assert {row["repo"] for row in rows_of(source(tmp_path / "*" / "repo"))} == {"owner+name", "other+name"}
    assert {row["repo"] for row in rows_of(source(tmp_path / "*" / "*"))} == {"owner+name/repo", "other+name/repo"}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://user:secret@example.org/owner/name.git", "owner/name"),
        ("git@example.org:owner/name.git", "owner/name"),
        ("ssh://git@example.org:22/group/sub/name", "group/sub/name"),
        ("/srv/git/name.git", "folder"),
        ("file:///srv/git/name.git", "folder"),
        ("../name", "folder"),
    ],
)
def test_remote_urls_name_repositories(tmp_path, url, name):
    make_repo(tmp_path / "folder", {"a": b"a"})
    git(tmp_path / "folder", "remote", "add", "origin", url)
    assert [row["repo"] for row in rows_of(source(tmp_path))] == [name]


def test_two_clones_of_one_remote_stay_apart(tmp_path):
    for folder in ("x", "y"):
        make_repo(tmp_path / folder, {"a": b"a"})
        git(tmp_path / folder, "remote", "add", "origin", "https://example.org/owner/name")
    rows = rows_of(source(tmp_path))
    assert [row["repo"] for row in rows] == ["owner/name"] * 2
    assert [row["origin"] for row in rows] == ["x", "y"]


def test_facts_come_from_the_sidecar_and_dates_from_history(tmp_path):
    make_repo(tmp_path / "all" / "one", {"a": b"1"}, date="2019-01-01T00:00:00Z")
    commit(tmp_path / "all" / "one", {"a": b"2"}, date="2021-01-01T00:00:00Z")
    (row,) = rows_of(source(tmp_path / "all"))
    assert row["created_at"] == datetime.datetime(2019, 1, 1, tzinfo=datetime.UTC)
    assert row["pushed_at"] == datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)
    assert row["stars"] is None
    (tmp_path / "facts.csv").write_text("repo,stars,created_at\none,7,2015-05-05T00:00:00Z\nelse,1,\n")
    (row,) = rows_of(source(tmp_path / "all", facts=str(tmp_path / "facts.csv")))
    assert (row["stars"], row["created_at"].year, row["pushed_at"].year) == (7, 2015, 2021)


def test_history_that_ends_early_gives_no_first_date(tmp_path):
    make_repo(tmp_path / "origin", {"a": b"1"}, date="2019-01-01T00:00:00Z")
    commit(tmp_path / "origin", {"a": b"2"}, date="2021-01-01T00:00:00Z")
    (tmp_path / "all").mkdir()
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{tmp_path / 'origin'}", str(tmp_path / "all" / "x"))
    (row,) = rows_of(source(tmp_path / "all"))
    assert (row["content"], row["created_at"], row["pushed_at"].year) == (b"2", None, 2021)


def test_names_that_are_no_utf8_stay_apart(tmp_path):
    make_repo(tmp_path / "one", {})
    blob = git(tmp_path / "one", "hash-object", "-w", "--stdin", stdin=b"x")
    listing = b"".join(b"100644 blob %s\t%s\0" % (blob.encode(), name) for name in (b"a\xff", b"a\xfe", b"b"))
    tree = git(tmp_path / "one", "mktree", "-z", stdin=listing)
    git(tmp_path / "one", "update-ref", "HEAD", git(tmp_path / "one", "commit-tree", tree, "-m", "x"))
    rows = rows_of(source(tmp_path))
    assert [(row["path"], row["origin"]) for row in rows] == [("a\ufffd", "%a%FE"), ("a\ufffd", "%a%FF"), ("b", "")]


def test_trees_that_unfold_without_end_are_one_row(tmp_path):
    make_repo(tmp_path / "bomb", {})
    tree = git(tmp_path / "bomb", "mktree", stdin=b"")
    for _ in range(6):
        listing = b"".join(b"040000 tree %s\tf%d\n" % (tree.encode(), index) for index in range(10))
        tree = git(tmp_path / "bomb", "mktree", stdin=listing)
    git(tmp_path / "bomb", "update-ref", "HEAD", git(tmp_path / "bomb", "commit-tree", tree, "-m", "x"))
    (row,) = rows_of(source(tmp_path, max_files=1000))
    assert (row["problem"], row["path"]) == ("too_many_files", "")


def test_big_repositories_are_split_and_whole(tmp_path):
    files = {f"d{index % 7}/f{index:03d}.py": b"x = %d\n" % index * 30 for index in range(200)}
    make_repo(tmp_path / "one", files)
    small = IngestSettings(shard_bytes=5000, shard_files=40)
    units = units_of(source(tmp_path), small)
    assert len(units) > 8
    assert all(unit.weight <= 5000 and unit.stop - unit.start <= 40 for unit in units)
    rows = rows_of(source(tmp_path), small)
    assert {row["path"]: row["content"] for row in rows} == files
    assert rows == rows_of(source(tmp_path))


def test_repositories_of_other_users_are_read(tmp_path):
    make_repo(tmp_path / "one", {"a": b"a"})
    if os.geteuid() == 0:
        for place in [tmp_path / "one", *(tmp_path / "one").rglob("*")]:
            os.chown(place, 12345, 12345)
    assert [row["problem"] for row in rows_of(source(tmp_path))] == [None]
    assert pygit2.settings.owner_validation is False
