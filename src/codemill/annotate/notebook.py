"""Jupyter notebooks as cells of text and code: what their JSON holds, and why some can't be read; by blob and language.

Reads nbformat 4 and the older ones with worksheets (1 to 3) without nbformat itself, which validates far more than a
corpus needs and refuses what any reader would show.
"""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import orjson
import pyarrow as pa

from codemill.annotate.base import Annotator, Key

LANGUAGE = "Jupyter Notebook"  # Linguist's name


@dataclass(frozen=True)
class Kernel:
    """A notebook's language: Linguist's name, what a Markdown fence calls it, what begins a line of comment."""

    language: str
    fence: str
    comment: str


@dataclass(frozen=True)
class Cell:
    """One cell: `kind` is code, text or raw; outputs are `(kind, text)`, kind text or error. No images are here."""

    kind: str
    source: str
    outputs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Notebook:
    """What a notebook says.

    Attributes:
        version: nbformat, 1 to 4.
        kernel: its language.
        cells: in order.
        output_bytes: of all outputs in the file, images and the like included.
    """

    version: int
    kernel: Kernel
    cells: list[Cell] = field(default_factory=list)
    output_bytes: int = 0


class NotebookError(ValueError):
    """Content that is no notebook; the message says why."""


@cache
def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("codemill.data") / "notebooks.toml").read_text(encoding="utf-8"))


def kernel_of(name: str) -> Kernel:
    """The kernel of a language as notebooks call it."""
    known = _tables()["kernel"].get(name.strip().lower())
    if known:
        return Kernel(*known)
    word = "".join(letter for letter in name if letter.isalnum() or letter in "+#-_.")[:40]
    return Kernel(word or "unknown", word.lower(), "#")


def magic_fence(source: str) -> str | None:
    """What a fence calls the language of a cell with a cell magic (`%%bash`); None where it is the kernel's."""
    head = source.lstrip().split("\n", 1)[0].split()
    return _tables()["magic"].get(head[0][2:]) if head and head[0].startswith("%%") else None


def read_notebook(content: bytes) -> Notebook:
    """A notebook out of its JSON.

    Raises:
        NotebookError: says what is wrong.
    """
    try:
        top = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise NotebookError(f"no JSON: {str(error)[:120]}") from error
    if not isinstance(top, dict):
        raise NotebookError(f"expected a JSON object, got {type(top).__name__}")
    cells, version = top.get("cells"), top.get("nbformat")
    if not isinstance(cells, list):
        sheets = top.get("worksheets")
        if not isinstance(sheets, list):
            raise NotebookError("expected cells or worksheets, got neither")
        cells = [cell for sheet in sheets if isinstance(sheet, dict) for cell in _list(sheet.get("cells"))]
        version = version if isinstance(version, int) else 3
    kernel = kernel_of(_language(top, cells))
    notebook = Notebook(version if isinstance(version, int) else 4, kernel, [], _output_bytes(cells))
    for number, cell in enumerate(cells):
        if not isinstance(cell, dict):
            raise NotebookError(f"cell {number}: expected an object, got {type(cell).__name__}")
        notebook.cells.append(_cell(cell))
    return notebook


def _language(top: dict[str, Any], cells: list[Any]) -> str:
    """The kernel's language: by the metadata, else (nbformat 3) by the first code cell, else Python, the usual one."""
    meta = _table(top.get("metadata"))
    for name in (
        _table(meta.get("language_info")).get("name"),
        _table(meta.get("kernelspec")).get("language"),
        meta.get("language"),
        *(cell.get("language") for cell in cells[:50] if isinstance(cell, dict)),
    ):
        if isinstance(name, str) and name.strip():
            return name
    return "python"


def _cell(cell: dict[str, Any]) -> Cell:
    kind = cell.get("cell_type")
    source = _text(cell.get("source", cell.get("input")))
    if kind == "code":
        outputs = (_output(one) for one in _list(cell.get("outputs")) if isinstance(one, dict))
        return Cell("code", source, tuple(one for one in outputs if one))
    if kind == "heading":  # nbformat 3
        level = cell.get("level")
        return Cell("text", f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {source}")
    return Cell("text" if kind in {"markdown", "html"} else "raw", source)


def _output(output: dict[str, Any]) -> tuple[str, str] | None:
    """What is text of an output: streams, plain text of results, the last line of an error."""
    kind = output.get("output_type")
    if kind == "stream":
        return ("text", _text(output.get("text")))
    if kind in {"error", "pyerr"}:
        return ("error", f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}")
    data = _table(output.get("data"))
    text = _text(data.get("text/plain", output.get("text")))
    return ("text", text) if text else None


def _output_bytes(cells: list[Any]) -> int:
    return sum(
        len(orjson.dumps(output)) for cell in cells if isinstance(cell, dict) for output in _list(cell.get("outputs"))
    )


def _text(value: Any) -> str:
    """Text as notebooks keep it: a string, or a list of lines with their ends."""
    if isinstance(value, list):
        value = "".join(part for part in value if isinstance(part, str))
    # Lone surrogates can be written in JSON and nowhere else.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class NotebookAnnotator(Annotator):
    """What a Jupyter notebook holds.

    Fields: `readable`, whether it can be read, `problem`, why not; `format`, its nbformat; `kernel`, its language by
    Linguist's name; `cells`, `code_cells`, `text_cells`; `code_bytes`, `text_bytes`, `output_bytes` (of all outputs,
    images included). All null for files of other languages.
    """

    name: ClassVar[str] = "notebook"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "blob_language"
    inputs: ClassVar[tuple[str, ...]] = ("content", "language")
    fields: ClassVar[pa.Schema] = pa.schema(
        [
            ("readable", pa.bool_()),
            ("problem", pa.string()),
            ("format", pa.int64()),
            ("kernel", pa.string()),
            ("cells", pa.int64()),
            ("code_cells", pa.int64()),
            ("text_cells", pa.int64()),
            ("code_bytes", pa.int64()),
            ("text_bytes", pa.int64()),
            ("output_bytes", pa.int64()),
        ]
    )

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        pairs = zip(batch.column("content"), batch.column("language").to_pylist(), strict=True)
        rows = [_row(content.as_py()) if language == LANGUAGE else {} for content, language in pairs]
        return pa.RecordBatch.from_pylist(rows, schema=self.fields)


def _row(content: bytes) -> dict[str, Any]:
    try:
        found = read_notebook(content)
    except NotebookError as error:
        return {"readable": False, "problem": str(error)}
    code = [cell.source for cell in found.cells if cell.kind == "code"]
    text = [cell.source for cell in found.cells if cell.kind == "text"]
    return {
        "readable": True,
        "format": found.version,
        "kernel": found.kernel.language,
        "cells": len(found.cells),
        "code_cells": len(code),
        "text_cells": len(text),
        "code_bytes": sum(len(one.encode()) for one in code),
        "text_bytes": sum(len(one.encode()) for one in text),
        "output_bytes": found.output_bytes,
    }
