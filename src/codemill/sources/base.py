"""What every source offers: units, which are planned, and rows, which are read.

A unit is a piece of a source that is ingested as a whole: a repository at a revision, a range of its files, a range of
rows of a table. Its `state` changes when its content may have changed, so that a later run knows what is new.
"""

import glob
import os
import posixpath
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from codemill.errors import InputError
from codemill.recipe import IngestSettings
from codemill.schema import FACTS, RAW, digest

SNIFF_BYTES = 8000  # as git does: a NUL in the first 8,000 bytes makes a file binary


@dataclass(frozen=True)
class Unit:
    """A piece of a source.

    Attributes:
        repo: name of the repository, or of the table's file.
        revision: commit for git, empty elsewhere.
        location: where the reader finds it.
        state: changes when the content may have changed.
        start, stop: range of entries in the order of the reader.
        weight: bytes of content in the range, about.
    """

    repo: str
    revision: str
    location: str
    state: str
    start: int
    stop: int
    weight: int

    def key(self, source: str) -> str:
        """Identity of the unit in a store."""
        parts = (source, self.repo, self.revision, self.location, self.state, str(self.start), str(self.stop))
        return digest(parts)


def stamp(state: str, settings: IngestSettings) -> str:
    """The state as units carry it once planned: content limits change what a shard holds, so they belong to it."""
    return digest((state, str(settings.max_bytes)))


def with_facts(state: str, facts: dict[str, Any] | None) -> str:
    """The state of a repository with its facts: rows hold them, so new facts are a reason to read again."""
    return f"{state}-{digest(f'{name}={value}' for name, value in sorted(facts.items()))}" if facts else state


class UnitLister(Protocol):
    """Lists units: all that planning wants of a source, whatever it holds."""

    def units(self, settings: IngestSettings) -> Iterator[Unit]:
        """The units there are now, in a fixed order, none much heavier than `settings.shard_bytes`."""


class SourceReader(UnitLister, Protocol):
    """Lists units and reads one of them."""

    def read(self, unit: Unit, settings: IngestSettings) -> Iterator[pa.RecordBatch]:
        """The rows of a unit (schema `RAW`), every entry exactly once: with content, or with a problem."""


@dataclass
class RowBuffer:
    """Collects rows and hands them out as batches of bounded size."""

    repo: str
    revision: str
    facts: dict[str, Any]
    limit_bytes: int = 16_000_000
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _size: int = 0

    def add(self, path: str, content: bytes | None, size: int, problem: str | None = None, origin: str = "") -> bool:
        """Append a row; True when the buffer should be flushed."""
        text = clean_text(path)
        if text != path:
            # Two names may look alike once cleaned: the exact bytes keep their rows apart.
            origin = f"{origin}%{urllib.parse.quote(os.fsencode(path))}"
        self._rows.append(
            {
                "repo": self.repo,
                "revision": self.revision,
                "path": text,
                "origin": origin,
                "content": content,
                "bytes": size,
                "problem": problem,
                **self.facts,
            }
        )
        self._size += len(content) if content is not None else 200
        return self._size >= self.limit_bytes

    def flush(self) -> pa.RecordBatch:
        batch = pa.RecordBatch.from_pylist(self._rows, schema=RAW)
        self._rows, self._size = [], 0
        return batch


def clean_text(text: str) -> str:
    """Text as valid UTF-8: what is none (bytes of a file name as surrogates, lone surrogates) becomes U+FFFD."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that stand for no byte, as JSON may hold
        raw = text.encode("utf-8", "surrogatepass")
    return raw.decode("utf-8", "replace")


def link_problem(path: str, target: str) -> str:
    """Which problem a link at `path` of a repository has that points to `target`: links are never followed."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    outside = target.startswith("/") or place == ".." or place.startswith("../")
    return "symlink_outside" if outside else "symlink"


def find_places(path: str) -> list[tuple[str, Path]]:
    """What a local path or glob names, each with a name: what the wildcards matched.

    `/data/*/repo` gives `owner+name` for `/data/owner+name/repo`, `/data/*/*` gives `owner/name`. A path that exists
    as written is no glob and is named by its last part.

    Raises:
        InputError: nothing is there.
    """
    literal = Path(path)
    if literal.exists() or not glob.has_magic(path):
        if not literal.exists():
            raise InputError(f"source {path}: expected a file or folder, got nothing there")
        return [(literal.resolve().name, literal)]
    parts = literal.parts
    wild = [index for index, part in enumerate(parts) if glob.has_magic(part)]
    fixed, tail = Path(*parts[: wild[0]]), len(parts) - 1 - wild[-1]
    # Path.glob swallows folders that can't be read and takes no absolute patterns.
    found = sorted(Path(place) for place in glob.glob(path, recursive=True, include_hidden=True))  # noqa: PTH207
    if not found:
        raise InputError(f"source {path}: expected something that matches, got nothing")
    names = [place.relative_to(fixed).parts for place in found]
    return [("/".join(name[: len(name) - tail]), place) for name, place in zip(names, found, strict=True)]


def split_ranges(sizes: list[int], limit_bytes: int, limit_files: int) -> Iterator[tuple[int, int, int]]:
    """Cut entries of these sizes into consecutive ranges (start, stop, bytes), each within the limits where it can."""
    start, total = 0, 0
    for index, size in enumerate(sizes):
        if index > start and (total + size > limit_bytes or index - start >= limit_files):
            yield start, index, total
            start, total = index, 0
        total += size
    if sizes:
        yield start, len(sizes), total


def load_facts(path: str | None) -> dict[str, dict[str, Any]]:
    """The sidecar table of repository facts: repo -> {fact: value}. Unknown columns are ignored.

    Raises:
        InputError: the table can't be read, has no column `repo`, or holds a fact of the wrong type.
    """
    if path is None:
        return {}
    try:
        if path.endswith(".parquet"):
            table = pa.parquet.read_table(path)
        elif path.endswith((".jsonl", ".json")):
            table = pa.json.read_json(path)
        else:
            table = pa.csv.read_csv(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"facts {path}: expected a readable Parquet, JSONL or CSV table, got {error}") from error
    if "repo" not in table.column_names:
        raise InputError(f"facts {path}: expected a column `repo`, got {', '.join(table.column_names)}")
    known = [name for name in FACTS if name in table.column_names]
    try:
        table = table.select(["repo", *known]).cast(pa.schema([RAW.field(name) for name in ("repo", *known)]))
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"facts {path}: expected facts of the documented types, got {error}") from error
    facts: dict[str, dict[str, Any]] = {}
    for row in table.to_pylist():
        repo = row.pop("repo")
        if repo in facts:
            raise InputError(f"facts {path}: expected one row per repo, got {repo} twice")
        facts[repo] = row
    return facts


def list_folder(path: Path) -> list[Path]:
    """What lies directly in a folder that the user named, sorted.

    Raises:
        InputError: it is no folder, or it can't be read.
    """
    try:
        return sorted(path.iterdir(), key=os.fsencode)
    except OSError as error:
        raise InputError(f"source {path}: expected a readable folder, got {error.strerror}") from error
