"""Changes as text to be predicted, in three forms, and the way back: a predicted change applied to a snapshot.

Contents are handled as lines. A last line without a newline is followed by git's mark, so that every form keeps it; a
line of a content that reads like the mark gets one more backslash in the forms that show whole lines.
Bytes that are no UTF-8 travel as surrogates, so that a content always comes back as it was.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Form = Literal["diff", "blocks", "files"]
Read = Callable[[str], str]

NO_NEWLINE = "\\ No newline at end of file"
LETTERS = {"add": "A", "modify": "M", "delete": "D", "rename": "R"}
_MISSING = "\n\0"  # stands for the mark among lines; no line is this
_LIKE_MARK = re.compile(r"\\+ No newline at end of file")
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_OPEN = re.compile(r"(<{7,}) SEARCH")
_FENCE = re.compile(r"`{3,}")
_DROPPED_HEADERS = ("index ", "similarity index ", "dissimilarity index ")


class EditError(ValueError):
    """A predicted change that can't be read, or does not apply to the snapshot."""


@dataclass(frozen=True)
class Edit:
    """One changed file.

    Attributes:
        kind: add, modify, delete or rename.
        path: after the commit (before it, where deleted).
        old_path: before the commit, for renames.
        old, new: contents; None where there is no file.
        patch: git's unified diff of it.
    """

    kind: str
    path: str
    old_path: str | None
    old: str | None
    new: str | None
    patch: str


# -- lines -------------------------------------------------------------------------------------------------------


def to_lines(text: str) -> list[str]:
    """Lines without their ends, and a sign where the last one has none."""
    if not text:
        return []
    lines = text.split("\n")
    if lines[-1]:
        return [*lines, _MISSING]
    return lines[:-1]


def from_lines(lines: Sequence[str]) -> str:
    """The text of these lines."""
    if lines and lines[-1] == _MISSING:
        return "\n".join(lines[:-1])
    return "".join(f"{line}\n" for line in lines)


def _show(line: str) -> str:
    """A line as it stands in blocks and whole files."""
    if line == _MISSING:
        return NO_NEWLINE
    return f"\\{line}" if _LIKE_MARK.fullmatch(line) else line


def _unshow(line: str) -> str:
    """The line that `_show` wrote."""
    if line == NO_NEWLINE:
        return _MISSING
    return line[1:] if _LIKE_MARK.fullmatch(line) else line


# -- paths -------------------------------------------------------------------------------------------------------


def render_paths(edits: Sequence[Edit]) -> str:
    """One line a file: `A path`, `M path`, `D path`, `R old => new`."""
    lines = []
    for edit in edits:
        name = quote(edit.path)
        lines.append(
            f"{LETTERS[edit.kind]} {quote(edit.old_path)} => {name}"
            if edit.old_path
            else f"{LETTERS[edit.kind]} {name}"
        )
    return "\n".join(lines)


def parse_paths(text: str) -> list[tuple[str, str, str | None]]:
    """(kind, path, old path) of every line.

    Raises:
        EditError: a line is no changed path.
    """
    kinds = {letter: kind for kind, letter in LETTERS.items()}
    found: list[tuple[str, str, str | None]] = []
    for line in text.split("\n"):
        letter, space, rest = line.partition(" ")
        if letter not in kinds or not space:
            raise EditError(f"paths: expected A, M, D or R and a path, got {line[:80]!r}")
        old, arrow, new = rest.partition(" => ")
        if bool(arrow) != (letter == "R"):
            raise EditError(f"paths: expected `old => new` for R alone, got {line[:80]!r}")
        found.append((kinds[letter], unquote(new if arrow else old), unquote(old) if arrow else None))
    return found


def quote(path: str) -> str:
    """A path as it stands in a sample: in JSON's quotes where it could be misread."""
    plain = path == path.strip() and " => " not in path and '"' not in path and "\\" not in path
    return path if plain and path.isprintable() else json.dumps(path)


def unquote(text: str) -> str:
    """The path that `quote` wrote."""
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError as error:
        raise EditError(f"paths: expected a quoted path, got {text[:80]!r}") from error


# -- the three forms ---------------------------------------------------------------------------------------------


def render_change(form: Form, edits: Sequence[Edit]) -> str:
    """The change of all files in this form, without a newline at the end.

    Deleted files stand among the paths alone (of a diff their header stays), as do renamed ones with the same content.
    """
    if form == "diff":
        return "\n".join(_diff(edit) for edit in edits)
    changed = [edit for edit in edits if edit.new is not None and (edit.old is None or edit.old != edit.new)]
    parts = [_blocks(edit) if form == "blocks" else _whole(edit) for edit in changed]
    return "\n".join(parts)


def apply_change(form: Form, paths: str, change: str, read: Read) -> dict[str, str | None]:
    """The files after a predicted change: path -> content, or None where there is no file any more.

    Args:
        form: of `change`.
        paths, change: as `render_paths` and `render_change` write them.
        read: gives the content of a path of the snapshot; raises KeyError where there is none.

    Raises:
        EditError: the prediction can't be read or does not apply.
    """
    listed = parse_paths(paths)
    parsers: dict[Form, Callable[[str], list[tuple[str | None, list[str]]]]] = {
        "diff": _split_diff,
        "blocks": _split_blocks,
        "files": _split_files,
    }
    parts = parsers[form](change)
    by_path = {path: body for path, body in parts if path is not None}
    if form == "diff" and len(parts) != len(listed):
        raise EditError(f"change: expected {len(listed)} files, got {len(parts)}")
    after: dict[str, str | None] = {}
    for index, (kind, path, old_path) in enumerate(listed):
        if kind == "delete":
            after[path] = None
            continue
        if old_path is not None:
            after[old_path] = None
        try:
            old = "" if kind == "add" else read(old_path or path)
        except KeyError as error:
            raise EditError(f"change: expected {old_path or path} in the snapshot, got no such file") from error
        body = parts[index][1] if form == "diff" else by_path.get(path)
        after[path] = old if body is None else from_lines(_APPLY[form](to_lines(old), body))
    return after


def _diff(edit: Edit) -> str:
    """Git's diff of a file without content ids, which nobody can predict; of deleted files the header alone."""
    lines = edit.patch.removesuffix("\n").split("\n")
    start = next((index for index, line in enumerate(lines) if line.startswith("@@ ")), len(lines))
    head = [line for line in lines[:start] if not line.startswith(_DROPPED_HEADERS)]
    return "\n".join(head if edit.kind == "delete" else head + lines[start:])


def _split_diff(text: str) -> list[tuple[str | None, list[str]]]:
    """The hunks of every file, in order; paths are told by the list of paths."""
    parts: list[tuple[str | None, list[str]]] = []
    for line in text.split("\n"):
        if line.startswith("diff --git "):
            parts.append((None, []))
        elif not parts:
            raise EditError(f"change: expected `diff --git`, got {line[:80]!r}")
        elif parts[-1][1] or line.startswith("@@ "):
            parts[-1][1].append(line)
    return parts


def _apply_diff(old: list[str], body: list[str]) -> list[str]:
    """Apply hunks where their line numbers say."""
    new: list[str] = []
    at = 0
    for start, before, after in hunks(body):
        if start < at or old[start : start + len(before)] != before:
            raise EditError(f"change: expected line {start + 1} and the following to be {before[:1]!r}"[:160])
        new += [*old[at:start], *after]
        at = start + len(before)
    return [*new, *old[at:]]


def hunks(lines: Sequence[str]) -> list[tuple[int, list[str], list[str]]]:
    """(first old line from 0, old lines, new lines) of every hunk among the lines of a file's diff.

    Signs of missing newlines are lines, as in `to_lines`.
    """
    found: list[tuple[int, list[str], list[str]]] = []
    before = " "
    for line in lines:
        match = _HUNK.match(line)
        if match:
            first = int(match[1])
            found.append((first - 1 if match[2] != "0" else first, [], []))
            continue
        if not found:
            continue
        marked = line.startswith("\\")
        mark, text = (before, _MISSING) if marked else (line[:1], line[1:])
        if mark not in (" ", "-", "+"):
            raise EditError(f"change: expected a line of a hunk, got {line[:80]!r}")
        if mark != "+":
            found[-1][1].append(text)
        if mark != "-":
            found[-1][2].append(text)
        before = mark
    return found


def _blocks(edit: Edit) -> str:
    """Search/replace blocks: each search is a run of whole lines that stands once in the file."""
    assert edit.new is not None
    old, new = to_lines(edit.old or ""), to_lines(edit.new)
    pairs = [(old, new)] if not old else _unique_blocks(old, edit.patch)
    size = 7
    every = [line for search, replace in pairs for line in (*search, *replace)]
    while any(line in (f"{'<' * size} SEARCH", "=" * size, f"{'>' * size} REPLACE") for line in every):
        size += 1
    lines = [quote(edit.path)]
    for search, replace in pairs:
        shown = [*map(_show, search), "=" * size, *map(_show, replace)]
        lines += [f"{'<' * size} SEARCH", *shown, f"{'>' * size} REPLACE"]
    return "\n".join(lines)


def _unique_blocks(old: list[str], patch: str) -> list[tuple[list[str], list[str]]]:
    """Hunks widened until their old lines stand once in the file; those that come to touch are one."""
    found = hunks(patch.removesuffix("\n").split("\n"))
    ranges = [(start, start + len(before), after) for start, before, after in found]
    haystack = "\n" + "\n".join(old) + "\n"
    index = 0
    while index < len(ranges):
        first, stop, after = ranges[index]
        while not _once(haystack, old[first:stop]):
            if index and ranges[index - 1][1] == first:
                index -= 1
                (first, _, left), _ = ranges[index], ranges.pop(index + 1)
                after = [*left, *after]
            elif first > 0:
                first, after = first - 1, [old[first - 1], *after]
            if index + 1 < len(ranges) and ranges[index + 1][0] == stop:
                _, stop, right = ranges.pop(index + 1)
                after = [*after, *right]
            elif stop < len(old):
                stop, after = stop + 1, [*after, old[stop]]
        ranges[index] = (first, stop, after)
        index += 1
    return [(old[first:stop], after) for first, stop, after in ranges]


def _once(haystack: str, lines: list[str]) -> bool:
    needle = "\n" + "\n".join(lines) + "\n" if lines else "\n"
    first = haystack.find(needle)
    return bool(lines) and first >= 0 and haystack.find(needle, first + 1) < 0


def _split_blocks(text: str) -> list[tuple[str | None, list[str]]]:
    """Path and block lines of every file."""
    parts: list[tuple[str | None, list[str]]] = []
    close = ""
    for line in text.split("\n") if text else []:
        opened = _OPEN.fullmatch(line)
        if close:
            parts[-1][1].append(line)
            close = "" if line == close else close
        elif opened:
            if not parts:
                raise EditError("change: expected a path before the first block, got none")
            parts[-1][1].append(line)
            close = f"{'>' * len(opened[1])} REPLACE"
        else:
            parts.append((unquote(line), []))
    if close:
        raise EditError(f"change: expected {close!r} at the end of a block, got the end")
    return parts


def _apply_blocks(old: list[str], body: list[str]) -> list[str]:
    """Replace each searched run of lines; it has to stand exactly once in the file."""
    found: list[tuple[int, int, list[str]]] = []
    index = 0
    while index < len(body):
        size = len(body[index].split(" ")[0])
        middle = _next(body, "=" * size, index)
        stop = _next(body, f"{'>' * size} REPLACE", middle)
        search = [_unshow(line) for line in body[index + 1 : middle]]
        replace = [_unshow(line) for line in body[middle + 1 : stop]]
        places = [0] if not search and not old else _places(old, search)
        if len(places) != 1:
            raise EditError(f"change: expected a search that stands once in the file, got it {len(places)} times")
        found.append((places[0], places[0] + len(search), replace))
        index = stop + 1
    found.sort()
    if any(left[1] > right[0] for left, right in pairwise(found)):
        raise EditError("change: expected searches that do not overlap")
    for first, stop, replace in reversed(found):
        old = [*old[:first], *replace, *old[stop:]]
    return old


def _next(body: list[str], line: str, index: int) -> int:
    try:
        return body.index(line, index + 1)
    except ValueError as error:
        raise EditError(f"change: expected {line!r} in a block, got none") from error


def _places(lines: list[str], search: list[str]) -> list[int]:
    if not search:
        return []
    size = len(search)
    return [at for at in range(len(lines) - size + 1) if lines[at] == search[0] and lines[at : at + size] == search]


def _whole(edit: Edit) -> str:
    """The whole content between fences that it doesn't hold."""
    assert edit.new is not None
    lines = to_lines(edit.new)
    longest = max((len(line) for line in lines if _FENCE.fullmatch(line)), default=2)
    fence = "`" * (longest + 1)
    return "\n".join([quote(edit.path), fence, *map(_show, lines), fence])


def _split_files(text: str) -> list[tuple[str | None, list[str]]]:
    parts: list[tuple[str | None, list[str]]] = []
    lines = text.split("\n") if text else []
    index = 0
    while index < len(lines):
        if index + 1 >= len(lines) or not _FENCE.fullmatch(lines[index + 1]):
            raise EditError(f"change: expected a fence after the path, got {lines[index : index + 2]!r}"[:160])
        stop = _next(lines, lines[index + 1], index + 1)
        parts.append((unquote(lines[index]), [_unshow(line) for line in lines[index + 2 : stop]]))
        index = stop + 1
    return parts


_APPLY: dict[Form, Callable[[list[str], list[str]], list[str]]] = {
    "diff": _apply_diff,
    "blocks": _apply_blocks,
    "files": lambda _, body: body,
}
