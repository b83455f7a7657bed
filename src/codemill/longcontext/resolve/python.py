"""Python: absolute and relative imports over packages, `src` layouts and scripts, followed through `__init__` files."""

import posixpath
from collections.abc import Iterator

from codemill.longcontext.extract import Match
from codemill.longcontext.resolve.files import Files, Link, Member, follow, parents

MODULES = (".py", ".pyi", ".pyx")
PACKAGES = ("/__init__.py", "/__init__.pyi")
# Folders that usually stand on the path of the interpreter.
ROOTS = frozenset({"src", "lib", "python"})


def resolve(files: Files, members: dict[int, Member]) -> Iterator[Link]:
    """The links of Python files. A name that a package's `__init__` takes from a module leads to the module."""
    index = _Modules(files, members)
    raw = [(user, match, index.find(user, match)) for user, member in members.items() for match in member.matches]
    exports: dict[int, dict[str, int]] = {}
    for user, match, (targets, _) in raw:
        if "name" in match and len(targets) == 1 and posixpath.basename(files.paths[user]).startswith("__init__."):
            exports.setdefault(user, {})[match.get("alias", match["name"])] = targets[0]
    for user, match, (targets, internal) in raw:
        found = [follow(exports, target, match["name"]) for target in targets] if "name" in match else targets
        yield Link(user, _written(match), tuple(found), internal=internal)


def _written(match: Match) -> str:
    if "module" in match:
        return match["module"]
    return f"{match['from']} {match.get('name', '*')}"


class _Modules:
    """Where modules lie."""

    def __init__(self, files: Files, members: dict[int, Member]) -> None:
        self.files = files
        paths = [files.paths[index] for index in members]
        self.packages = {posixpath.dirname(path) for path in paths if path.endswith(PACKAGES)}
        if any(path in ("__init__.py", "__init__.pyi") for path in paths):
            self.packages.add("")
        # What may stand first in an absolute import -> the folders it can be imported from.
        self.tops: dict[str, set[str]] = {}
        for path in paths:
            above = parents(path)
            stem = posixpath.splitext(posixpath.basename(path))[0]
            for name, root in [(stem, above[0]), *zip(map(posixpath.basename, above), above[1:], strict=False)]:
                if root not in self.packages or not root:
                    self.tops.setdefault(name, set()).add(root)

    def find(self, user: int, match: Match) -> tuple[list[int], bool]:
        """The files of one import, and whether it is plainly one of the repository."""
        if "module" in match:
            return self._absolute(user, _parts(match["module"]), None)
        source, name = match["from"].replace(" ", ""), match.get("name")
        if not source.startswith("."):
            return self._absolute(user, _parts(source), name)
        module = source.lstrip(".")
        above = parents(self.files.paths[user])
        level = len(source) - len(module) - 1
        if level >= len(above):
            return [], True
        target = self._module(above[level], _parts(module), name)
        return ([target] if target is not None and target != user else []), target != user

    def _absolute(self, user: int, parts: list[str], name: str | None) -> tuple[list[int], bool]:
        here = parents(self.files.paths[user])
        internal = False
        roots = [root for root in self.tops.get(parts[0], ()) if self._visible(root, parts[0], here)]
        for root in sorted(roots, key=lambda root: (-_shared(root, here[0]), root.count("/"), root)):
            internal = internal or posixpath.join(root, parts[0]) in self.packages
            target = self._module(root, parts, name)
            if target is not None:
                return ([target] if target != user else []), True
        return [], internal

    def _visible(self, root: str, top: str, here: tuple[str, ...]) -> bool:
        """A package can be imported from anywhere, a lone module or bare folder only from beside and below it."""
        return posixpath.join(root, top) in self.packages or root in here or posixpath.basename(root) in ROOTS

    def _module(self, root: str, parts: list[str], name: str | None) -> int | None:
        """The file of a module below a root: `name` in it where that is a module itself."""
        base = posixpath.join(root, *parts)
        for path in [posixpath.join(base, name), base] if name else [base]:
            for ending in (*MODULES, *PACKAGES):
                found = self.files.by_path.get(f"{path}{ending}" if path else ending[1:])
                if found is not None:
                    return found
        return None


def _parts(dotted: str) -> list[str]:
    return [part for part in dotted.replace(" ", "").split(".") if part]


def _shared(one: str, two: str) -> int:
    """How many folders two paths share from the root on."""
    ones, twos = one.split("/"), two.split("/")
    return next((place for place, pair in enumerate(zip(ones, twos, strict=False)) if pair[0] != pair[1]), len(ones))
