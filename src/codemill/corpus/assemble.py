"""Assembles corpora from decisions: plans the output files, has workers write them, and completes with card and counts.

An output file is named by what it holds. A later run with the same decisions for a shard finds the file there and
leaves it; files that no decision asks for any more are removed. `codemill.json`, written last, marks the output
complete.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.run import Annotation, Data
from codemill.corpus.card import AnyRecipe, dataset_card
from codemill.corpus.output import DONE, Named, claim_output
from codemill.engine import Engine, Task
from codemill.errors import ConservationError, RecipeError
from codemill.recipe import CorpusSettings, Recipe
from codemill.schema import OCCURRENCE, digest
from codemill.select import Selection
from codemill.sources.split import split
from codemill.store import Store
from codemill.tables import parts

FACT_COLUMNS = ("stars", "forks", "created_at", "pushed_at", "declared_licence")
# The engine weighs work by bytes of content at the pace of a parser; writing is about ten times as fast.
PACE = 10
VERSION = 1  # raise it when the files' layout changes


class CorporaRecipe(AnyRecipe, Named, Protocol):
    """A recipe of any kind that makes corpora."""


def assemble(
    store: Store,
    engine: Engine,
    recipe: Recipe,
    data: Data,
    selections: Sequence[Selection],
) -> dict[str, dict[str, int]]:
    """Write every corpus of the recipe and the dataset card; returns rows, files, bytes and tokens of each corpus.

    Raises:
        ConservationError: what was written is not what was kept.
        RecipeError: masking is asked for without the annotator that finds the spans.
    """
    output = Store(recipe.output)
    claim_corpora(output, recipe)
    index = _shard_index(store, data.shards)
    counts: dict[str, dict[str, int]] = {}
    for selection in selections:
        settings = recipe.corpus[selection.corpus]
        listing = _listing(store, selection, settings, index, data.annotations)
        plan = _plan(store, output, selection.corpus, settings, listing)
        missing = [task for task in plan if not _written(output, task)]
        weight = sum(task["weight"] for task in missing) // PACE
        list(engine.map("codemill.corpus.write:write_part", missing, weight))
        _remove_others(output, selection.corpus, plan)
        counts[selection.corpus] = _count(selection, listing, plan)
    store.delete_folder("scratch/assemble")
    output.write_bytes("README.md", dataset_card(recipe, selections, counts).encode())
    output.write_json(DONE, {"recipe": recipe.fingerprint(), "name": recipe.name, "corpora": counts})
    return counts


def _shard_index(store: Store, shards: Sequence[str]) -> pa.Table:
    """Which shard holds which occurrence, and its place there: decisions are sorted otherwise."""
    tables = []
    for number, shard in enumerate(shards):
        table = store.read(f"occurrences/{shard}.parquet", ["occurrence_id", *FACT_COLUMNS])
        tables.append(table.append_column("shard", pa.array(np.full(table.num_rows, number, np.int32))))
    wanted = [OCCURRENCE.field(name) for name in ("occurrence_id", *FACT_COLUMNS)]
    none = pa.schema([*wanted, ("shard", pa.int32())]).empty_table()
    table = pa.concat_tables(tables) if tables else none
    names = pa.DictionaryArray.from_arrays(table["shard"].combine_chunks(), pa.array(shards, pa.string()))
    table = table.set_column(table.schema.get_field_index("shard"), "shard", names.cast(pa.string()))
    return table.append_column("place", pa.array(np.arange(table.num_rows)))


def _listing(
    store: Store,
    selection: Selection,
    settings: CorpusSettings,
    index: pa.Table,
    annotations: Mapping[str, Annotation],
) -> pa.Table:
    """The kept occurrences in the order of the store, with all that a row of the corpus says beside its content."""
    columns = ["occurrence_id", "blob_id", "source", "repo", "revision", "path", "language", "bytes", "tokens"]
    names = {column.replace(".", "_", 1): column for column in settings.columns}
    fields = [selection.signals.schema.field(column).with_name(name) for name, column in names.items()]
    schema = pa.schema([*(selection.decisions.schema.field(name) for name in columns), *fields])
    found = [schema.empty_table()]
    decided = parts(selection.decisions, [*columns, "status"])
    beside = parts(selection.signals, ["occurrence_id", *dict.fromkeys(names.values())])
    for (_, rows), (_, values) in zip(decided, beside, strict=True):
        made = pa.table([*(rows[name] for name in columns), *(values[name] for name in names.values())], schema=schema)
        found.append(made.filter(pc.equal(rows["status"], "kept")))
    table = pa.concat_tables(found)
    table = table.join(index, "occurrence_id", join_type="inner")
    # Joins keep no order.
    table = table.sort_by("place").combine_chunks()
    return _with_spans(store, table, annotations) if settings.mask else table


def _with_spans(store: Store, table: pa.Table, annotations: Mapping[str, Annotation]) -> pa.Table:
    """The spans to mask beside every row; by index, since joins carry no nested columns."""
    if "secrets" not in annotations:
        raise RecipeError("corpus.mask: expected annotate.secrets in the recipe, got none")
    annotation = annotations["secrets"]
    found = store.read_all(annotation.files, annotation.annotator.schema(), ["blob_id", "spans"])
    found = found.filter(pc.greater(pc.list_value_length(found["spans"]), 0)).combine_chunks()
    index = pc.index_in(table["blob_id"], value_set=found["blob_id"].combine_chunks())
    return table.append_column("spans", found["spans"].take(index))


def _plan(store: Store, output: Store, corpus: str, settings: CorpusSettings, listing: pa.Table) -> list[Task]:
    """One task for each output part; its listing lies in the store for the worker to read."""
    tasks = []
    for shard, rows in _parts(listing, settings.level):
        key = digest((_hash(rows.drop_columns(["place"])), settings.model_dump_json(), str(VERSION)))
        task: Task = {
            "store": store.root,
            "output": output.root,
            "level": settings.level,
            "mask": list(settings.mask),
            "notebooks": settings.notebooks.model_dump() if settings.notebooks else None,
            "files": {kind: f"{corpus}/{kind.split('.')[0]}/{shard}-{key}.{kind}" for kind in settings.formats},
            "listing": f"scratch/assemble/{corpus}-{shard}.parquet",
            "rows": rows.num_rows,
            "weight": pc.sum(rows["bytes"]).as_py(),
        }
        if not _written(output, task):
            store.write(task["listing"], rows)
        tasks.append(task)
    return tasks


def _parts(listing: pa.Table, level: str) -> Iterator[tuple[str, pa.Table]]:
    """The rows of every output part: a shard's files, or the repositories whose first kept file a shard holds."""
    home = listing["shard"].combine_chunks()
    if level == "repository" and listing.num_rows:
        keys = pc.binary_join_element_wise(listing["source"], listing["repo"], listing["revision"], "\0")
        first = pc.index_in(keys, value_set=pc.unique(keys))
        starts = pa.table({"repo": first, "place": listing["place"]})
        starts = starts.group_by("repo", use_threads=False).aggregate([("place", "min")]).sort_by("repo")
        row = pc.index_in(starts["place_min"], value_set=listing["place"].combine_chunks())
        home = home.take(row.combine_chunks()).take(first.combine_chunks())
    coded = home.dictionary_encode()
    for number, piece in split(listing, coded.indices.to_numpy().astype(np.int64)):
        shard, rows = coded.dictionary[number].as_py(), piece
        if level == "repository":
            # A repository's files together, also where its shards are not neighbours.
            order = ("source", "repo", "revision", "place")
            rows = rows.sort_by([(name, "ascending") for name in order])
        yield shard, rows.combine_chunks()


def _hash(table: pa.Table) -> str:
    """Hash of a table's content and types."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _written(output: Store, task: Task) -> bool:
    return all(output.exists(file) for file in task["files"].values())


def _remove_others(output: Store, corpus: str, plan: list[Task]) -> None:
    """Delete parts of earlier runs that this one does not ask for."""
    wanted = {file for task in plan for file in task["files"].values()}
    for folder in (f"{corpus}/parquet", f"{corpus}/jsonl"):
        for file in output.files(folder):
            if file not in wanted:
                output.delete(file)


def claim_corpora(output: Store, recipe: CorporaRecipe) -> None:
    """Claim an output and delete the parts of corpora that the recipe no longer has; the card says nothing of them.

    Raises:
        InputError: see `codemill.corpus.output.check_output`.
    """
    made = claim_output(output, recipe)
    for corpus in sorted(set(made.get("corpora", ())) - set(recipe.corpus)):
        for kind in ("parquet", "jsonl"):
            output.delete_folder(f"{corpus}/{kind}")


def _count(selection: Selection, listing: pa.Table, plan: list[Task]) -> dict[str, int]:
    """What the corpus holds.

    Raises:
        ConservationError: a kept occurrence is in no part.
    """
    kept = selection.kept
    planned = sum(task["rows"] for task in plan)
    if planned != kept or listing.num_rows != kept:
        raise ConservationError(f"corpus {selection.corpus}: expected {kept} kept files in the output, got {planned}")
    return {
        "files": kept,
        "bytes": pc.sum(listing["bytes"]).as_py() or 0,
        "tokens": pc.sum(listing["tokens"]).as_py() or 0,
        "repositories": listing.group_by(["source", "repo", "revision"]).aggregate([]).num_rows,
        "parts": len(plan),
    }
