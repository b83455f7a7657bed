"""Ruby: required paths, relative or below a load path, and constants that one file alone declares."""

import posixpath
import re
from collections.abc import Iterator

from codemill.longcontext.resolve.files import Files, Link, Member, Scopes, unquote

HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
LIBRARY = "lib"


def resolve(files: Files, members: dict[int, Member]) -> Iterator[Link]:
    """The links of Ruby files. Constants that no require brings (as loaders of Rails do it) are sought by name."""
    scopes = Scopes(files)
    for index, member in members.items():
        scopes.declare("", (name.rpartition("::")[2] for name in member.all("declared")), index)
    # A constant tells something if one file alone declares it, and is called like it.
    alone = {
        name
        for name, found in scopes.declared.get("", {}).items()
        if len(found) == 1 and name not in members[found[0]].common and _stem(files, found[0]) == _snake(name)
    }
    for user, member in members.items():
        for match in member.matches:
            if "path" in match and "#{" not in match["path"]:
                name = unquote(match["path"])
                relative = match["call"] == "require_relative" or name.startswith((".", "/"))
                target = _relative(files, user, name) if relative else _loaded(files, user, name)
                internal = relative or target is not None or _plain(files, name)
                yield Link(user, name, () if target in (None, user) else (target,), internal=internal)
        for name, target in scopes.used(user, "", files.words(user), alone.__contains__):
            yield Link(user, name, (target,), kind="use")


def _stem(files: Files, index: int) -> str:
    return posixpath.basename(files.paths[index]).removesuffix(".rb")


def _snake(name: str) -> str:
    """`HTMLPage` -> `html_page`."""
    return HUMP.sub("_", name).lower()


def _relative(files: Files, user: int, name: str) -> int | None:
    path = files.join(files.folder(user), name)
    return None if path is None else files.by_path.get(path, files.by_path.get(f"{path}.rb"))


def _loaded(files: Files, user: int, name: str) -> int | None:
    """A path below a folder that stands on the load path: `lib` first, then any for paths of more than one part."""
    name = posixpath.normpath(name if name.endswith(".rb") else f"{name}.rb")
    found = files.ending(name)
    roots = {index: files.paths[index][: -len(name)].rstrip("/") for index in found}
    library = [index for index in found if posixpath.basename(roots[index]) == LIBRARY or not roots[index]]
    beside = [index for index in found if roots[index] == files.folder(user)]
    return files.nearest(user, library or beside or (found if "/" in name else []))


def _plain(files: Files, name: str) -> bool:
    """Whether a required path means the repository: its first folder lies in a library of it."""
    first = name.partition("/")[0]
    return "/" in name and (f"{LIBRARY}/{first}" in files.folders)
