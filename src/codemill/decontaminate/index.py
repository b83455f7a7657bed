"""The index of benchmark n-grams: hashes and counts, with no word of a problem in it.

One Parquet file: an n-gram a row (columns of `GRAMS`), what it was made of in the metadata. The default index ships
with the package. Which n-grams count as evidence is decided when an index is opened (`Evidence`), from counts that were
made when it was built, so that the rule can be changed without the benchmarks.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from codemill.decontaminate.grams import ROW, TELLING, Table, find, make_table
from codemill.decontaminate.problems import Benchmark
from codemill.decontaminate.words import VERSION
from codemill.errors import InputError
from codemill.lexer import Hashes
from codemill.recipe import Strict
from codemill.schema import digest
from codemill.store import COMPRESSION

DEFAULT = "default"
FORMAT = 1
BATCH = 4096  # texts at a time
MOST = 65_535  # counts stop here

GRAMS = pa.schema(
    [
        ("gram", pa.uint64()),  # hash, ascending
        ("problem", pa.uint32()),  # the first that has it
        ("problems", pa.uint16()),  # how many different ones have it, benchmarks of a family taken together
        ("telling", pa.uint8()),  # different words that tell something, see `words.tells`
        ("repositories", pa.uint16()),  # of the reference corpus that have it where the problem as such is not
    ]
)
Counts = npt.NDArray[np.int64]


class Evidence(Strict):
    """Which n-grams of a benchmark count. The paper's rule counts every one: `every = true`."""

    every: bool = Field(False, description="count every n-gram, common idioms too; the settings below rest")
    repositories: int = Field(
        1, ge=0, description="n-grams that more repositories of the index's reference corpus have don't count"
    )
    problems: int = Field(3, ge=1, description="n-grams that more different problems have don't count")
    telling: int = Field(
        2, ge=0, description="n-grams with fewer different words of four letters or more, no numbers, don't count"
    )


@dataclass(frozen=True)
class Source:
    """A benchmark in an index: how many problems and n-grams it gave, and how many problems are too short for one."""

    name: str
    family: str
    problems: int
    grams: int
    short: int


@dataclass(frozen=True)
class Index:
    """N-grams of benchmarks.

    Attributes:
        n: words of an n-gram.
        table: columns of `GRAMS`, ascending by hash.
        problems: benchmark (number in `sources`) and id of every problem.
        sources: the benchmarks.
        reference: what the repositories were counted in: `repositories`, `texts`, `bytes`; empty: nothing was.
    """

    n: int
    table: pa.Table
    problems: tuple[tuple[int, str], ...]
    sources: tuple[Source, ...]
    reference: dict[str, int]

    @cached_property
    def fingerprint(self) -> str:
        """Identity of n-grams, counts and names."""
        columns = (self.table[name].combine_chunks().to_numpy().tobytes().hex() for name in GRAMS.names)
        return digest([str(VERSION), self._described(), *columns])

    def column(self, name: str) -> Counts:
        """A column of counts as int64."""
        return np.asarray(self.table[name].combine_chunks().to_numpy(), np.int64)

    @property
    def grams(self) -> Hashes:
        """The hashes, ascending."""
        return np.asarray(self.table["gram"].combine_chunks().to_numpy())

    def counted(self, evidence: Evidence) -> npt.NDArray[np.bool_]:
        """Which n-grams are evidence by these settings."""
        if evidence.every:
            return np.ones(self.table.num_rows, np.bool_)
        return np.asarray(
            (self.column("repositories") <= evidence.repositories)
            & (self.column("problems") <= evidence.problems)
            & (self.column("telling") >= min(evidence.telling, self.n))
        )

    def lookup(self, evidence: Evidence) -> tuple[Table, Counts]:
        """A table of the n-grams that count, and the row of this index that each entry of it means."""
        rows = np.flatnonzero(self.counted(evidence))
        return make_table(self.grams[rows]), rows

    def named(self, problem: int) -> tuple[str, str]:
        """Benchmark and id of a problem."""
        source, name = self.problems[problem]
        return self.sources[source].name, name

    def _described(self) -> str:
        value = {
            "format": FORMAT,
            "words": VERSION,
            "n": self.n,
            "sources": [vars(source) for source in self.sources],
            "problems": self.problems,
            "reference": self.reference,
        }
        return json.dumps(value, sort_keys=True)

    def write(self, stream: Any) -> None:
        """Write the index to a binary stream."""
        schema = GRAMS.with_metadata({"codemill": self._described()})
        encodings = {name: "DELTA_BINARY_PACKED" if name == "gram" else "PLAIN" for name in GRAMS.names}
        options = {**COMPRESSION, "compression_level": 19}
        table = self.table.replace_schema_metadata(schema.metadata)
        pq.write_table(
            table, stream, use_dictionary=False, column_encoding=encodings, write_statistics=False, **options
        )


def load_index(path: str) -> Index:
    """The index in a file, or the one that ships (`default`).

    Raises:
        InputError: there is none, or it was made by another version.
    """
    if path == DEFAULT:
        with as_file(files("codemill.data") / "benchmark_index.parquet") as shipped:
            return _read(str(shipped))
    return _read(path)


def _read(path: str) -> Index:
    try:
        table = pq.read_table(path, partitioning=None)
        info = json.loads((table.schema.metadata or {})[b"codemill"])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(f"index {path}: expected an index of `codemill benchmark-index`, got {error!r}") from error
    for name, wanted in (("format", FORMAT), ("words", VERSION)):
        if info.get(name) != wanted:
            raise InputError(f"index {path}: expected {name} {wanted}, got {info.get(name)}: build it again")
    problems = tuple((source, name) for source, name in info["problems"])
    sources = tuple(Source(**source) for source in info["sources"])
    return Index(info["n"], table.cast(GRAMS), problems, sources, info["reference"])


def load_indexes(paths: Sequence[str]) -> Index:
    """Several indexes as one.

    Raises:
        InputError: one can't be read, or they are of different n.
    """
    parts = [load_index(path) for path in dict.fromkeys(paths)]
    if len({part.n for part in parts}) > 1:
        sizes = ", ".join(f"{path} {part.n}" for path, part in zip(dict.fromkeys(paths), parts, strict=True))
        raise InputError(f"index: expected indexes of the same n, got {sizes}")
    return merge(parts)


def merge(parts: Sequence[Index]) -> Index:
    """Indexes of the same n as one. An n-gram of several keeps its first problem and its largest counts."""
    if len(parts) == 1:
        return parts[0]
    sources: list[Source] = []
    problems: list[tuple[int, str]] = []
    tables = []
    for part in parts:
        shifted = part.column("problem") + len(problems)
        column = pa.array(shifted.astype(np.uint32))
        tables.append(part.table.set_column(1, "problem", column))
        problems += [(source + len(sources), name) for source, name in part.problems]
        sources += part.sources
    table = pa.concat_tables(tables).combine_chunks()
    kept = table.group_by("gram", use_threads=False).aggregate(
        [("problem", "min"), *((name, "max") for name in GRAMS.names[2:])]
    )
    kept = kept.rename_columns(list(GRAMS.names)).sort_by("gram").cast(GRAMS)
    reference = {name: max(part.reference.get(name, 0) for part in parts) for part in parts for name in part.reference}
    return Index(parts[0].n, kept, tuple(problems), tuple(sources), reference)


def build_index(benchmarks: Iterable[Benchmark], n: int) -> Index:
    """The index of these benchmarks; nothing is counted in a reference corpus yet.

    Raises:
        InputError: a benchmark can't be read, or none has a text of n words.
    """
    sources: list[Source] = []
    problems: list[tuple[int, str]] = []
    parts: list[pa.Table] = []
    families: dict[tuple[str, str], int] = {}  # the same problem of several benchmarks has one number
    same: list[int] = []
    for number, benchmark in enumerate(benchmarks):
        texts: list[str] = []
        owners: list[int] = []
        for problem in benchmark.problems():
            texts += problem.texts
            owners += [len(problems)] * len(problem.texts)
            same.append(families.setdefault((benchmark.family, problem.id), len(families)))
            problems.append((number, problem.id))
        part = _grams(texts, np.array(owners, np.int64), n)
        parts.append(part)
        count = len(problems) - sum(source.problems for source in sources)
        with_grams = len(np.unique(part["problem"].to_numpy()))
        distinct = len(np.unique(part["gram"].to_numpy()))
        sources.append(Source(benchmark.name, benchmark.family, count, distinct, count - with_grams))
    table = pa.concat_tables(parts) if parts else _grams([], np.zeros(0, np.int64), n)
    if not table.num_rows:
        raise InputError(f"benchmark: expected a text of at least {n} words, got none")
    return Index(n, _unique(table, np.array(same, np.int64)), tuple(problems), tuple(sources), {})


def with_reference(index: Index, repositories: Counts, reference: dict[str, int]) -> Index:
    """The index with these counts of repositories, one an n-gram."""
    column = pa.array(np.minimum(repositories, MOST).astype(np.uint16))
    place = GRAMS.names.index("repositories")
    return replace(index, table=index.table.set_column(place, "repositories", column), reference=reference)


def _grams(texts: list[str], owners: Counts, n: int) -> pa.Table:
    """Every n-gram of these texts with the problem that has it and what it is made of, repeated ones included."""
    columns: dict[str, list[Any]] = {name: [] for name in ("gram", "problem", "telling")}
    for start in range(0, max(len(texts), 1), BATCH):
        found = find(pa.array(texts[start : start + BATCH], pa.large_string()), n, None)
        columns["gram"].append(found.grams)
        columns["problem"].append(owners[start + found.places[:, ROW]])
        columns["telling"].append(found.places[:, TELLING])
    return pa.table({name: np.concatenate(values) for name, values in columns.items()})


def _unique(table: pa.Table, same: Counts) -> pa.Table:
    """A row an n-gram, with its first problem and the number of different ones."""
    owners = pa.array(same[table["problem"].to_numpy()])
    grouped = table.append_column("same", owners).group_by("gram", use_threads=False)
    kept = grouped.aggregate([("problem", "min"), ("same", "count_distinct"), ("telling", "min")]).sort_by("gram")
    counts = [pa.array(np.minimum(kept["same_count_distinct"].to_numpy(), MOST))]
    columns = [kept["gram"], kept["problem_min"], *counts, kept["telling_min"]]
    arrays = [*columns, pa.array(np.zeros(kept.num_rows, np.int64))]
    return pa.table(dict(zip(GRAMS.names, arrays, strict=True))).cast(GRAMS)
