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
from codemill.sources.base import RowBuffer, Unit, clean_text, load_facts, require_folder, split_ranges

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
    """Reads folders. Symbolic links that stay inside the tree are followed to files, never to folders."""

    def __init__(self, settings: DirectorySource) -> None:
        self.settings = settings
        self.facts = load_facts(settings.facts)

    def units(self, settings: IngestSettings) -> Iterator[Unit]:
        root = require_folder(self.settings.path)
        folders = [root]
        if self.settings.layout == "children":
            folders = sorted(child for child in root.iterdir() if child.is_dir() and child.name not in SKIPPED_FOLDERS)
        for folder in folders:
            entries = list_entries(folder)
            state = digest(f"{entry.path}\0{entry.size}\0{entry.mtime}\0{entry.problem}" for entry in entries)
            repo = clean_text(folder.resolve().name if folder == root else folder.name)
            sizes = [entry.size for entry in entries]
            for start, stop, weight in split_ranges(sizes, settings.shard_bytes, settings.shard_files):
                yield Unit(repo, "", str(folder), state, start, stop, weight)

    def read(self, unit: Unit, settings: IngestSettings) -> Iterator[pa.RecordBatch]:
        folder = Path(unit.location)
        entries = list_entries(folder)[unit.start : unit.stop]
        if len(entries) != unit.stop - unit.start:
            raise InputError(
                f"source {folder}: expected the files listed at the start of the run, got a changed folder"
            )
        buffer = RowBuffer(unit.repo, unit.revision, self.facts.get(unit.repo, {}))
        for entry in entries:
            content, problem = read_entry(folder, entry, settings.max_bytes)
            if buffer.add(entry.path, content, entry.size if content is None else len(content), problem):
                yield buffer.flush()
        yield buffer.flush()


def list_entries(root: Path) -> list[Entry]:
    """Every entry below `root` that is no folder, sorted by path. Unreadable folders are one entry with a problem."""
    entries: list[Entry] = []
    real_root = str(root.resolve())
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
            if item.is_dir(follow_symlinks=False):
                if item.name not in SKIPPED_FOLDERS:
                    pending.append(path)
            elif item.name not in SKIPPED_FOLDERS:  # a worktree's or submodule's `.git` is a file
                entries.append(_entry(item, path, real_root))
    return sorted(entries, key=lambda entry: os.fsencode(entry.path))


def _entry(item: os.DirEntry[str], path: str, real_root: str) -> Entry:
    try:
        if item.is_symlink():
            target = os.path.realpath(item.path)
            if target != real_root and not target.startswith(real_root + os.sep):
                return Entry(path, 0, 0, "symlink_outside")
            if not Path(target).exists():
                return Entry(path, 0, 0, "unreadable")
        info = item.stat()
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
        # Non-blocking: a file replaced by a pipe since the listing must not hang the run.
        descriptor = os.open(root / entry.path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError:
        return None, "unreadable"
    return (None, "too_large") if len(content) > max_bytes else (content, None)
