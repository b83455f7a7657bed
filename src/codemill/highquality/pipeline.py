"""A run of kind `highquality`: look at the documents, each source in rounds, write; each does what is missing."""

import json
import time
from dataclasses import dataclass
from typing import Any

from codemill.corpus.output import DONE, check_output, claim_output
from codemill.engine import Task
from codemill.highquality import classifier
from codemill.highquality.card import dataset_card
from codemill.highquality.documents import Documents, pool
from codemill.highquality.inputs import Part, find_parts
from codemill.highquality.report import SourceView, build_report, source_view
from codemill.highquality.rounds import Outcome, Rounds
from codemill.highquality.settings import HighQualityRecipe
from codemill.highquality.values import annotators_for, check_columns, value_part
from codemill.highquality.write import tally, write_source
from codemill.schema import digest
from codemill.stages import Timed
from codemill.store import Store

VERSION = "1"  # raise it when values, draws or rounds change for the same recipe
SUMMARY = "highquality.json"


@dataclass
class HighQuality(Timed[HighQualityRecipe]):
    """A recipe on its way through its stages; `say` is told of every round, too."""

    def __post_init__(self) -> None:
        classifier.require()
        self.store, self.output = Store(self.recipe.store), Store(self.recipe.output)
        self.columns = self.recipe.columns()
        self.annotators = annotators_for(self.columns, self.recipe.annotate)
        self.parts = find_parts(self.recipe.input)
        check_columns(self.parts, self.columns, self.annotators)
        check_output(self.output, self.recipe)

    def run(self) -> dict[str, Any]:
        """Do everything; returns the summary, which is also written to the output.

        Raises:
            CodemillError: one line on what went wrong; what was finished until then is kept.
        """
        self.store.create()
        with self.store.lock():
            documents = self.stage("look", self._look)
            self._remove_sets(claim_output(self.output, self.recipe))
            made = {name: self._source(name, documents) for name in self.recipe.source}
            return self._conclude(documents, made)

    def _look(self) -> tuple[Documents, str]:
        """Values of all documents, computed where no earlier run has."""
        notebooks = self.recipe.notebooks.model_dump()
        marks = [f"{name} {one.fingerprint()}" for name, one in sorted(self.annotators.items())]
        self.values = digest([VERSION, json.dumps(notebooks), *self.columns, *marks])
        tasks = list[Task]()
        for part in self.parts:
            out = f"highquality/values-{self.values}/{part.name}.parquet"
            annotate = {name: one.params.model_dump(mode="json") for name, one in self.annotators.items()}
            tasks.append(
                {
                    "store": self.store.root,
                    "file": part.file,
                    "present": list(part.columns),
                    "columns": self.columns,
                    "annotate": annotate,
                    "notebooks": notebooks,
                    "out": out,
                }
            )
        todo = [
            (task, part) for task, part in zip(tasks, self.parts, strict=True) if not self.store.exists(task["out"])
        ]
        list(self.engine.map(f"{value_part.__module__}:value_part", [task for task, _ in todo], self._weight(todo)))
        documents = Documents.of(self.parts, [self.store.read(task["out"]) for task in tasks])
        return documents, f"{documents.count:,} documents in {len(self.parts)} files, {len(todo)} of them new"

    def _weight(self, todo: list[tuple[Task, Part]]) -> int:
        return sum(part.bytes for _, part in todo)

    def _source(self, name: str, documents: Documents) -> SourceView:
        def work() -> tuple[Outcome, str]:
            say = lambda text: self.say(name, text, time.perf_counter() - start)  # noqa: E731 - a line of this stage
            rounds = Rounds(self.store, self.engine, self.recipe, name, self._folder(name), documents, mine, say)
            outcome = rounds.run()
            return outcome, f"{int(outcome.taken.sum()):,} documents; {outcome.stopped}"

        start = time.perf_counter()
        mine = pool(documents, self.recipe, name)
        outcome = self.stage(name, work)

        def write() -> tuple[SourceView, str]:
            places = (self.store, self.output)
            decisions, kept = write_source(places, self.engine, self.recipe, documents, (mine, outcome))
            if outcome.used:
                model = self.store.read_bytes(f"{self._folder(name)}/round-{outcome.used}/model.bin")
                self.output.write_bytes(f"{name}/model.bin", model)
            elif self.output.exists(f"{name}/model.bin"):
                self.output.delete(f"{name}/model.bin")
            view = source_view(self.recipe, documents, mine, outcome, (tally(decisions), kept))
            return view, f"{kept['files']:,} of {documents.count:,} documents in {kept['parts']} files"

        return self.stage("write", write)

    def _folder(self, name: str) -> str:
        """Where a source's rounds lie: named by all that decides about them."""
        recipe = self.recipe
        source = recipe.source[name].model_dump(mode="json", exclude={"description"})
        used = {rule for names in source.values() if isinstance(names, list) for rule in names}
        rules = [rule.model_dump(mode="json", by_alias=True) for rule in recipe.rule if rule.name in used]
        # `most` only says where to stop: more rounds go on from those that are there.
        rest = [source, rules, recipe.classifier.model_dump(), recipe.rounds.model_dump(exclude={"most"})]
        key = digest([VERSION, self.values, *(part.name for part in self.parts), json.dumps(rest, sort_keys=True)])
        return f"highquality/rounds/{name}-{key}"

    def _remove_sets(self, made: dict[str, Any]) -> None:
        """Delete sets that were made and that the recipe no longer has."""
        for name in sorted(set(made.get("corpora", ())) - set(self.recipe.source)):
            self.output.delete_folder(name)

    def _conclude(self, documents: Documents, made: dict[str, SourceView]) -> dict[str, Any]:
        counts = {name: view.kept for name, view in made.items()}
        summary = {
            "recipe": self.recipe.model_dump(mode="json", by_alias=True),
            "fingerprint": self.recipe.fingerprint(),
            "documents": documents.count,
            "sources": {name: view.summary() for name, view in made.items()},
            "stages": [vars(stage) for stage in self.stages],
        }

        def write() -> tuple[None, str]:
            page = build_report(self.recipe, self.recipe.fingerprint(), documents, list(made.values()), self.stages)
            self.output.write_bytes("report.html", page.encode())
            self.output.write_bytes("README.md", dataset_card(self.recipe, list(made.values())).encode())
            return None, "report.html, README.md"

        self.stage("report", write)
        self.output.write_json(SUMMARY, summary)
        value = {"recipe": self.recipe.fingerprint(), "name": self.recipe.name, "corpora": counts}
        self.output.write_json(DONE, value)
        return summary
