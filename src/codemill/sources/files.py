"""Finds the files of tables that a folder, glob or URL names: what all readers of rows and documents go through."""

import io
import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from codemill.engine import list_urls, plain_url
from codemill.errors import InputError
from codemill.schema import blob_id
from codemill.sources.base import find_places, split_ranges

PARQUET = re.compile(r"\.(parquet|parq)$", re.IGNORECASE)
JSON_LINES = re.compile(r"\.(jsonl|ndjson|json)(\.(zst|gz))?$", re.IGNORECASE)
TABLE = re.compile(rf"({JSON_LINES.pattern})|({PARQUET.pattern})", re.IGNORECASE)


class File(NamedTuple):
    """A file that was found.

    Attributes:
        path: path or URL.
        bytes: its size.
        changed: time of change in nanoseconds; empty for remote files, which have none.
    """

    path: str
    bytes: int
    changed: str


def find_files(path: str, label: str, inside: re.Pattern[str] | None = None) -> list[File]:
    """The files that a folder (with all below it), file, glob or URL names, sorted by path.

    Args:
        path: a URL without wildcards and suffix is a folder.
        label: how messages begin.
        inside: which files below a folder count, by their names; none: all. What is named itself or by a wildcard is
            given whatever its suffix, so that its reader can say what is wrong with it. Hidden files count only where
            they are named.

    Raises:
        InputError: nothing is there.
    """
    if "://" in path:
        return _remote(path, inside)
    try:
        places = [place for _, place in find_places(path)]
    except InputError as error:
        raise InputError(f"{label}: expected a file or folder, got none at {path}") from error
    files = {place for place in places if place.is_file() and (place == Path(path) or not place.name.startswith("."))}
    for folder in places:
        if folder.is_dir():
            below = (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
            files.update(file for file in below if inside is None or inside.search(file.name))
    return sorted(_local(file) for file in files)


def _local(file: Path) -> File:
    info = file.stat()
    return File(str(file), info.st_size, str(info.st_mtime_ns))


def _remote(url: str, inside: re.Pattern[str] | None) -> list[File]:
    plain = plain_url(url)[0]
    folder = not re.search(r"[*?\[{]|\.\w+$", plain)
    found = list_urls(f"{plain.rstrip('/')}/{url[len(plain) :]}" if folder else url)
    chosen = (one for one in found if not folder or inside is None or inside.search(plain_url(one[0])[0]))
    return sorted(File(place, size, "") for place, size in chosen)


def row_ranges(metadata: pq.FileMetaData, limit_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Cut a Parquet file at row groups into ranges of rows (start, stop, bytes), each within the limit where it can."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows = list(accumulate((group.num_rows for group in groups), initial=0))
    for first, last, weight in split_ranges([one.total_byte_size for one in groups], limit_bytes, len(groups) + 1):
        if rows[last] > rows[first]:
            yield rows[first], rows[last], weight


def footer_state(metadata: pq.FileMetaData) -> str:
    """A hash of sizes and statistics of every column: changes with the file, where there is no time of change."""
    footer = io.BytesIO()
    metadata.write_metadata_file(footer)
    return blob_id(footer.getvalue())
