"""Java and Kotlin: packages as files declare them, nested types, static imports, and names of the same package."""

import posixpath
from collections.abc import Iterator

from codemill.longcontext.resolve.files import Files, Link, Member, Scopes


def resolve(files: Files, members: dict[int, Member]) -> Iterator[Link]:
    """The links of Java and Kotlin files, which may import each other."""
    scopes = Scopes(files)
    packages: dict[int, str] = {}
    for index, member in members.items():
        packages[index] = _dotted((member.all("package") or [""])[0])
        declared = member.all("declared")
        # What Java calls the functions of a Kotlin file.
        facade = [f"{posixpath.basename(files.paths[index]).partition('.')[0]}Kt"] if member.grammar == "kotlin" else []
        scopes.declare(packages[index], [*declared, *facade], index)
    heads = {_head(package) for package in packages.values()}
    for user, member in members.items():
        words = files.words(user)
        imported = set()
        wild = {_dotted(match["import"]) for match in member.matches if "all" in match}
        for match in member.matches:
            if "import" in match and ("all" in match or _dotted(match["import"]) not in wild):
                name = _dotted(match["import"])
                imported.add(name.rpartition(".")[2])
                targets = _import(scopes, user, name, words if "all" in match else None)
                internal = targets is not None or _head(name) in heads
                # A package of which nothing is used, or the file itself, is no miss.
                yield Link(user, name, targets or (), internal=internal and targets != ())
        for name, target in scopes.used(user, packages[user], words - imported):
            yield Link(user, name, (target,), kind="use")


def _import(scopes: Scopes, user: int, name: str, words: frozenset[str] | None) -> tuple[int, ...] | None:
    """The files of one import, None where the repository has none; of a whole package those whose names are used.

    Args:
        scopes: what the repository's files declare.
        user: the file that imports.
        name: a type, a member of one, or a package.
        words: of the user, where it imports all that `name` has; else None.
    """
    if words is not None and name in scopes.declared:
        return tuple(dict.fromkeys(target for _, target in scopes.used(user, name, words)))
    parts = name.split(".")
    for cut in range(len(parts) - 1, -1, -1):
        found = scopes.declared.get(".".join(parts[:cut]), {}).get(parts[cut])
        if found:
            target = scopes.files.nearest(user, found)
            return () if target is None or target == user else (target,)
    return None


def _dotted(name: str) -> str:
    return "".join(name.replace("`", "").split())


def _head(package: str) -> str:
    """The part of a package's name that tells whose it is."""
    return ".".join(package.split(".")[:3])
