"""Benchmarks as texts: which fields of which files hold problems, solutions and tests (`data/benchmarks.toml`)."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from codemill.errors import InputError, MissingExtra
from codemill.recipe import Strict, parse_settings
from codemill.sources.files import JSON_LINES, PARQUET
from codemill.sources.lines import BROKEN, lines, open_location, unpacked


class Layout(Strict):
    """Where a benchmark is and which of its fields hold what; `data/benchmarks.toml` says it of the known ones."""

    family: str = Field("", description="benchmarks that share problems by their ids; empty: its own")
    hub: str = Field("", description="id of the dataset")
    config: str = Field("", description="configuration of the dataset")
    splits: tuple[str, ...] = Field((), description="splits to read; none: all")
    files: tuple[str, ...] = Field((), description="other names that its files bear")
    id: str = Field("", description="field that names the problem; empty: problems are numbered")
    strip: str = Field("", description="cut from the front of an id")
    documents: tuple[tuple[str, ...], ...] = Field(min_length=1, description="fields, each list one text")


@dataclass(frozen=True)
class Problem:
    """One problem of a benchmark: its id and its texts (statement, solution, tests)."""

    id: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark to index: what it is called, where its rows come from, and what its fields hold."""

    name: str
    place: str
    layout: Layout

    @property
    def family(self) -> str:
        """What other benchmarks with the same problems are called, too."""
        return self.layout.family or self.name

    def problems(self) -> Iterator[Problem]:
        """Every problem.

        Raises:
            InputError: the rows can't be read, or hold none of the fields that should be texts.
            MissingExtra: the dataset is on the hub and `datasets` is not installed.
        """
        found = 0
        rows = -1
        for rows, row in enumerate(_rows(self)):
            texts = [
                "\n".join(part for field in document for part in text_of(_field(row, field)))
                for document in self.layout.documents
            ]
            found += any(texts)
            name = _field(row, self.layout.id) if self.layout.id else rows
            if not isinstance(name, str | int):
                raise InputError(
                    f"benchmark {self.name}: row {rows + 1}: expected an id in {self.layout.id!r}, got {name!r}"
                )
            yield Problem(str(name).removeprefix(self.layout.strip), tuple(text for text in texts if text))
        if not found:
            wanted = ", ".join(field for document in self.layout.documents for field in document)
            raise InputError(
                f"benchmark {self.name}: expected text in one of the fields {wanted}, got none in {rows + 1} rows of "
                f"{self.place}"
            )


@cache
def known() -> dict[str, Layout]:
    """The layouts of `data/benchmarks.toml` by name."""
    table = tomllib.loads(files("codemill.data").joinpath("benchmarks.toml").read_text(encoding="utf-8"))
    return {name: parse_settings(Layout, values, name) for name, values in table.items()}


def open_benchmark(argument: str, fields: tuple[str, ...] = (), identity: str = "") -> Benchmark:
    """The benchmark that `[NAME=]FILE` or `[NAME=]HUB_ID` means.

    Args:
        argument: a known benchmark's name before `=` says how the file is laid out; without one the file's name or the
            dataset's id tells.
        fields: fields with text, of a benchmark that is not known; each is a text of its own.
        identity: the field with the problem's id, of the same.

    Raises:
        InputError: the benchmark is not known and `fields` does not say where its texts are.
    """
    name, mark, place = argument.rpartition("=")
    place = place.strip()
    if mark and not name:
        raise InputError(f"benchmark {argument!r}: expected NAME=FILE, got no name")
    local = _is_file(place)
    stem = JSON_LINES.sub("", PARQUET.sub("", Path(place).name)) if local else place.rpartition("/")[2]
    if fields:
        documents = tuple((field,) for field in fields)
        return Benchmark(name or stem, place, Layout(documents=documents, id=identity, hub="" if local else place))
    layouts = known()
    for title, layout in layouts.items():
        names = {_plain(one) for one in (title, layout.hub, *layout.files) if one}
        if _plain(name) in names if name else {_plain(stem), _plain(place)} & names:
            return Benchmark(title, place, layout)
    raise InputError(
        f"benchmark {argument!r}: expected one of {', '.join(layouts)} (NAME=FILE says which), or --field for the "
        "fields with its text, got neither"
    )


def text_of(value: Any) -> Iterator[str]:
    """All texts within a value, however deep, in order; bytes are read as UTF-8."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, bytes):
            yield one.decode("utf-8", "replace")
        elif isinstance(one, dict):
            waiting += reversed(one.values())
        elif isinstance(one, list | tuple):
            waiting += reversed(one)


def _plain(name: str) -> str:
    """A name without case and punctuation; the plus that tells benchmarks apart stays."""
    return re.sub(r"[^a-z0-9+]", "", name.lower())


def _is_file(place: str) -> bool:
    return "://" in place or Path(place).exists() or bool(JSON_LINES.search(place) or PARQUET.search(place))


def _field(row: Any, path: str) -> Any:
    for part in path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


def _rows(benchmark: Benchmark) -> Iterator[dict[str, Any]]:
    if not _is_file(benchmark.place) or Path(benchmark.place).is_dir():
        yield from _hub_rows(benchmark)
    elif PARQUET.search(benchmark.place):
        try:
            with open_location(benchmark.place) as stream:
                for batch in pq.ParquetFile(stream).iter_batches(256):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(benchmark, error) from error
    else:
        yield from _json_rows(benchmark)


def _json_rows(benchmark: Benchmark) -> Iterator[dict[str, Any]]:
    try:
        with open_location(benchmark.place) as packed, unpacked(packed, benchmark.place) as stream:
            for number, (_, line) in enumerate(lines(stream, 0, None), start=1):
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise InputError(
                        f"benchmark {benchmark.name}: {benchmark.place} row {number}: expected JSON, got {error}"
                    ) from error
                if not isinstance(row, dict):
                    raise InputError(
                        f"benchmark {benchmark.name}: {benchmark.place} row {number}: expected an object, got "
                        f"{type(row).__name__}"
                    )
                yield row
    except BROKEN as error:
        raise _unreadable(benchmark, error) from error


def _unreadable(benchmark: Benchmark, error: Exception) -> InputError:
    return InputError(f"benchmark {benchmark.name}: expected a readable file, got {benchmark.place}: {error}")


def _hub_rows(benchmark: Benchmark) -> Iterator[dict[str, Any]]:
    """Rows of a dataset as the library `datasets` loads it: from the hub, or a folder of data files."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra(f"benchmark {benchmark.place} on the hub", "hub") from error
    layout = benchmark.layout
    try:
        loaded = datasets.load_dataset(benchmark.place, layout.config or None, streaming=True)
        parts = dict(loaded)
        chosen = [name for name in layout.splits if name in parts] or list(parts)
        for name in chosen:
            yield from parts[name]
    except InputError:
        raise
    except Exception as error:  # what `datasets` raises has no common base
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"benchmark {benchmark.name}: expected a dataset {benchmark.place!r}, got {line}") from error
