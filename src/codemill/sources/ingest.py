"""From sources to shards: plans units into shards, hashes and stores what they hold, gives every blob one owner.

The plan is written before the work, so that a killed run resumes with the very same shards. A later run plans only
units that no plan holds yet: new data costs what new data weighs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from codemill.engine import Engine, Task
from codemill.keys import KeyIndex, Keys, join_keys, keys_of
from codemill.recipe import IngestSettings, Source, SourceSettings
from codemill.schema import BLOB, FACTS, OCCURRENCE, blob_id, digest, git_blob, occurrence_id
from codemill.sources import open_source
from codemill.sources.base import SNIFF_BYTES, Unit, UnitLister, stamp
from codemill.store import Store


@dataclass(frozen=True)
class Shard:
    """A planned shard: units of one source that are stored together."""

    name: str
    source: str
    units: tuple[Unit, ...]

    @property
    def weight(self) -> int:
        return sum(unit.weight for unit in self.units)


@dataclass(frozen=True)
class Ingested:
    """What ingesting gave: the shards that hold the recipe's data now, in order, and their counts."""

    shards: tuple[str, ...]
    occurrences: int
    blobs: int
    bytes: int
    new_shards: int


def ingest(store: Store, engine: Engine, sources: Sequence[Source], settings: IngestSettings) -> Ingested:
    """Bring the sources into the store, doing only what is not there yet.

    Raises:
        InputError: a source can't be read.
        StoreError: the store can't be written.
    """
    shards = plan(store, sources, settings)
    done = {path.removeprefix("ingested/").removesuffix(".json") for path in store.files("ingested", ".json")}
    by_name = {source.name: source for source in sources}
    tasks = [
        {
            "store": store.root,
            "shard": shard.name,
            "source": by_name[shard.source].model_dump(mode="json"),
            "units": [asdict(unit) for unit in shard.units],
            "settings": settings.model_dump(mode="json"),
        }
        for shard in shards
        if shard.name not in done
    ]
    weight = sum(shard.weight for shard in shards if shard.name not in done)
    list(engine.map("codemill.sources.ingest:ingest_shard", tasks, weight))
    assign_owners(store)
    counts = [store.read_json(f"ingested/{shard.name}.json") for shard in shards]
    return Ingested(
        shards=tuple(shard.name for shard in shards),
        occurrences=sum(count["occurrences"] for count in counts),
        blobs=sum(count["blobs"] for count in counts),
        bytes=sum(count["bytes"] for count in counts),
        new_shards=len(tasks),
    )


def plan(
    store: Store,
    sources: Sequence[SourceSettings],
    settings: IngestSettings,
    open_reader: Callable[[Any], UnitLister] = open_source,
) -> list[Shard]:
    """The shards that hold the sources' present units and no others; what no shard holds is planned and stored.

    A shard with a unit that is gone or has changed would bring its old rows back: its other units are planned anew.
    """
    present = {
        source.name: [
            Unit(**{**asdict(unit), "state": stamp(unit.state, settings)})
            for unit in open_reader(source).units(settings)
        ]
        for source in sources
    }
    keys = {unit.key(name) for name, units in present.items() for unit in units}
    known: dict[str, Shard] = {}
    for path in store.files("plans", ".json"):
        for entry in store.read_json(path)["shards"]:
            shard = Shard(entry["name"], entry["source"], tuple(Unit(**unit) for unit in entry["units"]))
            held = [unit.key(shard.source) for unit in shard.units]
            # The first shard of a unit keeps it: plans made while it was away may have it once more.
            if keys.issuperset(held) and known.keys().isdisjoint(held):
                known.update(dict.fromkeys(held, shard))
    wanted: dict[str, Shard] = {}
    fresh: list[Shard] = []
    for name, units in present.items():
        holders = [(unit, known.get(unit.key(name))) for unit in units]
        wanted.update({shard.name: shard for _, shard in holders if shard is not None})
        fresh += _group(name, [unit for unit, shard in holders if shard is None], settings)
    if fresh:
        sequence = len(store.files("plans", ".json"))
        entries = [
            {"name": shard.name, "source": shard.source, "units": list(map(asdict, shard.units))} for shard in fresh
        ]
        store.write_json(f"plans/{sequence:05d}.json", {"shards": entries})
    return [*wanted.values(), *fresh]


def _group(source: str, units: list[Unit], settings: IngestSettings) -> list[Shard]:
    """Consecutive units as shards of about `shard_bytes`."""
    shards: list[Shard] = []
    group: list[Unit] = []
    weight = files = 0
    for unit in units:
        count = unit.stop - unit.start
        if group and (weight + unit.weight > settings.shard_bytes or files + count > settings.shard_files):
            shards.append(_shard(source, group))
            group, weight, files = [], 0, 0
        group.append(unit)
        weight, files = weight + unit.weight, files + count
    if group:
        shards.append(_shard(source, group))
    return shards


def _shard(source: str, units: list[Unit]) -> Shard:
    return Shard(f"{source}-{digest(unit.key(source) for unit in units)}", source, tuple(units))


def ingest_shard(task: Task) -> Task:
    """Store one shard: its occurrences, the distinct blobs among them, and last the marker with the counts."""
    store, name = Store(task["store"]), task["shard"]
    source: Source = TypeAdapter(Source).validate_python(task["source"])
    settings = IngestSettings(**task["settings"])
    reader = open_source(source)
    occurrences: list[pa.RecordBatch] = []
    seen: set[str] = set()
    total = 0
    with store.table_writer(f"blobs/{name}.parquet", BLOB) as write:
        for unit in (Unit(**entry) for entry in task["units"]):
            for batch in reader.read(unit, settings):
                rows, blobs = hash_batch(source.name, batch, seen)
                occurrences.append(rows)
                total += sum(blobs["bytes"].to_pylist())
                if blobs.num_rows:
                    write(blobs)
    table = pa.Table.from_batches(occurrences, schema=OCCURRENCE)
    store.write(f"occurrences/{name}.parquet", table)
    counts = {"occurrences": table.num_rows, "blobs": len(seen), "bytes": total}
    store.write_json(f"ingested/{name}.json", counts)
    return counts


def hash_batch(source: str, batch: pa.RecordBatch, seen: set[str]) -> tuple[pa.RecordBatch, pa.Table]:
    """Occurrences of a raw batch, and those of its blobs that are not in `seen`, which is updated."""
    columns: dict[str, list[Any]] = {name: [] for name in OCCURRENCE.names}
    blobs: dict[str, list[Any]] = {name: [] for name in BLOB.names}
    raw = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    for index in range(batch.num_rows):
        content, problem, size = raw["content"][index], raw["problem"][index], raw["bytes"][index]
        key: str | None = None
        if content is not None:
            key = blob_id(content)
            problem = problem or content_problem(content)
            if key not in seen:
                seen.add(key)
                row = (key, git_blob(content), None if problem else content, size, problem)
                for name, value in zip(BLOB.names, row, strict=True):
                    blobs[name].append(value)
        place = [raw[name][index] for name in ("repo", "revision", "path", "origin")]
        columns["occurrence_id"].append(occurrence_id(source, *place, key or ""))
        columns["source"].append(source)
        columns["blob_id"].append(key)
        columns["problem"].append(problem)
        for name in ("repo", "revision", "path", "origin", "bytes", *FACTS):
            columns[name].append(raw[name][index])
    return pa.RecordBatch.from_pydict(columns, schema=OCCURRENCE), pa.Table.from_pydict(blobs, schema=BLOB)


def content_problem(content: bytes) -> str | None:
    """Why these bytes are no text: `empty`, `binary` (a NUL early on, as git judges), `undecodable`; or None."""
    if not content.strip():
        return "empty"
    if b"\0" in content[:SNIFF_BYTES]:
        return "binary"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "undecodable"
    return None


def assign_owners(store: Store) -> None:
    """Give every blob one owning shard, the first in the order of the plans: annotators visit it there alone.

    Owners never change, so shards that have theirs are left as they are.
    """
    order = [entry["name"] for path in store.files("plans", ".json") for entry in store.read_json(path)["shards"]]
    complete = {path.removeprefix("ingested/").removesuffix(".json") for path in store.files("ingested", ".json")}
    owned = {path.removeprefix("owners/").removesuffix(".parquet") for path in store.files("owners", ".parquet")}
    waiting = [name for name in order if name in complete and name not in owned]
    if not waiting:
        return
    taken = KeyIndex(join_keys(_blob_keys(store, f"owners/{name}.parquet") for name in sorted(owned)))
    held = [_blob_keys(store, f"blobs/{name}.parquet") for name in waiting]
    sizes = [len(keys) for keys in held]
    keys = join_keys(held)
    del held
    mine = taken.find(keys) < 0
    rows = keys.order()
    mine[rows[~keys.starts(rows)]] = False  # of equal ones the first comes first in the order
    for name, here in zip(waiting, np.split(mine, np.cumsum(sizes)[:-1]), strict=True):
        blobs = store.read(f"blobs/{name}.parquet", ["blob_id"]).combine_chunks()
        store.write(f"owners/{name}.parquet", blobs.filter(pa.array(here)))


def _blob_keys(store: Store, file: str) -> Keys:
    return keys_of(store.read(file, ["blob_id"])["blob_id"])


def owning(store: Store, shards: Sequence[str]) -> list[str]:
    """The shards that own a blob which one of these shards holds, sorted."""
    index = KeyIndex(join_keys(_blob_keys(store, f"occurrences/{shard}.parquet") for shard in shards))
    paths = store.files("owners", ".parquet")
    return [
        path.removeprefix("owners/").removesuffix(".parquet")
        for path in paths
        if (index.find(_blob_keys(store, path)) >= 0).any()
    ]


def owners(store: Store, blobs: pa.Array) -> dict[str, pa.Array]:
    """Which shard owns which of these blobs: shard -> blob ids, in the order the shard holds them."""
    paths = store.files("owners", ".parquet")
    held = [store.read(path)["blob_id"].combine_chunks() for path in paths]
    # One call for all, since each builds a hash table of `blobs`.
    wanted = pc.is_in(pa.chunked_array(held, pa.string()), value_set=blobs)
    found: dict[str, pa.Array] = {}
    start = 0
    for path, ids in zip(paths, held, strict=True):
        mine = ids.filter(wanted.slice(start, len(ids)).combine_chunks())
        start += len(ids)
        if len(mine):
            found[path.removeprefix("owners/").removesuffix(".parquet")] = mine
    return found


def contents(store: Store, shard: str, wanted: pa.Array | None, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The shard's blobs that have content (of those `wanted`, if given) as batches with these columns."""
    need = list(dict.fromkeys(["blob_id", "problem", *columns]))
    for batch in store.batches(f"blobs/{shard}.parquet", need):
        mask = pc.is_null(batch.column("problem"))
        if wanted is not None:
            mask = pc.and_(mask, pc.is_in(batch.column("blob_id"), value_set=wanted))
        if mask.true_count:
            yield batch.filter(mask).select(list(columns))
