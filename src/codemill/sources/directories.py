"""Repositories as plain folders: every file becomes a row, whatever it is, and nothing outside the tree is read."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from codemill.errors import InputError
from codemill.recipe import DirectorySource, IngestSettings
from codemill.schema import digest
from codemill.sources.base import (
    RowBuffer,
    Unit,
    clean_text,
    find_places,
    link_problem,
    list_folder,
    load_facts,
    split_ranges,
    stamp,
    with_facts,
)

# Version control's own files are not content.
SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn"})


@dataclass(frozen=True)
class Entry:
    """One directory entry that is no folder."""

    path: str  # relative to the repository, forward slashes
    size: int
    mtime: int
    problem: str | None


class DirectoryReader:
    """Reads folders. Links are rows with a problem and are never followed: a link may lead to `.git/config`."""

    def __init__(self, settings: DirectorySource) -> None:
        self.settings = settings
        self.facts = load_facts(settings.facts)

    def units(self, settings: IngestSettings) -> Iterator[Unit]:
        for name, place in child_places(self.settings.path, self.settings.layout):
            entries = list_entries(place)
            state = with_facts(folder_state(entries), self.facts.get(clean_text(name)))
            sizes = [entry.size if entry.size <= settings.max_bytes else 0 for entry in entries]
            for start, stop, weight in split_ranges(sizes, settings.shard_bytes, settings.shard_files):
                yield Unit(clean_text(name), "", str(place), state, start, stop, weight)

    def read(self, unit: Unit, settings: IngestSettings) -> Iterator[pa.RecordBatch]:
        place = Path(unit.location)
        entries = list_entries(place)
        state = with_facts(folder_state(entries), self.facts.get(unit.repo))
        if unit.stop - unit.start != len(entries) and unit.state != stamp(state, settings):
            # Ranges of a list that has shifted would lose some files and give others twice.
            raise InputError(f"source {place}: expected no change while it is read, got a changed folder (run again)")
        buffer = RowBuffer(unit.repo, unit.revision, self.facts.get(unit.repo, {}))
        for entry in entries[unit.start : unit.stop]:
            content, problem = read_entry(place, entry, settings.max_bytes)
            if buffer.add(entry.path, content, entry.size if content is None else len(content), problem):
                yield buffer.flush()
        yield buffer.flush()


def folder_state(entries: list[Entry]) -> str:
    """Fingerprint of a listing."""
    return digest(f"{entry.path}\0{entry.size}\0{entry.mtime}\0{entry.problem}" for entry in entries)


def child_places(path: str, layout: str) -> list[tuple[str, Path]]:
    """Name and place of every repository: of a glob each match, of a folder each child or (`single`) the folder."""
    places = find_places(path)
    folder = places[0][1]
    if str(folder) != str(Path(path)):
        return places  # a glob
    if not folder.is_dir():
        raise InputError(f"source {path}: expected a folder, got a file")
    if layout == "single":
        return places
    children = [(child.name, child) for child in list_folder(folder) if child.name not in SKIPPED_FOLDERS]
    if not children:
        raise InputError(f"source {path}: expected a folder of repositories, got an empty folder")
    return children


def list_entries(root: Path) -> list[Entry]:
    """Every entry below `root` that is no folder, sorted by path; one with a problem if `root` itself is none.

    A folder that can't be read is one entry with a problem.
    """
    if not root.is_dir():
        return [Entry("", 0, 0, "no_repository")]
    if root.is_symlink() and Path(os.path.abspath(root)).is_relative_to(root.resolve()):  # noqa: PTH100 - resolve() would follow the link
        return [Entry("", 0, 0, "symlink_outside")]  # a link to a folder that holds it
    entries: list[Entry] = []
    pending = [""]
    while pending:
        relative = pending.pop()
        try:
            with os.scandir(root / relative) as scan:
                found = list(scan)
        except OSError:
            entries.append(Entry(relative, 0, 0, "unreadable"))
            continue
        for item in found:
            path = f"{relative}/{item.name}" if relative else item.name
            if item.name in SKIPPED_FOLDERS:  # a worktree's or submodule's `.git` is a file
                continue
            entry = _entry(item, path)
            if entry is None:
                pending.append(path)
            else:
                entries.append(entry)
    return sorted(entries, key=lambda entry: os.fsencode(entry.path))


def _entry(item: os.DirEntry[str], path: str) -> Entry | None:
    """What the directory holds there; None for a folder."""
    try:
        if item.is_dir(follow_symlinks=False):
            return None
        if item.is_symlink():
            return Entry(path, 0, 0, link_problem(path, os.readlink(item.path)))  # noqa: PTH115 - as str, in bytes' encoding
        info = item.stat(follow_symlinks=False)
    except OSError:
        return Entry(path, 0, 0, "unreadable")
    if not stat.S_ISREG(info.st_mode):
        return Entry(path, 0, 0, "special_file")
    return Entry(path, info.st_size, info.st_mtime_ns, None)


def read_entry(root: Path, entry: Entry, max_bytes: int) -> tuple[bytes | None, str | None]:
    """Content of an entry, or why there is none."""
    if entry.problem is not None:
        return None, entry.problem
    if entry.size > max_bytes:
        return None, "too_large"
    try:
        # A file replaced since the listing must neither hang the run (a pipe) nor lead out of the tree (a link).
        descriptor = os.open(root / entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None, "special_file"
            content = stream.read(max_bytes + 1)
    except OSError:
        return None, "unreadable"
    return (None, "too_large") if len(content) > max_bytes else (content, None)
