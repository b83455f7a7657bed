"""Recipes of kind `pretrain`: which corpora train a model, how much of each in which phase, packed to which length."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from codemill.longcontext.settings import LongContextSettings
from codemill.recipe import (
    NAME,
    EngineSettings,
    Strict,
    check_apart,
    check_file_names,
    check_unique,
    fingerprint_of,
    load_recipe_as,
)
from codemill.shards import ShardSettings
from codemill.tokens.settings import BpeSettings, FimSettings


class TokenizerSettings(Strict):
    """Which tokenizer, one that exists or one trained on the sources."""

    path: str = Field(min_length=1, description="a tokenizer.json, a folder that holds one, or an id on the hub")
    train: BpeSettings | None = Field(
        None, description="how to train one on the sources where there is none at `path` yet"
    )
    end: str = Field("<|endoftext|>", min_length=1, description="special token after every document")


class MixtureSource(Strict):
    """A corpus that training draws from. Columns are found by what codemill's own corpora call them."""

    name: str = Field(pattern=NAME, description="names the source in weights and accounts")
    path: str = Field(
        min_length=1, description="folder, file, glob or URL of Parquet, or of JSON lines where there is no Parquet"
    )
    columns: dict[Literal["document_id", "language", "text", "targets"], str] = Field(
        default_factory=dict, description="ours -> theirs, where the names differ from those of codemill's corpora"
    )
    fim: bool = Field(True, description="whether a phase's fill-in-the-middle applies; never to documents with targets")
    longcontext: LongContextSettings | None = Field(
        None, description="make long documents of it first: repositories in the order of their imports, long files"
    )
    repeats: int = Field(4, ge=1, description="most passes over the source in the whole run")

    @model_validator(mode="after")
    def _named(self) -> "MixtureSource":
        if self.longcontext and self.columns:
            raise ValueError("columns: expected none with longcontext, which reads codemill's own corpora, got some")
        return self


class StageSettings(Strict):
    """A stretch of training with one mixture and one sequence length."""

    name: str = Field(description="names the stage's folder")
    tokens: int = Field(gt=0, le=10**18, description="how many, before `scale`")
    length: int = Field(8192, ge=16, le=1 << 26, description="tokens of a sequence")
    weights: dict[str, float] = Field(min_length=1, description="source -> its part of the stage's tokens, of any sum")
    order: Literal["mixed", "sources"] = Field(
        "mixed", description="all sources shuffled together, or one after the other as `weights` lists them"
    )
    packing: Literal["best_fit", "concatenate"] = Field(
        "best_fit", description="whole documents where they fit, or one stream cut at the length"
    )

    @field_validator("tokens", mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        """Trillions are written as 5e12."""
        return int(value) if isinstance(value, float) and value.is_integer() else value

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        for source, weight in value.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"{source}: expected a number above 0, got {weight}")
        return value


class PhaseSettings(Strict):
    """A phase of training: its stages in order, and the share of documents turned to fill-in-the-middle."""

    name: str = Field(description="names the phase's folder")
    fim: FimSettings | None = Field(None, description="fill-in-the-middle; none: left to right alone")
    stage: tuple[StageSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole_contexts(self) -> "PhaseSettings":
        if self.fim is not None and self.fim.level == "context":
            for stage in self.stage:
                if stage.packing != "best_fit":
                    raise ValueError(
                        f'stage.{stage.name}.packing: expected "best_fit" with fim.level = "context", '
                        f"got {stage.packing!r}, which would tear contexts"
                    )
        return self


class OutputSettings(ShardSettings):
    """How packed sequences are written."""

    formats: tuple[Literal["parquet", "megatron", "mds", "litdata", "nanogpt"], ...] = Field(
        ("parquet",), min_length=1, description="one or several, each in its folder"
    )
    tokens: int = Field(
        64_000_000, ge=1024, description="about so many in a shard, the unit of shuffling, packing and writing"
    )
    position_ids: bool = Field(False, description="also write positions, which start anew with every document")


class PretrainRecipe(Strict):
    """A whole mixture."""

    kind: Literal["pretrain"]
    name: str = Field(pattern=NAME)
    description: str = ""
    store: str = Field(min_length=1, description="folder of what is reused: the tokenizer, token files")
    output: str = Field(min_length=1, description="folder of the shards and the report")
    seed: int = Field(0, ge=0, lt=1 << 63, description="of everything drawn at random")
    scale: float = Field(
        1.0, gt=0, le=1e6, description="every amount of tokens times this: a plan on a part of its data"
    )
    shortfall: Literal["fill", "shrink"] = Field(
        "fill",
        description="where a source has less than its part: the others fill up, or the stage shrinks and weights hold",
    )
    engine: EngineSettings = EngineSettings()
    tokenizer: TokenizerSettings
    source: tuple[MixtureSource, ...] = Field(min_length=1)
    phase: tuple[PhaseSettings, ...] = Field(min_length=1)
    shards: OutputSettings = OutputSettings()

    @model_validator(mode="after")
    def _names(self) -> "PretrainRecipe":
        sources = [source.name for source in self.source]
        stages = [(f"phase.{phase.name}.stage", [one.name for one in phase.stage]) for phase in self.phase]
        phases = [phase.name for phase in self.phase]
        for place, names in (("source", sources), ("phase", phases), *stages):
            check_unique(place, names)
            check_file_names(place, names)
        for phase in self.phase:
            for stage in phase.stage:
                for name in stage.weights:
                    if name not in sources:
                        place = f"phase.{phase.name}.stage.{stage.name}.weights"
                        raise ValueError(f"{place}: expected names of sources ({', '.join(sources)}), got {name!r}")
        if self.tokenizer.train and all(source.longcontext for source in self.source):
            raise ValueError("tokenizer.train: expected a source without longcontext to train on, got none")
        drawn = {name for phase in self.phase for stage in phase.stage for name in stage.weights}
        if idle := [name for name in sources if name not in drawn]:
            raise ValueError(f"source: expected every source in the weights of a stage, got {idle[0]!r} in none")
        check_apart(self.store, self.output)
        return self

    @model_validator(mode="after")
    def _shards_hold_sequences(self) -> "PretrainRecipe":
        for phase in self.phase:
            for stage in phase.stage:
                if stage.length > self.shards.tokens:
                    raise ValueError(
                        f"shards.tokens: expected at least phase.{phase.name}.stage.{stage.name}.length, "
                        f"{stage.length}, got {self.shards.tokens}: a shard would be padding for the most part"
                    )
        return self

    def fingerprint(self) -> str:
        """12 hex digits over everything that decides about content: not where it runs or where it is put."""
        return fingerprint_of(self)


def load_pretrain_recipe(path: str | Path) -> PretrainRecipe:
    """Read and check a recipe of kind `pretrain`.

    Raises:
        RecipeError: the file is missing, no TOML, or says something that can't be.
    """
    return load_recipe_as(PretrainRecipe, path)
