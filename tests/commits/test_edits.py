"""A rendered change, read back and applied to the files before, gives the files after, in every form."""

import json
import subprocess

import pygit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.commits.edits import (
    NO_NEWLINE,
    Edit,
    EditError,
    apply_change,
    from_lines,
    parse_paths,
    quote,
    render_change,
    render_paths,
    to_lines,
    unquote,
)

FORMS = ("diff", "blocks", "files")
# Few different lines, so that searches are ambiguous, and lines that look like the forms' own marks.
LINE = st.sampled_from(
    [
        "a",
        "b",
        "",
        "  a",
        "=======",
        NO_NEWLINE,
        f"\\{NO_NEWLINE}",
        "<<<<<<< SEARCH",
        ">>>>>>> REPLACE",
        "```",
        "````",
        "@@ -1 +1 @@",
        "-- x",
        "++ y",
        "diff --git a/x b/x",
        "index 1..2",
        "a/b.py",
        "\r",
        "ä\u2028ö",
        "\\ x",
    ]
)
TEXT = st.builds(lambda lines, end: "\n".join(lines) + end, st.lists(LINE, max_size=30), st.sampled_from(["", "\n"]))


def edit_of(old, new, path="dir/file.txt", old_path=None):
    before, after = (old or "").encode(), (new or "").encode()  # the patch reads them later
    patch = pygit2.Patch.create_from(before, after, old_as_path=old_path or path, new_as_path=path)
    kind = "add" if old is None else "delete" if new is None else "rename" if old_path else "modify"
    return Edit(kind, path, old_path, old, new, patch.data.decode())


@settings(max_examples=400, deadline=None)
@given(old=TEXT, new=TEXT)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_rendered_applies(form, old, new):
    edit = edit_of(old, new)
    if old == new:
        return
    paths, change = render_paths([edit]), render_change(form, [edit])
    assert apply_change(form, paths, change, {"dir/file.txt": old}.__getitem__) == {"dir/file.txt": new}


@settings(max_examples=100, deadline=None)
@given(text=TEXT)
def test_lines_keep_texts(text):
    assert from_lines(to_lines(text)) == text


@settings(max_examples=200, deadline=None)
@given(path=st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_paths_come_back(path):
    assert unquote(quote(path)) == path
    assert "\n" not in quote(path)


@pytest.mark.parametrize("form", FORMS)
def test_several_files_of_every_kind(form):
    edits = [
        edit_of("one\ntwo\n", "one\n2\n", "m.txt"),
        edit_of(None, "new\n", "a b.txt"),
        edit_of("gone\n", None, "d.txt"),
        edit_of("x\ny\n", "x\nz\n", "to => here.txt", "from.txt"),
        edit_of("same\n", "same\n", "moved.txt", "was.txt"),
    ]
    if form == "diff":  # a diff of equal contents has no text; git's says that the file was renamed
        edits[-1] = Edit("rename", "moved.txt", "was.txt", "same\n", "same\n", "diff --git a/was.txt b/moved.txt\n")
    files = {"m.txt": "one\ntwo\n", "d.txt": "gone\n", "from.txt": "x\ny\n", "was.txt": "same\n"}
    paths, change = render_paths(edits), render_change(form, edits)
    assert parse_paths(paths)[3] == ("rename", "to => here.txt", "from.txt")
    assert "gone" not in change
    assert apply_change(form, paths, change, files.__getitem__) == {
        "m.txt": "one\n2\n",
        "a b.txt": "new\n",
        "d.txt": None,
        "from.txt": None,
        "to => here.txt": "x\nz\n",
        "was.txt": None,
        "moved.txt": "same\n",
    }


def test_searches_stand_once_in_the_file():
    body = ["def f():", "    x = 1", "    return x", ""] * 20
    new = [*body]
    new[41] = "    x = 2"
    old_text, new_text = from_lines(body), from_lines(new)
    change = render_change("blocks", [edit_of(old_text, new_text, "f.py")])
    search = change.split("<<<<<<< SEARCH\n")[1].split("\n=======")[0]
    assert f"\n{old_text}".count(f"\n{search}\n") == 1
    assert apply_change("blocks", "M f.py", change, {"f.py": old_text}.__getitem__) == {"f.py": new_text}


def test_git_applies_the_diffs(tmp_path):
    old, new = "a\nb\nc\n" * 9, "a\nb\nc\n" * 4 + "B\n" + "a\nb\nc\n" * 5 + "end"
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "f.txt").write_text(old)
    change = render_change("diff", [edit_of(old, new, "f.txt"), edit_of(None, "new\n", "n.txt")])
    # Git wants to be told that a file is new; what `edit_of` makes of no file does not say so.
    change = change.replace("--- a/n.txt", "new file mode 100644\n--- /dev/null")
    subprocess.run(["git", "-C", tmp_path, "apply", "-"], input=f"{change}\n".encode(), check=True)
    assert (tmp_path / "f.txt").read_text() == new
    assert (tmp_path / "n.txt").read_text() == "new\n"


@pytest.mark.parametrize(
    ("form", "paths", "change", "message"),
    [
        ("diff", "M f", "diff --git a/f b/f\n@@ -1 +1 @@\n-x\n+y", "expected line 1"),
        ("diff", "M f\nM g", "diff --git a/f b/f", "expected 2 files, got 1"),
        ("diff", "M f", "nonsense", "expected `diff --git`"),
        ("diff", "M f", "diff --git a/f b/f\n@@ -1 +1 @@\n?x", "expected a line of a hunk"),
        ("blocks", "M f", "f\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE", "once in the file, got it 2 times"),
        ("blocks", "M f", "f\n<<<<<<< SEARCH\nzz\n=======\nb\n>>>>>>> REPLACE", "once in the file, got it 0 times"),
        ("blocks", "M f", "f\n<<<<<<< SEARCH\na\n=======\nb", "at the end of a block"),
        ("blocks", "M f", "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE", "a path before"),
        ("files", "M f", "f\ntext", "expected a fence"),
        ("files", "M f", "f\n```\ntext", "expected '```' in a block"),
        ("files", "M gone", "gone\n```\n```", "no such file"),
        ("files", "X f", "", "expected A, M, D or R"),
        ("files", "R f", "", "for R alone"),
        ("files", 'M "f', "", "a quoted path"),
    ],
)
def test_predictions_that_do_not_fit_are_told_in_one_line(form, paths, change, message):
    with pytest.raises(EditError, match=message) as caught:
        apply_change(form, paths, change, {"f": "a\nb\na\n", "g": ""}.__getitem__)
    assert "\n" not in str(caught.value)


def test_a_missing_last_newline_is_marked():
    change = render_change("files", [edit_of("a\n", "a", "f")])
    assert change == f"f\n```\na\n{NO_NEWLINE}\n```"
    assert json.dumps("a b ") == quote("a b ")
