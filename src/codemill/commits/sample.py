"""One sample out of one commit: context within budgets, target, loss-mask spans, and the proof that it applies.

Room is given out in this order: message and target, which are never cut beyond the message's own budget; the directory
tree; files, the most relevant first; the README. What comes last gives way first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pygit2

from codemill.commits.context import Snapshot, TreeView, decode, find_readme, parent_snapshot, query_terms
from codemill.commits.edits import Edit, EditError, apply_change, quote, render_change, render_paths
from codemill.commits.index import SnapshotIndex
from codemill.commits.patch import FileChange, read_changes
from codemill.commits.settings import CommitCorpusSettings, HistorySettings
from codemill.commits.template import Template
from codemill.commits.terms import Words, line_hits
from codemill.commits.tokens import Tokens, encode, head, window

SPANS = pa.list_(pa.struct([("part", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("target", pa.bool_())]))
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
class Sample:
    """A sample, or why there is none.

    Attributes:
        text: context and target.
        spans: parts of the text as (name, start, end, target), in characters.
        context_files: what is shown of which files.
        tokens, target_tokens: by the corpus's tokenizer.
        recall: share of the files it changes that the context shows; None where it changes no old file.
        fits: message and target are within their budgets.
        clean: no special token stands in message or target, and all is text.
        error: why the round trip failed.
    """

    text: str = ""
    spans: list[tuple[str, int, int, bool]] = field(default_factory=list)
    context_files: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    target_tokens: int = 0
    recall: float | None = None
    fits: bool = True
    clean: bool = True
    error: str | None = None


class Sampler:
    """Makes samples of the commits of one repository; fast for commits that follow one another."""

    def __init__(self, repository: pygit2.Repository, repo: str, setup: Setup, skip: Callable[[str], bool]) -> None:
        self.repository, self.repo, self.setup = repository, repo, setup
        context = setup.corpus.context
        self.index = SnapshotIndex(repository, context.max_file_bytes, context.path_weight, skip)
        self.special = setup.template.special()

    def sample(self, commit: pygit2.Commit, message: str) -> Sample:
        """The sample of a commit whose message (without trailers) is this."""
        changes = read_changes(self.repository, commit, self.setup.history)
        if changes.problem:
            return Sample(error=f"{changes.problem}: it could be read before")
        snapshot = parent_snapshot(self.repository, commit)
        edits = [self._edit(one) for one in changes.files if one.is_text]
        budget = self.setup.corpus.budget
        paths, change = render_paths(edits), render_change(self.setup.corpus.format, edits)
        frame = self._count(self.setup.template.render("message", content=""))
        message = head(message, budget.message - frame, self.setup.tokens).rstrip() or message.split("\n", 1)[0]
        sample = Sample(clean=self._is_clean(message, paths, change))
        fixed = {
            "repository": self.setup.template.render("repository", repo=self.repo),
            "message": self.setup.template.render("message", content=message),
            "cue": self.setup.template.render("cue"),
            "paths": self.setup.template.render("paths", content=paths),
            "change": self.setup.template.render("change", content=change),
            "end": self.setup.template.render("end"),
        }
        counts = {name: self._count(text) for name, text in fixed.items()}
        sample.target_tokens = sum(counts[name] for name in self.setup.template.target)
        room = budget.total - sum(counts.values())
        sample.fits = counts["message"] <= budget.message and sample.target_tokens <= budget.change and room >= 0
        sample.error = self._round_trip(snapshot, edits, paths, change)
        if not (sample.fits and sample.clean) or sample.error:
            return sample
        parts = fixed | self._context(snapshot, edits, query_terms(message), room, sample)
        self._assemble(sample, parts)
        return sample

    def _edit(self, one: FileChange) -> Edit:
        return Edit(
            kind=one.kind,
            path=one.path,
            old_path=one.old_path,
            old=None if one.old_id is None else self._text(one.old_id),
            new=None if one.new_id is None else self._text(one.new_id),
            patch=one.patch.decode("utf-8", "surrogateescape"),
        )

    def _text(self, oid: pygit2.Oid) -> str:
        return bytes(self.repository.odb.read(oid)[1]).decode("utf-8", "surrogateescape")

    def _count(self, text: str) -> int:
        return self.setup.tokens.count(text)

    def _is_clean(self, *texts: str) -> bool:
        for text in texts:
            if self.special.search(text):
                return False
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                return False
        return True

    def _round_trip(self, snapshot: Snapshot, edits: Sequence[Edit], paths: str, change: str) -> str | None:
        """Why the target does not make of the snapshot what the commit made of it; None if it does."""

        def read(path: str) -> str:
            content = snapshot.read(path)
            if content is None:
                raise KeyError(path)
            return content.decode("utf-8", "surrogateescape")

        expected: dict[str, str | None] = {edit.old_path: None for edit in edits if edit.old_path is not None}
        expected |= {edit.path: edit.new for edit in edits}
        try:
            after = apply_change(self.setup.corpus.format, paths, change, read)
        except EditError as error:
            return f"round trip: {error}"[:300]
        wrong = [path for path in expected if after.get(path, "\0") != expected[path]]
        return f"round trip: {wrong[0]} came out differently"[:300] if wrong or set(after) != set(expected) else None

    # -- context -------------------------------------------------------------------------------------------------

    def _context(
        self, snapshot: Snapshot, edits: Sequence[Edit], query: Words, room: int, sample: Sample
    ) -> dict[str, str]:
        """Tree, files and README within the room that message and target leave."""
        settings, budget, template = self.setup.corpus.context, self.setup.corpus.budget, self.setup.template
        self.index.move(snapshot.tree)
        hits: list[tuple[str, str, float | None]] = [
            (hit.path, hit.blob, hit.score) for hit in self.index.search(query, settings.files)
        ]
        before = list(
            dict.fromkeys(path for edit in edits for path in [edit.old_path or edit.path] if edit.old is not None)
        )
        if settings.changed_files:
            shown = {path for path, _, _ in hits}
            hits += [(path, str(snapshot.entry(path).id), None) for path in before if path not in shown]
        parts = {"tree": "", "files": "", "readme": ""}
        focus = [*before, *(edit.path for edit in edits), *(path for path, _, _ in hits)]
        frame = self._count(template.render("tree", content=""))
        view = TreeView(snapshot, focus, settings.tree_depth, settings.tree_breadth)
        tree = view.render(min(budget.tree, room) - frame, self._count)
        if tree and not self.special.search(tree):
            parts["tree"] = template.render("tree", content=tree)
            room -= self._count(parts["tree"])
        found: list[tuple[str, str, int]] = []
        for path, blob, score in hits:
            text = self._file(snapshot, path, blob, score, (query, min(budget.file, room)), sample)
            if text is not None:
                found.append((path, text, self._count(text)))
                room -= found[-1][2]
        if settings.changed_files:  # the order must not tell which of them change
            found.sort()
            sample.context_files.sort(key=lambda one: one["path"])
        parts["files"] = "".join(text for _, text, _ in found)
        names = {path for path, _, _ in found}
        sample.recall = sum(path in names for path in before) / len(before) if before else None
        parts["readme"] = self._readme(snapshot, min(budget.readme, room))
        return parts

    def _file(  # noqa: PLR0917 - eight parameters is the house limit
        self, snapshot: Snapshot, path: str, blob: str, score: float | None, how: tuple[Words, int], sample: Sample
    ) -> str | None:
        """A file as it is shown: whole, or the lines that the query is about; None where there is no room for it."""
        query, budget = how
        text = decode(snapshot.read(path))
        if text is None or self.special.search(text) or self.special.search(path) or not text.strip():
            return None
        template = self.setup.template
        marks = {"first": 99999, "last": 99999, "all": 99999}
        lines_mark = template.part["lines"].format(**marks)
        frame = self._count(template.render("file", path=quote(path), lines=lines_mark, content=""))
        if budget - frame < LEAST_FILE:
            return None
        text = text.removesuffix("\n")
        hits = line_hits(encode(text), query).astype(np.int64)
        excerpt, first, last, lines = window(text, budget - frame, self.setup.tokens, hits)
        if last < first:
            return None
        place = {"path": path, "blob": blob, "score": score}
        sample.context_files.append({**place, "first_line": first, "last_line": last, "lines": lines})
        mark = "" if last - first + 1 == lines else template.part["lines"].format(first=first, last=last, all=lines)
        return template.render("file", path=quote(path), lines=mark, content=excerpt)

    def _readme(self, snapshot: Snapshot, budget: int) -> str:
        found = find_readme(snapshot)
        if found is None or self.special.search(found[1]):
            return ""
        name, text = found
        frame = self._count(self.setup.template.render("readme", path=quote(name), content=""))
        shown = head(text.strip("\n"), max(budget - frame, 0), self.setup.tokens).rstrip()
        return self.setup.template.render("readme", path=quote(name), content=shown) if shown else ""

    def _assemble(self, sample: Sample, parts: dict[str, str]) -> None:
        """Put the parts together and note where each stands."""
        at = 0
        for name in self.setup.template.order:
            text = parts[name]
            if text:
                sample.spans.append((name, at, at + len(text), name in self.setup.template.target))
                at += len(text)
        sample.text = "".join(parts[name] for name in self.setup.template.order)
        sample.tokens = sum(self._count(parts[name]) for name in self.setup.template.order)
