"""One sample out of one commit: context within budgets, target, loss-mask spans, and the proof that it applies.

Room is given out in this order: message and target, which are never cut beyond the message's own budget; the directory
tree; files, the most relevant first; the README. What comes last gives way first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pygit2

from codemill.commits.context import Snapshot, parent_snapshot, query_terms
from codemill.commits.edits import Edit, EditError, apply_change, render_change, render_paths
from codemill.commits.patch import FileChange, read_changes
from codemill.commits.shown import ContextMaker, Setup
from codemill.commits.tokens import head

SPANS = pa.list_(pa.struct([("part", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("target", pa.bool_())]))


@dataclass
class Sample:
    """A sample, or why there is none.

    Attributes:
        text: context and target.
        spans: parts of the text as (name, start, end, target), in characters.
        context_files: what is shown of which files.
        tokens, target_tokens: by the corpus's tokenizer.
        recall, coverage: shares of the changed files, and of the old lines around the changes, that the context shows.
        context_hits: n-grams of benchmarks in the shown files and README; None where nobody looked.
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
    coverage: float | None = None
    context_hits: int | None = None
    fits: bool = True
    clean: bool = True
    error: str | None = None


class Sampler:
    """Makes samples of the commits of one repository; fast for commits that follow one another."""

    def __init__(self, repository: pygit2.Repository, repo: str, setup: Setup, skip: Callable[[str], bool]) -> None:
        self.repository, self.repo, self.setup = repository, repo, setup
        self.context = ContextMaker(repository, setup, skip)
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
        context = self.context.show(snapshot, edits, query_terms(message), room)
        sample.context_files, sample.recall, sample.coverage = context.files, context.recall, context.coverage
        self._assemble(sample, fixed | context.parts)
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
