"""A repository's files as resolvers look at them: by path, by name, by folder, by the words they use."""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from codemill.longcontext.extract import Match

SHORT = 3
WORD = re.compile(r"[^\W\d]\w*", re.ASCII)


@dataclass(frozen=True)
class Member:
    """A file of a family: its grammar, what its query found, and names that tell nothing in its language."""

    grammar: str
    matches: tuple[Match, ...]
    common: frozenset[str] = frozenset()

    def all(self, capture: str) -> list[str]:
        """Every text of a capture, each once, sorted."""
        return sorted({match[capture] for match in self.matches if capture in match})


@dataclass(frozen=True)
class Link:
    """One import, or one use of what other files declare, and where it leads.

    Attributes:
        user: index of the file that needs something.
        name: what it needs, as written.
        targets: indexes of the files that have it; empty where none was found.
        kind: import, or use: a name seen without an import.
        internal: whether it plainly means something of the repository; then no target is a miss.
    """

    user: int
    name: str
    targets: tuple[int, ...]
    kind: str = "import"
    internal: bool = True


@dataclass
class Files:
    """n files of a repository.

    Args:
        paths: with forward slashes, relative to the repository.
        texts: contents.
    """

    paths: Sequence[str]
    texts: Sequence[str]
    by_path: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.by_path = {path: index for index, path in reversed(list(enumerate(self.paths)))}

    def folder(self, index: int) -> str:
        """The folder of a file, empty at the root."""
        return posixpath.dirname(self.paths[index])

    @cached_property
    def by_name(self) -> dict[str, list[int]]:
        """Last part of the path -> files."""
        names: dict[str, list[int]] = {}
        for index, path in enumerate(self.paths):
            names.setdefault(posixpath.basename(path), []).append(index)
        return names

    @cached_property
    def folders(self) -> frozenset[str]:
        """All folders, those that hold only folders too."""
        return frozenset(folder for path in self.paths for folder in parents(path))

    @cached_property
    def folder_names(self) -> frozenset[str]:
        """The last parts of all folders."""
        return frozenset(posixpath.basename(folder) for folder in self.folders)

    def words(self, index: int) -> frozenset[str]:
        """The words of a file: letters, digits and underscores, comments and strings included."""
        return frozenset(WORD.findall(self.texts[index]))

    def ending(self, suffix: str) -> list[int]:
        """The files whose path is `suffix` or ends with it after a slash."""
        found = self.by_name.get(posixpath.basename(suffix), [])
        tail = f"/{suffix}"
        return [index for index in found if self.paths[index] == suffix or self.paths[index].endswith(tail)]

    def nearest(self, user: int, candidates: Iterable[int]) -> int | None:
        """The candidate with which a file shares most folders, then the shallowest, the shortest, the first by path."""
        here = self.folder(user).split("/")

        def distance(index: int) -> tuple[int, int, int, str]:
            there = self.paths[index].split("/")
            shared = next(
                (place for place, (one, two) in enumerate(zip(here, there, strict=False)) if one != two), None
            )
            common = min(len(here), len(there)) if shared is None else shared
            return -common, len(there), len(self.paths[index]), self.paths[index]

        return min(candidates, key=distance, default=None)

    def join(self, folder: str, relative: str) -> str | None:
        """A relative path from a folder as a path of the repository, None where it leaves the repository."""
        path = posixpath.normpath(posixpath.join(folder, relative))
        return None if path.startswith(("../", "/")) or path == ".." else ("" if path == "." else path)


@lru_cache(1 << 16)
def parents(path: str) -> tuple[str, ...]:
    """All folders above a path, the nearest first, the root (empty) last."""
    found = []
    while path:
        path = posixpath.dirname(path)
        found.append(path)
    return tuple(found)


def unquote(text: str) -> str:
    """The text of a literal without its marks."""
    return text.strip().strip("\"'`<>")


Exports = Mapping[int, Mapping[str, int]]


def follow(exports: Exports, target: int, name: str) -> int:
    """Where a name comes from that a file only hands on; the file itself where it does not."""
    seen = {target}
    while (onward := exports.get(target, {}).get(name)) is not None and onward not in seen:
        seen.add(onward)
        target = onward
    return target


def telling(name: str) -> bool:
    """Whether a name that was only seen is likely to mean what is declared: short ones are mostly something local."""
    return len(name) >= SHORT


class Scopes:
    """Names that files declare, by package or namespace.

    Args:
        files: the repository.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self.declared: dict[str, dict[str, list[int]]] = {}

    def declare(self, scope: str, names: Iterable[str], index: int) -> None:
        """Say that a file declares names in a scope."""
        table = self.declared.setdefault(scope, {})
        for name in names:
            table.setdefault(name, []).append(index)

    def used(
        self, user: int, scope: str, words: frozenset[str], usable: Callable[[str], bool] = telling
    ) -> list[tuple[str, int]]:
        """The names of a scope among a file's words, each with the nearest file that declares it, if not the user."""
        table = self.declared.get(scope, {})
        shared = words & table.keys() if len(words) < len(table) else (name for name in table if name in words)
        found = []
        for name in sorted(shared):
            if usable(name) and user not in table[name]:
                target = self.files.nearest(user, table[name])
                if target is not None:
                    found.append((name, target))
        return found
