"""The context part of a sample: tree, relevant files and README of the snapshot before, within the room there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pygit2

from codemill.commits.context import Snapshot, TreeView, decode, find_readme
from codemill.commits.edits import Edit, hunks, quote
from codemill.commits.index import Reals, SnapshotIndex
from codemill.commits.settings import CommitCorpusSettings, HistorySettings
from codemill.commits.template import Template
from codemill.commits.terms import Words, line_hits
from codemill.commits.tokens import Tokens, encode, head, window

SHOWN = pa.list_(
    pa.struct(
        [
            ("path", pa.string()),
            ("blob", pa.string()),
            ("score", pa.float64()),
            ("first_line", pa.int64()),
            ("last_line", pa.int64()),
            ("lines", pa.int64()),
        ]
    )
)
LEAST_FILE = 32  # tokens: less of a file than this is not worth its header


@dataclass(frozen=True)
class Setup:
    """What all samples of a corpus share."""

    corpus: CommitCorpusSettings
    history: HistorySettings
    template: Template
    tokens: Tokens


@dataclass
class Context:
    """What is shown.

    Attributes:
        parts: texts of `tree`, `files` and `readme`; empty where there is nothing or no room.
        files: which lines of which files (columns of `SHOWN`).
        recall: share of the changed files that are shown, whole or in part; None where none was there before.
        coverage: share of the old lines in the patch's hunks that are shown; likewise.
    """

    parts: dict[str, str]
    files: list[dict[str, Any]]
    recall: float | None
    coverage: float | None


class _NoRoomError(Exception):
    """A file does not fit: what is less relevant gets no room either."""


class ContextMaker:
    """Makes contexts for commits of one repository; fast for commits that follow one another."""

    def __init__(self, repository: pygit2.Repository, setup: Setup, skip: Callable[[str], bool]) -> None:
        self.setup = setup
        context = setup.corpus.context
        self.index = SnapshotIndex(repository, context.max_file_bytes, context.path_weight, skip)
        self.special = setup.template.special()

    def show(self, snapshot: Snapshot, edits: Sequence[Edit], query: Words, room: int) -> Context:
        """Tree, files (most relevant first) and README, in this order, as far as there is room.

        Args:
            snapshot: the only thing that is shown.
            edits: what the commit changed. Paths among them that the snapshot has stay visible in the tree.
            query: terms of the message.
            room: tokens.
        """
        settings, budget = self.setup.corpus.context, self.setup.corpus.budget
        self.index.move(snapshot.tree)
        found, weights = self.index.search(query, settings.files)
        wanted: list[tuple[str, str, float | None]] = [(hit.path, hit.blob, hit.score) for hit in found]
        before = [edit.old_path or edit.path for edit in edits if edit.old is not None]
        if settings.changed_files:
            known = {path for path, _, _ in wanted}
            wanted += [(path, str(snapshot.entry(path).id), None) for path in before if path not in known]
        focus = [*before, *(edit.path for edit in edits), *(path for path, _, _ in wanted)]
        parts = {"tree": self._tree(snapshot, focus, min(budget.tree, room))}
        room -= self._count(parts["tree"])
        shown: list[tuple[dict[str, Any], str]] = []
        for path, blob, score in wanted:
            try:
                made = self._file(snapshot, path, (query, weights), room)
            except _NoRoomError:
                room = 0
                break
            if made is not None:
                place, text = made
                shown.append(({"path": path, "blob": blob, "score": score, **place}, text))
                room -= self._count(text)
        if settings.changed_files:  # the order must not tell which of them change
            shown.sort(key=lambda one: str(one[0]["path"]))
        parts["files"] = "".join(text for _, text in shown)
        parts["readme"] = self._readme(snapshot, min(budget.readme, room))
        files = [place for place, _ in shown]
        return Context(parts, files, *_seen(edits, files))

    def _count(self, text: str) -> int:
        return self.setup.tokens.count(text)

    def _tree(self, snapshot: Snapshot, focus: Sequence[str], budget: int) -> str:
        settings, template = self.setup.corpus.context, self.setup.template
        view = TreeView(snapshot, focus, settings.tree_depth, settings.tree_breadth)
        tree = view.render(budget - self._count(template.render("tree", content="")), self._count)
        return template.render("tree", content=tree) if tree and not self.special.search(tree) else ""

    def _file(
        self, snapshot: Snapshot, path: str, query: tuple[Words, Reals], room: int
    ) -> tuple[dict[str, int], str] | None:
        """A file whole, or the lines that the query is about, with which they are; None if it can't be shown.

        Raises:
            _NoRoomError: there is not enough room for a piece worth showing.
        """
        text = decode(snapshot.read(path))
        if text is None or self.special.search(text) or self.special.search(path) or not text.strip():
            return None
        template = self.setup.template
        longest = template.part["lines"].format(first=99999, last=99999, all=99999)
        frame = self._count(template.render("file", path=quote(path), lines=longest, content=""))
        budget = min(self.setup.corpus.budget.file, room) - frame
        if budget < LEAST_FILE and room < self.setup.corpus.budget.file:
            raise _NoRoomError
        text = text.removesuffix("\n")
        hits = line_hits(encode(text), query[0])
        excerpt, first, last, lines = window(text, budget, self.setup.tokens, hits, query[1])
        if last < first:
            return None
        mark = "" if last - first + 1 == lines else template.part["lines"].format(first=first, last=last, all=lines)
        place = {"first_line": first, "last_line": last, "lines": lines}
        return place, template.render("file", path=quote(path), lines=mark, content=excerpt)

    def _readme(self, snapshot: Snapshot, budget: int) -> str:
        found = find_readme(snapshot)
        if found is None or self.special.search(found[1]):
            return ""
        name, text = found
        frame = self._count(self.setup.template.render("readme", path=quote(name), content=""))
        shown = head(text.strip("\n"), max(budget - frame, 0), self.setup.tokens).rstrip()
        return self.setup.template.render("readme", path=quote(name), content=shown) if shown else ""


def _seen(edits: Sequence[Edit], files: Sequence[dict[str, Any]]) -> tuple[float | None, float | None]:
    """Shares of the changed files, and of the old lines of their hunks, that these files show."""
    shown = {file["path"]: (file["first_line"] - 1, file["last_line"]) for file in files}
    paths = {edit.old_path or edit.path for edit in edits if edit.old is not None}
    lines = seen = 0
    for edit in edits:
        if edit.old is None or edit.kind == "delete":
            continue
        first, last = shown.get(edit.old_path or edit.path, (0, 0))
        for start, old, _ in hunks(edit.patch.removesuffix("\n").split("\n")):
            lines += len(old)
            seen += max(0, min(start + len(old), last) - max(start, first))
    recall = len(paths & set(shown)) / len(paths) if paths else None
    return recall, seen / lines if lines else None
