"""Writes one part of a corpus of samples, the kept commits of a shard, and what became of each of them."""

import contextlib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pygit2

from codemill.annotate.run import loaded
from codemill.commits.context import is_skipped
from codemill.commits.message import Message
from codemill.commits.places import reading
from codemill.commits.sample import SPANS, Sample, Sampler
from codemill.commits.settings import CommitCorpusSettings, HistorySettings
from codemill.commits.shown import SHOWN, Setup
from codemill.commits.table import SampleTable
from codemill.commits.template import load_template
from codemill.commits.tokens import load_tokens
from codemill.corpus.write import open_sink
from codemill.engine import Task
from codemill.schema import TIMESTAMP
from codemill.store import Store

VERSION = 3  # raise it when the same commit gives another sample
BATCH_SAMPLES = 128

CHANGED = pa.list_(pa.struct([("kind", pa.string()), ("path", pa.string()), ("old_path", pa.string())]))
# A sample's columns; those that the recipe names and the facts of the repository follow.
SAMPLE = pa.schema(
    [
        ("text", pa.large_string()),
        ("spans", SPANS),  # in characters of `text`; `target` marks what the loss is for
        ("target_start", pa.int64()),
        ("occurrence_id", pa.string()),
        ("source", pa.string()),
        ("repo", pa.string()),
        ("revision", pa.string()),
        ("parent", pa.string()),
        ("commit_time", TIMESTAMP),
        ("language", pa.string()),
        ("message", pa.string()),
        ("changed_paths", CHANGED),
        ("context_files", SHOWN),
        ("recall", pa.float64()),
        ("coverage", pa.float64()),
        ("format", pa.string()),
        ("template", pa.string()),
        ("tokens", pa.int64()),
        ("target_tokens", pa.int64()),
    ]
)
FROM_COMMIT = ("subject", "body", "parents", "commit_time", "language", "paths")


def write_part(task: Task) -> Task:
    """Make the samples of one shard's kept commits.

    The task names the listing (occurrence ids and what goes beside the samples), the commit table, where the
    repository lies, the output files and the file of values, which is written last.
    """
    store, output = Store(task["store"]), Store(task["output"])
    listing = store.read(task["listing"])
    corpus = CommitCorpusSettings.model_validate(task["corpus"])
    template = load_template(corpus.template, corpus.tokens)
    setup = Setup(corpus, HistorySettings.model_validate(task["settings"]), template, load_tokens(corpus.tokenizer))
    schema = pa.schema([*SAMPLE, *(listing.schema.field(name) for name in task["extra"])])
    values: list[dict[str, Any]] = []
    kept = 0
    with contextlib.ExitStack() as stack:
        repository = stack.enter_context(reading(task["location"]))
        sampler = Sampler(repository, task["repo"], setup, is_skipped)
        sinks = [stack.enter_context(open_sink(output, kind, file)) for kind, file in task["files"].items()]
        rows: list[dict[str, Any]] = []
        for row in _commits(store, task["table"], listing):
            commit = repository[row["revision"]].peel(pygit2.Commit)
            sample = sampler.sample(commit, Message(row["subject"], row["body"], []).text)
            if sample.text and task["contamination"] is not None:
                sample.context_hits = _context_hits(sample, task["contamination"])
            values.append(_values(row, sample))
            if sample.text and not sample.context_hits:
                rows.append(_row(row, sample, corpus, task["extra"]))
                kept += 1
            if len(rows) == BATCH_SAMPLES:
                _emit(sinks, rows, schema)
                rows = []
        if rows or not kept:
            _emit(sinks, rows, schema)
    store.write(task["values"], pa.Table.from_pylist(values, SampleTable.schema()))
    return {"rows": kept}


def _commits(store: Store, table: str, listing: pa.Table) -> Any:
    """Rows of the listing with what the commit table knows of them, in the order of the history."""
    for batch in store.batches(table, ["occurrence_id", *FROM_COMMIT], rows=512):
        index = pc.index_in(batch.column("occurrence_id"), value_set=listing["occurrence_id"].combine_chunks())
        here = batch.filter(pc.is_valid(index)).to_pylist()
        beside = listing.take(index.drop_null()).to_pylist()
        for row, more in zip(here, beside, strict=True):
            yield row | more


def _context_hits(sample: Sample, settings: dict[str, Any]) -> int:
    """N-grams of benchmarks in the files and the README that a sample shows; message and patch are judged before."""
    shown = [sample.text[start:end] for part, start, end, _ in sample.spans if part in ("files", "readme")]
    text = pa.array(["\0".join(shown).encode()], pa.large_binary())  # no n-gram crosses a NUL
    batch = pa.RecordBatch.from_arrays([text], names=["content"])
    return int(loaded("contamination", settings).annotate(batch).column("hits")[0].as_py())


def _values(row: dict[str, Any], sample: Sample) -> dict[str, Any]:
    return {
        "occurrence_id": row["occurrence_id"],
        "round_trip": None if sample.error else True,
        "fits": sample.fits,
        "clean": sample.clean,
        "tokens": sample.tokens,
        "target_tokens": sample.target_tokens,
        "context_files": len(sample.context_files),
        "context_hits": sample.context_hits,
        "recall": sample.recall,
        "coverage": sample.coverage,
        "error": sample.error,
    }


def _row(row: dict[str, Any], sample: Sample, corpus: CommitCorpusSettings, extra: list[str]) -> dict[str, Any]:
    names = ("part", "start", "end", "target")
    return {
        "text": sample.text,
        "spans": [dict(zip(names, span, strict=True)) for span in sample.spans],
        "target_start": next(start for _, start, _, target in sample.spans if target),
        **{name: row[name] for name in ("occurrence_id", "source", "repo", "revision", "commit_time", "language")},
        "parent": row["parents"][0] if row["parents"] else None,
        "message": Message(row["subject"], row["body"], []).text,
        "changed_paths": [{name: one[name] for name in ("kind", "path", "old_path")} for one in row["paths"]],
        "context_files": sample.context_files,
        "recall": sample.recall,
        "coverage": sample.coverage,
        "format": corpus.format,
        "template": corpus.template,
        "tokens": sample.tokens,
        "target_tokens": sample.target_tokens,
        **{name: row[name] for name in extra},
    }


def _emit(sinks: list[Any], rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    table = pa.Table.from_pylist(rows, schema)
    for emit in sinks:
        emit(table)
