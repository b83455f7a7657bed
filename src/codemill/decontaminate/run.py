"""`codemill decontaminate`: any table of texts in, rows that share nothing with benchmarks out, and why others left.

A file is read in parts, each a task: its kept rows go out as they were and in the format they came in, the others into
a table with what they share. A part's counts are written last and mark it complete, so that a killed run goes on.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard
from pydantic import Field

from codemill.decontaminate.index import DEFAULT, Evidence, load_indexes
from codemill.decontaminate.match import FIELDS, Matcher
from codemill.decontaminate.rows import Part, Rows, base_name, list_parts, parquet_schema, read_rows
from codemill.engine import Engine, Task
from codemill.errors import ConservationError, InputError
from codemill.recipe import Strict
from codemill.schema import digest
from codemill.store import COMPRESSION, Store

DROPPED = pa.schema(
    [
        ("file", pa.string()),
        ("origin", pa.string()),  # as ingestion numbers rows: `#12`, or `#@345` for a line of JSON
        ("status", pa.string()),  # dropped or errored
        ("reason", pa.string()),  # contaminated; invalid_row, no_text, unreadable
        *FIELDS,
    ]
)
CONTAMINATED = "contaminated"
SETTINGS, SUMMARY = "decontaminate.json", "summary.json"
LEVEL = 3  # of zstd, as in the store's tables
Mask = npt.NDArray[np.bool_]


class DecontaminateSettings(Strict):
    """What `codemill decontaminate` compares and drops."""

    text: tuple[str, ...] = Field(
        (), description="columns with text, dots lead into them; none: all text of a row, of chat messages too"
    )
    index: tuple[str, ...] = Field((DEFAULT,), min_length=1, description="indexes; `default` is the one that ships")
    evidence: Evidence = Evidence()
    max_hits: int = Field(0, ge=0, description="rows with more n-grams of benchmarks are dropped")


@dataclass
class Outcome:
    """What became of the rows.

    Attributes:
        seen, kept: rows.
        dropped: rows that share too much.
        errored: reason -> rows that could not be judged.
        benchmarks: benchmark -> dropped rows that share most with it.
        new: parts worked on in this run.
        parts: all of them.
    """

    seen: int = 0
    kept: int = 0
    dropped: int = 0
    errored: Counter[str] = field(default_factory=Counter)
    benchmarks: Counter[str] = field(default_factory=Counter)
    new: int = 0
    parts: int = 0

    def add(self, counts: dict[str, Any]) -> None:
        """Add those of a part."""
        self.seen += counts["seen"]
        self.kept += counts["kept"]
        self.dropped += counts["dropped"]
        self.errored.update(counts["errored"])
        self.benchmarks.update(counts["benchmarks"])

    def check(self, where: str) -> None:
        """Raise unless every row ended somewhere.

        Raises:
            ConservationError: the counts don't add up.
        """
        ended = self.kept + self.dropped + self.errored.total()
        if self.seen != ended:
            raise ConservationError(f"{where}: {self.seen:,} rows seen, {ended:,} kept, dropped or errored")

    def to_json(self) -> dict[str, Any]:
        """As the summary file holds it."""
        return {**asdict(self), "errored": dict(self.errored), "benchmarks": dict(self.benchmarks)}


def decontaminate(inputs: Sequence[str], out: str, settings: DecontaminateSettings, engine: Engine) -> Outcome:
    """Keep the rows of these tables that share nothing with benchmarks; `out` gets `kept/`, `dropped/` and a summary.

    Raises:
        InputError: an input or an index can't be read, or `out` holds the result of other inputs or settings.
        ConservationError: counts don't add up.
    """
    index = load_indexes(settings.index)
    parts = list_parts(inputs, settings.text)
    store = Store(out)
    with store.lock():
        store.create()
        plan = {
            "settings": settings.model_dump(mode="json", exclude={"index"}),
            "index": index.fingerprint,
            "inputs": digest(f"{asdict(part)}{_stamp(part.file)}" for part in parts),
        }
        if store.exists(SETTINGS) and (found := store.read_json(SETTINGS)) != plan:
            changed = ", ".join(name for name in plan if plan[name] != found.get(name))
            raise InputError(f"--out {out}: expected the inputs and settings of before, got other {changed}")
        store.write_json(SETTINGS, plan)
        tasks: list[Task] = [
            {"store": store.root, "name": f"{number:05d}", "part": asdict(part), "settings": settings.model_dump()}
            for number, part in enumerate(parts)
        ]
        todo = [task for task in tasks if not store.exists(_marker(task["name"]))]
        weight = sum(task["part"]["weight"] for task in todo)
        list(engine.map("codemill.decontaminate.run:work_part", todo, weight))
        outcome = Outcome(new=len(todo), parts=len(parts))
        for task in tasks:
            outcome.add(store.read_json(_marker(task["name"])))
        outcome.check(out)
        summary = outcome.to_json()
        del summary["new"]
        store.write_json(SUMMARY, summary)
    return outcome


def _marker(name: str) -> str:
    return f"parts/{name}.json"


def _stamp(file: str) -> str:
    """Changes when a local file does; remote ones are known by their sizes."""
    return "" if "://" in file else str(Path(file).stat().st_mtime_ns)


# -- in a worker -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _matcher(indexes: tuple[str, ...], evidence: Evidence) -> Matcher:
    return Matcher(load_indexes(indexes), evidence)


def work_part(task: Task) -> Task:
    """One part: its kept rows, its table of others, its counts."""
    store, part, name = Store(task["store"]), Part(**task["part"]), task["name"]
    settings = DecontaminateSettings.model_validate(task["settings"])
    matcher = _matcher(settings.index, settings.evidence)
    outcome = Outcome()
    with _kept_file(store, part, name) as keep, store.table_writer(f"dropped/{name}.parquet", DROPPED) as drop:
        for rows in read_rows(part, settings.text):
            values = matcher.match(rows.texts)
            judged = pc.is_null(pa.array(rows.problems, pa.string())).to_numpy(zero_copy_only=False)
            hit = values.column("hits").to_numpy() > settings.max_hits
            kept = judged & ~hit
            keep(rows, kept)
            if not kept.all():
                drop(_dropped(part, rows, values, kept))
            outcome.seen += len(kept)
            outcome.kept += int(kept.sum())
            outcome.dropped += int((judged & hit).sum())
            outcome.errored.update(problem for problem in rows.problems if problem is not None)
            outcome.benchmarks.update(values.column("benchmark").filter(pa.array(judged & hit)).to_pylist())
    outcome.check(f"{part.file} from {part.start}")
    counts = outcome.to_json()
    store.write_json(_marker(name), counts)
    return counts


def _dropped(part: Part, rows: Rows, values: pa.RecordBatch, kept: Mask) -> pa.Table:
    """The rows that are not kept, in the schema `DROPPED`."""
    problems = pa.array(rows.problems, pa.string())
    columns = {
        "file": pa.array([base_name(part.file)] * len(kept), pa.string()),
        "origin": pa.array(rows.origins, pa.string()),
        "status": pc.if_else(pc.is_valid(problems), "errored", "dropped"),
        "reason": pc.fill_null(problems, CONTAMINATED),
        **{name: values.column(name) for name in FIELDS.names},
    }
    return pa.table(columns, schema=DROPPED).filter(pa.array(~kept))


@contextmanager
def _kept_file(store: Store, part: Part, name: str) -> Iterator[Any]:
    """A function that writes the kept ones of some rows as they were, into a file of their own format."""
    if part.parquet:
        schema = parquet_schema(part)
        with store.writing(f"kept/{name}.parquet") as stream, pq.ParquetWriter(stream, schema, **COMPRESSION) as writer:

            def keep_batch(rows: Rows, kept: Mask) -> None:
                if isinstance(rows.whole, pa.RecordBatch) and rows.whole.num_rows:
                    batch = rows.whole.filter(pa.array(kept))
                    if batch.num_rows:
                        writer.write_batch(batch)

            yield keep_batch
        return
    packer = zstandard.ZstdCompressor(level=LEVEL)
    with store.writing(f"kept/{name}.jsonl.zst") as stream, packer.stream_writer(stream, closefd=False) as packed:

        def keep_lines(rows: Rows, kept: Mask) -> None:
            for line, stay in zip(rows.whole, kept, strict=False):
                if stay:
                    packed.write(line if line.endswith(b"\n") else line + b"\n")

        yield keep_lines


def describe(outcome: Outcome) -> str:
    """The outcome in a few lines."""
    errored = outcome.errored.total()
    lines = [f"{outcome.seen:,} rows: {outcome.kept:,} kept, {outcome.dropped:,} dropped, {errored:,} errored"]
    lines += [f"  {count:,} share most with {name}" for name, count in outcome.benchmarks.most_common()]
    lines += [f"  {count:,} errored: {reason}" for reason, count in sorted(outcome.errored.items())]
    if outcome.new < outcome.parts:
        lines.append(f"{outcome.new:,} of {outcome.parts:,} parts new")
    return "\n".join(lines)
