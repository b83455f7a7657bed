"""A run over archives of pages, stage by stage: read, annotate, select, assemble, report, each doing what is missing.

Everything after reading is the pipeline of files: a page is an occurrence, its text is its content, its host stands
for the repository, and what is known of it are columns beside.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from codemill.annotate import build
from codemill.annotate.run import Annotation, Data, run_annotators
from codemill.corpus.assemble import assemble
from codemill.engine import Engine
from codemill.errors import RecipeError
from codemill.report.summary import RunSummary, Stage
from codemill.select import Selection, select
from codemill.select.decide import expand
from codemill.select.result import write_selection
from codemill.select.signals import LANGUAGE, TOKENS, check_columns, wanted_columns
from codemill.sources.ingest import assign_owners, plan
from codemill.store import Store, annotation_folder
from codemill.web.report import build_web_report
from codemill.web.settings import WebRecipe
from codemill.web.source import PageReader
from codemill.web.table import PageTable

T = TypeVar("T")
Say = Callable[[str, str, float], None]


def run_web(
    recipe: WebRecipe,
    engine: Engine,
    say: Say = lambda *_: None,
    begin: Callable[[str], None] = lambda _: None,
) -> RunSummary:
    """Run a recipe of kind `web` from archives to corpora.

    Args:
        recipe: what to do.
        engine: where it runs.
        say: told (stage, one line, seconds) when a stage is done.
        begin: told a stage's name when it begins.

    Raises:
        CodemillError: one line on what went wrong; the store holds what was finished until then.
    """
    return WebPipeline(recipe, engine, say, begin).run()


@dataclass
class WebPipeline:
    """A recipe on its way through the stages; attributes as those of `pipeline.Pipeline`."""

    recipe: WebRecipe
    engine: Engine
    say: Say = lambda *_: None
    begin: Callable[[str], None] = lambda _: None
    stages: list[Stage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.recipe.store)
        self.annotators = [build(name, params) for name, params in self.recipe.annotate.items()]
        self.table = PageTable(self.recipe.page)
        self._check()

    def _check(self) -> None:
        """Everything that can be wrong with the recipe is found before any work begins."""
        for name in self.recipe.annotate:
            if name in ("page", "language", "rules"):
                raise RecipeError(
                    f"annotate.{name}: expected an annotator of pages' texts, got one that has no place here"
                )
        rules = [rule for corpus in self.recipe.corpus.values() for rule in expand(self.recipe, corpus.rules)]
        schemas = {annotator.name: annotator.schema() for annotator in [self.table, *self.annotators]}
        check_columns(wanted_columns(rules, self.recipe.corpus.values()), schemas)

    @property
    def decisions(self) -> str:
        return f"decisions/{self.recipe.fingerprint()}"

    def run(self) -> RunSummary:
        """All stages; the store is held for the whole run."""
        with self.store.lock():
            shards = self.read()
            data = self.annotate(shards)
            selections = self.select(data)
            counts = self.assemble(data, selections)
            summary = self.summarise(data, selections, counts)
            self._stage("report", lambda: self.report(summary))
            summary.write(self.store)
        return summary

    def read(self) -> tuple[str, ...]:
        """Archives read into shards; the names of those that hold the recipe's pages now."""
        recipe = self.recipe

        def work() -> tuple[tuple[str, ...], str]:
            self.store.create()
            shards = plan(self.store, recipe.source, recipe.ingest, lambda one: PageReader(one, recipe.page))
            done = {
                path.removeprefix("ingested/").removesuffix(".json") for path in self.store.files("ingested", ".json")
            }
            by_name = {source.name: source for source in self.recipe.source}
            tasks = [
                {
                    "store": self.store.root,
                    "shard": shard.name,
                    "table": self._file(shard.name),
                    "source": by_name[shard.source].model_dump(mode="json"),
                    "units": [asdict(unit) for unit in shard.units],
                    "page": self.recipe.page.model_dump(mode="json"),
                }
                for shard in shards
                if shard.name not in done
            ]
            list(self.engine.map("codemill.web.read:read_shard", tasks, sum(shard.weight for shard in shards)))
            assign_owners(self.store)
            names = tuple(shard.name for shard in shards)
            counts = [self.store.read_json(f"ingested/{name}.json") for name in names]
            pages = sum(count["occurrences"] for count in counts)
            others: Counter[str] = Counter()
            for count in counts:
                others.update(count["others"])
            beside = "".join(f", {number:,} {kind}" for kind, number in sorted(others.items()))
            return names, f"{pages:,} pages{beside}; {len(tasks):,} of {len(names):,} shards new"

        return self._stage("read", work)

    def _file(self, shard: str) -> str:
        return f"{annotation_folder(self.table.name, self.table.fingerprint())}/{shard}.parquet"

    def annotate(self, shards: tuple[str, ...]) -> Data:
        """The page table beside those of the recipe's annotators."""

        def work() -> tuple[Data, str]:
            folder = annotation_folder(self.table.name, self.table.fingerprint())
            page = Annotation(self.table, folder, [self._file(name) for name in shards])
            # Selection groups by language and weighs by tokens under these names.
            found = {"page": page, **{column.split(".")[0]: page for column in (LANGUAGE, TOKENS)}}
            found |= run_annotators(self.store, self.engine, shards, self.annotators)
            fresh = ", ".join(f"{name} {one.computed:,}" for name, one in found.items() if one.computed)
            return Data(shards, found), f"computed: {fresh or 'nothing, all was there'}"

        return self._stage("annotate", work)

    def select(self, data: Data) -> list[Selection]:
        def work() -> tuple[list[Selection], str]:
            selections = select(self.store, self.engine, self.recipe, data)
            for selection in selections:
                write_selection(self.store, self.decisions, selection)
            kept = [f"{one.corpus} kept {_kept(one):,} of {one.decisions.num_rows:,}" for one in selections]
            return selections, ", ".join(kept)

        return self._stage("select", work)

    def assemble(self, data: Data, selections: list[Selection]) -> dict[str, dict[str, int]]:
        def work() -> tuple[dict[str, dict[str, int]], str]:
            counts = assemble(self.store, self.engine, self.recipe, data, selections)
            return counts, ", ".join(f"{name} {count['parts']} parts" for name, count in counts.items())

        return self._stage("assemble", work)

    def summarise(self, data: Data, selections: list[Selection], counts: dict[str, dict[str, int]]) -> RunSummary:
        totals = [self.store.read_json(f"ingested/{shard}.json") for shard in data.shards]
        return RunSummary(
            recipe=self.recipe.model_dump(mode="json", by_alias=True),
            decisions=self.decisions,
            shards=list(data.shards),
            annotations={
                name: {
                    "params": one.annotator.params.model_dump(mode="json"),
                    "folder": one.folder,
                    "files": one.files,
                    "computed": one.computed,
                    "seconds": round(one.seconds, 3),
                }
                for name, one in data.annotations.items()
                if one.annotator.name == name
            },
            seen=sum(total["occurrences"] for total in totals),
            seen_bytes=sum(total["bytes"] for total in totals),
            stages=self.stages,
            corpora=counts,
            alarms=[f"{selection.corpus}: {alarm}" for selection in selections for alarm in selection.alarms],
        )

    def report(self, summary: RunSummary) -> tuple[None, str]:
        page = build_web_report(self.store, summary)
        Store(self.recipe.output).write_bytes("report.html", page.encode())
        return None, "report.html"

    def _stage(self, name: str, work: Callable[[], tuple[T, str]]) -> T:
        self.begin(name)
        start = time.perf_counter()
        result, detail = work()
        seconds = time.perf_counter() - start
        self.stages.append(Stage(name, round(seconds, 3), detail))
        self.say(name, detail, seconds)
        return result


def _kept(selection: Selection) -> int:
    return int(selection.decisions["status"].to_pylist().count("kept"))
