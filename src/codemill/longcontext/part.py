"""Makes the documents of one input file: tables of documents, sequences, files and edges, then a note of its counts."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from codemill.engine import Task
from codemill.errors import ConservationError
from codemill.longcontext.extract import Extractor
from codemill.longcontext.graph import Ints
from codemill.longcontext.read import Input, Repository, read_file_rows, read_repositories
from codemill.longcontext.sequences import Layout, Plan, Sources, plan_repository
from codemill.longcontext.settings import LongContextSettings
from codemill.longcontext.text import Measure, measure_with, piece
from codemill.schema import DOCUMENT, blob_id
from codemill.store import Store

PLACE = [("source", pa.string()), ("repo", pa.string()), ("revision", pa.string())]
SEQUENCE = pa.schema(
    [
        ("document_id", pa.string()),
        ("kind", pa.string()),  # repository: files one after the other; file: one long file
        *PLACE,
        ("piece", pa.int32()),  # of a repository too large to be taken at once
        ("number", pa.int32()),  # of the sequence in its repository
        ("language", pa.string()),  # with most bytes
        ("paths", pa.list_(pa.string())),  # in order
        ("tokens", pa.int64()),
        ("bytes", pa.int64()),
        ("edges_inside", pa.int64()),
        ("edges_cut", pa.int64()),  # to files that other sequences hold
        ("over_window", pa.bool_()),  # one file that is longer than the window
    ]
)
PLACED = pa.schema(
    [
        *PLACE,
        ("path", pa.string()),
        ("blob_id", pa.string()),
        ("language", pa.string()),
        ("tokens", pa.int64()),  # header included; null where not counted
        ("status", pa.string()),  # kept | dropped
        ("reason", pa.string()),
        ("document_id", pa.string()),
        ("position", pa.int32()),  # in its sequence
        ("component", pa.int32()),  # files of a cycle share one; null where no graph orders the file
    ]
)
EDGE = pa.schema(
    [
        *PLACE,
        ("user", pa.string()),
        ("target", pa.string()),
        ("kind", pa.string()),  # import | use
        ("inside", pa.bool_()),
    ]
)
TABLES = {"documents": DOCUMENT, "sequences": SEQUENCE, "files": PLACED, "edges": EDGE}
GROUP_BYTES = 16_000_000
GROUP_ROWS = 20_000
VERSION = 1  # raise it when documents change for the same input

Rows = dict[str, list[dict[str, Any]]]


def make_part(task: Task) -> Task:
    """Make the documents of one input file; returns its counts, which the note `parts/NAME.json` keeps.

    Raises:
        ConservationError: a file of the input is neither in a sequence nor dropped.
    """
    part = Part(task)
    output = Store(task["output"])
    with contextlib.ExitStack() as stack:
        writers = {
            name: stack.enter_context(output.table_writer(f"{name}/{task['name']}.parquet", schema))
            for name, schema in TABLES.items()
        }
        buffer = _Buffer(writers)
        for rows in part.repositories() if part.input.level == "repository" else part.files():
            buffer.add(rows)
        buffer.flush()
    seen = part.counts["kept"] + sum(part.tables["dropped"].values())
    counts = {**part.counts, **{name: dict(sorted(table.items())) for name, table in sorted(part.tables.items())}}
    if seen != task["files"]:
        raise ConservationError(f"{part.input.path}: expected {task['files']} files kept or dropped, got {seen}")
    output.write_json(f"parts/{task['name']}.json", counts)
    return {"name": task["name"]}


class _Buffer:
    """Rows on their way to the tables, written some megabytes at a time."""

    def __init__(self, writers: dict[str, Callable[[pa.Table], None]]) -> None:
        self.writers = writers
        self.rows: Rows = {name: [] for name in writers}
        self.size = 0

    def add(self, rows: Rows) -> None:
        for name, more in rows.items():
            self.rows[name] += more
        self.size += sum(len(row["text"]) for row in rows.get("documents", ()))
        if self.size > GROUP_BYTES or max(map(len, self.rows.values())) > GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        for name, write in self.writers.items():
            if self.rows[name]:
                write(pa.Table.from_pylist(self.rows[name], TABLES[name]))
            self.rows[name] = []
        self.size = 0


class Part:
    """One input file on its way to documents.

    Attributes:
        counts: what became of it, in numbers.
        tables: counts by reason, by language, by status of parses.
    """

    def __init__(self, task: Task) -> None:
        self.settings = LongContextSettings.model_validate(task["settings"])
        self.input = Input(**{**task["input"], "columns": tuple(task["input"]["columns"])})
        self.dropped = {tuple(key): reason for *key, reason in task["dropped"]}
        self.measure: Measure = measure_with(self.settings.tokenizer, self.settings.bytes_per_token)
        self.counts: Counter[str] = Counter()
        self.tables: dict[str, Counter[str]] = {"dropped": Counter(), "parsed": Counter()}

    # -- repositories ----------------------------------------------------------------------------------------------

    def repositories(self) -> Iterator[Rows]:
        """The rows that every repository adds to the tables."""
        for repository in read_repositories(self.input, self.settings.max_repository_bytes):
            self.counts["repositories"] += repository.piece == 0
            self.counts["repositories_in_pieces"] += repository.piece == 1
            reason = self.dropped.get(repository.key)
            if reason is not None:
                self.counts["repositories_dropped"] += repository.piece == 0
                rows = [_Row(repository, row) for row in repository.files.drop_columns("content").to_pylist()]
                yield {"files": [self._drop(row, reason) for row in rows]}
            else:
                yield self._repository(repository)

    def _repository(self, repository: Repository) -> Rows:
        rows = [_Row(repository, row) for row in repository.files.to_pylist()]
        empty = [self._drop(row, "no_content") for row in rows if not row["content"]]
        rows = [row for row in rows if row["content"]]
        header = self.settings.header
        texts = [piece(header, repository.key[1], row["path"] or "", row["language"], row["content"]) for row in rows]
        sizes = self.measure(texts)
        layout = Layout(
            self.settings.window, "\0".join((str(self.settings.seed), *repository.key)), self.settings.readme_first
        )
        sources = Sources(
            [row["path"] or "" for row in rows],
            [row["language"] for row in rows],
            [row["content"] for row in rows],
        )
        plan = plan_repository(_extractor(), sources, sizes, layout)
        self._count_plan(plan)
        made: Rows = {"documents": [], "sequences": [], "files": empty, "edges": _edges(rows, plan)}
        self._lay(made, repository, rows, (texts, sizes, plan))
        return made

    def _lay(
        self, made: Rows, repository: Repository, rows: list["_Row"], planned: tuple[list[str], Ints, Plan]
    ) -> None:
        """Add the rows of one repository's sequences, and of the files in them."""
        texts, sizes, plan = planned
        inside = plan.inside
        count = len(plan.sequences)
        held = np.bincount(plan.number[plan.graph.users[inside]], minlength=count)
        lost = np.bincount(plan.number[plan.graph.users[~inside]], minlength=count)
        for number, members in enumerate(plan.sequences):
            tokens = int(sizes[members].sum())
            row = _sequence(repository, number, [rows[index] for index in members], self.settings)
            row |= {
                "tokens": tokens,
                "bytes": sum(len(texts[index].encode("utf-8", "replace")) for index in members),
                "edges_inside": int(held[number]),
                "edges_cut": int(lost[number]),
                "over_window": tokens > self.settings.window,
            }
            short = tokens < self.settings.min_sequence
            for position, index in enumerate(members):
                extra = {
                    "tokens": int(sizes[index]),
                    "component": int(plan.component[index]) if plan.component[index] >= 0 else None,
                }
                if short:
                    made["files"].append(self._drop(rows[index], "short_sequence") | extra)
                else:
                    place = {"document_id": row["document_id"], "position": position}
                    made["files"].append(self._keep(rows[index]) | extra | place)
            if not short:
                made["sequences"].append(row)
                made["documents"].append(_document(row, "".join(texts[index] for index in members)))
                self._count_sequence(row)

    # -- files -----------------------------------------------------------------------------------------------------

    def files(self) -> Iterator[Rows]:
        """The rows that a batch of a file-level corpus adds: its long files as documents, as they are."""
        for batch in read_file_rows(self.input):
            texts = [text if isinstance(text, str) else _decoded(text) for text in batch["text"]]
            sizes = self.measure([text or "" for text in texts]).tolist()
            made: Rows = {"documents": [], "sequences": [], "files": []}
            columns = zip(batch["key"], batch["path"], batch["language"], batch["id"], strict=True)
            for (key, path, language, ident), text, tokens in zip(columns, texts, sizes, strict=True):
                name = ident or blob_id((text or "").encode())
                row = _Row(Repository(key, 0, pa.table({})), {"path": path, "language": language, "blob_id": name})
                reason = "no_content" if not text else "short_file" if tokens < self.settings.min_document else None
                if reason is not None or text is None:
                    made["files"].append(self._drop(row, reason or "no_content") | {"tokens": tokens})
                    continue
                size = len(text.encode("utf-8", "replace"))
                sequence = {"document_id": name, "kind": "file", **row.place, "piece": 0, "number": 0} | {
                    "language": language,
                    "paths": [path],
                    "tokens": tokens,
                    "bytes": size,
                    "edges_inside": 0,
                    "edges_cut": 0,
                    "over_window": tokens > self.settings.window,
                }
                made["files"].append(self._keep(row) | {"tokens": tokens, "document_id": name, "position": 0})
                made["sequences"].append(sequence)
                made["documents"].append(_document(sequence, text))
                self._count_sequence(sequence)
            yield made

    # -- counts ----------------------------------------------------------------------------------------------------

    def _keep(self, row: "_Row") -> dict[str, Any]:
        self.counts["kept"] += 1
        return {**row.facts, "status": "kept"}

    def _drop(self, row: "_Row", reason: str) -> dict[str, Any]:
        self.tables["dropped"][reason] += 1
        return {**row.facts, "status": "dropped", "reason": reason}

    def _count_sequence(self, row: dict[str, Any]) -> None:
        self.counts["sequences"] += 1
        self.counts["over_window"] += row["over_window"]
        for name in ("tokens", "bytes"):
            self.counts[name] += row[name]

    def _count_plan(self, plan: Plan) -> None:
        self.counts["repositories_cut"] += len(plan.sequences) > 1
        self.counts["edges"] += len(plan.graph)
        self.counts["edges_inside"] += int(plan.inside.sum())
        self.counts["import_edges"] += int(plan.graph.imports.sum())
        self.counts["import_edges_inside"] += int((plan.graph.imports & plan.inside).sum())
        self.tables["parsed"] += plan.parsed
        for language, count in plan.imports.items():
            self.tables.setdefault(f"imports of {language}", Counter()).update(count)


class _Row(dict[str, Any]):
    """A file, with where it is from."""

    def __init__(self, repository: Repository, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.place = dict(zip(("source", "repo", "revision"), repository.key, strict=True))

    @property
    def facts(self) -> dict[str, Any]:
        """What the table of files says of it."""
        return {**self.place, **{name: self.get(name) for name in ("path", "blob_id", "language")}}


def _edges(rows: list[_Row], plan: Plan) -> list[dict[str, Any]]:
    columns = (plan.graph.users, plan.graph.targets, plan.graph.imports, plan.inside)
    return [
        {
            **rows[user].place,
            "user": rows[user]["path"],
            "target": rows[target]["path"],
            "kind": "import" if imports else "use",
            "inside": inside,
        }
        for user, target, imports, inside in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _sequence(repository: Repository, number: int, rows: list[_Row], settings: LongContextSettings) -> dict[str, Any]:
    """A sequence's row without its counts; its id is over what it holds."""
    sizes: Counter[str] = Counter()
    for row in rows:
        sizes[row["language"] or ""] += len(row["content"])
    most = min(sizes, key=lambda language: (-sizes[language], language), default="")
    held = [f"{row['path']}\0{row['blob_id'] or blob_id(row['content'].encode('utf-8', 'replace'))}" for row in rows]
    named = "\0".join((*repository.key, settings.header, *held))
    return {
        "document_id": hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:32],
        "kind": "repository",
        **rows[0].place,
        "piece": repository.piece,
        "number": number,
        "language": most or None,
        "paths": [row["path"] for row in rows],
    }


def _document(sequence: dict[str, Any], text: str) -> dict[str, Any]:
    return {"document_id": sequence["document_id"], "language": sequence["language"], "text": text, "targets": None}


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else bytes(value).decode()
    except UnicodeDecodeError:
        return None


@cache
def _extractor() -> Extractor:
    """The parser process of this worker."""
    return Extractor()
