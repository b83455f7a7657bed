"""Directory sources on real file systems, with everything a file system can hold."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.errors import InputError
from codemill.recipe import DirectorySource, IngestSettings
from codemill.schema import RAW
from codemill.sources import open_source
from codemill.sources.base import clean_text, link_problem, load_facts, split_ranges, stamp
from codemill.sources.directories import Entry, list_entries, read_entry
from tests.sources.helpers import by_path, problems, rows_of, units_of


def source(path, **more):
    return DirectorySource(kind="directories", name="d", path=str(path), **more)


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


FILES = {"README.md": b"# hi\n", "src/a.py": b"1\n", "src/A.py": b"2\n", "bin": b"\0", "none": b""}


def test_each_child_is_a_repository_or_the_folder_is_one(tmp_path):
    fill(tmp_path / "one", FILES)
    fill(tmp_path / "two", {"x": b"x"})
    rows = rows_of(source(tmp_path))
    assert {(row["repo"], row["path"]): row["content"] for row in rows} == {
        **{("one", path): content for path, content in FILES.items()},
        ("two", "x"): b"x",
    }
    rows = rows_of(source(tmp_path, layout="single"))
    assert {row["path"] for row in rows} == {*(f"one/{path}" for path in FILES), "two/x"}
    assert {row["repo"] for row in rows} == {tmp_path.name}


def test_globs_pick_repositories(tmp_path):
    fill(tmp_path / "x" / "lib", {"a": b"a"})
    fill(tmp_path / "y" / "lib", {"b": b"b"})
    fill(tmp_path / "y" / "other", {"c": b"c"})
    assert {(row["repo"], row["path"]) for row in rows_of(source(tmp_path / "*" / "lib"))} == {("x", "a"), ("y", "b")}


def test_version_controls_own_files_are_no_content(tmp_path):
    fill(tmp_path / "one", {"a": b"a", ".git/config": b"secret", "sub/.hg/x": b"x", ".github/w.yml": b"w"})
    (tmp_path / "one" / "sub2").mkdir()
    (tmp_path / "one" / "sub2" / ".git").write_text("gitdir: elsewhere")
    assert set(by_path(rows_of(source(tmp_path)))) == {"a", ".github/w.yml"}


def test_links_are_never_followed(tmp_path):
    fill(tmp_path / "secret", {"key": b"k"})
    one = tmp_path / "all" / "one"
    fill(one, {"a/b": b"b", ".git/config": b"token"})
    links = {
        "file": "a/b",
        "config": ".git/config",
        "loop": ".",
        "a/up": "..",
        "dangling": "nothing",
        "self": "self",
        "out": "../../secret/key",
        "outdir": str(tmp_path / "secret"),
    }
    for path, target in links.items():
        (one / path).symlink_to(target)
    rows = rows_of(source(tmp_path / "all"))
    outside = {"out", "outdir"}
    assert problems(rows) == {path: "symlink_outside" if path in outside else "symlink" for path in links}
    assert {row["content"] for row in rows} == {b"b", None}


def test_sockets_and_pipes_are_special_and_do_not_hang(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path / "one")  # socket paths are short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert problems(rows_of(source(tmp_path))) == {"pipe": "special_file", "socket": "special_file"}


def test_what_changes_after_the_listing_neither_hangs_nor_leads_out(tmp_path):
    fill(tmp_path, {"secret": b"s", "one/pipe": b"", "one/link": b"", "one/gone": b"", "one/grown": b"x"})
    entries = list_entries(tmp_path / "one")
    for name in ("pipe", "link", "gone"):
        (tmp_path / "one" / name).unlink()
    os.mkfifo(tmp_path / "one" / "pipe")
    (tmp_path / "one" / "link").symlink_to("../secret")
    (tmp_path / "one" / "grown").write_bytes(b"x" * 100)
    found = {entry.path: read_entry(tmp_path / "one", entry, 50)[1] for entry in entries}
    assert found == {"pipe": "special_file", "link": "unreadable", "gone": "unreadable", "grown": "too_large"}


def test_folders_that_change_under_a_split_plan_are_told(tmp_path):
    fill(tmp_path / "one", {f"f{index}": b"x" * 100 for index in range(10)})
    small = IngestSettings(shard_bytes=300)
    reader = open_source(source(tmp_path))
    unit = next(iter(reader.units(small)))
    unit = type(unit)(**{**vars(unit), "state": stamp(unit.state, small)})
    assert sum(batch.num_rows for batch in reader.read(unit, small)) == 3
    (tmp_path / "one" / "f0").unlink()
    (tmp_path / "one" / "g0").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="run again"):
        list(reader.read(unit, small))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_and_folders_are_rows(tmp_path):
    fill(tmp_path / "one", {"a": b"a", "closed/b": b"b"})
    (tmp_path / "one" / "a").chmod(0)
    (tmp_path / "one" / "closed").chmod(0)
    try:
        assert problems(rows_of(source(tmp_path))) == {"a": "unreadable", "closed": "unreadable"}
    finally:
        (tmp_path / "one" / "closed").chmod(0o755)


def test_folders_that_the_system_refuses_are_rows(tmp_path, monkeypatch):
    fill(tmp_path / "one", {"a": b"a", "closed/b": b"b"})
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert problems(rows_of(source(tmp_path))) == {"closed": "unreadable"}


def test_names_that_are_no_utf8_stay_apart(tmp_path):
    (tmp_path / "one").mkdir()
    for name in (b"a\xff", b"a\xfe"):
        Path(os.fsdecode(os.fsencode(tmp_path / "one") + b"/" + name)).write_bytes(b"x")
    rows = rows_of(source(tmp_path))
    assert sorted((row["path"], row["origin"]) for row in rows) == [("a\ufffd", "%a%FE"), ("a\ufffd", "%a%FF")]


def test_trees_deeper_than_a_path_may_be_are_told(tmp_path):
    (tmp_path / "one").mkdir()
    fill(tmp_path / "one", {"a": b"a"})
    handle = os.open(tmp_path / "one", os.O_RDONLY)
    for _ in range(30):  # 30 x 200 characters are more than PATH_MAX
        os.mkdir("d" * 200, dir_fd=handle)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    rows = rows_of(source(tmp_path))
    assert [row["problem"] for row in rows] == [None, "unreadable"]


def test_children_that_are_no_folders_are_rows(tmp_path):
    fill(tmp_path, {"loose.txt": b"x", "one/a": b"a"})
    (tmp_path / "dangling").symlink_to("gone")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "alias").symlink_to("one")
    rows = {row["repo"]: (row["path"], row["problem"]) for row in rows_of(source(tmp_path))}
    assert rows == {
        "one": ("a", None),
        "alias": ("a", None),  # a folder may be put together from links
        "loose.txt": ("", "no_repository"),
        "dangling": ("", "no_repository"),
        "loop": ("", "symlink_outside"),
    }


def test_units_change_with_the_files_and_with_nothing_else(tmp_path):
    fill(tmp_path / "one", FILES)
    fill(tmp_path / "two", {"x": b"x"})
    before = {unit.repo: unit.key("d") for unit in units_of(source(tmp_path))}
    assert before == {unit.repo: unit.key("d") for unit in units_of(source(tmp_path))}
    os.utime(tmp_path / "two" / "x", (1, 1))
    after = {unit.repo: unit.key("d") for unit in units_of(source(tmp_path))}
    assert before["one"] == after["one"]
    assert before["two"] != after["two"]


@pytest.mark.parametrize("layout", ["children", "single"])
@pytest.mark.parametrize("path", ["nothing", "file", "none*"])
def test_paths_that_lead_nowhere_are_one_line(tmp_path, layout, path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected"):
        units_of(source(tmp_path / path, layout=layout))


@given(st.lists(st.integers(0, 500)), st.integers(1, 600), st.integers(1, 20))
def test_ranges_cover_everything_once_within_limits(sizes, limit_bytes, limit_files):
    ranges = list(split_ranges(sizes, limit_bytes, limit_files))
    covered = [index for start, stop, _ in ranges for index in range(start, stop)]
    assert covered == list(range(len(sizes)))
    for start, stop, weight in ranges:
        assert weight == sum(sizes[start:stop])
        assert stop - start <= limit_files
        assert weight <= limit_bytes or stop - start == 1


@given(st.text(st.characters(codec=None)))
def test_any_text_becomes_utf8(text):
    cleaned = clean_text(text)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    if "\ufffd" not in cleaned:
        assert cleaned == text


@pytest.mark.parametrize(
    ("path", "target", "problem"),
    [
        ("a/b", "../c", "symlink"),
        ("a/b", "../../c", "symlink_outside"),
        ("a", ".", "symlink"),
        ("a", "..", "symlink_outside"),
        ("a", "..c", "symlink"),
        ("a", "/a", "symlink_outside"),
        ("a/b", "x/../../c", "symlink"),
    ],
)
def test_where_links_lead(path, target, problem):
    assert link_problem(path, target) == problem


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text("abc/. ü", min_size=1, max_size=12), st.binary(max_size=40), max_size=12))
def test_nothing_is_lost_for_any_tree(tmp_path_factory, tree):
    root = tmp_path_factory.mktemp("tree")
    written = {"anchor": b"x"}
    (root / "one").mkdir()
    (root / "one" / "anchor").write_bytes(b"x")
    for path, content in tree.items():
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        place = root / "one" / Path(*parts)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        except OSError:  # a folder and a file of one name
            continue
        written["/".join(parts)] = content
    rows = rows_of(source(root), IngestSettings(max_bytes=20, shard_bytes=30, shard_files=3))
    assert len(rows) == len(written)
    for row in rows:
        content = written[row["path"]]
        assert row["bytes"] == len(content)
        assert (row["content"], row["problem"]) == ((content, None) if len(content) <= 20 else (None, "too_large"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.csv", "name,stars\nx,1\n", "expected a column `repo`, got name, stars"),
        ("f.csv", "repo,stars\nx,many\n", "expected facts of the documented types"),
        ("f.csv", "repo,stars\nx,1\nx,2\n", "expected one row per repo, got x twice"),
        ("f.jsonl", "not json", "expected a readable"),
        ("f.parquet", "not parquet", "expected a readable"),
        ("gone.csv", None, "expected a readable"),
    ],
)
def test_sidecar_tables_that_cannot_be_are_one_line(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        load_facts(str(tmp_path / name))


def test_facts_join_by_repository(tmp_path):
    fill(tmp_path / "all", {"one/a": b"a", "two/b": b"b"})
    (tmp_path / "f.jsonl").write_text('{"repo": "one", "stars": 3, "declared_licence": "MIT", "other": 1}\n')
    rows = {row["repo"]: row for row in rows_of(source(tmp_path / "all", facts=str(tmp_path / "f.jsonl")))}
    assert (rows["one"]["stars"], rows["one"]["declared_licence"], rows["one"]["forks"]) == (3, "MIT", None)
    assert rows["two"]["stars"] is None
    assert set(rows["one"]) == set(RAW.names)


def test_entries_know_what_they_are(tmp_path):
    fill(tmp_path, {"a": b"abc"})
    assert list_entries(tmp_path) == [Entry("a", 3, (tmp_path / "a").stat().st_mtime_ns, None)]
