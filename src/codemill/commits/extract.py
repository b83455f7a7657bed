"""Reads a range of a history into the store: message and patch as content, and one row of raw values a commit.

A commit is stored like a file: its content is its message and its comparable patch (no line numbers, no content ids),
so that deduplication, labelling and scoring of files work on commits as they are.
"""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pygit2

from codemill.annotate.language import UNKNOWN, detect
from codemill.commits import message as messages
from codemill.commits.context import is_third_party
from codemill.commits.history import listed, timestamp
from codemill.commits.patch import Changes, FileChange, comparable, patch_id, read_changes, whitespace_lines
from codemill.commits.people import Identities
from codemill.commits.places import reading
from codemill.commits.settings import HistorySettings
from codemill.commits.table import CommitTable
from codemill.engine import Task
from codemill.lexer import count_tokens
from codemill.schema import BLOB, FACTS, OCCURRENCE, blob_id, git_blob, occurrence_id
from codemill.sources.base import clean_text
from codemill.sources.ingest import content_problem
from codemill.store import Store

BATCH_COMMITS = 256
BATCH_BYTES = 16_000_000
SEPARATOR = b"\n\n---\n"  # between message and patch, as in mails


def extract_shard(task: Task) -> Task:
    """Write one shard: contents, occurrences, the commit table, and the marker with the counts last."""
    store, name = Store(task["store"]), task["shard"]
    if task["problem"] is not None:
        return _problem_shard(store, task)
    counts = {"occurrences": 0, "blobs": 0, "bytes": 0}
    seen: set[str] = set()
    with (
        reading(task["location"]) as repository,
        store.table_writer(f"blobs/{name}.parquet", BLOB) as write_blobs,
        store.table_writer(f"occurrences/{name}.parquet", OCCURRENCE) as write_occurrences,
        store.table_writer(task["table"], CommitTable.schema()) as write_rows,
    ):
        reader, batch = _Reader(task, repository), _Batch()
        for sha in listed(store, task["history"], task["start"], task["stop"]):
            reader.add(batch, pygit2.Oid(raw=sha), seen)
            if batch.full:
                batch = _flush(batch, counts, (write_blobs, write_occurrences, write_rows))
        _flush(batch, counts, (write_blobs, write_occurrences, write_rows))
    store.write_json(f"ingested/{name}.json", counts)
    return counts


def _problem_shard(store: Store, task: Task) -> Task:
    """The one row of a repository whose history can't be read."""
    name, place = task["shard"], (task["repo"], "", "", task["origin"])
    row = dict.fromkeys(OCCURRENCE.names) | dict(zip(("repo", "revision", "path", "origin"), place, strict=True))
    row |= {
        "occurrence_id": occurrence_id(task["source"], *place, ""),
        "source": task["source"],
        "bytes": 0,
        "problem": task["problem"],
    }
    values = dict.fromkeys(CommitTable.schema().names) | {"occurrence_id": row["occurrence_id"]}
    store.write(f"blobs/{name}.parquet", BLOB.empty_table())
    store.write(f"occurrences/{name}.parquet", pa.Table.from_pylist([row], OCCURRENCE))
    store.write(task["table"], pa.Table.from_pylist([values], CommitTable.schema()))
    counts = {"occurrences": 1, "blobs": 0, "bytes": 0}
    store.write_json(f"ingested/{name}.json", counts)
    return counts


@dataclass
class _Batch:
    """Rows that wait to be written, and their contents for counting."""

    blobs: list[dict[str, Any]] = field(default_factory=list)
    occurrences: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)  # message, patch
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.rows) >= BATCH_COMMITS or self.size >= BATCH_BYTES


def _flush(batch: _Batch, counts: dict[str, int], writers: tuple[Any, Any, Any]) -> _Batch:
    """Write a batch; the empty one that follows it."""
    write_blobs, write_occurrences, write_rows = writers
    message_tokens = count_tokens(pa.array([text for text, _ in batch.texts], pa.large_binary())).tolist()
    patch_tokens = count_tokens(pa.array([patch for _, patch in batch.texts], pa.large_binary())).tolist()
    for row, words, tokens in zip(batch.rows, message_tokens, patch_tokens, strict=True):
        row["patch_tokens"], row["tokens"] = tokens, words + tokens
    write_blobs(pa.Table.from_pylist(batch.blobs, BLOB))
    write_occurrences(pa.Table.from_pylist(batch.occurrences, OCCURRENCE))
    write_rows(pa.Table.from_pylist(batch.rows, CommitTable.schema()))
    counts["occurrences"] += len(batch.rows)
    counts["blobs"] += len(batch.blobs)
    counts["bytes"] += sum(blob["bytes"] for blob in batch.blobs)
    return _Batch()


class _Reader:
    """Reads commits of one repository."""

    def __init__(self, task: Task, repository: pygit2.Repository) -> None:
        self.settings = HistorySettings.model_validate(task["settings"])
        self.source, self.repo, self.origin = task["source"], task["repo"], task["origin"]
        self.facts = {name: task["facts"].get(name) for name in FACTS}
        for name in ("created_at", "pushed_at"):
            if self.facts[name] is not None:
                self.facts[name] = timestamp(self.facts[name])
        self.repository = repository
        self.identities = Identities(self.settings.identities, self.settings.salt())
        self.languages: dict[str, str] = {}

    def add(self, batch: _Batch, oid: pygit2.Oid, seen: set[str]) -> None:
        """Read one commit into a batch."""
        commit = self.repository[oid].peel(pygit2.Commit)
        raw = messages.decode_message(commit)
        message = messages.split_message(raw)
        skipped = len(commit.parent_ids) > 1 and not self.settings.merge_patches
        changes = Changes(0) if skipped else read_changes(self.repository, commit, self.settings)
        patch = comparable(changes.patch)
        text = clean_text(message.text).encode()
        content = text + SEPARATOR + patch if patch else text
        problem = changes.problem or content_problem(content)
        key = None if problem else blob_id(content)
        if key is not None and key not in seen:
            seen.add(key)
            blob = (key, git_blob(content), content, len(content), None)
            batch.blobs.append(dict(zip(BLOB.names, blob, strict=True)))
        place = (self.repo, str(oid), f"{str(oid)[:12]}.diff", self.origin)
        ident = occurrence_id(self.source, *place, key or "")
        batch.occurrences.append(
            {
                "occurrence_id": ident,
                "source": self.source,
                **dict(zip(("repo", "revision", "path", "origin"), place, strict=True)),
                "blob_id": key,
                "bytes": len(content),
                "problem": problem,
                **self.facts,
            }
        )
        values = self._values(commit, raw, message, changes)
        batch.rows.append({"occurrence_id": ident, **values, "error": None})
        batch.texts.append((text, patch))
        batch.size += len(content)

    def _values(self, commit: pygit2.Commit, raw: str, message: messages.Message, changes: Changes) -> dict[str, Any]:
        author, committer = commit.author, commit.committer
        people = [self.identities.of(person) for person in (author, committer)]
        trailers = [
            {"name": name, "value": self.identities.trailer(value) if messages.names_people(name) else value}
            for name, value in message.trailers
        ]
        return {
            "sha": str(commit.id),
            "parents": [str(parent) for parent in commit.parent_ids],
            "parent_count": len(commit.parent_ids),
            "merge": len(commit.parent_ids) > 1,
            "author": people[0],
            "committer": people[1],
            "author_time": timestamp(author.time),
            "commit_time": timestamp(commit.commit_time),
            "author_offset": author.offset,
            "bot": is_bot(author, committer),
            "subject": clean_text(message.subject),
            "body": clean_text(message.body),
            "trailers": trailers,
            **messages.describe_message(message, raw),
            **self._change_values(changes),
        }

    def _change_values(self, changes: Changes) -> dict[str, Any]:
        paths = self._paths(changes.files)
        lines = sum(one.additions + one.deletions for one in changes.files)
        # A changed file without changed lines (binary, renamed) weighs as much as one line.
        weights = [max(1, one.additions + one.deletions) for one in changes.files]
        total = sum(weights)

        def share(marks: list[bool]) -> float | None:
            return sum(w for w, mark in zip(weights, marks, strict=True) if mark) / total if total else None

        kinds = [one.kind for one in changes.files]
        patch = changes.patch
        spaces = sum(whitespace_lines(one.patch) for one in changes.files)
        return {
            "paths": [{key: value for key, value in path.items() if key not in _INNER} for path in paths],
            "files": changes.count,
            "added": kinds.count("add"),
            "modified": kinds.count("modify"),
            "deleted": kinds.count("delete"),
            "renamed": kinds.count("rename"),
            "text_files": sum(one.is_text for one in changes.files),
            "binary_files": sum(one.binary for one in changes.files),
            "submodules": sum(one.submodule for one in changes.files),
            "symlinks": sum(one.link for one in changes.files),
            "mode_changes": sum(one.mode_only for one in changes.files),
            "insertions": sum(one.additions for one in changes.files),
            "deletions": sum(one.deletions for one in changes.files),
            "changed_lines": lines,
            "patch_bytes": len(patch),
            "patch_id": patch_id(patch),
            "binary_share": sum(one.binary for one in changes.files) / len(changes.files) if changes.files else None,
            "vendored_share": share([path["vendored"] for path in paths]),
            "generated_share": share([path["generated"] for path in paths]),
            "documentation_share": share([path["documentation"] for path in paths]),
            "test_share": share([path["test"] for path in paths]),
            "whitespace_share": spaces / lines if lines else None,
            "language": _main_language(paths, weights),
        }

    def _paths(self, files: list[FileChange]) -> list[dict[str, Any]]:
        import enry

        found = []
        for one in files:
            path = clean_text(one.path)
            content = b"" if one.new_id is None or not one.is_text else self.repository.odb.read(one.new_id)[1]
            found.append(
                {
                    "kind": one.kind,
                    "path": path,
                    "old_path": None if one.old_path is None else clean_text(one.old_path),
                    "similarity": one.similarity,
                    "old_blob": None if one.old_id is None else str(one.old_id),
                    "new_blob": None if one.new_id is None else str(one.new_id),
                    "additions": one.additions,
                    "deletions": one.deletions,
                    "binary": one.binary,
                    "vendored": is_third_party(path),
                    "generated": enry.is_generated(path, content),
                    "language": self._language(path, content),
                    "documentation": enry.is_documentation(path),
                    "test": enry.is_test(path),
                }
            )
        return found

    def _language(self, path: str, content: bytes) -> str:
        """The language of a path: of the first content that this shard meets there, since it rarely changes."""
        found = self.languages.get(path)
        if found is None:
            found = detect(pa.array([path]), pa.array([content], pa.large_binary()))[0]
            if content:
                self.languages[path] = found
        return found


_INNER = frozenset({"documentation", "test"})


def _main_language(paths: list[dict[str, Any]], weights: list[int]) -> str:
    """The language that most changed lines are in, generated and vendored files aside where there are others."""
    sums: dict[tuple[bool, str], int] = {}
    for path, weight in zip(paths, weights, strict=True):
        if path["language"] != UNKNOWN:
            key = (not (path["generated"] or path["vendored"]), path["language"])
            sums[key] = sums.get(key, 0) + weight
    return max(sums, key=lambda key: (key[0], sums[key], key[1]))[1] if sums else UNKNOWN


def is_bot(*people: pygit2.Signature) -> bool:
    """Whether a machine made the commit. Web services commit what people wrote: of them only the author counts."""
    author, committer = people
    names = [author.name, author.email]
    if committer.email != "noreply@github.com":
        names += [committer.name, committer.email]
    return messages.is_bot(*names)
