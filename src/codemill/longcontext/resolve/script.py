"""JavaScript and TypeScript: relative paths, extensions, index files, aliases of tsconfig, packages of a workspace."""

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from codemill.longcontext.resolve.files import Files, Link, Member, parents, unquote

EXTENSIONS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".json", ".vue", ".svelte")
INDEXES = tuple(f"/index{extension}" for extension in EXTENSIONS[:9])
# Sources that are written where their output is imported.
SOURCES = {".js": (".ts", ".tsx", ".jsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
CONFIG = re.compile(r"[tj]sconfig(\.\w+)?\.json\Z")
CODE = re.compile(r"\.(d\.ts|[cm]?[jt]sx?|json|vue|svelte)\Z")
# Comments and trailing commas, which these files may have; strings are passed over.
LOOSE = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)
# What an alias without a tsconfig usually stands for.
USUAL = {"@/": ("src", ""), "~/": ("src", "app", "")}
MAX_CONFIG = 1_000_000


def resolve(files: Files, members: dict[int, Member]) -> Iterator[Link]:
    """The links of JavaScript and TypeScript files."""
    places = _Places(files)
    for user, member in members.items():
        for quoted in member.all("import"):
            name = unquote(quoted).partition("?")[0]
            target, internal = places.find(user, name)
            yield Link(user, name, () if target in (None, user) else (target,), internal=internal and target != user)


class _Places:
    """Where module names lead."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.aliases: dict[str, list[tuple[str, list[str]]]] = {}  # folder of a tsconfig -> (pattern, places)
        self.bases: dict[str, str] = {}
        self.packages: dict[str, str] = {}  # name in a package.json -> its folder
        self.entries: dict[str, list[str]] = {}  # folder -> what its package.json says is imported
        for index, path in enumerate(files.paths):
            name = posixpath.basename(path)
            if name == "package.json":
                self._package(index)
            elif CONFIG.match(name):
                self._config(index)

    def _package(self, index: int) -> None:
        value = _loose_json(self.files.texts[index])
        folder = self.files.folder(index)
        if isinstance(value.get("name"), str):
            self.packages.setdefault(value["name"], folder)
        keys = ("source", "types", "module", "main")
        self.entries[folder] = [value[key] for key in keys if isinstance(value.get(key), str)]

    def _config(self, index: int) -> None:
        options = _loose_json(self.files.texts[index]).get("compilerOptions")
        if not isinstance(options, dict):
            return
        folder = self.files.folder(index)
        stated = options.get("baseUrl")
        base = self.files.join(folder, stated) if isinstance(stated, str) else folder
        if base is None:
            return
        if isinstance(stated, str):
            self.bases[folder] = base
        paths = options.get("paths")
        for pattern, places in paths.items() if isinstance(paths, dict) else ():
            if isinstance(places, list):
                found = [self.files.join(base, place) for place in places if isinstance(place, str)]
                known = [place for place in found if place is not None]
                self.aliases.setdefault(folder, []).append((pattern, known))

    def find(self, user: int, name: str) -> tuple[int | None, bool]:
        """The file of a module, and whether its name plainly means one of the repository."""
        here = self.files.folder(user)
        if name.startswith("."):
            path = self.files.join(here, name)
            target = None if path is None else self._file(path)
            return target, target is not None or bool(CODE.search(name)) or "." not in posixpath.basename(name)
        above = parents(self.files.paths[user])
        for path in self._candidates(name, above):
            target = self._file(path)
            if target is not None:
                return target, True
        return None, name.startswith("@/") or self._workspace(name) is not None

    def _candidates(self, name: str, above: tuple[str, ...]) -> Iterator[str]:
        for folder in above:
            for pattern, places in self.aliases.get(folder, ()):
                head, star, tail = pattern.partition("*")
                if name == pattern or (star and name.startswith(head) and name.endswith(tail)):
                    rest = name[len(head) : len(name) - len(tail)] if star else ""
                    yield from (place.replace("*", rest) for place in places)
            if folder in self.bases:
                yield posixpath.join(self.bases[folder], name)
        package = self._workspace(name)
        if package is not None:
            rest = name[len(package) + 1 :]
            folder = self.packages[package]
            if rest:
                yield from (posixpath.join(folder, rest), posixpath.join(folder, "src", rest))
            else:
                entries = [self.files.join(folder, entry) for entry in self.entries.get(folder, ())]
                yield from (entry for entry in entries if entry)
                yield from (folder or ".", posixpath.join(folder, "src"))
        for mark, folders in USUAL.items():
            if name.startswith(mark):
                for root in above:
                    yield from (posixpath.join(root, folder, name[len(mark) :]) for folder in folders)

    def _workspace(self, name: str) -> str | None:
        parts = name.split("/")
        package = "/".join(parts[: 2 if name.startswith("@") else 1])
        return package if package in self.packages else None

    def _file(self, path: str) -> int | None:
        """The file that a path means: itself, with an extension, as the source of an output, or a folder's index."""
        by_path = self.files.by_path
        path = posixpath.normpath(path) if path else ""
        if path == ".":
            path = ""
        if path in by_path:
            return by_path[path]
        stem, extension = posixpath.splitext(path)
        choices = [f"{stem}{source}" for source in SOURCES.get(extension, ())]
        choices += [f"{path}{ending}" for ending in EXTENSIONS]
        choices += [f"{path}{index}".lstrip("/") for index in INDEXES]
        return next((by_path[choice] for choice in choices if choice in by_path), None)


def _loose_json(text: str) -> dict[str, Any]:
    """A JSON object with comments and trailing commas; empty where it is none."""
    try:
        value = json.loads(LOOSE.sub(lambda found: found[1] or "", text[:MAX_CONFIG]))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
