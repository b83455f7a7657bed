"""What a commit changed: every path with its kind, the patch, and how much of it is only about whitespace.

The order and the algorithms are git's own (libgit2: Myers with the indent heuristic, renames by similarity).
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pygit2
from pygit2.enums import DeltaStatus, DiffFind, DiffOption, FileMode

from codemill.commits.settings import HistorySettings

KINDS = {
    DeltaStatus.ADDED: "add",
    DeltaStatus.DELETED: "delete",
    DeltaStatus.MODIFIED: "modify",
    DeltaStatus.RENAMED: "rename",
    DeltaStatus.COPIED: "copy",
    DeltaStatus.TYPECHANGE: "retype",
}
REGULAR = frozenset({FileMode.BLOB, FileMode.BLOB_EXECUTABLE})
# Where a hunk lies, ids and similarity of contents: they say where, not what, and differ when a change is picked
# elsewhere.
_PLACES = re.compile(rb"^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@", re.MULTILINE)
_IDS = re.compile(rb"^(?:index [0-9a-f]+\.\.[0-9a-f]+(?: \d+)?|similarity index \d+%)\n", re.MULTILINE)
_HUNKS = re.compile(rb"^@@ .*\n", re.MULTILINE)
_NO_HUNK = re.compile(rb"(\n)--- [^\n]*\n\+\+\+ [^\n]*\n\Z")
_SPACE = b" \t\r\n\v\f"


@dataclass
class FileChange:
    """One changed path.

    Attributes:
        kind: add, modify, delete, rename, copy or retype (file to link or submodule and back).
        path: after the commit; before it where the file is deleted.
        old_path: before the commit, for renames and copies.
        similarity: of a rename or copy in percent.
        old_id, new_id: git blobs; None where there is none.
        old_mode, new_mode: of the file, 0 where there is none.
        binary: git's judgement of either side.
        additions, deletions: lines.
        patch: git's unified diff of this file, bytes as they are.
    """

    kind: str
    path: str
    old_path: str | None
    similarity: int | None
    old_id: pygit2.Oid | None
    new_id: pygit2.Oid | None
    old_mode: int
    new_mode: int
    binary: bool
    additions: int
    deletions: int
    patch: bytes

    @property
    def submodule(self) -> bool:
        return FileMode.COMMIT in (self.old_mode, self.new_mode)

    @property
    def link(self) -> bool:
        return FileMode.LINK in (self.old_mode, self.new_mode)

    @property
    def mode_only(self) -> bool:
        """The permissions changed and nothing else."""
        return self.kind == "modify" and self.old_id == self.new_id

    @property
    def is_text(self) -> bool:
        """Whether both sides are regular text files and the change is one of content or name."""
        regular = all(mode in REGULAR for mode in (self.old_mode, self.new_mode) if mode)
        return regular and not self.binary and not self.mode_only


@dataclass
class Changes:
    """What a commit changed. `problem` (`too_large`, `missing_object`) says why there are no `files`; `count` stays."""

    count: int
    files: list[FileChange] = field(default_factory=list)
    problem: str | None = None

    @property
    def patch(self) -> bytes:
        return b"".join(one.patch for one in self.files)


def read_changes(repository: pygit2.Repository, commit: pygit2.Commit, settings: HistorySettings) -> Changes:
    """What a commit changed against its first parent; an initial commit, against nothing.

    Where a shallow clone was cut off, commits seem to have no parents: they are told as `missing_object`.
    """
    if not commit.parent_ids and b"\nparent " in bytes(commit.read_raw()).partition(b"\n\n")[0]:
        return Changes(0, problem="missing_object")
    try:
        diff = _diff(repository, commit)
        count = len(diff)
        if count > settings.max_paths:
            return Changes(count, problem="too_large")
        weight, moves = _survey(repository, diff)
        if weight > settings.max_bytes:
            return Changes(count, problem="too_large")
        if moves:
            diff.find_similar(flags=DiffFind.FIND_RENAMES, rename_threshold=settings.rename_similarity)
        files = [_change(patch) for patch in diff if patch is not None]
        return Changes(len(files), files)
    except KeyError:
        return Changes(0, problem="missing_object")
    except (pygit2.GitError, ValueError):
        return Changes(0, problem="unreadable")


def _diff(repository: pygit2.Repository, commit: pygit2.Commit) -> pygit2.Diff:
    flags = DiffOption.INDENT_HEURISTIC | DiffOption.INCLUDE_TYPECHANGE
    if not commit.parent_ids:
        return commit.tree.diff_to_tree(swap=True, flags=flags)
    parent = repository[commit.parent_ids[0]].peel(pygit2.Commit)
    return parent.tree.diff_to_tree(commit.tree, flags=flags)


def _survey(repository: pygit2.Repository, diff: pygit2.Diff) -> tuple[int, bool]:
    """Bytes of all contents on both sides, and whether files come and go, so that some may have moved."""
    total = 0
    kinds = set()
    for delta in diff.deltas:
        kinds.add(delta.status)
        for side in (delta.old_file, delta.new_file):
            if side.mode in REGULAR:
                total += repository.odb.read_header(side.id)[1]
    return total, DeltaStatus.ADDED in kinds and DeltaStatus.DELETED in kinds


def _change(patch: pygit2.Patch) -> FileChange:
    delta = patch.delta
    kind = KINDS.get(delta.status, "modify")
    old, new = delta.old_file, delta.new_file
    side = old if kind == "delete" else new
    _, additions, deletions = patch.line_stats
    moved = kind in ("rename", "copy")
    data = bytes(patch.data)
    if not additions and not deletions and not delta.is_binary:
        # Git names the sides only above a hunk; libgit2 also where a file without lines comes or goes.
        data = _NO_HUNK.sub(b"\\1", data)
    return FileChange(
        kind=kind,
        path=_path(side.raw_path),
        old_path=_path(old.raw_path) if moved else None,
        similarity=delta.similarity if moved else None,
        old_id=None if kind == "add" else old.id,
        new_id=None if kind == "delete" else new.id,
        old_mode=0 if kind == "add" else int(old.mode),
        new_mode=0 if kind == "delete" else int(new.mode),
        # The flag is only set once the contents were looked at; a patch without hunks says it in words.
        binary=delta.is_binary or b"\nBinary files " in data[-1000:],
        additions=additions,
        deletions=deletions,
        patch=data,
    )


def _path(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def comparable(patch: bytes) -> bytes:
    """A patch without line numbers and content ids: equal wherever the same change is made."""
    return _PLACES.sub(b"@@", _IDS.sub(b"", patch))


def patch_id(patch: bytes) -> str | None:
    """Identity of a change, 32 hex digits: of its patch without whitespace and places, as `git patch-id` has it.

    None for an empty patch. The digits are not git's.
    """
    bare = _HUNKS.sub(b"", _IDS.sub(b"", patch)).translate(None, _SPACE)
    return hashlib.sha256(bare).hexdigest()[:32] if bare else None


def whitespace_lines(patch: bytes) -> int:
    """Changed lines of a file's patch that only move whitespace: in runs of removed and added lines whose text is the
    same once all whitespace is gone, lines wrapped otherwise included."""
    return sum(
        removed.count(b"\n") + added.count(b"\n")
        for removed, added in _runs(patch)
        if removed.translate(None, _SPACE) == added.translate(None, _SPACE)
    )


def _runs(patch: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Runs of neighbouring changed lines as (removed, added), without their marks, each line ended."""
    start = patch.find(b"\n@@ ")
    if start < 0:
        return
    removed: list[bytes] = []
    added: list[bytes] = []
    for line in patch[start + 1 :].split(b"\n"):
        mark = line[:1]
        if mark == b"-":
            removed.append(line[1:])
        elif mark == b"+":
            added.append(line[1:])
        elif mark != b"\\" and (removed or added):
            yield _ended(removed), _ended(added)
            removed, added = [], []
    if removed or added:
        yield _ended(removed), _ended(added)


def _ended(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
