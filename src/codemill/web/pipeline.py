"""A run over archives of pages, stage by stage: read, annotate, select, assemble, report, each doing what is missing.

Everything after reading is the pipeline of files: a page is an occurrence, its text is its content, its host stands
for the repository, and what is known of it are columns beside.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from codemill.annotate.run import Annotation, Data, run_annotators
from codemill.engine import Engine
from codemill.errors import RecipeError
from codemill.report.summary import RunSummary
from codemill.select.check import check_rules
from codemill.select.decide import expand
from codemill.select.signals import LANGUAGE, TOKENS
from codemill.sources.ingest import assign_owners, plan
from codemill.stages import Say, Stages
from codemill.store import annotation_folder
from codemill.web.report import build_web_report
from codemill.web.settings import WebRecipe
from codemill.web.source import PageReader
from codemill.web.table import PageTable


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
class WebPipeline(Stages[WebRecipe]):
    """A recipe over pages on its way through the stages."""

    rows_are = "pages"

    def check(self) -> None:
        self.table = PageTable(self.recipe.page)
        for name in self.recipe.annotate:
            if name in ("page", "language", "rules"):
                raise RecipeError(
                    f"annotate.{name}: expected an annotator of pages' texts, got one that has no place here"
                )
        rules = [rule for corpus in self.recipe.corpus.values() for rule in expand(self.recipe, corpus.rules)]
        schemas = {annotator.name: annotator.schema() for annotator in [self.table, *self.annotators]}
        check_rules(rules, self.recipe.corpus.values(), schemas)

    def page(self, summary: RunSummary) -> str:
        return build_web_report(self.store, summary)

    def run(self) -> RunSummary:
        """All stages; the store is held for the whole run."""
        with self.store.lock():
            data = self.annotate(self.read())
            selections = self.select(data)
            return self.conclude(data, selections, self.assemble(data, selections))

    def data(self) -> Data:
        """Read and annotated: what rules look at."""
        return self.annotate(self.read())

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

        return self.stage("read", work)

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

        return self.stage("annotate", work)
