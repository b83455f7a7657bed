"""Go: a package is a folder, imported by the module's path; inside it files see each other's names."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator

from codemill.longcontext.resolve.files import Files, Link, Member, Scopes, unquote

SELECTOR = re.compile(r"\b([^\W\d]\w*)\.([A-Z]\w*)", re.ASCII)
MODULE = re.compile(r"^\s*module\s+(\S+)", re.MULTILINE)
VERSION = re.compile(r"v\d+\Z")


def resolve(files: Files, members: dict[int, Member]) -> Iterator[Link]:
    """The links of Go files: to those files of a package that declare what is used of it."""
    packages = Scopes(files)
    for index, member in members.items():
        packages.declare(_scope(files, index), member.all("declared"), index)
    folders = {files.folder(index) for index in members}
    modules = _modules(files, members, folders)
    names = {files.folder(index): member.all("package") for index, member in members.items() if not _test(files, index)}
    for user, member in members.items():
        selected: dict[str, set[str]] = {}
        for package, name in SELECTOR.findall(files.texts[user]):
            selected.setdefault(package, set()).add(name)
        for match in member.matches:
            if "import" in match:
                path = unquote(match["import"])
                folder = _folder(modules, folders, path)
                alias = match.get("alias") or next(iter(names.get(folder or "", ())), _last(path))
                targets = () if folder is None else _used(packages, user, folder, selected.get(alias, set()))
                internal = any(path == module or path.startswith(f"{module}/") for module in modules)
                yield Link(user, path, targets, internal=internal and folder != files.folder(user))
        yield from _same_package(packages, user, member)


def _scope(files: Files, index: int) -> str:
    """Tests see the package's names, the package does not see theirs."""
    return f"{files.folder(index)}\0test" if _test(files, index) else files.folder(index)


def _test(files: Files, index: int) -> bool:
    return files.paths[index].endswith("_test.go")


def _same_package(packages: Scopes, user: int, member: Member) -> Iterator[Link]:
    files = packages.files
    words = files.words(user) - frozenset(member.all("declared")) - member.common
    scopes = [files.folder(user)] + ([_scope(files, user)] if _test(files, user) else [])
    # `package x_test` has to import what it tests.
    if any(name.endswith("_test") for name in member.all("package")):
        scopes = scopes[1:]
    for scope in scopes:
        for name, target in packages.used(user, scope, words):
            yield Link(user, name, (target,), kind="use")


def _used(packages: Scopes, user: int, folder: str, names: set[str]) -> tuple[int, ...]:
    """The files of a package that declare the names used of it; the one named like it where none is seen."""
    found = dict.fromkeys(target for _, target in packages.used(user, folder, frozenset(names), bool))
    if found:
        return tuple(found)
    files = packages.files
    others = sorted({index for indexes in packages.declared.get(folder, {}).values() for index in indexes} - {user})
    named = [index for index in others if files.paths[index].endswith((f"/{_last(folder)}.go", "/doc.go"))]
    return tuple((named or others)[:1])


def _last(path: str) -> str:
    """The name of a package by its path: its last part that is no version."""
    parts = path.split("/")
    return parts[-2] if len(parts) > 1 and VERSION.match(parts[-1]) else parts[-1]


def _modules(files: Files, members: dict[int, Member], folders: set[str]) -> dict[str, str]:
    """Path of a module -> its folder: as `go.mod` says, or, where corpora have none, as most imports would have it."""
    modules = {}
    for index in files.by_name.get("go.mod", []):
        stated = MODULE.search(files.texts[index])
        if stated:
            modules[stated[1].strip('"')] = files.folder(index)
    if modules:
        return modules
    # The end of a folder's path -> what stands before it.
    ends: dict[str, list[str]] = {}
    for folder in folders:
        parts = folder.split("/")
        for cut in range(len(parts)):
            ends.setdefault("/".join(parts[cut:]), []).append("/".join(parts[:cut]))
    votes: Counter[tuple[str, str]] = Counter()
    for member in members.values():
        for path in (unquote(quoted) for quoted in member.all("import")):
            parts = path.split("/")
            if "." not in parts[0]:
                continue
            for cut in range(1, len(parts)):
                votes.update(("/".join(parts[:cut]), root) for root in ends.get("/".join(parts[cut:]), ()))
    best = max(votes.items(), key=lambda item: (item[1], -len(item[0][0]), -len(item[0][1]), item[0]), default=None)
    return {best[0][0]: best[0][1]} if best else {}


def _folder(modules: dict[str, str], folders: set[str], path: str) -> str | None:
    """The folder of an imported package, None where it is not of the repository."""
    for module in sorted(modules, key=len, reverse=True):
        if path == module or path.startswith(f"{module}/"):
            folder = posixpath.join(modules[module], path[len(module) + 1 :]).rstrip("/")
            if folder in folders:
                return folder
    return None
