"""What every oracle backend shares: which files still lack an answer, and the table of labels that comes of answers."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codemill.errors import ConservationError, StoreError
from codemill.label.cache import Answer, Answers, Key
from codemill.label.client import Meter
from codemill.label.prompt import UnparsableError, Verdict, parse, shown
from codemill.label.sampling import Sample, ranks
from codemill.label.settings import LabelSettings
from codemill.quality.rubric import SCORES, Rubric, load_rubric
from codemill.quality.table import LABELS, SAMPLE

SAMPLE_FILE, ANSWERS_FILE, LABELS_FILE, REPORT_FILE = "sample.parquet", "answers.jsonl", "labels.parquet", "label.json"
_ROW_GROUP = 500

Row = dict[str, Any]


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        total: files of the sample.
        meter: what was spent, earlier runs included.
        cached: files answered by earlier runs.
        labelled, failed: files answered in this run, with a rating or without.
    """

    total: int
    meter: Meter
    cached: int = 0
    labelled: int = 0
    failed: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        return self.cached + self.labelled + self.failed

    def seconds_left(self) -> float | None:
        """At the pace of this run; None before the first answer."""
        fresh = self.labelled + self.failed
        if not fresh:
            return None
        return (time.monotonic() - self.started) / fresh * (self.total - self.done)

    def line(self) -> str:
        """The state in one line, for people."""
        left = self.seconds_left()
        parts = [
            f"{self.done:,}/{self.total:,} files",
            f"{self.cached:,} cached" if self.cached else "",
            f"{self.failed:,} errored" if self.failed else "",
            f"{self.meter.spent_requests:,} requests",
            f"{self.meter.spent_prompt + self.meter.spent_completion:,} tokens",
            f"cost {self.meter.cost():.2f}" if self.meter.priced() else "",
            f"{left / 60:.0f} min left" if left is not None else "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Labelled:
    """What a run gave. labelled + sum of `errors` = files, always.

    Attributes:
        path: the table of labels.
        files, labelled, cached: files of the sample; those with a rating; answers that were there before.
        errors: kind of error -> files.
        failed: whether this run asked and got no rating at all. A spent budget is no failure, it asks nothing.
        stopped: why no more requests were sent, or None.
        form: how answers were held to their form; None where nothing had to be asked.
        requests, prompt_tokens, completion_tokens, cost: spent by all runs on these labels with this model.
        short: language -> files fewer than asked for.
        seconds: time of this run.
    """

    path: Path
    files: int
    labelled: int
    cached: int
    errors: dict[str, int]
    failed: bool
    stopped: str | None
    form: str | None
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float
    short: dict[str, int]
    seconds: float


@dataclass
class Todo:
    """What a backend is to answer.

    Attributes:
        rows: the files without an answer (schema `SAMPLE`), languages mixed, so that a stopped run covers all of them.
        answers: where answers go.
        total, cached: files of the sample, and those that have an answer.
        reasons: key -> why a file got no answer that is worth keeping; the backend fills it.
    """

    rows: pa.Table
    answers: Answers
    total: int
    cached: int
    rubric: Rubric
    reasons: dict[Key, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """What a backend reports: how it asked, what was spent, and why it stopped early if it did."""

    form: str | None
    stopped: str | None
    meter: Meter


def label_sample(settings: LabelSettings, sample: Sample, backend: Callable[[Todo], Finished]) -> Labelled:
    """Have a drawn sample rated by a backend and write `labels.parquet` (schema `LABELS`) into `settings.output`.

    The folder also gets `sample.parquet` (the files themselves), `answers.jsonl` (the cache) and `label.json` (settings
    and counts). Run again, it asks only about what has no answer yet.

    Raises:
        StoreError: the folder can't be written, or another run is at it.
    """
    start = time.monotonic()
    output = Path(settings.output)
    rubric = load_rubric(settings.rubric)
    answers = Answers(output / ANSWERS_FILE)
    with answers.writing():
        _write_table(sample.table, output / SAMPLE_FILE)
        keys = [key_of(settings, row) for row in sample.table.select(["blob_id", "language"]).to_pylist()]
        pending = np.array([not _settled(answers.get(key), settings.retry_errors) for key in keys], dtype=bool)
        rows = sample.table.filter(pa.array(pending))
        order = np.argsort(ranks(rows["blob_id"].to_pylist(), settings.sample.seed))
        cached = len(keys) - int(pending.sum())
        todo = Todo(rows.take(pa.array(order)), answers, len(keys), cached, rubric)
        finished = backend(todo)
        table = _labels(settings, sample.table, keys, todo, finished.meter)
        errors = _kinds(table["error"].to_pylist())
        fresh = _kinds(table["error"].filter(pa.array(pending)).to_pylist())
        result = Labelled(
            path=output / LABELS_FILE,
            files=table.num_rows,
            labelled=table.num_rows - sum(errors.values()),
            cached=todo.cached,
            errors=errors,
            failed=sum(fresh.values()) == rows.num_rows and bool(fresh.keys() - {"budget"}),
            stopped=finished.stopped,
            form=finished.form,
            requests=finished.meter.spent_requests,
            prompt_tokens=finished.meter.spent_prompt,
            completion_tokens=finished.meter.spent_completion,
            cost=finished.meter.cost(),
            short=sample.short(),
            seconds=time.monotonic() - start,
        )
        _write_table(table, result.path)
        _write_report(settings, sample, result)
    return result


def key_of(settings: LabelSettings, row: Row) -> Key:
    """The cache key of a row of the sample."""
    return Key(row["blob_id"], row["language"], settings.endpoint.model, settings.rubric, settings.shown)


def rows_of(table: pa.Table) -> Iterator[Row]:
    """Rows as dicts, a few at a time: contents of a big sample don't fit into memory twice."""
    for batch in table.to_batches(max_chunksize=64):
        yield from batch.to_pylist()


def new_meter(settings: LabelSettings, answers: Answers) -> Meter:
    """A meter that starts from what earlier runs with this model have spent."""
    requests, prompt, completion = answers.spent.get(settings.endpoint.model, (0, 0, 0))
    budget = settings.budget
    return Meter(
        endpoint=settings.endpoint,
        money=budget.money,
        tokens=budget.tokens,
        requests=budget.requests,
        spent_requests=requests,
        spent_prompt=prompt,
        spent_completion=completion,
    )


def read_answer(text: str, finished: bool, rubric: Rubric) -> Verdict:
    """The rating in an answer.

    Raises:
        UnparsableError: there is none; an answer that was cut off says so.
    """
    try:
        return parse(text, rubric)
    except UnparsableError as error:
        if finished:
            raise
        raise UnparsableError(f"cut off at the longest answer allowed; {error}") from error


def _settled(answer: Answer | None, retry_errors: bool) -> bool:
    if answer is None or not answer.final:
        return False
    return answer.verdict is not None or not retry_errors


def _labels(settings: LabelSettings, sample: pa.Table, keys: list[Key], todo: Todo, meter: Meter) -> pa.Table:
    """One row of `LABELS` for every row of the sample."""
    rows: list[Row] = []
    for key, content in zip(keys, sample["content"], strict=True):
        answer = todo.answers.get(key) or Answer(None, None, False, 0, 0, 0)
        verdict = answer.verdict
        error = None if verdict is not None else todo.reasons.get(key) or answer.error
        if verdict is None and error is None:
            raise ConservationError(f"labels: {key.blob_id} was sampled, but neither labelled nor errored")
        rows.append(
            {
                **{name: getattr(verdict, name, None) for name in (*SCORES, "zero", "explanation")},
                "model": key.model,
                "rubric": key.rubric,
                "shown": key.shown,
                "cut": shown(content.as_py(), settings.shown)[1],
                "requests": answer.requests,
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
                "cost": meter.cost(answer.prompt_tokens, answer.completion_tokens),
                "error": error,
            }
        )
    known = [field for field in LABELS if field.name not in SAMPLE.names]
    table = pa.Table.from_pylist(rows, schema=pa.schema(known))
    for name in SAMPLE.names:
        if name in LABELS.names:
            table = table.append_column(name, sample[name])
    return table.select(LABELS.names)


def _kinds(errors: list[str | None]) -> dict[str, int]:
    """Kind of error (what stands before the colon) -> files."""
    kinds: dict[str, int] = {}
    for error in errors:
        if error is not None:
            kind = error.split(":", 1)[0]
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def _write_table(table: pa.Table, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        pq.write_table(table, part, row_group_size=_ROW_GROUP, compression="zstd")
        part.replace(path)
    except OSError as error:
        raise StoreError(f"output {path}: cannot write: {error}") from error


def _write_report(settings: LabelSettings, sample: Sample, result: Labelled) -> None:
    """What the labels were made with, and the counts."""
    names = ("files", "labelled", "cached", "errors", "stopped", "form", "short")
    spent = ("requests", "prompt_tokens", "completion_tokens", "cost")
    report = {
        "settings": settings.model_dump(mode="json"),
        "sample": {"seen": sample.seen, "skipped": dict(sample.skipped), "drawn": sample.drawn},
        **{name: getattr(result, name) for name in (*names, *spent)},
    }
    try:
        result.path.with_name(REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"output {result.path.parent}: cannot write: {error}") from error
