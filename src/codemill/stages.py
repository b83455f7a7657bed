"""What pipelines of all kinds share: stages that are timed and told of, selections that are stored, the summary.

A pipeline is a recipe on its way through its stages. Each stage does only what is missing.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from codemill.annotate import build, check_kind
from codemill.annotate.run import Data
from codemill.corpus.assemble import assemble
from codemill.corpus.output import check_output
from codemill.engine import Engine, give_back
from codemill.recipe import kind_of
from codemill.report.summary import RunSummary, Stage
from codemill.select import Selection, select
from codemill.sources.apart import check_outside
from codemill.store import Store

R = TypeVar("R", bound=Any)
T = TypeVar("T")
Say = Callable[[str, str, float], None]


@dataclass
class Timed(Generic[R]):
    """A recipe on its way through stages that are timed and told of.

    Attributes:
        recipe: what to do.
        engine: where it runs.
        say: told (stage, one line, seconds) when a stage is done.
        begin: told a stage's name when it begins.
        stages: what was done, with timings.
    """

    recipe: R
    engine: Engine
    say: Say = lambda *_: None
    begin: Callable[[str], None] = lambda _: None
    stages: list[Stage] = field(default_factory=list)

    def stage(self, name: str, work: Callable[[], tuple[T, str]]) -> T:
        """Do a stage's work, which gives its result and one line on it."""
        self.begin(name)
        start = time.perf_counter()
        result, detail = work()
        give_back()
        seconds = time.perf_counter() - start
        self.stages.append(Stage(name, round(seconds, 3), detail))
        self.say(name, detail, seconds)
        return result


@dataclass
class Stages(Timed[R], ABC):
    """A recipe whose units are selected by rules and assembled into corpora.

    Attributes:
        rows_are: what these units are called, in the plural.
    """

    rows_are: ClassVar[str] = "files"

    def __post_init__(self) -> None:
        self.store = Store(self.recipe.store)
        check_kind(self.recipe.annotate, kind_of(self.recipe))
        self.annotators = [build(name, params) for name, params in self.recipe.annotate.items()]
        self.check()
        check_outside(self.recipe.source, store=self.recipe.store, output=self.recipe.output)
        check_output(Store(self.recipe.output), self.recipe)

    @abstractmethod
    def check(self) -> None:
        """Find everything that can be wrong with the recipe before any work begins."""

    @abstractmethod
    def page(self, summary: RunSummary) -> str:
        """The report of this kind of run."""

    @property
    def decisions(self) -> str:
        """Folder of the decisions in the store."""
        return f"decisions/{self.recipe.fingerprint()}"

    def select(self, data: Data) -> list[Selection]:
        def work() -> tuple[list[Selection], str]:
            selections = select(self.store, self.engine, self.recipe, data, self.decisions, self.rows_are)
            kept = [f"{one.corpus} kept {one.kept:,} of {one.decisions.num_rows:,}" for one in selections]
            return selections, ", ".join(kept)

        return self.stage("select", work)

    def assemble(self, data: Data, selections: list[Selection]) -> dict[str, dict[str, int]]:
        def work() -> tuple[dict[str, dict[str, int]], str]:
            counts = assemble(self.store, self.engine, self.recipe, data, selections)
            return counts, ", ".join(f"{name} {count['parts']} parts" for name, count in counts.items())

        return self.stage("assemble", work)

    def conclude(self, data: Data, selections: list[Selection], counts: dict[str, dict[str, int]]) -> RunSummary:
        """Write report and summary; the summary, written last, marks the run as finished."""
        totals = [self.store.read_json(f"ingested/{shard}.json") for shard in data.shards]
        summary = RunSummary(
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
                if one.annotator.name == name  # other names for the same table are not tables
            },
            seen=sum(total["occurrences"] for total in totals),
            seen_bytes=sum(total["bytes"] for total in totals),
            stages=self.stages,
            corpora=counts,
            alarms=[f"{selection.corpus}: {alarm}" for selection in selections for alarm in selection.alarms],
        )

        def work() -> tuple[None, str]:
            Store(self.recipe.output).write_bytes("report.html", self.page(summary).encode())
            return None, "report.html"

        self.stage("report", work)
        summary.write(self.store)
        return summary
