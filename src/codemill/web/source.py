"""Archives of pages as units and records: WARC files in ranges of bytes, Parquet of pages in ranges of rows."""

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from codemill.engine import list_urls, plain_url
from codemill.errors import InputError
from codemill.recipe import IngestSettings
from codemill.schema import digest
from codemill.sources.base import Unit, find_places
from codemill.sources.files import PARQUET, footer_state, row_ranges
from codemill.sources.lines import open_location
from codemill.web.records import Others, Record, read_records
from codemill.web.settings import PAGE_COLUMNS, PageSettings, PagesSource, WarcSource
from codemill.web.table import VERSION

EXPANSION = 5  # how much HTML weighs unpacked, about
RANGED = (".warc.gz", ".wet.gz")  # one gzip member a record: may be read from the middle
WARC = re.compile(r"\.(warc|wet|wat)(\.(gz|zst|lz4))?$", re.IGNORECASE)
BATCH_ROWS = 512


class PageReader:
    """Lists and reads the units of a source of pages."""

    def __init__(self, source: WarcSource | PagesSource, page: PageSettings) -> None:
        self.source, self.page = source, page

    def units(self, settings: IngestSettings) -> Iterator[Unit]:
        """The units there are now, in a fixed order."""
        meaning = json.dumps([self.page.model_dump(), self.source.model_dump(exclude={"name", "path"}), VERSION])
        for location, name, size, stamp in self._files():
            state = digest((str(size), stamp, meaning))
            if self.source.kind == "pages":
                yield from self._row_units(location, name, state, settings)
                continue
            part = max(settings.shard_bytes // EXPANSION, 1 << 20)
            if not name.lower().endswith(RANGED):
                yield Unit(name, "", location, state, 0, max(size, 1), size)
                continue
            for start in range(0, max(size, 1), part):
                stop = min(start + part, max(size, 1))
                yield Unit(name, "", location, state, start, stop, (stop - start) * EXPANSION)

    def read(self, unit: Unit, others: Others) -> Iterator[Record]:
        """The pages of a unit. A file that can't be opened is one record with a problem."""
        try:
            stream = open_location(unit.location)
        except OSError:
            yield Record("", "", unit.start, None, problem="unreadable")
            return
        with stream:
            if self.source.kind == "pages":
                yield from self._rows(stream, unit)
            else:
                stop = unit.stop if unit.location.lower().endswith(RANGED) else None
                yield from read_records(stream, unit.start, stop, self.page.max_bytes, others)

    def _files(self) -> Iterator[tuple[str, str, int, str]]:
        """Where the files are, their names, bytes, and when they were changed."""
        path, suffix = self.source.path, WARC if self.source.kind == "warc" else PARQUET
        if "://" in path:
            for url, size in list_urls(path):
                name = posixpath.basename(plain_url(url)[0])
                if suffix.search(name):
                    yield url, name, size, ""
            return
        found = False
        for _, place in find_places(path):
            for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
                if file.is_file() and suffix.search(file.name):
                    found = True
                    info = file.stat()
                    yield str(file), file.name, info.st_size, str(info.st_mtime_ns)
        if not found:
            kinds = "WARC files (.warc, .warc.gz, .wet.gz …)" if self.source.kind == "warc" else "Parquet files"
            raise InputError(f"source {path}: expected {kinds}, got none")

    # -- Parquet ---------------------------------------------------------------------------------------------------

    def _columns(self, schema: pa.Schema, location: str) -> dict[str, str]:
        """Ours -> theirs, of those the file has.

        Raises:
            InputError: a column that the recipe names is missing, or there is neither HTML nor text.
        """
        assert isinstance(self.source, PagesSource)
        named = self.source.columns
        for ours, theirs in named.items():
            if theirs not in schema.names:
                raise InputError(f"source {location}: expected a column {theirs!r} for {ours}, got {schema.names}")
        found = {name: named.get(name, name) for name in PAGE_COLUMNS if named.get(name, name) in schema.names}
        if "url" not in found or not {"html", "text"} & set(found):
            raise InputError(
                f"source {location}: expected columns url and html or text (or `columns` that names them), "
                f"got {', '.join(schema.names)}"
            )
        return found

    def _row_units(self, location: str, name: str, state: str, settings: IngestSettings) -> Iterator[Unit]:
        try:
            with open_location(location) as stream:
                table = pq.ParquetFile(stream)
                metadata, schema = table.metadata, table.schema_arrow
        except (OSError, pa.ArrowException):
            yield Unit(name, "", location, f"{state}-unreadable", 0, 1, 0)
            return
        self._columns(schema, location)
        state = digest((state, footer_state(metadata)))
        for start, stop, weight in row_ranges(metadata, settings.shard_bytes):
            yield Unit(name, "", location, state, start, stop, weight)

    def _rows(self, stream: BinaryIO, unit: Unit) -> Iterator[Record]:
        try:
            table = pq.ParquetFile(stream)
        except (OSError, pa.ArrowException):
            yield Record("", "", 0, None, problem="unreadable")
            return
        columns = self._columns(table.schema_arrow, unit.location)
        first = 0
        for index in range(table.metadata.num_row_groups):
            start, first = first, first + table.metadata.row_group(index).num_rows
            if not unit.start <= start < unit.stop:
                continue
            done = start
            try:
                for batch in table.iter_batches(BATCH_ROWS, row_groups=[index], columns=list(columns.values())):
                    for row in batch.to_pylist():
                        yield self._record({ours: row[theirs] for ours, theirs in columns.items()}, done)
                        done += 1
            except (OSError, pa.ArrowException):
                yield Record("", "", done, None, problem="unreadable")

    def _record(self, row: dict[str, Any], number: int) -> Record:
        html, text = row.get("html"), row.get("text")
        is_text = html is None
        value = text if is_text else html
        url, date = str(row.get("url") or ""), str(row.get("date") or "")
        if not isinstance(value, str | bytes):
            return Record(url, date, number, None, problem="missing_object" if value is None else "invalid_row")
        # Text of a table is decoded already, whatever the page says of its encoding.
        data = value.encode("utf-8", "replace") if isinstance(value, str) else value
        charset = "utf-8" if isinstance(value, str) else None
        if len(data) > self.page.max_bytes:
            return Record(url, date, number, None, len(data), problem="too_large")
        return Record(url, date, number, data, len(data), charset=charset, is_text=is_text)
