"""Tables of files (Parquet, JSON lines) as a source: local, or remote through the engine's own readers.

A row may be a file, or a repository with a list of files. A broken file or line is a row with a problem; a column that
is missing or can't be meant is the user's mistake and ends the run before it begins.
"""

import functools
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codemill.engine import list_urls, plain_url
from codemill.recipe import IngestSettings, TableSource
from codemill.schema import digest
from codemill.sources.base import RowBuffer, Unit, clean_text, find_places, load_facts
from codemill.sources.columns import Mapping, Place, finish, json_columns, json_rows, load_layouts, map_schema, unfold
from codemill.sources.directories import list_entries
from codemill.sources.files import PARQUET, TABLE, footer_state, row_ranges
from codemill.sources.lines import BROKEN, LINE_LIMIT, lines, open_location, unpacked

BATCH_BYTES = 16_000_000
EXPANSION = 5  # how much compressed JSON grows, about
WHOLE = (0, 1)  # the range of a unit that is a whole file of JSON lines


class TableReader:
    """Reads tables. A unit is a range of rows (Parquet, at row groups) or of bytes (JSON lines), or a whole file."""

    def __init__(self, settings: TableSource) -> None:
        self.settings = settings
        self.layouts = load_layouts(settings)
        self.facts = load_facts(settings.facts)

    def units(self, settings: IngestSettings) -> Iterator[Unit]:
        # What columns mean decides what rows hold, as the file itself does.
        meaning = json.dumps([self.layouts.options, digest(sorted(map(str, self.facts.items())))])
        for location, (name, size, stamp, problem) in self._files.items():
            repo = clean_text(TABLE.sub("", name))
            state = digest((str(size), stamp, str(problem), meaning))
            if problem is not None:
                yield Unit(repo, "", location, state, *WHOLE, 0)
            elif PARQUET.search(name):
                yield from self._parquet_units(location, repo, state, settings)
            else:
                part = max(settings.shard_bytes, 1 << 20)
                if size <= part or not name.lower().endswith(("jsonl", "json")):
                    weight = size if size <= part else size * EXPANSION
                    yield Unit(repo, "", location, state, *WHOLE, weight)
                    continue
                for start in range(0, size, part):
                    yield Unit(repo, "", location, state, start, min(start + part, size), min(part, size - start))

    def read(self, unit: Unit, settings: IngestSettings) -> Iterator[pa.RecordBatch]:
        name, _, _, problem = self._files.get(unit.location, (posixpath.basename(unit.location), 0, "", None))
        place = Place(self.settings.name, clean_text(name), unit.repo)
        if problem is not None:
            yield _fault(place, problem)
        elif PARQUET.search(name):
            yield from self._read_parquet(unit, place, settings)
        else:
            yield from self._read_json(unit, place, settings)

    @functools.cached_property
    def _files(self) -> dict[str, tuple[str, int, str, str | None]]:
        """Where the files are -> name below the source, bytes, when they were changed, why they can't be read."""
        path = self.settings.path
        if "://" in path:
            return self._remote_files(path)
        files: dict[str, tuple[str, int, str, str | None]] = {}
        for name, place in find_places(path):
            if not place.is_dir():
                info = place.stat()
                problem = None if TABLE.search(place.name) else "unreadable"
                files[str(place)] = (place.name, info.st_size, str(info.st_mtime_ns), problem)
                continue
            prefix = "" if str(place) == str(Path(path)) else f"{name}/"
            for entry in list_entries(place):
                problem = entry.problem or (None if TABLE.search(entry.path) else "unreadable")
                files[str(place / entry.path)] = (f"{prefix}{entry.path}", entry.size, str(entry.mtime), problem)
        return files

    def _remote_files(self, path: str) -> dict[str, tuple[str, int, str, str | None]]:
        found = list_urls(path)
        # Named from the part before the first wildcard, so that files that come later rename none.
        fixed = re.split(r"[*?\[{]", plain_url(path)[0], maxsplit=1)[0].rpartition("/")[0]
        return {
            url: (name.removeprefix(f"{fixed}/"), size, "", None if TABLE.search(name) else "unreadable")
            for url, size in found
            for name in [plain_url(url)[0]]
        }

    # -- Parquet -----------------------------------------------------------------------------------------------------

    def _parquet_units(self, location: str, repo: str, state: str, settings: IngestSettings) -> Iterator[Unit]:
        try:
            with open_location(location) as stream:
                table = pq.ParquetFile(stream)
                metadata, schema = table.metadata, table.schema_arrow
        except (OSError, pa.ArrowException):
            yield Unit(repo, "", location, f"{state}-unreadable", *WHOLE, 0)
            return
        map_schema(self.layouts, schema, location)
        state = digest((state, footer_state(metadata)))  # remote files have no time of change
        for start, stop, weight in row_ranges(metadata, settings.shard_bytes):
            yield Unit(repo, "", location, state, start, stop, weight)

    def _read_parquet(self, unit: Unit, place: Place, settings: IngestSettings) -> Iterator[pa.RecordBatch]:
        try:
            stream = open_location(unit.location)
        except OSError:
            yield _fault(place, "unreadable")
            return
        with stream:
            try:
                table = pq.ParquetFile(stream)
            except (OSError, pa.ArrowException):
                yield _fault(place, "unreadable")
                return
            mapping = map_schema(self.layouts, table.schema_arrow, unit.location)
            first = 0
            for index in range(table.metadata.num_row_groups):
                start, first = first, first + table.metadata.row_group(index).num_rows
                if unit.start <= start < min(unit.stop, first):
                    for batch in _read_group(table, index, start, mapping, place, settings.max_bytes):
                        yield self._with_facts(batch)

    # -- JSON lines --------------------------------------------------------------------------------------------------

    def _read_json(self, unit: Unit, place: Place, settings: IngestSettings) -> Iterator[pa.RecordBatch]:
        buffer = _Lines(self, place, settings.max_bytes)
        done = 0
        try:
            with open_location(unit.location) as packed, unpacked(packed, unit.location) as stream:
                for offset, line in lines(stream, unit.start, None if (unit.start, unit.stop) == WHOLE else unit.stop):
                    done = offset + len(line)
                    if buffer.add(offset, line):
                        yield self._with_facts(buffer.flush())
        except BROKEN:
            yield self._with_facts(buffer.flush())
            yield _fault(place, "unreadable", f"@{done}")
            return
        yield self._with_facts(buffer.flush())

    def _with_facts(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The sidecar's facts over those of the table."""
        if not self.facts:
            return batch
        given = [self.facts.get(repo, {}) for repo in batch.column("repo").to_pylist()]
        columns = {name: batch.column(name) for name in batch.schema.names}
        for name in {name for facts in given for name in facts}:
            own = pa.array([facts.get(name) for facts in given], batch.schema.field(name).type)
            columns[name] = pc.coalesce(own, columns[name])
        return pa.RecordBatch.from_pydict(columns, schema=batch.schema)


class _Lines:
    """Collects parsed lines until there are enough for a batch."""

    def __init__(self, reader: TableReader, place: Place, max_bytes: int) -> None:
        self.reader, self.place, self.max_bytes = reader, place, max_bytes
        self.rows: list[dict[str, Any]] = []
        self.origins: list[str] = []
        self.problems: list[str | None] = []
        self.size = 0

    def add(self, offset: int, line: bytes) -> bool:
        """Take a line; True when there is enough."""
        where = f"{self.place.file}#@{offset}"
        self.size += len(line)
        try:
            value = json.loads(line) if len(line) < LINE_LIMIT else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._append({"content": None}, where, "invalid_row")
            return self.size >= BATCH_BYTES
        rows = json_rows(value, self.reader.layouts)
        for index, row in enumerate(rows):
            self._append(row, where if len(rows) == 1 else f"{where}.{index}", None)
        return self.size >= BATCH_BYTES

    def _append(self, row: dict[str, Any], origin: str, problem: str | None) -> None:
        self.rows.append(row)
        self.origins.append(origin)
        self.problems.append(problem)

    def flush(self) -> pa.RecordBatch:
        if not self.rows:
            return RowBuffer("", "", {}).flush()
        columns, problems = json_columns(self.rows, self.place)
        problems = pc.coalesce(pa.array(self.problems, pa.string()), problems)
        origins = pa.array(self.origins, pa.string())
        self.rows, self.origins, self.problems, self.size = [], [], [], 0
        return finish(columns, origins, self.place, self.max_bytes, problems)


def _read_group(  # noqa: PLR0917 - all six are needed, and named where it is called
    table: pq.ParquetFile, index: int, start: int, mapping: Mapping, place: Place, max_bytes: int
) -> Iterator[pa.RecordBatch]:
    """The rows of a row group whose first is number `start`; where it breaks off, one row for the rest of it."""
    group = table.metadata.row_group(index)
    rows = max(1, min(8192, BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)))
    done = start
    try:
        for batch in table.iter_batches(rows, row_groups=[index], columns=mapping.tops()):
            yield unfold(batch, mapping, place, done, max_bytes)
            done += batch.num_rows
    except (OSError, pa.ArrowException):
        yield _fault(place, "unreadable", f"{done}-{start + group.num_rows - 1}")


def _fault(place: Place, problem: str, part: str = "") -> pa.RecordBatch:
    """One row for a file, or the part of it, that can't be read."""
    buffer = RowBuffer(place.repo, "", {})
    buffer.add("", None, 0, problem, f"{place.file}#{part}" if part else place.file)
    return buffer.flush()
