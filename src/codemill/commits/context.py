"""What a sample shows of the snapshot before its commit: README, directory tree, relevant files. Nothing of after it.

Everything here is read from one tree, that of the first parent. What the commit did is known only by the paths that
existed before: they keep their place in the tree when folders are cut short.
"""

import fnmatch
import heapq
import re
import sys
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import pygit2
from pygit2.enums import FileMode

from codemill.commits.edits import quote
from codemill.commits.message import WORD, stop_words
from codemill.commits.terms import Words, terms
from codemill.sources.base import SNIFF_BYTES

README = re.compile(r"readme(?:\.(md|markdown|rst|txt|adoc|org))?", re.IGNORECASE)
_README_ORDER = ("md", "markdown", "rst", "adoc", "org", "txt", None)
MOST_TERMS = 64  # of a query; longer messages say the rest in other words


@dataclass(frozen=True)
class Snapshot:
    """The tree before a commit; `tree` is None before the first."""

    repository: pygit2.Repository
    tree: pygit2.Oid | None

    def entry(self, path: str) -> Any:
        """The object at a path, or None."""
        if self.tree is None or not path:
            return None
        tree = self.repository[self.tree]
        assert isinstance(tree, pygit2.Tree)
        try:
            # pygit2 (1.21) never lets go of the text that it is asked with: let it be the same one for a path.
            return tree[sys.intern(path)]
        except KeyError:
            return None

    def read(self, path: str) -> bytes | None:
        """Content of the file at a path; None where there is none."""
        found = self.entry(path)
        return bytes(found.data) if isinstance(found, pygit2.Blob) else None

    def folder(self, path: str) -> list[tuple[str, bool]]:
        """(name, whether it is a folder) of everything in a folder, in git's order."""
        found = self.repository[self.tree] if not path and self.tree else self.entry(path)
        if not isinstance(found, pygit2.Tree):
            return []
        return [((one.raw_name or b"").decode("utf-8", "replace"), one.filemode == FileMode.TREE) for one in found]


def parent_snapshot(repository: pygit2.Repository, commit: pygit2.Commit) -> Snapshot:
    """The tree of the first parent."""
    if not commit.parent_ids:
        return Snapshot(repository, None)
    parent = repository[commit.parent_ids[0]].peel(pygit2.Commit)
    return Snapshot(repository, parent.tree_id)


def query_terms(message: str) -> Words:
    """The different terms of a message that say where to look, ascending."""
    words = [word for word in WORD.findall(message) if word.lower() not in stop_words()]
    found: dict[int, None] = {}
    for word in words:
        found.update(dict.fromkeys(terms(word.encode("utf-8", "replace")).words.tolist()))
        if len(found) >= MOST_TERMS:
            break
    return np.array(sorted(list(found)[:MOST_TERMS]), np.uint32)


@cache
def _skips() -> tuple[re.Pattern[str], frozenset[str]]:
    table = tomllib.loads((files("codemill.data") / "commit_context.toml").read_text(encoding="utf-8"))
    names = "|".join(fnmatch.translate(pattern) for pattern in table["skip_names"])
    return re.compile(names, re.IGNORECASE), frozenset(table["skip_folders"])


@lru_cache(maxsize=1 << 16)
def is_skipped(path: str) -> bool:
    """Whether a file is never retrieved: README (shown anyway), change logs, vendored and generated files, pictures."""
    import enry

    folder, _, name = path.rpartition("/")
    pattern, folders = _skips()
    if pattern.match(name) or (not folder and README.fullmatch(name)) or not folders.isdisjoint(folder.split("/")):
        return True
    return is_third_party(path) or enry.is_image(path) or enry.is_generated(path, b"")


@lru_cache(maxsize=1 << 16)
def is_third_party(path: str) -> bool:
    """Whether a file is a copy of somebody else's work. Linguist's list also holds a project's own settings (`.github`,
    `.gitignore`), which are not: whatever begins with a dot."""
    import enry

    return enry.is_vendor(path) and not any(part.startswith(".") for part in path.split("/"))


def find_readme(snapshot: Snapshot) -> tuple[str, str] | None:
    """Name and text of the README at the root; Markdown before others."""
    found = []
    for name, is_folder in snapshot.folder(""):
        match = None if is_folder else README.fullmatch(name)
        if match:
            kind = match[1].lower() if match[1] else None
            found.append((_README_ORDER.index(kind), name))
    for _, name in sorted(found):
        text = decode(snapshot.read(name))
        if text and text.strip():
            return name, text
    return None


def decode(content: bytes | None) -> str | None:
    """Content as text; None where it is none."""
    if content is None or b"\0" in content[:SNIFF_BYTES]:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


class TreeView:
    """A directory tree as indented lines, opened where it matters until a budget is spent.

    Args:
        snapshot: what is shown.
        focus: paths that matter: the folders that lead to them are opened first, and they stay when a folder is cut.
        depth: folders deeper than this are opened only on the way to such a path.
        breadth: entries shown of a folder, beside those that matter.
    """

    def __init__(self, snapshot: Snapshot, focus: Iterable[str], depth: int, breadth: int) -> None:
        self.snapshot, self.depth, self.breadth = snapshot, depth, breadth
        self.focus: set[str] = set()
        for path in focus:
            parts = path.split("/")
            self.focus.update("/".join(parts[: index + 1]) for index in range(len(parts)))
        self._opened: dict[str, list[str]] = {}  # folder -> its lines; those of folders in it follow theirs
        self._inner: dict[str, list[str]] = {}  # folder -> the folder of each of its lines, or ""

    def render(self, budget: int, count: Callable[[str], int]) -> str:
        """The tree in at most `budget` tokens as `count` counts; empty where not even the root fits."""
        queue: list[tuple[bool, int, str]] = [(False, 0, "")]
        left = budget
        while queue:
            _, level, folder = heapq.heappop(queue)
            for breadth in dict.fromkeys((self.breadth, 6, 0)):
                lines, inner = self._list(folder, level, breadth)
                cost = count("\n".join(lines))
                if cost <= left:
                    break
            else:
                continue
            if not lines:
                continue
            left -= cost
            self._opened[folder], self._inner[folder] = lines, inner
            for child in inner:
                if child and (child in self.focus or level + 1 < self.depth):
                    heapq.heappush(queue, (child not in self.focus, level + 1, child))
        return "\n".join(self._lines(""))

    def _list(self, folder: str, level: int, breadth: int) -> tuple[list[str], list[str]]:
        entries = self.snapshot.folder(folder)
        prefix = f"{folder}/" if folder else ""
        matters = [prefix + name in self.focus for name, _ in entries]
        room = max(breadth - sum(matters), 0)
        lines, inner, hidden = [], [], 0
        for (name, is_folder), needed in zip(entries, matters, strict=True):
            if not needed and not room:
                hidden += 1
                continue
            room -= not needed
            lines.append("  " * level + quote(name) + ("/" if is_folder else ""))
            inner.append(prefix + name if is_folder else "")
        if hidden and lines:
            lines.append("  " * level + f"... {hidden} more")
            inner.append("")
        return lines, inner

    def _lines(self, folder: str) -> list[str]:
        found: list[str] = []
        for line, child in zip(self._opened.get(folder, ()), self._inner.get(folder, ()), strict=True):
            found.append(line)
            if child:
                found += self._lines(child)
        return found
