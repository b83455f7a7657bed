"""PHP: classes and functions by the namespaces that files declare (so PSR-4 needs no map), and required paths."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator

from codemill.longcontext.extract import Match
from codemill.longcontext.resolve.files import Files, Link, Member, Scopes

OWN_SHARE = 0.01
QUALIFIED = re.compile(r"\\?[A-Za-z_]\w*(?:\\[A-Za-z_]\w*)+")
LITERAL = re.compile(r"""(['"])([^'"$]*?\.\w+)\1""")
ABOVE = re.compile(r"dirname\s*\(", re.IGNORECASE)
HERE = re.compile(r"__DIR__|__FILE__")


def resolve(files: Files, members: dict[int, Member]) -> Iterator[Link]:
    """The links of PHP files."""
    scopes = Scopes(files)
    spaces: dict[int, str] = {}
    for index, member in members.items():
        spaces[index] = (member.all("namespace") or [""])[0]
        scopes.declare(spaces[index], member.all("declared"), index)
    # Whose names they are: a few files may stand in for what others own.
    counts = Counter(_head(space) for space in spaces.values() if space)
    heads = {head for head, count in counts.items() if count >= OWN_SHARE * len(members)}
    for user, member in members.items():
        words = files.words(user)
        imported = set()
        for match in member.matches:
            if "use" in match:
                name, alias = _use(match)
                imported.add(alias)
                targets = _named(scopes, user, name, words)
                internal = targets is not None or _head(name) in heads
                yield Link(user, name, targets or (), internal=internal and targets != ())
            elif "require" in match:
                yield from _required(files, user, match["require"])
        for name in sorted(set(QUALIFIED.findall(files.texts[user]))):
            targets = _named(scopes, user, name.lstrip("\\"), frozenset()) if name.startswith("\\") else None
            if targets:
                yield Link(user, name, targets, kind="use")
        for name, target in scopes.used(user, spaces[user], words - imported):
            yield Link(user, name, (target,), kind="use")


def _use(match: Match) -> tuple[str, str]:
    """The full name that a clause imports, and what it is called in the file."""
    text = re.sub(r"^(function|const)\s+", "", match["use"].strip())
    name, _, alias = text.partition(" as ")
    name = re.sub(r"^(function|const)\s+", "", name.strip()).lstrip("\\")
    full = f"{match['prefix'].strip(chr(92))}\\{name}" if "prefix" in match else name
    return full, alias.strip() or full.rpartition("\\")[2]


def _head(name: str) -> str:
    """The part of a name that tells whose it is: vendor and package."""
    return "\\".join(name.split("\\")[:2])


def _named(scopes: Scopes, user: int, name: str, words: frozenset[str]) -> tuple[int, ...] | None:
    """The file of a name, or those of a namespace of which something is used; None where the repository has neither."""
    space, _, last = name.rpartition("\\")
    found = scopes.declared.get(space, {}).get(last)
    if found:
        target = scopes.files.nearest(user, found)
        return () if target is None or target == user else (target,)
    if name in scopes.declared:
        return tuple(dict.fromkeys(target for _, target in scopes.used(user, name, words)))
    return None


def _required(files: Files, user: int, text: str) -> Iterator[Link]:
    """The link of a required path whose end is written out."""
    literal = LITERAL.search(text)
    if literal is None:
        return
    name, folder = literal[2], files.folder(user)
    if HERE.search(text):
        # dirname(__FILE__) is the folder; every further dirname leads one up.
        up = len(ABOVE.findall(text)) - ("__FILE__" in text)
        places = [files.join(folder, "../" * up + name.lstrip("/"))]
    else:
        places = [files.join(folder, name.lstrip("/")), files.join("", name.lstrip("/"))]
    targets = [files.by_path[place] for place in places if place in files.by_path]
    if not targets:
        found = files.nearest(user, files.ending(posixpath.normpath(name.lstrip("./"))))
        targets = [] if found is None else [found]
    yield Link(user, name, tuple(one for one in targets[:1] if one != user), internal=targets[:1] != [user])
