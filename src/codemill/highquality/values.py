"""Values that rules look at, for every document of a part: a corpus's own columns, and what it lacks computed here.

A notebook's values are those of its code and text as a script of its kernel's language: what a scorer says of its JSON
says nothing of it. Only `notebook.…` values are of the JSON.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate import REGISTRY, build
from codemill.annotate.base import Annotator, annotate_safely
from codemill.annotate.notebook import NotebookError, read_notebook
from codemill.annotate.run import loaded
from codemill.corpus.notebook import render
from codemill.engine import Task
from codemill.errors import RecipeError
from codemill.highquality.inputs import CONVERTED, NEEDED, Part, as_text, batches, notebook_places
from codemill.recipe import NotebookSettings
from codemill.store import Store
from codemill.tables import one_chunk

BASE = pa.schema(
    [
        ("blob_id", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("bytes", pa.int64()),
        ("problem", pa.string()),
    ]
)
# Markdown: a notebook that a corpus has written as text no longer says which kernel it had.
WRITTEN = "Markdown"
SCRIPT = NotebookSettings(style="percent")


def annotators_for(columns: Sequence[str], params: dict[str, dict[str, Any]]) -> dict[str, Annotator]:
    """The annotators that can compute these columns (`annotator.field`), by name.

    Raises:
        RecipeError: a column is of no annotator that can look at a document by itself.
    """
    found: dict[str, Annotator] = {}
    for column in columns:
        name, _, field = column.partition(".")
        if name == "occurrence":
            continue
        if name not in REGISTRY:
            raise RecipeError(f"column {column}: expected one of {', '.join(sorted(REGISTRY))}, got {name!r}")
        annotator = build(name, params.get(name))
        if field not in annotator.schema().names:
            fields = ", ".join(annotator.fields.names)
            raise RecipeError(f"column {column}: expected one of {fields}, got {field!r}")
        if isinstance(annotator, Annotator) and set(annotator.inputs) <= {"content", "path", "language"}:
            found[name] = annotator
    for name in params:
        if name not in found:
            raise RecipeError(f"annotate.{name}: expected an annotator that the rules look at, got {name!r}")
    return found


def check_columns(parts: Sequence[Part], columns: Sequence[str], annotators: dict[str, Annotator]) -> None:
    """Raise unless every part has every column or an annotator computes it.

    Raises:
        RecipeError: names column and file.
    """
    for part in parts:
        for column in columns:
            name, _, field = column.partition(".")
            there = field if name == "occurrence" else f"{name}_{field}"
            if there not in part.columns and name not in annotators:
                raise RecipeError(
                    f"column {column}: expected it in the corpus or of an annotator of single documents, "
                    f"got neither in {part.file}"
                )


def flat(column: str) -> str:
    """What a corpus calls a column: `annotator.field` is `annotator_field`, `occurrence.field` is `field`."""
    name, _, field = column.partition(".")
    return field if name == "occurrence" else f"{name}_{field}"


def value_part(task: Task) -> Task:
    """Write the values of one part: `BASE`, then a column for each that rules look at, row for row as in the part."""
    store = Store(task["store"])
    columns, annotate = task["columns"], task["annotate"]
    present = set(task["present"])
    lacking = {
        name for name in annotate if any(_of(name, column) and flat(column) not in present for column in columns)
    }
    wanted = [*NEEDED, *([CONVERTED] if CONVERTED in present else [])]
    wanted += sorted({flat(column) for column in columns} & present - set(wanted))
    settings = NotebookSettings.model_validate(task["notebooks"])
    tables = []
    for _, table in batches(task["file"], wanted):
        texts, problems = as_text(table, settings)
        base = table.select([name for name in BASE.names if name != "problem"])
        base = base.append_column("problem", pa.array(problems, pa.string())).cast(BASE)
        usable = np.array([problem is None for problem in problems], dtype=np.bool_)
        values = {column: one_chunk(table[flat(column)]) if flat(column) in present else None for column in columns}
        for name, params in annotate.items():
            whole = name in lacking
            rows = np.flatnonzero(usable) if whole else np.array([p for p in notebook_places(table) if usable[p]], int)
            mine = [column for column in columns if _of(name, column)]
            found = _annotated(loaded(name, params), table, texts, rows)
            for column in mine:
                values[column] = _merged(values[column], found.column(column.partition(".")[2]), rows, table.num_rows)
        for column in columns:
            base = base.append_column(column, values[column])
        tables.append(base)
    whole_table = pa.concat_tables(tables, promote_options="permissive") if tables else BASE.empty_table()
    store.write(task["out"], whole_table)
    return {"rows": whole_table.num_rows}


def _of(annotator: str, column: str) -> bool:
    return column.partition(".")[0] == annotator


def _annotated(annotator: Annotator, table: pa.Table, texts: pa.Array, rows: np.ndarray) -> pa.RecordBatch:
    """Values of the rows at these places; notebooks as scripts of their kernel's language."""
    part = table.select(["path", "language", "content"]).take(pa.array(rows, pa.int64()))
    contents = [
        text.encode() if isinstance(text, str) else text for text in texts.take(pa.array(rows, pa.int64())).to_pylist()
    ]
    languages = part["language"].to_pylist()
    raw = part["content"]
    for place in notebook_places(part):
        if annotator.name == "notebook":
            contents[place] = _raw(raw[place].as_py())
        elif CONVERTED in table.column_names:
            languages[place] = WRITTEN
        else:
            try:
                notebook = read_notebook(_raw(raw[place].as_py()))
                contents[place], languages[place] = render(notebook, SCRIPT).encode(), notebook.kernel.language
            except NotebookError:  # as_text has said so
                continue
    batch = pa.RecordBatch.from_arrays(
        [pa.array(contents, pa.large_binary()), part["path"].combine_chunks(), pa.array(languages, pa.string())],
        names=["content", "path", "language"],
    )
    return annotate_safely(annotator, batch)


def _raw(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _merged(old: pa.Array | None, new: pa.Array, rows: np.ndarray, count: int) -> pa.Array:
    """A column of `count` rows: `new` at `rows`, `old` (or null) elsewhere."""
    index = np.full(count, -1, np.int64)
    index[rows] = np.arange(len(rows))
    here = pa.array(index >= 0)
    placed = new.take(pa.array(index, mask=index < 0))
    if old is None:
        return placed
    return pc.if_else(here, placed, old.cast(new.type))
