"""A run over files, stage by stage: ingest, annotate, select, assemble, report. Each stage does only what is missing.

The command line's verbs are these stages; `run` is all of them in order.
"""

from dataclasses import dataclass

from codemill.annotate import build, check_kind
from codemill.annotate.base import BaseAnnotator, GlobalAnnotator
from codemill.annotate.run import Data, check_needs, run_annotators
from codemill.recipe import Recipe
from codemill.report.html import build_report
from codemill.report.summary import RunSummary
from codemill.select.check import check_helpers, check_rules
from codemill.select.decide import expand
from codemill.sources.ingest import Ingested, ingest
from codemill.stages import Stages


@dataclass
class Pipeline(Stages[Recipe]):
    """A recipe over files on its way through the stages."""

    def check(self) -> None:
        check_needs(self.annotators)
        rules = [rule for corpus in self.recipe.corpus.values() for rule in expand(self.recipe, corpus.rules)]
        schemas = {annotator.name: annotator.schema() for annotator in self.annotators}
        check_rules(rules, self.recipe.corpus.values(), schemas)
        check_helpers(rules, schemas)

    def page(self, summary: RunSummary) -> str:
        return build_report(self.store, summary)

    def with_needs(self, name: str) -> list[BaseAnnotator]:
        """The recipe's annotator of this name (with its defaults if the recipe has none), after those it needs."""
        check_kind([name], "files")
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

        return self.stage("ingest", work)

    def annotate(self, ingested: Ingested, only: list[BaseAnnotator] | None = None) -> Data:
        def work() -> tuple[Data, str]:
            annotators = self.annotators if only is None else only
            tables = run_annotators(self.store, self.engine, ingested.shards, annotators)
            fresh = ", ".join(f"{name} {table.computed:,}" for name, table in tables.items() if table.computed)
            return Data(ingested.shards, tables), (
                f"{len(tables)} annotators; computed: {fresh or 'nothing, all was there'}"
            )

        return self.stage("annotate", work)

    def data(self) -> Data:
        """Ingested and annotated: what rules look at."""
        return self.annotate(self.ingest())

    def run(self) -> RunSummary:
        """All stages; the store is held for the whole run.

        Raises:
            CodemillError: one line on what went wrong; the store holds what was finished until then.
        """
        with self.store.lock():
            data = self.annotate(self.ingest())
            selections = self.select(data)
            return self.conclude(data, selections, self.assemble(data, selections))
