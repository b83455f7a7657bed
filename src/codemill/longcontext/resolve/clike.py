"""C, C++, CUDA and Objective-C: includes beside the file that has them, then by the end of their path."""

import posixpath
from collections.abc import Iterator

from codemill.longcontext.resolve.files import Files, Link, Member, unquote

# Where headers lie that are included in angle brackets by their bare name.
INCLUDE_FOLDERS = frozenset({"include", "inc", "Include", "public"})


def resolve(files: Files, members: dict[int, Member]) -> Iterator[Link]:
    """The links of C-like files."""
    for user, member in members.items():
        for name in member.all("quoted"):
            targets = _find(files, user, unquote(name), bracketed=False)
            yield Link(user, name, targets, internal=bool(targets) or _plain(files, unquote(name)))
        for name in member.all("bracketed"):
            targets = _find(files, user, unquote(name), bracketed=True)
            yield Link(user, name, targets, internal=bool(targets))


def _find(files: Files, user: int, name: str, bracketed: bool) -> tuple[int, ...]:
    path = files.join(files.folder(user), name)
    if not bracketed and path in files.by_path:
        target: int | None = files.by_path[path]
    else:
        while name.startswith(("../", "./")):
            name = name.partition("/")[2]
        name = posixpath.normpath(name)
        # What a build makes of a template.
        candidates = files.ending(name) or files.ending(f"{name}.in")
        if bracketed and "/" not in name:
            candidates = [one for one in candidates if posixpath.basename(files.folder(one)) in INCLUDE_FOLDERS]
        target = files.nearest(user, candidates)
    return () if target is None or target == user else (target,)


def _plain(files: Files, name: str) -> bool:
    """Whether a quoted include means the repository: a bare name does, a path if its first folder is there."""
    first = next((part for part in name.split("/")[:-1] if part not in (".", "..")), "")
    return not first or first in files.folder_names
