"""What a run leaves behind in the store, so that `report` and `explain` work later without running anything."""

from dataclasses import asdict, dataclass, field
from typing import Any

from codemill.annotate import build
from codemill.annotate.run import Annotation, Data
from codemill.errors import StoreError
from codemill.recipe import Recipe
from codemill.store import Store

LATEST = "runs/latest.json"


@dataclass
class Stage:
    """One stage of a run: what it is called, how long it took on the clock, and one line on what it did."""

    name: str
    seconds: float
    detail: str


@dataclass
class RunSummary:
    """A finished run.

    Attributes:
        recipe: the recipe as it was run.
        decisions: folder of its decisions in the store.
        shards: the shards that held its data.
        annotations: annotator name -> params, folder, files, rows computed in this run, seconds of work in this run.
        seen, seen_bytes: occurrences and bytes of distinct content.
        stages: timings in order.
        corpora: corpus -> files, bytes, tokens, repositories, parts.
        alarms: sentences, over all corpora.
    """

    recipe: dict[str, Any]
    decisions: str
    shards: list[str]
    annotations: dict[str, dict[str, Any]]
    seen: int
    seen_bytes: int
    stages: list[Stage] = field(default_factory=list)
    corpora: dict[str, dict[str, int]] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)

    def write(self, store: Store) -> None:
        # In the order of the recipe, so that a report that is written again says the same in the same order.
        store.write_json(LATEST, asdict(self), sort_keys=False)

    @classmethod
    def read(cls, store: Store) -> "RunSummary":
        """The summary of the last run.

        Raises:
            StoreError: there is none.
        """
        kind = last_kind(store)
        if kind not in {"files", "commits", "web"}:
            raise StoreError(f"store {store.root}: expected a run over files, commits or pages, got one of kind {kind}")
        values = store.read_json(LATEST)
        values["stages"] = [Stage(**stage) for stage in values["stages"]]
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"corpora": self.corpora, "seen": self.seen, "stages": [vars(stage) for stage in self.stages]}

    def load_recipe(self) -> Recipe:
        return Recipe.model_validate(self.recipe)

    def load_data(self) -> Data:
        """The shards and annotation tables of the run."""
        loaded = {
            name: Annotation(
                build(name, entry["params"]), entry["folder"], entry["files"], entry["computed"], entry["seconds"]
            )
            for name, entry in self.annotations.items()
        }
        return Data(tuple(self.shards), loaded)


def last_kind(store: Store) -> str:
    """The kind of recipe that ran last in a store.

    Raises:
        StoreError: none has.
    """
    store.require()
    if not store.exists(LATEST):
        raise StoreError(f"store {store.root}: expected a finished run, got none (run `codemill run RECIPE` first)")
    return str(store.read_json(LATEST)["recipe"].get("kind", "files"))
