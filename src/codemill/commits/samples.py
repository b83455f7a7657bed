"""Turns the kept commits of a corpus into output files: plans the parts, has workers write them, checks the counts."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate import build
from codemill.annotate.run import Annotation
from codemill.commits.plan import CommitShard, Facts, facts_of, table_file
from codemill.commits.settings import CommitRecipe
from codemill.commits.table import CommitTable, SampleTable, data_fingerprint
from codemill.commits.template import load_template
from codemill.commits.write import VERSION
from codemill.engine import Engine, Task
from codemill.errors import ConservationError
from codemill.keys import KeyIndex, Keys, join_keys, keys_of
from codemill.schema import FACTS, OCCURRENCE, digest
from codemill.select import Selection
from codemill.select.judged import Judged
from codemill.sources.split import split
from codemill.store import Store, annotation_folder
from codemill.tables import StoredTable, part_rows, parts

SCRATCH = "scratch/commits"
GOOD = ("fits", "clean", "round_trip", "context_hits")  # values that say whether a commit became a sample


@dataclass(frozen=True)
class Made:
    """What sampling one corpus gave: the values of every commit it was asked about, and the output parts."""

    annotation: Annotation
    parts: list[Task]
    asked: int


def make_samples(  # noqa: PLR0917 - eight parameters is the house limit
    store: Store,
    engine: Engine,
    recipe: CommitRecipe,
    shards: Sequence[CommitShard],
    facts: Facts,
    what: tuple[str, StoredTable],
) -> tuple[Made, str]:
    """Write the samples of one corpus.

    Args:
        store: holds the histories as read.
        engine: where the work runs.
        recipe: the run.
        shards: all shards of the run.
        facts: what is known of repositories now.
        what: name of the corpus, and the listing of the commits that the recipe's own rules kept.

    Returns:
        What was made, and one line on it.
    """
    corpus = what[0]
    output = Store(recipe.output)
    planned = list(_plan((store, output), recipe, shards, facts, what))
    missing = [part for part in planned if not _written(store, output, part)]
    weight = 1_000_000 * sum(part["rows"] for part in missing)
    list(engine.map("codemill.commits.write:write_part", missing, weight))
    store.delete_folder(SCRATCH)
    settings = recipe.corpus[corpus]
    folder = _folder(recipe, corpus)
    files = [part["values"] for part in planned]
    if not files:  # rules that look at samples need a table, if an empty one
        files = [f"{folder}/none.parquet"]
        store.write(files[0], SampleTable.schema().empty_table())
    store.write_json(f"{folder}/annotator.json", {"name": "sample", "corpus": settings.model_dump(mode="json")})
    made = Made(
        Annotation(SampleTable(SampleTable.Params()), folder, files), planned, sum(part["rows"] for part in planned)
    )
    fresh = sum(part["rows"] for part in missing)
    return made, f"{made.asked:,} commits, {fresh:,} of them new, {len(planned):,} parts"


def check_written(store: Store, recipe: CommitRecipe, corpus: str, selection: Selection, made: Made) -> dict[str, int]:
    """What the corpus holds; parts that hold nothing or that nobody asks for any more are removed.

    Raises:
        ConservationError: what was written is not what was kept.
    """
    output = Store(recipe.output)
    keys, size, repositories = [], 0, set()
    for _, part in parts(selection.decisions, ["occurrence_id", "source", "repo", "bytes", "status"]):
        kept = part.filter(pc.equal(part["status"], "kept"))
        keys.append(keys_of(kept["occurrence_id"]))
        size += pc.sum(kept["bytes"]).as_py() or 0
        groups = kept.group_by(["source", "repo"], use_threads=False).aggregate([]).to_pylist()
        repositories |= {(group["source"], group["repo"]) for group in groups}
    index = KeyIndex(join_keys(keys))
    written, asked, strangers = 0, 0, 0
    totals = {"tokens": 0, "target_tokens": 0}
    wanted: set[str] = set()
    for part in made.parts:
        values = store.read(part["values"], ["occurrence_id", *GOOD, *totals])
        samples = values.filter(_good(values))
        asked, written = asked + values.num_rows, written + samples.num_rows
        strangers += int((index.find(keys_of(samples["occurrence_id"])) < 0).sum())
        totals = {name: total + (pc.sum(samples[name]).as_py() or 0) for name, total in totals.items()}
        if samples.num_rows:
            wanted |= set(part["files"].values())
    if written != selection.kept or asked != made.asked:
        raise ConservationError(f"corpus {corpus}: expected {selection.kept} kept commits as samples, got {written}")
    if strangers:
        raise ConservationError(f"corpus {corpus}: expected samples of kept commits alone, got {strangers} others")
    for folder in (f"{corpus}/parquet", f"{corpus}/jsonl"):
        for file in output.files(folder):
            if file not in wanted:
                output.delete(file)
    return {
        "files": selection.kept,
        "bytes": size,
        **totals,
        "repositories": len(repositories),
        "parts": len(wanted) // max(len(recipe.corpus[corpus].formats), 1),
    }


def _folder(recipe: CommitRecipe, corpus: str) -> str:
    """Where the values of a corpus's samples lie: named by all that they depend on beside the commits."""
    settings = recipe.corpus[corpus]
    template = load_template(settings.template, settings.tokens).fingerprint()
    shape = settings.model_dump_json(exclude={"rules", "formats", "columns"})
    table = CommitTable(recipe.history).fingerprint()
    words = data_fingerprint("commit_context.toml", "commit_messages.toml")
    looked_for = _contamination(recipe, corpus)
    known = "" if looked_for is None else build("contamination", looked_for).fingerprint()
    return annotation_folder("sample", digest((str(VERSION), shape, template, table, words, known)))


def _contamination(recipe: CommitRecipe, corpus: str) -> dict[str, Any] | None:
    """Settings of the annotator that looks at contexts, too; None where it does not run or is not to look at them."""
    return recipe.annotate.get("contamination") if recipe.corpus[corpus].context.contaminated == "drop" else None


def _plan(
    stores: tuple[Store, Store],
    recipe: CommitRecipe,
    shards: Sequence[CommitShard],
    facts: Facts,
    what: tuple[str, StoredTable],
) -> Iterator[Task]:
    """One task for each shard that holds kept commits; its listing lies in the store for the worker to read."""
    (store, output), (corpus, listing) = stores, what
    settings = recipe.corpus[corpus]
    folder = _folder(recipe, corpus)
    for shard, listed in _by_shard(store, shards, listing):
        rows = listed
        known = facts_of(facts, shard.place)
        for name in FACTS:
            kind = OCCURRENCE.field(name).type
            rows = rows.append_column(name, pa.repeat(pa.scalar(known.get(name), kind), rows.num_rows))
        key = digest((_hash(rows), folder, str(settings.formats)))
        part: Task = {
            "store": store.root,
            "output": output.root,
            "repo": shard.place.repo,
            "location": shard.place.location,
            "table": table_file(recipe.history, shard.name),
            "settings": recipe.history.model_dump(mode="json"),
            "corpus": settings.model_dump(mode="json"),
            "contamination": _contamination(recipe, corpus),
            "extra": [name for name in rows.column_names if name not in _IDENTITY],
            "files": {kind: f"{corpus}/{kind.split('.')[0]}/{shard.name}-{key}.{kind}" for kind in settings.formats},
            "listing": f"{SCRATCH}/{corpus}-{shard.name}.parquet",
            "values": f"{folder}/{shard.name}-{key}.parquet",
            "rows": rows.num_rows,
        }
        if not _written(store, output, part):
            store.write(part["listing"], rows)
        yield part


_IDENTITY = ("occurrence_id", "source", "repo", "revision")


def list_kept(store: Store, recipe: CommitRecipe, corpus: str, judged: Judged) -> StoredTable:
    """The kept commits of a corpus with the columns that go beside their samples, as a scratch table."""
    columns = {name: name for name in _IDENTITY}
    columns |= {column.replace(".", "_", 1): column for column in recipe.corpus[corpus].columns}
    names = [judged.signals.schema.field(column).with_name(name) for name, column in columns.items()]
    file = f"{SCRATCH}/{corpus}.parquet"
    with store.table_writer(file, pa.schema(names)) as write:
        for start, part in parts(judged.signals, list(dict.fromkeys(columns.values()))):
            kept = part.filter(pa.array(judged.alive[start : start + part.num_rows]))
            write(pa.table([kept[column] for column in columns.values()], schema=pa.schema(names)))
    return StoredTable(store, file)


def _by_shard(
    store: Store, shards: Sequence[CommitShard], listing: StoredTable
) -> Iterator[tuple[CommitShard, pa.Table]]:
    """The listed commits of each shard that holds some, in the order of the listing; some shards at a time."""
    waiting: list[CommitShard] = []
    keys: list[Keys] = []
    for number, shard in enumerate(shards):
        waiting.append(shard)
        keys.append(keys_of(store.read(f"occurrences/{shard.name}.parquet", ["occurrence_id"])["occurrence_id"]))
        if sum(map(len, keys)) >= part_rows(listing.num_rows) or number == len(shards) - 1:
            ends, index = np.cumsum([len(one) for one in keys]), KeyIndex(join_keys(keys))
            found, homes = [listing.schema.empty_table()], [np.zeros(0, np.int64)]
            for _, part in parts(listing):
                places = index.find(keys_of(part["occurrence_id"]))
                found.append(part.filter(pa.array(places >= 0)))
                homes.append(np.searchsorted(ends, places[places >= 0], side="right"))
            for home, rows in split(pa.concat_tables(found), np.concatenate(homes)):
                yield waiting[home], rows
            waiting, keys = [], []


def _hash(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _written(store: Store, output: Store, part: dict[str, Any]) -> bool:
    """Whether values and files are there. Files of parts without a sample are removed at the end of a run."""
    if not store.exists(part["values"]):
        return False
    if all(output.exists(file) for file in part["files"].values()):
        return True
    return not pc.any(_good(store.read(part["values"], list(GOOD)))).as_py()


def _good(values: pa.Table) -> pa.ChunkedArray:
    """Which commits became samples."""
    fits = pc.and_(pc.and_(values["fits"], values["clean"]), pc.is_valid(values["round_trip"]))
    return pc.and_(fits, pc.equal(pc.fill_null(values["context_hits"], 0), 0))
