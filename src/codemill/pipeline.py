"""A run, stage by stage: ingest, annotate, select, assemble, report. Each stage does only what is missing.

The command line's verbs are these stages; `run` is all of them in order.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from codemill.annotate import build
from codemill.annotate.base import BaseAnnotator, GlobalAnnotator
from codemill.annotate.run import Data, run_annotators
from codemill.corpus.assemble import assemble
from codemill.engine import Engine
from codemill.recipe import Recipe
from codemill.report.html import build_report
from codemill.report.summary import RunSummary, Stage
from codemill.select import Selection, select
from codemill.select.decide import expand
from codemill.select.result import write_selection
from codemill.select.signals import check_columns, wanted_columns
from codemill.sources.ingest import Ingested, ingest
from codemill.store import Store

T = TypeVar("T")
Say = Callable[[str, str, float], None]


def _silent(stage: str, detail: str, seconds: float) -> None:
    """Tell nobody."""


@dataclass
class Pipeline:
    """A recipe on its way through the stages.

    Attributes:
        recipe: what to do.
        engine: where it runs.
        say: told (stage, one line, seconds) when a stage is done.
        begin: told a stage's name when it begins.
    """

    recipe: Recipe
    engine: Engine
    say: Say = _silent
    begin: Callable[[str], None] = lambda _: None
    stages: list[Stage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.recipe.store)
        self.annotators = [build(name, params) for name, params in self.recipe.annotate.items()]
        self._check()

    def _check(self) -> None:
        """Everything that can be wrong with the recipe is found before any work begins."""
        rules = [rule for corpus in self.recipe.corpus.values() for rule in expand(self.recipe, corpus.rules)]
        columns = wanted_columns(rules, self.recipe.corpus.values())
        check_columns(columns, {annotator.name: annotator.schema() for annotator in self.annotators})

    def with_needs(self, name: str) -> list[BaseAnnotator]:
        """The recipe's annotator of this name (with its defaults if the recipe has none), after those it needs."""
        by_name = {annotator.name: annotator for annotator in self.annotators}
        annotator = by_name.get(name) or build(name)
        needed = annotator.needs if isinstance(annotator, GlobalAnnotator) else ()
        needed += ("language",) if annotator.key == "blob_language" else ()
        found = [one for other in needed for one in self.with_needs(other)]
        return list({one.name: one for one in [*found, annotator]}.values())

    def ingest(self) -> Ingested:
        def work() -> tuple[Ingested, str]:
            self.store.create()
            done = ingest(self.store, self.engine, self.recipe.source, self.recipe.ingest)
            return done, (
                f"{done.occurrences:,} files, {done.bytes / 1e6:,.1f} MB, "
                f"{len(done.shards):,} shards, {done.new_shards:,} of them new"
            )

        return self._stage("ingest", work)

    def annotate(self, ingested: Ingested, only: list[BaseAnnotator] | None = None) -> Data:
        def work() -> tuple[Data, str]:
            annotators = self.annotators if only is None else only
            tables = run_annotators(self.store, self.engine, ingested.shards, annotators)
            fresh = ", ".join(f"{name} {table.computed:,}" for name, table in tables.items() if table.computed)
            return Data(
                ingested.shards, tables
            ), f"{len(tables)} annotators; computed: {fresh or 'nothing, all was there'}"

        return self._stage("annotate", work)

    def select(self, data: Data) -> list[Selection]:
        def work() -> tuple[list[Selection], str]:
            selections = select(self.store, self.engine, self.recipe, data)
            for selection in selections:
                write_selection(self.store, self.decisions, selection)
            return selections, ", ".join(_kept(selection) for selection in selections)

        return self._stage("select", work)

    def assemble(self, data: Data, selections: list[Selection]) -> dict[str, dict[str, int]]:
        def work() -> tuple[dict[str, dict[str, int]], str]:
            counts = assemble(self.store, self.engine, self.recipe, data, selections)
            return counts, ", ".join(f"{name} {count['parts']} parts" for name, count in counts.items())

        return self._stage("assemble", work)

    def run(self) -> RunSummary:
        """All stages; the store is held for the whole run.

        Raises:
            CodemillError: one line on what went wrong; the store holds what was finished until then.
        """
        with self.store.lock():
            ingested = self.ingest()
            data = self.annotate(ingested)
            selections = self.select(data)
            counts = self.assemble(data, selections)
            summary = self.summarise(ingested, data, selections, counts)
            self._stage("report", lambda: self.report(summary))
            summary.write(self.store)
        return summary

    @property
    def decisions(self) -> str:
        return f"decisions/{self.recipe.fingerprint()}"

    def summarise(
        self, ingested: Ingested, data: Data, selections: list[Selection], counts: dict[str, dict[str, int]]
    ) -> RunSummary:
        return RunSummary(
            recipe=self.recipe.model_dump(mode="json", by_alias=True),
            decisions=self.decisions,
            shards=list(data.shards),
            annotations={
                name: {
                    "params": table.annotator.params.model_dump(mode="json"),
                    "folder": table.folder,
                    "files": table.files,
                    "computed": table.computed,
                    "seconds": round(table.seconds, 3),
                }
                for name, table in data.annotations.items()
            },
            seen=ingested.occurrences,
            seen_bytes=ingested.bytes,
            stages=self.stages,
            corpora=counts,
            alarms=[f"{selection.corpus}: {alarm}" for selection in selections for alarm in selection.alarms],
        )

    def report(self, summary: RunSummary) -> tuple[None, str]:
        Store(self.recipe.output).write_bytes("report.html", build_report(self.store, summary).encode())
        return None, "report.html"

    def _stage(self, name: str, work: Callable[[], tuple[T, str]]) -> T:
        self.begin(name)
        start = time.perf_counter()
        result, detail = work()
        seconds = time.perf_counter() - start
        self.stages.append(Stage(name, round(seconds, 3), detail))
        self.say(name, detail, seconds)
        return result


def _kept(selection: Selection) -> str:
    kept = selection.decisions["status"].to_pylist().count("kept")
    return f"{selection.corpus} kept {kept:,} of {selection.decisions.num_rows:,}"
