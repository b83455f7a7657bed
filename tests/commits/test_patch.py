"""Changes are read as git reads them; what a patch is the same as, and how much of it is whitespace."""

import subprocess

import pytest

from codemill.commits.history import walk
from codemill.commits.patch import comparable, patch_id, read_changes, whitespace_lines
from codemill.commits.places import open_history
from codemill.commits.settings import HistorySettings
from tests.commits.histories import CALC, EXECUTABLE, LINK, SUBMODULE, History, gauge

SETTINGS = HistorySettings()


def changes(history, sha, settings=SETTINGS):
    return read_changes(history.repository, history.repository[sha], settings)


def test_every_kind_of_change(tmp_path):
    history = History(tmp_path)
    text = "".join(f"line {number}\n" for number in range(30))
    history.commit({"a": text, "b": "b\n", "c": "c\n", "e": "#!/bin/sh\n", "sub": (SUBMODULE, b"1" * 40)}, "one")
    sha = history.commit(
        {
            "a": None,
            "z/a": text.replace("line 3\n", "line three\n"),
            "b": "B\n",
            "c": None,
            "d": "d\n",
            "e": (EXECUTABLE, "#!/bin/sh\n"),
            "link": (LINK, "b"),
            "picture": b"\0\1\2",
            "sub": (SUBMODULE, b"2" * 40),
        },
        "two",
    )
    found = {one.path: one for one in changes(history, sha).files}
    assert {path: one.kind for path, one in found.items()} == {
        "z/a": "rename",
        "b": "modify",
        "c": "delete",
        "d": "add",
        "e": "modify",
        "link": "add",
        "picture": "add",
        "sub": "modify",
    }
    assert (found["z/a"].old_path, found["z/a"].similarity >= 90) == ("a", True)
    assert (found["z/a"].additions, found["z/a"].deletions) == (1, 1)
    assert [path for path, one in found.items() if not one.is_text] == ["e", "link", "picture", "sub"]
    assert found["picture"].binary
    assert found["e"].mode_only
    assert found["link"].link
    assert found["sub"].submodule


def test_the_first_commit_changes_nothing_into_something(tmp_path):
    history = gauge(tmp_path)
    first = next(iter(history.trees))
    assert [one.kind for one in changes(history, first).files] == ["add"] * 3


def test_patches_are_those_of_git(tmp_path):
    history = gauge(tmp_path)
    for sha in history.trees:
        if len(history.repository[sha].parent_ids) > 1:
            continue
        said = subprocess.run(
            ["git", "-C", tmp_path, "show", "--format=", "-M", "--no-color", sha], capture_output=True, check=True
        )
        assert comparable(changes(history, sha).patch) == comparable(said.stdout)


@pytest.mark.parametrize("limit", [{"max_paths": 2}, {"max_bytes": 100}])
def test_huge_commits_are_not_read(tmp_path, limit):
    history = gauge(tmp_path)
    found = changes(history, next(iter(history.trees)), HistorySettings(**limit))
    assert (found.problem, found.count, found.files) == ("too_large", 3, [])


def test_missing_objects_are_told(tmp_path):
    history = History(tmp_path)
    sha = history.commit({"a": "here\n"}, "one")
    blob = str(history.repository[sha].tree["a"].id)
    (tmp_path / "objects" / blob[:2] / blob[2:]).unlink()
    assert changes(History(tmp_path), sha).problem == "missing_object"


def test_the_first_commit_of_a_shallow_clone_is_no_first_commit(tmp_path):
    history = gauge(tmp_path / "whole")
    clone = tmp_path / "shallow"
    url = f"file://{tmp_path / 'whole'}"
    subprocess.run(["git", "clone", "-q", "--bare", "--depth", "2", url, clone], check=True)
    shallow = History.__new__(History)
    shallow.repository = open_history(str(clone))
    oids = list(walk(shallow.repository, history.head))
    found = [changes(shallow, oid) for oid in oids]
    assert [(one.problem, one.count) for one in found] == [("missing_object", 0), (None, 1)]


def test_a_change_is_the_same_where_it_is_picked_elsewhere(tmp_path):
    history = History(tmp_path)
    base = history.commit({"a.py": CALC}, "one")
    first = history.commit({"a.py": CALC.replace("= 0", "= 0.0")}, "change")
    moved = history.commit({"a.py": "# A new head.\n" * 5 + CALC}, "head", parents=[base])
    second = history.commit({"a.py": "# A new head.\n" * 5 + CALC.replace("= 0", "= 0.0")}, "pick", parents=[moved])
    one, two = (changes(history, sha).patch for sha in (first, second))
    assert one != two
    assert comparable(one) == comparable(two)
    assert patch_id(one) == patch_id(two)
    assert patch_id(one) != patch_id(changes(history, moved).patch)
    assert patch_id(b"") is None


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a\nb\n", "a\n  b\n", 2),
        ("f(a,\n  b)\n", "f(a, b)\n", 3),
        ("a\n", "a \n\n", 3),
        ("a\nb\n", "a\nc\n", 0),
        ("x\na\n1\n2\n3\n4\nb\n", "x\n a\n1\n2\n3\n4\nc\n", 2),
    ],
)
def test_lines_that_only_move_whitespace(tmp_path, old, new, lines):
    history = History(tmp_path)
    history.commit({"a": old}, "one")
    sha = history.commit({"a": new}, "two")
    assert sum(whitespace_lines(one.patch) for one in changes(history, sha).files) == lines
