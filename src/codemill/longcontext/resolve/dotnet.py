"""C#: usings of namespaces, of types and under other names, global ones too, and types of enclosing namespaces."""

import re
from collections import Counter
from collections.abc import Iterator

from codemill.longcontext.resolve.files import Files, Link, Member, Scopes

OWN_SHARE = 0.1
USING = re.compile(r"(global\s+)?using\s+(static\s+)?(?:unsafe\s+)?(?:(\w+)\s*=\s*)?(?:global::)?([\w.\s]+)")


def resolve(files: Files, members: dict[int, Member]) -> Iterator[Link]:
    """The links of C# files: to those that declare the types they name."""
    scopes = Scopes(files)
    spaces: dict[int, list[str]] = {}
    everywhere: set[str] = set()
    for index, member in members.items():
        spaces[index] = ["".join(space.split()) for space in member.all("namespace")] or [""]
        for space in spaces[index]:
            scopes.declare(space, member.all("declared"), index)
        everywhere |= {name for name, wide, static in _usings(member) if wide and not static}
    # Whose names they are: a few files may add to what others own (`System`), for older runtimes.
    counts = Counter(head for index in spaces for head in {space.partition(".")[0] for space in spaces[index]})
    heads = {head for head, count in counts.items() if head and count >= OWN_SHARE * len(members)}
    for user, member in members.items():
        words = files.words(user)
        for name, _, _ in _usings(member):
            targets = _using(scopes, user, name, words)
            internal = targets is not None or name.partition(".")[0] in heads
            yield Link(user, name, targets or (), internal=internal and targets != ())
        seen = {above for space in spaces[user] for above in _enclosing(space)} | everywhere
        for space in sorted(seen):
            for name, target in scopes.used(user, space, words):
                yield Link(user, name, (target,), kind="use")


def _usings(member: Member) -> Iterator[tuple[str, bool, bool]]:
    """(name, whether it holds in all files, whether it is one of a type's members) of every using."""
    for text in member.all("using"):
        found = USING.match(text)
        if found:
            yield "".join(found[4].split()).strip("."), bool(found[1]), bool(found[2])


def _using(scopes: Scopes, user: int, name: str, words: frozenset[str]) -> tuple[int, ...] | None:
    """The files of one using, None where the repository has nothing of that name."""
    if name in scopes.declared:
        return tuple(dict.fromkeys(target for _, target in scopes.used(user, name, words)))
    space, _, kind = name.rpartition(".")
    found = scopes.declared.get(space, {}).get(kind)
    target = scopes.files.nearest(user, found) if found else None
    return None if target is None else (() if target == user else (target,))


def _enclosing(space: str) -> Iterator[str]:
    while True:
        yield space
        if not space:
            return
        space = space.rpartition(".")[0]
