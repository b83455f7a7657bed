"""Rust: modules as their files lie, `use` of crate, self, super and the workspace's crates, through re-exports."""

import posixpath
import re
from collections.abc import Iterator

from codemill.longcontext.resolve.files import Files, Link, Member, follow, parents, unquote

ROOT_FILES = ("lib.rs", "main.rs")
OWN_ROOTS = frozenset({"bin", "tests", "examples", "benches"})
CRATE_NAME = re.compile(r'^\[package\][^\[]*?^name\s*=\s*"([^"]+)"', re.MULTILINE | re.DOTALL)
LIBRARY_NAME = re.compile(r'^\[lib\][^\[]*?^name\s*=\s*"([^"]+)"', re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\b(?:crate|super|self)(?:::[^\W\d]\w*)+", re.ASCII)
TOKEN = re.compile(r"[{},]|::|[^\s{},:]+")
MAX_PATHS = 10_000


def resolve(files: Files, members: dict[int, Member]) -> Iterator[Link]:
    """The links of Rust files. What a module only hands on (`pub use`) leads to where it comes from."""
    crates = _Crates(files, members)
    exports: dict[int, dict[str, int]] = {}
    for user, member in members.items():
        for path in (path for match in member.matches if "public" in match for path in use_paths(match["use"])):
            target, rest = crates.find(user, path)
            if target not in (None, user) and len(rest) == 1 and rest[0] != "*":
                exports.setdefault(user, {})[rest[0]] = int(target or 0)
    for user, member in members.items():
        for match in member.matches:
            if "mod" in match:
                target = crates.child(user, match["mod"], match.get("path"))
                if target is not None or ("path" not in match and not _has_path(member, match["mod"])):
                    yield Link(user, f"mod {match['mod']}", () if target is None else (target,))
        paths = {path for text in member.all("use") for path in use_paths(text)}
        paths |= {path[1:] if path[0] == "super" else path for text in member.all("inner") for path in use_paths(text)}
        for path in sorted(path for path in paths if path):
            yield _link(crates, exports, user, path, "import")
        for text in sorted(set(INLINE.findall(files.texts[user]))):
            path = tuple(text.split("::"))
            if path not in paths and (link := _link(crates, exports, user, path, "use")).targets:
                yield link


def _has_path(member: Member, name: str) -> bool:
    """Whether an attribute says elsewhere where a module lies."""
    return any(match.get("mod") == name and "path" in match for match in member.matches)


def _link(crates: "_Crates", exports: dict[int, dict[str, int]], user: int, path: tuple[str, ...], kind: str) -> Link:
    target, rest = crates.find(user, path)
    if target is not None and rest:
        target = follow(exports, target, rest[0])
    internal = (path[0] in ("crate", "self", "super") or target is not None) and target != user
    return Link(user, "::".join(path), () if target in (None, user) else (int(target or 0),), kind, internal)


def use_paths(text: str) -> list[tuple[str, ...]]:
    """The paths of a use tree, `self` and `as` resolved: `a::{b, c::{self, D as E}}` -> a::b, a::c, a::c::D."""
    found: list[tuple[str, ...]] = []
    stack: list[tuple[str, ...]] = []
    prefix: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    renamed = False
    for token in TOKEN.findall(text):
        if token == "{":
            stack.append(prefix)
            prefix = path
        elif token in ",}":
            if path != prefix:
                found.append(path)
            if token == "}" and stack:
                prefix = stack.pop()
                path = prefix  # nothing is left to say of the group
            else:
                path = prefix
            renamed = False
        elif token == "as":
            renamed = True
        elif token != "::" and not renamed:
            path = (*path, token)
        if len(found) > MAX_PATHS:
            break
    if path != prefix or (not found and path):
        found.append(path)
    return list(dict.fromkeys(one[:-1] if len(one) > 1 and one[-1] == "self" else one for one in found))


class _Crates:
    """Which file is which module of which crate."""

    def __init__(self, files: Files, members: dict[int, Member]) -> None:
        self.files = files
        self.place: dict[int, tuple[str, tuple[str, ...]]] = {}  # file -> crate's folder, module path
        self.modules: dict[str, dict[tuple[str, ...], int]] = {}
        paths = {files.paths[index]: index for index in members}
        roots = {posixpath.dirname(path) for path in paths if posixpath.basename(path) in ROOT_FILES}
        for path, index in paths.items():
            crate = self._crate(path, roots)
            parts = [part for part in path[len(crate) :].strip("/").removesuffix(".rs").split("/") if part]
            if parts and parts[-1] == "mod" and len(parts) > 1:
                parts.pop()
            module = () if path.removeprefix(f"{crate}/") in ROOT_FILES else tuple(parts)
            self.place[index] = (crate, module)
            known = self.modules.setdefault(crate, {})
            # A crate that is both keeps its library as the root.
            if module not in known or posixpath.basename(path) == "lib.rs":
                known[module] = index
        self.names = self._names()

    def _crate(self, path: str, roots: set[str]) -> str:
        """The folder in which the crate of a file has its root."""
        above = parents(path)
        for folder in above:
            if folder in roots or posixpath.basename(folder) == "bin":
                return folder
        return next((folder for folder in above if posixpath.basename(folder) in OWN_ROOTS), "")

    def _names(self) -> dict[str, str]:
        """Name of a crate -> its folder: as Cargo.toml says, else as the folder above `src` is called."""
        names: dict[str, str] = {}
        for crate, known in self.modules.items():
            if () not in known:
                continue
            above = posixpath.dirname(crate) if posixpath.basename(crate) == "src" else crate
            names.setdefault(posixpath.basename(above).replace("-", "_"), crate)
            manifest = self.files.by_path.get(posixpath.join(above, "Cargo.toml"))
            if manifest is not None:
                text = self.files.texts[manifest]
                for stated in (CRATE_NAME.search(text), LIBRARY_NAME.search(text)):
                    if stated:
                        names[stated[1].replace("-", "_")] = crate
        names.pop("", None)
        return names

    def child(self, user: int, name: str, path: str | None) -> int | None:
        """The file of `mod name;`, at `path` where an attribute says so."""
        folder, file = posixpath.split(self.files.paths[user])
        if path is not None:
            where = self.files.join(folder, unquote(path))
            return None if where is None else self.files.by_path.get(where)
        crate, module = self.place[user]
        if module and file != "mod.rs" and not (crate == folder and posixpath.basename(crate) in OWN_ROOTS):
            folder = posixpath.join(folder, file.removesuffix(".rs"))
        choices = (posixpath.join(folder, f"{name}.rs"), posixpath.join(folder, name, "mod.rs"))
        return next((self.files.by_path[choice] for choice in choices if choice in self.files.by_path), None)

    def find(self, user: int, path: tuple[str, ...]) -> tuple[int | None, tuple[str, ...]]:
        """The file of the longest module that a path begins with, and the rest of the path; None for other crates."""
        crate, module = self.place[user]
        head, rest = path[0], path[1:]
        if head == "crate":
            return self._longest(crate, rest)
        if head in ("self", "super"):
            full = list(module)
            while head in ("self", "super"):
                if head == "super" and full:
                    full.pop()
                head, rest = (rest[0], rest[1:]) if rest else ("", ())
            tail = (head, *rest) if head else ()
            return self._longest(crate, (*full, *tail), len(full))
        if (*module, head) in self.modules[crate]:
            return self._longest(crate, (*module, *path))
        if head in self.names:
            return self._longest(self.names[head], rest)
        return None, path

    def _longest(self, crate: str, path: tuple[str, ...], least: int = 0) -> tuple[int | None, tuple[str, ...]]:
        known = self.modules[crate]
        for cut in range(len(path), least - 1, -1):
            if path[:cut] in known:
                return known[path[:cut]], path[cut:]
        return None, path
