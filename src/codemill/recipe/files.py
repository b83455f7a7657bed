"""Recipes over files: all sections but sources and rules, and the whole."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from codemill.recipe.base import Strict, check_apart, check_file_names, check_unique, fingerprint_of
from codemill.recipe.mistakes import COLUMN, NAME
from codemill.recipe.rules import Rules
from codemill.recipe.sources import Source


class EngineSettings(Strict):
    """Where the work runs."""

    runner: Literal["native", "ray"] = "native"
    workers: int = Field(0, ge=0, description="worker processes; 0: one per core")
    address: str | None = Field(None, description="address of a Ray cluster; none: a local one")


class IngestSettings(Strict):
    """How input becomes shards of the store."""

    max_bytes: int = Field(1_000_000, gt=0, description="larger files are recorded without content")
    shard_bytes: int = Field(
        32_000_000, gt=0, description="aim for the content of one shard, the unit of parallel work"
    )
    shard_files: int = Field(20_000, gt=0, description="most files in one shard")


class AlarmSettings(Strict):
    """When a group loses an unusual share to deduplication, the run says so."""

    share: float = Field(
        0.8, gt=0, le=1, description="share of a language or source lost to dedup that raises an alarm"
    )
    min_files: int = Field(50, ge=1, description="smaller groups raise none")


class NotebookSettings(Strict):
    """How Jupyter notebooks are written: as text and code in turn, without pictures."""

    style: Literal["markdown", "percent"] = Field(
        "markdown", description="text as it is and code in fences, or a script with text as comments and `# %%` marks"
    )
    outputs: Literal["drop", "text"] = Field("drop", description="whether the textual outputs of cells are written")
    output_chars: int = Field(500, gt=0, description="most characters of a cell's outputs")


class CorpusSettings(Strict):
    """One output: which rules in which order, and how it is written."""

    level: Literal["file", "repository"] = "file"
    rules: tuple[str, ...]
    formats: tuple[Literal["parquet", "jsonl.zst"], ...] = Field(("parquet",), min_length=1)
    columns: tuple[str, ...] = Field((), description="annotation columns to write beside the standard ones")
    mask: tuple[Literal["keys", "emails", "ips"], ...] = Field((), description="spans to replace by a placeholder")
    notebooks: NotebookSettings | None = Field(
        None, description="write notebooks as text; what can't be read as one stays as it is, with `notebook_problem`"
    )


class ProposeSettings(Strict):
    """What `codemill propose` aims at: which part of a corpus shall be of which group. Decides nothing by itself."""

    by: str = Field("category.name", pattern=COLUMN, description="column that tells groups apart")
    score: str = Field("page_quality.overall", pattern=COLUMN, description="column of numbers, more is better")
    target: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="share of the corpus's tokens by group; others divide the rest"
    )
    floor: float = Field(2.0, description="nothing below this score, however scarce its group")
    ceiling: float = Field(6.0, description="bounds rise no higher; beyond it a group is sampled")
    keep: float | None = Field(
        None, gt=0, le=1, description="share of all tokens to keep; none: as much as the scarcest named group allows"
    )

    @model_validator(mode="after")
    def _possible(self) -> "ProposeSettings":
        if sum(self.target.values()) > 1 + 1e-9:
            raise ValueError(f"target: expected shares that sum to 1 at most, got {sum(self.target.values()):g}")
        if self.ceiling < self.floor:
            raise ValueError(f"ceiling: expected no less than the floor {self.floor:g}, got {self.ceiling:g}")
        return self


class Recipe(Strict):
    """A whole run."""

    name: str = Field(pattern=NAME)
    description: str = ""
    store: str = Field(min_length=1)
    output: str = Field(min_length=1)
    engine: EngineSettings = EngineSettings()
    ingest: IngestSettings = IngestSettings()
    source: tuple[Source, ...] = Field(min_length=1)
    annotate: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rule: Rules = ()
    corpus: dict[str, CorpusSettings] = Field(min_length=1)
    alarm: AlarmSettings = AlarmSettings()
    propose: ProposeSettings | None = Field(None, description="for `codemill propose`")

    @model_validator(mode="after")
    def _names(self) -> "Recipe":
        known = {rule.name for rule in self.rule}
        check_unique("source", [source.name for source in self.source])
        check_unique("rule", [rule.name for rule in self.rule])
        check_file_names("rule", sorted(known))
        check_file_names("corpus", sorted(self.corpus))
        check_apart(self.store, self.output)
        for name, corpus in self.corpus.items():
            check_unique(f"corpus.{name}.rules", list(corpus.rules))
            check_unique(f"corpus.{name}.columns", list(corpus.columns))
            for rule in corpus.rules:
                if rule not in known:
                    raise ValueError(
                        f"corpus.{name}.rules: expected names of rules ({', '.join(sorted(known))}), got {rule!r}"
                    )
        return self

    def fingerprint(self) -> str:
        """12 hex digits over everything that decides about content: not where it runs or where it is put."""
        return fingerprint_of(self, "propose")
