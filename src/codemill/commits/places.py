"""Where histories come from: folders of repositories, one repository, a URL, or a bundle, all as places on this disk.

URLs and bundles are cloned bare into a cache by git itself; everything else is read in place and never written to.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pygit2

from codemill.errors import InputError
from codemill.recipe import GitSource
from codemill.schema import digest
from codemill.sources.base import clean_text, find_places
from codemill.sources.directories import child_places
from codemill.sources.git import SCP_URL, is_repository, open_repository, remote_name
from codemill.store import Store

CACHE_BYTES = 48_000_000  # objects that libgit2 keeps
WINDOW_BYTES, MAPPED_BYTES = 16 << 20, 96 << 20  # of pack files: at once, and together

SCHEMES = frozenset({"http", "https", "ssh", "git", "file"})
BUNDLE = re.compile(rb"# v[23] git bundle\n")


@dataclass(frozen=True)
class Place:
    """One repository, or what stands where one was expected.

    Attributes:
        source: name of the source.
        repo: name of the repository: from its remote, else from where it lies.
        origin: where it lies, if that is not what it is called: tells two clones of one remote apart.
        location: path on this machine.
        head: the commit whose history is read, or None.
        problem: why there is none.
    """

    source: str
    repo: str
    origin: str
    location: str
    head: str | None
    problem: str | None


def find_repositories(source: GitSource, store: Store) -> Iterator[Place]:
    """The repositories of a source, each with the commit that its revision names now.

    Raises:
        InputError: nothing is there, or a URL or bundle can't be cloned.
    """
    found = resolved = 0
    for name, path in _locations(source, store):
        found += 1
        place = _open(source, name, path)
        resolved += place.head is not None
        yield place
    if found and not resolved and source.revision != "HEAD":
        raise InputError(
            f"source {source.name}: revision: expected one that a repository at {source.path} has, "
            f"got {source.revision!r}"
        )


def _locations(source: GitSource, store: Store) -> list[tuple[str, Path]]:
    if is_url(source.path):
        return [(url_name(source.path), _clone(source, source.path, store))]
    if not Path(source.path).is_dir():
        places = find_places(source.path)
        return [(name, _clone(source, str(path), store) if is_bundle(path) else path) for name, path in places]
    path = Path(source.path)
    if source.layout == "children" and is_repository(path):
        return [(path.resolve().name, path)]
    return [
        (name, _clone(source, str(place), store) if is_bundle(place) else place)
        for name, place in child_places(source.path, source.layout)
    ]


def open_history(location: str) -> pygit2.Repository:
    """The repository at a place, with libgit2's caches bounded: left alone they grow with the history to 256 MB."""
    pygit2.settings.owner_validation = False  # nothing of a repository is run, see sources/git.py
    pygit2.settings.cache_max_size(CACHE_BYTES)
    # Read once each, and weighed by libgit2 at a quarter of what they take.
    pygit2.settings.cache_object_limit(pygit2.enums.ObjectType.COMMIT, 0)
    pygit2.settings.mwindow_size, pygit2.settings.mwindow_mapped_limit = WINDOW_BYTES, MAPPED_BYTES
    return open_repository(location)


@contextmanager
def reading(location: str) -> Iterator[pygit2.Repository]:
    """The repository at a place for as long as the block lasts.

    A repository stands in a cycle of Python objects, so that what the C library keeps for it would otherwise live until
    Python looks for cycles, which it rarely does: it does not see how much that is.
    """
    repository = open_history(location)
    try:
        yield repository
    finally:
        repository.free()


def is_url(path: str) -> bool:
    """Whether git would take this for the place of a remote repository."""
    return urlsplit(path).scheme in SCHEMES or (SCP_URL.fullmatch(path) is not None and not Path(path).exists())


def url_name(url: str) -> str:
    """`owner/name` out of a URL, or the last part of its path."""
    short = SCP_URL.fullmatch(url)
    parts = (short["path"] if short else urlsplit(url).path).strip("/").removesuffix(".git").split("/")
    return clean_text("/".join(parts[-2:]) if urlsplit(url).scheme != "file" else parts[-1])


def is_bundle(path: Path) -> bool:
    """Whether a file is a git bundle."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return BUNDLE.match(stream.read(32)) is not None


def _clone(source: GitSource, origin: str, store: Store) -> Path:
    """A bare clone of a URL or bundle in the cache, brought up to date.

    Raises:
        InputError: git could not do it, in git's own words.
    """
    root = Path(store.base) if store.local else Path(tempfile.gettempdir()) / f"codemill-{digest([store.root])}"
    target = root / "cache" / "git" / digest([origin])
    origin = origin if is_url(origin) else str(Path(origin).resolve())
    if is_repository(target):
        command = ["git", "-C", str(target), "fetch", "--quiet", "--prune", "--", origin, "+refs/heads/*:refs/heads/*"]
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        command = ["git", "clone", "--quiet", "--bare", "--", origin, str(target)]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError as error:
        raise InputError(f"source {source.name}: expected git on this machine to clone {origin}, got none") from error
    if done.returncode:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()] or ["no word from git"]
        fatal = next((line for line in said if line.startswith("fatal:")), said[-1]).removeprefix("fatal: ")
        raise InputError(f"source {source.name}: path: expected a repository that can be cloned, got {fatal}")
    return target


def _open(source: GitSource, name: str, path: Path) -> Place:
    name = clean_text(name)
    if not is_repository(path):
        return Place(source.name, name, "", str(path), None, "no_repository")
    try:
        repository = open_history(str(path))
    except (pygit2.GitError, OSError, ValueError):
        return Place(source.name, name, "", str(path), None, "unreadable")
    repo = remote_name(repository) or name
    origin = "" if repo == name else name
    try:
        head = repository.revparse_single(source.revision).peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError):  # unknown, no commit, unborn
        return Place(source.name, repo, origin, str(path), None, "no_revision")
    return Place(source.name, repo, origin, str(path), str(head.id), None)
