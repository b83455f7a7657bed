"""Runs annotators over a store: finds the keys that have no values yet, computes those, shard by shard.

All annotators of a pass visit a shard together, so that its content is read once. Two passes, since some values need
the language: first what is keyed by occurrence or blob, then what is keyed by blob and language. Global ones come last.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate import build
from codemill.annotate.base import Annotator, BaseAnnotator, GlobalAnnotator, annotate_safely
from codemill.engine import Engine, Task
from codemill.errors import RecipeError
from codemill.keys import KeyIndex, join_keys, keys_of
from codemill.lexer import Ints
from codemill.schema import OCCURRENCE, digest
from codemill.sources.ingest import contents, owning
from codemill.sources.split import split
from codemill.store import Store, annotation_folder

PAIR = pa.schema([("blob_id", pa.string()), ("language", pa.string())])


@dataclass
class Annotation:
    """The table of one annotator for the shards at hand.

    Attributes:
        annotator: what made it.
        folder: where it lies in the store.
        files: its Parquet files.
        computed: rows computed in this run; the rest was there.
        seconds: work spent on it in this run, summed over workers.
    """

    annotator: BaseAnnotator
    folder: str
    files: list[str] = field(default_factory=list)
    computed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Data:
    """What later stages work on: the shards that hold a recipe's data now, and what is known of them."""

    shards: tuple[str, ...]
    annotations: dict[str, Annotation]


def check_needs(annotators: Sequence[BaseAnnotator], known: Collection[str] = ()) -> None:
    """Raise unless every annotator that one of these needs is among them or among the `known`.

    Raises:
        RecipeError: names the one that is missing.
    """
    names = {annotator.name for annotator in annotators}.union(known)
    for annotator in annotators:
        if not isinstance(annotator, Annotator | GlobalAnnotator):
            raise RecipeError(f"annotate.{annotator.name}: expected an annotator of files, got one of commits")
        needs = annotator.needs if isinstance(annotator, GlobalAnnotator) else ()
        needs += ("language",) if annotator.key == "blob_language" else ()
        for needed in needs:
            if needed not in names:
                raise RecipeError(f"annotate.{annotator.name}: expected annotate.{needed} in the recipe too, got none")


def run_annotators(
    store: Store,
    engine: Engine,
    shards: Sequence[str],
    annotators: Sequence[BaseAnnotator],
    known: Mapping[str, Annotation] | None = None,
) -> dict[str, Annotation]:
    """Bring the tables of these annotators up to date for these shards.

    Args:
        store, engine, shards, annotators: what to compute, of what, and where.
        known: tables that are there already under names that annotators may need, such as `language`.

    Raises:
        RecipeError: an annotator needs another that is not among them.
    """
    known = known or {}
    check_needs(annotators, known)
    done: dict[str, Annotation] = dict(known)
    local = [annotator for annotator in annotators if isinstance(annotator, Annotator)]
    by_shard = [annotator for annotator in local if annotator.key != "blob_language"]
    by_pair = [annotator for annotator in local if annotator.key == "blob_language"]
    _run_pass(store, engine, by_shard, _shard_parts(store, shards, by_shard), done)
    if by_pair:
        _run_pass(store, engine, by_pair, _pair_parts(store, shards, by_pair, done["language"]), done)
        store.delete_folder("pairs")
    for annotator in annotators:
        if isinstance(annotator, GlobalAnnotator):
            done[annotator.name] = _run_global(store, shards, annotator, done)
    return {annotator.name: done[annotator.name] for annotator in annotators}


@dataclass(frozen=True)
class _Part:
    """One file of an annotation: which shard's rows it holds, and for pairs the file that lists them."""

    annotator: Annotator
    file: str
    shard: str
    pairs: str | None = None


def _shard_parts(store: Store, shards: Sequence[str], annotators: Sequence[Annotator]) -> list[_Part]:
    """Parts keyed by occurrence (one for each shard at hand) and by blob (one for each shard that owns blobs of it)."""
    holders = owning(store, shards) if any(a.key == "blob" for a in annotators) else []
    parts = []
    for annotator in annotators:
        folder = annotation_folder(annotator.name, annotator.fingerprint())
        for shard in holders if annotator.key == "blob" else shards:
            parts.append(_Part(annotator, f"{folder}/{shard}.parquet", shard))
    return parts


def _pair_parts(
    store: Store, shards: Sequence[str], annotators: Sequence[Annotator], language: Annotation
) -> list[_Part]:
    """Parts keyed by blob and language: for each owning shard those pairs that no earlier part holds."""
    present: dict[str, dict[str, list[str]]] = {}
    parts: dict[str, list[_Part]] = {}
    for annotator in annotators:
        folder = annotation_folder(annotator.name, annotator.fingerprint())
        parts[folder], present[folder] = [], {}
        for file in store.files(folder, ".parquet"):
            present[folder].setdefault(file.rsplit("/", 1)[1].rsplit("-", 1)[0], []).append(file)
    for shard, pairs in _pairs(store, shards, language):
        for annotator, folder in zip(annotators, parts, strict=True):
            files, mine = present[folder].get(shard, []), pairs
            have = store.read_all(files, PAIR)
            if have.num_rows:
                mine = mine.join(have, PAIR.names, join_type="left anti").sort_by("blob_id")
            parts[folder] += [_Part(annotator, file, shard) for file in files]
            if mine.num_rows:
                key = digest(f"{row['blob_id']}{row['language']}" for row in mine.to_pylist())
                listing = f"pairs/{shard}-{key}.parquet"
                if not store.exists(listing):
                    store.write(listing, mine)
                parts[folder].append(_Part(annotator, f"{folder}/{shard}-{key}.parquet", shard, listing))
    return [part for several in parts.values() for part in several]


def _pairs(store: Store, shards: Sequence[str], language: Annotation) -> Iterator[tuple[str, pa.Table]]:
    """The pairs of each shard that owns blobs of some, sorted. What shards own themselves is read when its turn comes;
    what they hold of others, seldom much, is held meanwhile."""
    holders = owning(store, shards)
    owned = [keys_of(store.read(f"owners/{name}.parquet")["blob_id"]) for name in holders]
    ends, index = np.cumsum([len(keys) for keys in owned]), KeyIndex(join_keys(owned))
    del owned
    number = {name: place for place, name in enumerate(holders)}
    files = dict(zip(shards, language.files, strict=True))
    abroad: dict[int, list[pa.Table]] = {}

    def read(shard: str) -> tuple[pa.Table, Ints]:
        """The pairs that a shard holds, and the number of each one's owner."""
        rows = store.read(f"occurrences/{shard}.parquet", ["occurrence_id", "blob_id"])
        spoken = store.read(files[shard], ["occurrence_id", "language"])
        rows = rows.join(spoken, "occurrence_id", join_type="inner").select(PAIR.names)
        rows = rows.filter(pc.and_(pc.is_valid(rows["language"]), pc.is_valid(rows["blob_id"])))
        rows = rows.group_by(PAIR.names).aggregate([])
        places = index.find(keys_of(rows["blob_id"]))
        known = places >= 0
        home = np.searchsorted(ends, places[known], side="right")
        return rows.filter(pa.array(known)), home

    for shard in shards:
        pairs, home = read(shard)
        for owner, some in split(pairs, home):
            if owner != number.get(shard):
                abroad.setdefault(owner, []).append(some)
    for place, name in enumerate(holders):
        here = abroad.pop(place, [])
        if name in files:
            pairs, home = read(name)
            here.append(pairs.filter(pa.array(home == place)))
        pairs = pa.concat_tables(here).group_by(PAIR.names).aggregate([])
        if pairs.num_rows:
            yield name, pairs.sort_by([(column, "ascending") for column in PAIR.names]).combine_chunks()


def _run_pass(
    store: Store, engine: Engine, annotators: Sequence[Annotator], parts: list[_Part], done: dict[str, Annotation]
) -> None:
    """Compute the parts that are missing, all annotators of a shard in one task."""
    for annotator in annotators:
        folder = annotation_folder(annotator.name, annotator.fingerprint())
        done[annotator.name] = Annotation(annotator, folder)
        if not store.exists(f"{folder}/annotator.json"):
            store.write_json(f"{folder}/annotator.json", describe(annotator))
    tasks: dict[tuple[str, str | None], Task] = {}
    for part in parts:
        done[part.annotator.name].files.append(part.file)
        if not store.exists(part.file):
            task = tasks.setdefault(
                (part.shard, part.pairs), {"store": store.root, "shard": part.shard, "pairs": part.pairs, "work": []}
            )
            params = part.annotator.params.model_dump(mode="json")
            task["work"].append({"name": part.annotator.name, "params": params, "file": part.file})
    weight = sum(store.read_json(f"ingested/{task['shard']}.json")["bytes"] for task in tasks.values())
    for reply in engine.map("codemill.annotate.run:annotate_shard", list(tasks.values()), weight):
        for name, counts in reply.items():
            done[name].computed += counts["rows"]
            done[name].seconds += counts["seconds"]


def describe(annotator: BaseAnnotator) -> dict[str, object]:
    """What a folder's values were made with, for people who find the folder."""
    return {
        "name": annotator.name,
        "version": annotator.version,
        "params": annotator.params.model_dump(mode="json"),
        "model": annotator.model(),
        "key": annotator.key,
    }


_LOADED: dict[str, Annotator] = {}


def loaded(name: str, params: dict[str, Any]) -> Annotator:
    """A loaded annotator; a worker process keeps what it has loaded."""
    key = f"{name}{sorted(params.items())}"
    if key not in _LOADED:
        annotator = build(name, params)
        assert isinstance(annotator, Annotator)
        annotator.load()
        _LOADED[key] = annotator
    return _LOADED[key]


def annotate_shard(task: Task) -> Task:
    """Compute the named parts of one shard, reading its content once."""
    store, shard = Store(task["store"]), task["shard"]
    work = [(loaded(entry["name"], entry["params"]), entry["file"]) for entry in task["work"]]
    rows: dict[str, list[pa.RecordBatch]] = {annotator.name: [] for annotator, _ in work}
    seconds = dict.fromkeys(rows, 0.0)
    occurrences = pairs = owned = None
    if any(annotator.key == "occurrence" for annotator, _ in work):
        occurrences = store.read(f"occurrences/{shard}.parquet")
    if any(annotator.key == "blob" for annotator, _ in work):
        owned = store.read(f"owners/{shard}.parquet")["blob_id"].combine_chunks()
    if task["pairs"]:
        pairs = store.read(task["pairs"])
    # Pairs may be of few blobs; the other passes want nearly all of them.
    wanted = pairs["blob_id"].combine_chunks() if pairs is not None else None
    for batch in contents(store, shard, wanted, ["blob_id", "content"]):
        for annotator, _ in work:
            keyed = _keyed(annotator, batch, occurrences, owned, pairs)
            start = time.perf_counter()
            values = annotate_safely(annotator, keyed)
            seconds[annotator.name] += time.perf_counter() - start
            keys = [keyed.column(name) for name in annotator.schema().names[: -len(values.schema.names)]]
            rows[annotator.name].append(pa.RecordBatch.from_arrays([*keys, *values.columns], schema=annotator.schema()))
    for annotator, file in work:
        store.write(file, pa.Table.from_batches(rows[annotator.name], schema=annotator.schema()))
    return {name: {"rows": sum(b.num_rows for b in rows[name]), "seconds": seconds[name]} for name in rows}


def _keyed(
    annotator: Annotator,
    batch: pa.RecordBatch,
    occurrences: pa.Table | None,
    owned: pa.Array | None,
    pairs: pa.Table | None,
) -> pa.RecordBatch:
    """What an annotator is to see of a batch of blobs: its blobs, occurrences or pairs, with content beside them."""
    if annotator.key == "blob":
        assert owned is not None
        return batch.filter(pc.is_in(batch.column("blob_id"), value_set=owned))
    table = occurrences if annotator.key == "occurrence" else pairs
    assert table is not None
    index = pc.index_in(table["blob_id"], value_set=batch.column("blob_id"))
    here = pc.is_valid(index)
    rows = table.filter(here).combine_chunks()
    content = batch.column("content").take(index.filter(here).combine_chunks())
    columns = [
        rows[name].combine_chunks() if rows.num_rows else rows[name].cast(rows[name].type).combine_chunks()
        for name in rows.column_names
    ]
    return pa.RecordBatch.from_arrays([*columns, content], names=[*rows.column_names, "content"])


def _run_global(
    store: Store, shards: Sequence[str], annotator: GlobalAnnotator, done: dict[str, Annotation]
) -> Annotation:
    """Compute a global annotator unless its table for exactly this set is there."""
    manifest = digest(sorted(shards) + [done[name].folder for name in annotator.needs])
    folder = annotation_folder(annotator.name, annotator.fingerprint())
    file = f"{folder}/{manifest}.parquet"
    annotation = Annotation(annotator, folder, [file])
    if store.exists(file):
        return annotation
    store.write_json(f"{folder}/annotator.json", describe(annotator))
    start = time.perf_counter()
    occurrences = store.read_all([f"occurrences/{shard}.parquet" for shard in shards], OCCURRENCE)

    def upstream(name: str) -> pa.Table:
        return store.read_all(done[name].files, done[name].annotator.schema())

    table = annotator.annotate(occurrences, upstream)
    store.write(file, table.select(annotator.schema().names).cast(annotator.schema()))
    annotation.computed, annotation.seconds = table.num_rows, time.perf_counter() - start
    return annotation
