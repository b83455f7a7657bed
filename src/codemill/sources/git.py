"""Git repositories read straight from their object stores: any revision, bare or not, and no checkout.

Nothing of a repository is run or written: no hooks, no filters, no configured commands. That is why a repository that
belongs to another user is read without asking (git's `safe.directory` guards commands that do run such things).
"""

import datetime
import functools
import os
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pygit2
from pygit2.enums import FileMode, RepositoryOpenFlag, SortMode

from codemill.errors import InputError
from codemill.recipe import GitSource, IngestSettings
from codemill.schema import digest
from codemill.sources.base import RowBuffer, Unit, clean_text, link_problem, load_facts, split_ranges, with_facts
from codemill.sources.directories import child_places

# `git@host:owner/name.git`, git's short form of an ssh URL.
SCP_URL = re.compile(r"[\w.-]+@[\w.-]+:(?P<path>[^/].*)")

# A walk sees about 50,000 commits a second; longer histories leave `created_at` to the sidecar table.
HISTORY_LIMIT = 50_000


@dataclass(frozen=True)
class TreeEntry:
    """One entry of a commit's tree that is no folder.

    Attributes:
        path: relative to the repository; bytes that are no UTF-8 as surrogates.
        oid: object id of the content.
        size: bytes of the content as the object's header says; 0 where there is none.
        problem: why there is no content, or None.
    """

    path: str
    oid: pygit2.Oid
    size: int
    problem: str | None


class GitReader:
    """Reads one commit of each repository. A unit is a range of the commit's files, sorted by path."""

    def __init__(self, settings: GitSource) -> None:
        self.settings = settings
        self.facts = load_facts(settings.facts)
        self._first: dict[str, datetime.datetime | None] = {}
        pygit2.settings.owner_validation = False

    def units(self, settings: IngestSettings) -> Iterator[Unit]:
        found = 0
        for location, name in self._places.items():
            repository, commit, problem = self._open(location)
            entries: list[TreeEntry] = []
            if repository is not None and commit is not None:
                found += 1
                entries, problem = list_tree(repository, commit.tree, self.settings.max_files)
            if repository is None or commit is None or problem is not None:
                state = with_facts(f"{commit and commit.id}-{problem}", self.facts.get(clean_text(name)))
                yield Unit(clean_text(name), "", location, state, 0, 1, 0)
                continue
            # A later fetch may bring what is missing now: the commit alone does not say what there is to read.
            faults = [f"{entry.path}\0{entry.problem}" for entry in entries if entry.problem in FETCHABLE]
            state = f"{commit.id}-{digest(faults)}" if faults else str(commit.id)
            sizes = [entry.size if entry.size <= settings.max_bytes else 0 for entry in entries]
            repo = remote_name(repository) or clean_text(name)
            state = with_facts(state, self.facts.get(repo))
            for start, stop, weight in split_ranges(sizes, settings.shard_bytes, settings.shard_files):
                yield Unit(repo, str(commit.id), location, state, start, stop, weight)
        if not found and self.settings.revision != "HEAD":
            raise InputError(
                f"source {self.settings.name}: revision: expected one that a repository at {self.settings.path} has, "
                f"got {self.settings.revision!r}"
            )

    def read(self, unit: Unit, settings: IngestSettings) -> Iterator[pa.RecordBatch]:
        if not unit.revision:
            yield from self._problem(unit)
            return
        repository = open_repository(unit.location)
        commit = repository[unit.revision].peel(pygit2.Commit)
        # Two clones of one remote share its name; the place keeps their rows apart.
        name = self._places.get(unit.location, unit.location)
        origin = "" if unit.repo == clean_text(name) else clean_text(name)
        buffer = RowBuffer(unit.repo, unit.revision, self._repo_facts(unit, repository, commit))
        entries, _ = list_tree(repository, commit.tree, self.settings.max_files)
        for entry in entries[unit.start : unit.stop]:
            content, problem = read_blob(repository, entry, settings.max_bytes)
            if buffer.add(entry.path, content, entry.size, problem, origin):
                yield buffer.flush()
        yield buffer.flush()

    @functools.cached_property
    def _places(self) -> dict[str, str]:
        """Where the repositories are -> what they are called there."""
        path = Path(self.settings.path)
        if self.settings.layout == "children" and path.is_dir() and is_repository(path):
            raise InputError(f'source {path}: expected a folder of repositories, got a repository (layout = "single"?)')
        return {str(place): name for name, place in child_places(self.settings.path, self.settings.layout)}

    def _open(self, location: str) -> tuple[pygit2.Repository | None, pygit2.Commit | None, str | None]:
        """The repository and the commit to read, or why there is none."""
        if not is_repository(Path(location)):
            return None, None, "no_repository"
        try:
            repository = open_repository(location)
        except (pygit2.GitError, OSError, ValueError):
            return None, None, "unreadable"
        try:
            return repository, repository.revparse_single(self.settings.revision).peel(pygit2.Commit), None
        except (KeyError, ValueError, pygit2.GitError):  # unknown, no commit, unborn
            return repository, None, "no_revision"

    def _problem(self, unit: Unit) -> Iterator[pa.RecordBatch]:
        """The one row of a repository that can't be read."""
        repository, commit, problem = self._open(unit.location)
        if repository is not None and commit is not None:
            problem = list_tree(repository, commit.tree, self.settings.max_files)[1]
        if problem is None:
            raise InputError(f"source {unit.location}: expected no change while it is read, got a commit (run again)")
        buffer = RowBuffer(unit.repo, "", self.facts.get(unit.repo, {}))
        buffer.add("", None, 0, problem)
        yield buffer.flush()

    def _repo_facts(self, unit: Unit, repository: pygit2.Repository, commit: pygit2.Commit) -> dict[str, Any]:
        """Facts of the sidecar table; where it has none, the commit's date and that of the first commit."""
        given = {name: value for name, value in self.facts.get(unit.repo, {}).items() if value is not None}
        if "pushed_at" not in given:
            given["pushed_at"] = commit_date(commit)
        if "created_at" not in given:
            if unit.location not in self._first:
                self._first[unit.location] = first_commit_date(repository, commit)
            given["created_at"] = self._first[unit.location]
        return given


# Problems that can go away without a new commit.
FETCHABLE = frozenset({"missing_object", "unreadable"})


def is_repository(path: Path) -> bool:
    """Whether a folder is a git repository: bare, with a `.git` folder, or a linked worktree with a `.git` file."""
    bare = (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
    return bare or (path / ".git").exists()


def open_repository(location: str) -> pygit2.Repository:
    """The repository at this very place: never one of a folder above."""
    return pygit2.Repository(location, RepositoryOpenFlag.NO_SEARCH)


def list_tree(repository: pygit2.Repository, tree: pygit2.Tree, max_files: int) -> tuple[list[TreeEntry], str | None]:
    """Every entry below a tree that is no folder, sorted by path, or the problem that bars listing them.

    A folder whose tree object is not there is one entry with a problem.
    """
    entries: list[TreeEntry] = []
    pending: list[tuple[str, pygit2.Oid]] = [("", tree.id)]
    seen = 0
    while pending:
        folder, oid = pending.pop()
        try:
            children = list(repository[oid].peel(pygit2.Tree))
        except KeyError:
            entries.append(TreeEntry(folder, oid, 0, "missing_object"))
            continue
        except (pygit2.GitError, ValueError):
            entries.append(TreeEntry(folder, oid, 0, "unreadable"))
            continue
        for child in children:
            path = f"{folder}/{_name(child)}" if folder else _name(child)
            if child.filemode == FileMode.TREE:
                pending.append((path, child.id))
            else:
                entries.append(_entry(repository, path, child))
        # Trees that hold one another many times over unfold without end, be it into empty folders alone.
        seen += len(children)
        if seen > max_files:
            return [], "too_many_files"
    return sorted(entries, key=lambda entry: os.fsencode(entry.path)), None


def _name(child: pygit2.Object) -> str:
    return os.fsdecode(child.raw_name or b"")


def _entry(repository: pygit2.Repository, path: str, child: pygit2.Object) -> TreeEntry:
    if child.filemode == FileMode.COMMIT:
        return TreeEntry(path, child.id, 0, "submodule")
    try:
        size = repository.odb.read_header(child.id)[1]
    except KeyError:
        return TreeEntry(path, child.id, 0, "missing_object")
    except (pygit2.GitError, ValueError):
        return TreeEntry(path, child.id, 0, "unreadable")
    return TreeEntry(path, child.id, size, "symlink" if child.filemode == FileMode.LINK else None)


def read_blob(repository: pygit2.Repository, entry: TreeEntry, max_bytes: int) -> tuple[bytes | None, str | None]:
    """Content of an entry, or why there is none. Larger objects are known by their headers and not loaded."""
    if entry.problem not in (None, "symlink"):
        return None, entry.problem
    if entry.size > max_bytes:
        return None, entry.problem or "too_large"
    try:
        content = bytes(repository.odb.read(entry.oid)[1])
    except KeyError:
        return None, "missing_object"
    except (pygit2.GitError, ValueError):
        return None, "unreadable"
    if entry.problem == "symlink":
        return None, link_problem(entry.path, os.fsdecode(content))
    return content, None


def remote_name(repository: pygit2.Repository) -> str | None:
    """`owner/name` from the URL of the remote `origin`, or of the only remote; None for local remotes or none."""
    urls = {remote.name: remote.url for remote in repository.remotes}
    url = urls.get("origin") or (next(iter(urls.values())) if len(urls) == 1 else None)
    if not url:
        return None
    short = SCP_URL.fullmatch(url)
    parts = urllib.parse.urlsplit(url)
    if short is None and (parts.scheme in ("", "file") or not parts.hostname):
        return None
    path = short["path"] if short else urllib.parse.unquote(parts.path)
    return clean_text(path.strip("/").removesuffix(".git")) or None


def commit_date(commit: pygit2.Commit) -> datetime.datetime | None:
    """Committer's date; None for dates no calendar has."""
    try:
        return datetime.datetime.fromtimestamp(commit.commit_time, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return None


def first_commit_date(repository: pygit2.Repository, commit: pygit2.Commit) -> datetime.datetime | None:
    """Date of the oldest commit without parents behind this one.

    None where the history is longer than `HISTORY_LIMIT`, or ends in commits that are not there.
    """
    if repository.is_shallow:
        return None
    oldest: pygit2.Commit | None = None
    try:
        for count, ancestor in enumerate(repository.walk(commit.id, SortMode.NONE)):
            if count >= HISTORY_LIMIT:
                return None
            if not ancestor.parent_ids and (oldest is None or ancestor.commit_time < oldest.commit_time):
                oldest = ancestor
    except (KeyError, pygit2.GitError):
        return None
    return commit_date(oldest) if oldest is not None else None
