"""Reads one shard of pages: texts, where they were met, and what is known of them, in one pass over the archive."""

from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from codemill.engine import Task
from codemill.lexer import count_tokens
from codemill.schema import BLOB, OCCURRENCE, RAW
from codemill.sources.base import Unit, clean_text
from codemill.sources.ingest import hash_batch
from codemill.store import Store
from codemill.web.page import Page, read_page
from codemill.web.records import Others, Record
from codemill.web.settings import PageSettings, WebSource
from codemill.web.source import PageReader
from codemill.web.table import PageTable
from codemill.web.urls import split_url

BATCH_PAGES = 1000
BATCH_BYTES = 16_000_000


def read_shard(task: Task) -> Task:
    """Store one shard: its texts, occurrences and page table, and last the marker with the counts.

    The marker also counts records that are no pages, by type, so that all of an archive is accounted for.
    """
    store, name, table = Store(task["store"]), task["shard"], task["table"]
    source = TypeAdapter[Any](WebSource).validate_python(task["source"])
    reader = PageReader(source, PageSettings.model_validate(task["page"]))
    others = Others({})
    counts: dict[str, Any] = {"occurrences": 0, "blobs": 0, "bytes": 0}
    seen: set[str] = set()
    with (
        store.table_writer(f"blobs/{name}.parquet", BLOB) as write_blobs,
        store.table_writer(f"occurrences/{name}.parquet", OCCURRENCE) as write_occurrences,
        store.table_writer(table, PageTable.schema()) as write_rows,
    ):
        batch: list[tuple[str, Record, Page]] = []
        size = 0

        def flush() -> None:
            occurrences, blobs, rows = _tables(source.name, batch, seen)
            write_blobs(blobs)
            write_occurrences(occurrences)
            write_rows(rows)
            counts["occurrences"] += occurrences.num_rows
            counts["blobs"] += blobs.num_rows
            counts["bytes"] += sum(blobs["bytes"].to_pylist())
            batch.clear()

        for unit in (Unit(**entry) for entry in task["units"]):
            for record in reader.read(unit, others):
                page = read_page(record)
                batch.append((f"{unit.repo}#{record.offset}", record, page))
                size += len(page.text or b"")
                if len(batch) >= BATCH_PAGES or size >= BATCH_BYTES:
                    flush()
                    size = 0
        flush()
    counts["others"] = others.counts
    store.write_json(f"ingested/{name}.json", counts)
    return counts


def _tables(source: str, batch: list[tuple[str, Record, Page]], seen: set[str]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Occurrences, the blobs among them that are new, and rows of the page table."""
    raw: dict[str, list[Any]] = {name: [] for name in RAW.names}
    for origin, record, page in batch:
        host, path = split_url(record.url)
        row: dict[str, Any] = {
            "repo": clean_text(host),
            "revision": "",
            "path": clean_text(path),
            "origin": origin,
            "content": page.text,
            "bytes": len(page.text) if page.text is not None else record.size,
            "problem": page.problem,
        }
        for name in RAW.names:
            raw[name].append(row.get(name))
    occurrences, blobs = hash_batch(source, pa.RecordBatch.from_pydict(raw, schema=RAW), seen)
    tokens = count_tokens(pa.array([page.text for _, _, page in batch], pa.large_binary())).tolist()
    rows: list[dict[str, Any]] = [
        {"occurrence_id": key, **page.values, "tokens": count if page.text is not None else None, "error": None}
        for key, count, (_, _, page) in zip(occurrences.column("occurrence_id").to_pylist(), tokens, batch, strict=True)
    ]
    for row in rows:
        for name in ("url", "url_key", "host"):
            row[name] = clean_text(row[name])
    schema = PageTable.schema()
    return pa.Table.from_batches([occurrences]), blobs, pa.Table.from_pylist(rows, schema)
