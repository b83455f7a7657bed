"""What a mixture leaves behind in the store, so that its report can be written again."""

from dataclasses import asdict, dataclass, field
from typing import Any

from codemill.errors import StoreError
from codemill.report.summary import LATEST, Stage
from codemill.store import Store


@dataclass
class PretrainSummary:
    """A finished mixture.

    Attributes:
        recipe: as it was run.
        fingerprint: of the recipe.
        vocabulary: of the tokenizer.
        sources: name -> documents, tokens (of the first encoding), bytes, files, rows beside them by reason, tokens
            used, passes begun and documents never drawn.
        phases: every stage in order: phase, name, length, planned and delivered tokens, sequences, padding, tokens that
            bear the loss, cut documents, shards, the account of every source, files and bytes of every format.
        languages: source -> language -> tokens delivered.
        stages: timings in order.
        alarms: sentences.
    """

    recipe: dict[str, Any]
    fingerprint: str
    vocabulary: int
    sources: dict[str, dict[str, Any]]
    phases: list[dict[str, Any]]
    languages: dict[str, dict[str, int]]
    stages: list[Stage] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    def write(self, store: Store) -> None:
        # In the order of the recipe, so that a report that is written again says the same in the same order.
        store.write_json(LATEST, asdict(self), sort_keys=False)

    @classmethod
    def read(cls, store: Store) -> "PretrainSummary":
        """The summary of the last run.

        Raises:
            StoreError: there is none.
        """
        store.require()
        if not store.exists(LATEST):
            raise StoreError(f"store {store.root}: expected a finished run, got none (run `codemill run RECIPE` first)")
        values = store.read_json(LATEST)
        values["stages"] = [Stage(**stage) for stage in values["stages"]]
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"sources": self.sources, "stages": self.phases, "alarms": self.alarms}
