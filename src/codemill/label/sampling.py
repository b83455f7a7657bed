"""Draws the files an oracle shall rate: so many of each language, at random, the same ones for the same seed.

The order is that of a hash over seed and blob, so it depends on nothing but the files themselves: a larger sample
contains the smaller one, and answers to it are reused.
"""

import glob
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from codemill.annotate import build
from codemill.annotate.language import UNKNOWN
from codemill.annotate.run import run_annotators
from codemill.engine import Engine
from codemill.errors import InputError
from codemill.label.settings import SampleSettings
from codemill.quality.table import SAMPLE
from codemill.schema import OCCURRENCE, blob_id, git_blob
from codemill.sources.ingest import content_problem, contents, owners
from codemill.store import Store

_CANDIDATE = [name for name in SAMPLE.names if name not in {"git_blob", "content"}]
_BATCH_ROWS = 512
STRATA = {"language": "language", "category": "name"}  # annotator -> the field that names a stratum


@dataclass
class Sample:
    """What was drawn.

    Attributes:
        table: schema `SAMPLE`, ordered by language, then rank.
        seen: files looked at.
        skipped: reason -> files that could not be drawn.
        available: language -> distinct files that could have been.
        drawn: language -> files in the table.
        wanted: language -> files the settings ask for.
    """

    table: pa.Table
    seen: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    available: Counter[str] = field(default_factory=Counter)
    drawn: dict[str, int] = field(default_factory=dict)
    wanted: dict[str, int] = field(default_factory=dict)

    def short(self) -> dict[str, int]:
        """Language -> how many files fewer than asked for there were."""
        gaps = {name: size - self.drawn.get(name, 0) for name, size in self.wanted.items()}
        return {name: gap for name, gap in gaps.items() if gap > 0}


def draw(settings: SampleSettings, engine: Engine | None = None) -> Sample:
    """Draw the sample from a store (languages of files, or categories of pages, by their annotator, run where missing)
    or from a table.

    Raises:
        InputError: there is no such source, it lacks columns, or nothing could be drawn.
        StoreError: the store can't be read or written.
    """
    picker = _Picker(settings)
    if Path(settings.source, "codemill.json").is_file() or (
        "://" in settings.source and not settings.source.endswith((".parquet", ".jsonl", ".json"))
    ):
        table = _from_store(Store(settings.source), settings, engine or Engine(), picker)
    else:
        table = _from_table(settings, picker)
    sample = picker.sample
    sample.table = table.cast(SAMPLE)
    sample.drawn = dict(Counter(table["language"].to_pylist()))
    known = set(sample.available) | set(settings.sizes)
    sample.wanted = {name: size for name in sorted(known) if (size := picker.size(name))}
    if not table.num_rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sample.skipped.most_common()) or "none seen"
        raise InputError(f"sample.source {settings.source}: expected files to draw, got none ({reasons})")
    return sample


class _Picker:
    """Keeps the lowest ranks of each language while candidates pass by; memory holds the sample and one batch."""

    def __init__(self, settings: SampleSettings) -> None:
        self.settings = settings
        self.sample = Sample(SAMPLE.empty_table())
        self.kept: pa.Table | None = None
        self._seen: dict[str, set[bytes]] = {}

    def size(self, language: str) -> int:
        """How many files of a language are wanted. Files of no known language are drawn only when asked for."""
        default = 0 if language == UNKNOWN else self.settings.per_language
        return self.settings.sizes.get(language, default)

    def add(self, candidates: pa.Table) -> None:
        """Take the columns of `_CANDIDATE`, and `content` where it is at hand."""
        sizes = candidates["bytes"].to_numpy()
        fits = (sizes >= self.settings.min_bytes) & (sizes <= self.settings.max_bytes)
        self.sample.skipped["of another size"] += int((~fits).sum())
        languages = candidates["language"].to_pylist()
        named = np.array([self.size(language) > 0 for language in languages], dtype=bool)
        self.sample.skipped["of a language not asked for"] += int((fits & ~named).sum())
        candidates = candidates.filter(pa.array(fits & named))
        if not candidates.num_rows:
            return
        for language, blob in zip(candidates["language"].to_pylist(), candidates["blob_id"].to_pylist(), strict=True):
            # Half of the hash is enough to tell files apart, and a third of the memory.
            seen = self._seen.setdefault(language, set())
            key = bytes.fromhex(blob[:24])
            if key in seen:
                self.sample.skipped["a duplicate"] += 1
            else:
                seen.add(key)
                self.sample.available[language] += 1
        table = candidates.append_column("rank", pa.array(ranks(candidates["blob_id"].to_pylist(), self.settings.seed)))
        both = table if self.kept is None else pa.concat_tables([self.kept, table])
        self.kept = self._cut(both)

    def _cut(self, table: pa.Table) -> pa.Table:
        keys = ("language", "rank", "blob_id", "repo", "path")
        order = pc.sort_indices(table.select(keys), [(name, "ascending") for name in keys])
        languages = np.array(table["language"].take(order).to_pylist(), dtype=object)
        blobs = np.array(table["blob_id"].take(order).to_pylist(), dtype=object)
        same_language = np.concatenate([[False], languages[1:] == languages[:-1]])
        first = ~(same_language & np.concatenate([[False], blobs[1:] == blobs[:-1]]))
        order, languages = order.to_numpy()[first], languages[first]
        starts = np.flatnonzero(np.concatenate([[True], languages[1:] != languages[:-1]]))
        place = np.arange(len(languages)) - np.repeat(starts, np.diff([*starts, len(languages)]))
        limits = np.array([self.size(language) for language in languages])
        return table.take(pa.array(order[place < limits]))


def ranks(blobs: list[str], seed: int) -> np.ndarray:
    """A pseudo-random uint64 for each blob id: the finalizer of SplitMix64 over the id's first 64 bits and the seed."""
    values = np.array([int(blob[:16], 16) for blob in blobs], dtype=np.uint64)
    start = (seed + 1) * 0x9E3779B97F4A7C15 % 2**64
    with np.errstate(over="ignore"):
        values = values ^ np.uint64(start)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def _from_store(store: Store, settings: SampleSettings, engine: Engine, picker: _Picker) -> pa.Table:
    store.require()
    shards = [path.removeprefix("ingested/").removesuffix(".json") for path in store.files("ingested", ".json")]
    with store.lock():
        annotation = run_annotators(store, engine, shards, [build(settings.by)])[settings.by]
    field = STRATA[settings.by]
    columns = ["occurrence_id", "blob_id", "repo", "path", "bytes", "problem"]
    schema = annotation.annotator.schema()
    for shard in shards:
        rows = store.read_all([f"occurrences/{shard}.parquet"], OCCURRENCE, columns)
        picker.sample.seen += rows.num_rows
        usable = pc.and_(pc.is_null(rows["problem"]), pc.is_valid(rows["blob_id"]))
        picker.sample.skipped["without text"] += rows.num_rows - (pc.sum(usable).as_py() or 0)
        rows = rows.filter(usable)
        languages = store.read_all([f"{annotation.folder}/{shard}.parquet"], schema, ["occurrence_id", field])
        index = pc.index_in(rows["occurrence_id"], value_set=languages["occurrence_id"].combine_chunks())
        rows = rows.append_column("language", languages[field].take(index))
        picker.sample.skipped["without a language"] += rows["language"].null_count
        picker.add(rows.filter(pc.is_valid(rows["language"])).select(_CANDIDATE))
    if picker.kept is None:
        return SAMPLE.empty_table()
    wanted = pc.unique(picker.kept["blob_id"].combine_chunks())
    batches: list[pa.RecordBatch] = []
    for shard, ids in owners(store, wanted).items():
        batches += contents(store, shard, ids, ["blob_id", "git_blob", "content"])
    held = pa.Table.from_batches(batches)
    index = pc.index_in(picker.kept["blob_id"], value_set=held["blob_id"].combine_chunks())
    table = picker.kept
    for name in ("git_blob", "content"):
        table = table.append_column(name, held[name].take(index))
    return table.select(SAMPLE.names)


def _from_table(settings: SampleSettings, picker: _Picker) -> pa.Table:
    for batch in _batches(settings):
        rows = []
        paths, languages = batch.get("path"), batch.get("language")
        picker.sample.seen += len(batch["content"])
        for index, content in enumerate(batch["content"]):
            value = content.encode("utf-8", "replace") if isinstance(content, str) else content
            if value is None or content_problem(value) is not None:
                picker.sample.skipped["without text"] += 1
                continue
            path = paths[index] if paths else None
            language = languages[index] if languages else None
            rows.append(
                {
                    "blob_id": blob_id(value),
                    "language": language or _language(path, value),
                    "repo": batch["repo"][index] if "repo" in batch else None,
                    "path": path,
                    "bytes": len(value),
                    "content": value,
                }
            )
        if rows:
            schema = pa.schema([SAMPLE.field(name) for name in (*_CANDIDATE, "content")])
            picker.add(pa.Table.from_pylist(rows, schema=schema))
    if picker.kept is None:
        return SAMPLE.empty_table()
    git = pa.array([git_blob(value) for value in picker.kept["content"].to_pylist()], pa.string())
    return picker.kept.append_column("git_blob", git).select(SAMPLE.names)


def _language(path: str | None, content: bytes) -> str:
    if path is None:
        return UNKNOWN
    import enry

    return enry.get_language(path, content) or UNKNOWN


def _batches(settings: SampleSettings) -> Iterator[dict[str, list[Any]]]:
    """The table's columns under our names, a batch at a time."""
    files = sorted(glob.glob(settings.source, recursive=True))  # noqa: PTH207 - patterns may be absolute
    if not files:
        raise InputError(f"sample.source: expected a store or a table, got nothing at {settings.source!r}")
    kind = "parquet" if files[0].endswith(".parquet") else "json"
    if Path(files[0]).is_dir():
        raise InputError(f"sample.source: expected a store or a table, got a folder that is none: {files[0]!r}")
    try:
        data = ds.dataset(files, format=kind)
        names = {ours: settings.columns.get(ours, ours) for ours in ("content", "language", "path", "repo")}
        unknown = set(settings.columns) - set(names)
        missing = [theirs for ours, theirs in settings.columns.items() if theirs not in data.schema.names]
        if unknown or missing or names["content"] not in data.schema.names:
            raise InputError(
                f"sample.columns: expected content, language, path, repo -> columns of the table"
                f" ({', '.join(data.schema.names)}), got {settings.columns}"
            )
        names = {ours: theirs for ours, theirs in names.items() if theirs in data.schema.names}
        if not {"language", "path"} & set(names):
            raise InputError(f"sample.source: expected a column language or path, got {', '.join(data.schema.names)}")
        for batch in data.to_batches(columns=list(dict.fromkeys(names.values())), batch_size=_BATCH_ROWS):
            yield {ours: batch.column(theirs).to_pylist() for ours, theirs in names.items()}
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"sample.source {settings.source}: expected a readable table, got {error}") from error
