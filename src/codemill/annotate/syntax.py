"""Syntax of a file by tree-sitter: how much of it its language's grammar can't read; keyed by blob and language.

Raw values only: which share of errors a language may have is the recipe's business, since grammars differ (macros of C
and C++ make errors that are none). The parsing itself happens in a process of its own, see `syntax_guard`.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from codemill.annotate.base import Annotator, Key
from codemill.annotate.syntax_guard import Answer, Limits, ParserProcess
from codemill.recipe import Strict

# A process that is stopped or waits for the disk costs wall time without CPU time. Loaded machines make the two differ
# too, so this bound is far off.
WALL_FACTOR = 10


@dataclass(frozen=True)
class Grammar:
    """One row of `data/grammars.toml`: a grammar, the languages it parses, and its kinds of comments and literals."""

    name: str
    languages: tuple[str, ...]
    comments: tuple[str, ...]
    literals: tuple[str, ...]
    docs: tuple[str, ...]
    second: str
    trivial: bool

    def setting(self, parts: bool) -> dict[str, object]:
        """What the worker is to know of the grammar; no query of comments and literals unless `parts` are wanted."""
        patterns = [f"({kind}) @comment" for kind in self.comments]
        patterns += [f"({kind}) @literal" for kind in self.literals]
        captures = [name for name, kinds in (("comment", self.comments), ("literal", self.literals)) if kinds]
        return {
            "query": " ".join([*patterns, *self.docs]) if parts else "",
            "captures": captures,
            "second": self.second,
        }


@cache
def grammars() -> dict[str, Grammar]:
    """All grammars by name."""
    text = resources.files("codemill.data").joinpath("grammars.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)["grammar"]
    return {
        name: Grammar(
            name,
            tuple(entry["languages"]),
            tuple(entry.get("comments", ())),
            tuple(entry.get("literals", ())),
            tuple(entry.get("docs", ())),
            entry.get("second", ""),
            entry.get("trivial", False),
        )
        for name, entry in table.items()
    }


@cache
def grammar_of(language: str) -> Grammar | None:
    """The grammar of a language (Linguist's name), None where there is none."""
    return next((grammar for grammar in grammars().values() if language in grammar.languages), None)


class SyntaxParams(Strict):
    """Limits of one file, and whether comments and literals are measured."""

    timeout_seconds: float = Field(5.0, gt=0, description="most CPU seconds for one file")
    max_bytes: int = Field(1_000_000, gt=0, description="larger files are not parsed")
    max_memory: int = Field(2_000_000_000, ge=500_000_000, description="most bytes of memory of the parser process")
    parts: bool = Field(True, description="measure comments and literals: a fourth of the parse's time on top")


class SyntaxAnnotator(Annotator):
    """Errors, comments and literals of a file by its grammar.

    Fields:
        status: parsed | no_grammar | too_large | timeout | crashed. All other values are null unless parsed.
        nodes: nodes of the tree.
        error_nodes: ERROR nodes, nested ones too; missing_nodes: tokens that the parser had to make up.
        error_bytes: bytes inside ERROR nodes, each byte once.
        error_share: error_bytes by the bytes of the file; error_share_rest: the same without the first of the outermost
            ERROR nodes, which is what goes wrong beyond the first error.
        comment_bytes, comment_share: comments, and docstrings in Python; null where the grammar has no comments.
        literal_bytes, literal_share: strings, characters, heredocs, regular expressions; null as above.
    """

    name: ClassVar[str] = "syntax"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "blob_language"
    inputs: ClassVar[tuple[str, ...]] = ("content", "language")
    fields: ClassVar[pa.Schema] = pa.schema(
        [
            ("status", pa.string()),
            ("nodes", pa.int64()),
            ("error_nodes", pa.int64()),
            ("missing_nodes", pa.int64()),
            ("error_bytes", pa.int64()),
            ("error_share", pa.float64()),
            ("error_share_rest", pa.float64()),
            ("comment_bytes", pa.int64()),
            ("comment_share", pa.float64()),
            ("literal_bytes", pa.int64()),
            ("literal_share", pa.float64()),
        ]
    )
    Params: ClassVar[type[Strict]] = SyntaxParams

    def __init__(self, params: Strict) -> None:
        super().__init__(params)
        assert isinstance(params, SyntaxParams)
        self.settings = params
        seconds = params.timeout_seconds
        known = {name: grammar.setting(params.parts) for name, grammar in grammars().items()}
        self.process = ParserProcess(known, Limits(seconds, WALL_FACTOR * seconds, params.max_memory))

    def load(self) -> None:
        self.process.start()

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        languages = batch.column("language").to_pylist()
        contents = [scalar.as_buffer() for scalar in batch.column("content")]
        found = [grammar_of(language) for language in languages]
        rows: list[dict[str, object]] = []
        todo: list[tuple[str, memoryview]] = []
        for grammar, content in zip(found, contents, strict=True):
            status = "parsed"
            if grammar is None:
                status = "no_grammar"
            elif content.size > self.settings.max_bytes:
                status = "too_large"
            else:
                todo.append((grammar.name, memoryview(content)))
            rows.append({"status": status})
        answers = iter(self.process.parse(todo))
        for row, content in zip(rows, contents, strict=True):
            if row["status"] == "parsed":
                row.update(_values(next(answers), content.size))
        return pa.RecordBatch.from_pylist(rows, pa.schema([*self.fields, ("error", pa.string())]))


def _values(answer: Answer, size: int) -> dict[str, object]:
    """The fields of one file of `size` bytes."""
    if answer.status == "failed":
        return {"status": None, "error": answer.message}
    if answer.status != "parsed":
        return {"status": answer.status}
    nodes, errors, missing, wrong, first, comment, literal = answer.values
    whole = max(size, 1)
    return {
        "nodes": nodes,
        "error_nodes": errors,
        "missing_nodes": missing,
        "error_bytes": wrong,
        "error_share": wrong / whole,
        "error_share_rest": (wrong - first) / whole,
        "comment_bytes": comment if comment >= 0 else None,
        "comment_share": comment / whole if comment >= 0 else None,
        "literal_bytes": literal if literal >= 0 else None,
        "literal_share": literal / whole if literal >= 0 else None,
    }
