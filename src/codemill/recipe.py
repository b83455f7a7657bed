"""Recipes: whole runs as TOML, checked before any work begins.

A recipe says where data comes from, which annotators run with which parameters, which rules decide, and which corpora
come out. It holds every threshold; annotators hold none. Errors name the field, what was expected and what came.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from codemill.errors import RecipeError

Scalar = str | bool | int | float
S = TypeVar("S", bound=BaseModel)
COLUMN = r"^[a-z_]+\.[a-z0-9_]+$"  # annotator.field or occurrence.field
# Names of corpora and rules become names of folders and files.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")


class Strict(BaseModel):
    """Base of all settings: unknown fields are errors, values don't change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class SourceSettings(Strict):
    """What all kinds of sources share."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="names the source in every table")
    path: str = Field(description="local path, glob or URL")
    facts: str | None = Field(None, description="Parquet, JSONL or CSV table with a column `repo` and any of the facts")


class DirectorySource(SourceSettings):
    """Folders on a file system, with or without git metadata; `.git` folders are passed over."""

    kind: Literal["directories"]
    layout: Literal["children", "single"] = Field("children", description="each child a repository, or one as given")


class GitSource(SourceSettings):
    """Git repositories, bare or not, read from the object store with no checkout."""

    kind: Literal["git"]
    layout: Literal["children", "single"] = "children"
    revision: str = Field("HEAD", description="any revision git understands")
    max_files: int = Field(2_000_000, gt=0, description="most files of one commit; guards against trees of trees")


class ArchiveSource(SourceSettings):
    """Tar and zip archives (wheels too), each one repository, read without unpacking to disk."""

    kind: Literal["archives"]
    max_files: int = Field(200_000, gt=0)
    max_total_bytes: int = Field(4_000_000_000, gt=0, description="most bytes unpacked from one archive")
    max_ratio: int = Field(200, gt=0, description="most bytes out for a byte in")
    strip_top: bool = Field(True, description="drop a single top folder that all members share")


class TableSource(SourceSettings):
    """Parquet, JSONL or JSONL.zst with one file a row; local, s3://, gs:// or hf:// paths."""

    kind: Literal["table"]
    preset: Literal["the-stack-v1", "the-stack-v2", "the-stack-v3"] | None = None
    columns: dict[str, str] = Field(
        default_factory=dict, description="ours -> theirs, for repo, revision, path, content and the facts"
    )


Source = Annotated[DirectorySource | GitSource | ArchiveSource | TableSource, Field(discriminator="kind")]


class Bounds(Strict):
    """What a value must fulfil. At least one bound."""

    min: float | None = None
    max: float | None = None
    equals: Scalar | None = None
    not_equals: Scalar | None = None
    in_: tuple[Scalar, ...] | None = Field(None, alias="in")
    not_in: tuple[Scalar, ...] | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> "Bounds":
        if all(value is None for value in self.bounds().values()):
            raise ValueError("expected at least one of min, max, equals, not_equals, in, not_in")
        return self

    def bounds(self) -> dict[str, Any]:
        """The bounds by their name in a recipe, unset ones as None."""
        return {
            "min": self.min,
            "max": self.max,
            "equals": self.equals,
            "not_equals": self.not_equals,
            "in": self.in_,
            "not_in": self.not_in,
        }


class ValueRule(Bounds):
    """Keeps rows whose value lies within bounds. `column` is `annotator.field` or `occurrence.field`."""

    name: str
    column: str = Field(pattern=COLUMN)
    by: str | None = Field(None, pattern=COLUMN, description="column whose values `per` names")
    per: dict[str, Bounds] = Field(
        default_factory=dict, description="bounds that replace the rule's own, by value of the column `by`"
    )
    per_language: dict[str, Bounds] = Field(
        default_factory=dict, description='the same by language: short for by = "language.language" and `per`'
    )
    missing: Literal["keep", "drop"] = Field("drop", description="what becomes of rows that have no value")

    @model_validator(mode="after")
    def _some_bound(self) -> "ValueRule":
        if self.per and self.per_language:
            raise ValueError("per: expected per or per_language, got both")
        _by_and_per(self.by, self.per)
        if all(value is None for value in self.bounds().values()) and not self.limits:
            raise ValueError("expected a bound (min, max, equals, not_equals, in, not_in), per or per_language")
        return self

    @property
    def limits(self) -> dict[str, Bounds]:
        """Group -> the bounds that replace the rule's own there."""
        return self.per or self.per_language

    @property
    def groups(self) -> str:
        """What tells groups apart: `all` (nothing does), `language`, or a column."""
        return self.by or ("language" if self.per_language else "all")


class QuantileRule(Strict):
    """Drops the lowest (or highest) share of what the rules before it left."""

    name: str
    column: str = Field(pattern=COLUMN)
    drop_lowest: float | None = Field(None, gt=0, lt=1)
    drop_highest: float | None = Field(None, gt=0, lt=1)
    by: Literal["rows", "tokens", "bytes"] = "tokens"
    within: str = Field(
        "all",
        pattern=r"^(all|language|source|[a-z_]+\.[a-z0-9_]+)$",
        description="what has a cut of its own: `all` together, each `language`, each `source`, each value of a column",
    )
    missing: Literal["keep", "drop"] = "drop"

    @model_validator(mode="after")
    def _one_side(self) -> "QuantileRule":
        if (self.drop_lowest is None) == (self.drop_highest is None):
            raise ValueError("expected exactly one of drop_lowest, drop_highest")
        return self


class SampleRule(Strict):
    """Keeps a random share of what it sees, of each group another. Equal contents share their fate.

    Contents stand in an order that hangs on nothing but themselves and the seed, so that a larger share holds the
    smaller one.
    """

    name: str
    sample: float = Field(ge=0, le=1, description="share that stays of what `per` does not name")
    by: str | None = Field(None, pattern=COLUMN, description="column whose values `per` names")
    per: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="shares by value of the column `by`"
    )
    seed: int = Field(0, ge=0, description="another seed, another order")

    @model_validator(mode="after")
    def _both(self) -> "SampleRule":
        _by_and_per(self.by, self.per)
        return self

    @property
    def groups(self) -> str:
        """What tells groups apart: `all` (nothing does) or a column."""
        return self.by or "all"


def _by_and_per(by: str | None, per: dict[str, Any]) -> None:
    """Raise unless there are both or neither: one says nothing without the other."""
    if by is None and per:
        raise ValueError("by: expected the column whose values `per` names, got none")
    if by is not None and not per:
        raise ValueError("per: expected a table by value of the column `by`, got none")


class DedupRule(Strict):
    """Drops what duplicates something kept, among what the rules before it left."""

    name: str
    dedup: Literal["exact", "near", "repository"]
    on: str | None = Field(
        None,
        pattern=r"^[a-z_]+\.[a-z0-9_]+$",
        description="of exact: a column whose equal values make duplicates, in the place of the content",
    )
    threshold: float = Field(0.7, gt=0, le=1, description="least Jaccard similarity of a near-duplicate")
    prefer: tuple[str, ...] = Field(
        ("-occurrence.stars", "occurrence.created_at", "occurrence.depth", "occurrence.path"),
        description="which one is kept: columns in order of weight, a minus for descending",
    )
    max_representatives: int = Field(
        64, gt=0, description="most kept files that one is compared with in one LSH bucket; bounds huge clusters"
    )

    @field_validator("prefer")
    @classmethod
    def _columns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for column in value:
            if "." not in column:
                raise ValueError(f"expected annotator.field or occurrence.field, got {column!r}")
        return value

    @model_validator(mode="after")
    def _on_exact(self) -> "DedupRule":
        if self.on is not None and self.dedup != "exact":
            raise ValueError(f'on: expected dedup = "exact" with it, got {self.dedup!r}')
        return self


class PresetRule(Strict):
    """A named set of value rules that ships with codemill."""

    name: str
    preset: Literal["baseline"]


Rule = ValueRule | QuantileRule | SampleRule | DedupRule | PresetRule


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

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    description: str = ""
    store: str
    output: str
    engine: EngineSettings = EngineSettings()
    ingest: IngestSettings = IngestSettings()
    source: tuple[Source, ...] = Field(min_length=1)
    annotate: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rule: tuple[Rule, ...] = ()
    corpus: dict[str, CorpusSettings] = Field(min_length=1)
    alarm: AlarmSettings = AlarmSettings()
    propose: ProposeSettings | None = Field(None, description="for `codemill propose`")

    @field_validator("rule", mode="before")
    @classmethod
    def _typed_rules(cls, value: Any) -> Any:
        """Choose each rule's model by its telling field, so that errors speak of that one model alone."""
        if not isinstance(value, Sequence) or isinstance(value, str):
            return value
        return tuple(parse_rule(entry, f"rule[{index}]") for index, entry in enumerate(value))

    @model_validator(mode="after")
    def _names(self) -> "Recipe":
        _unique("source", [source.name for source in self.source])
        _unique("rule", [rule.name for rule in self.rule])
        known = {rule.name for rule in self.rule}
        for what, names in (("rule", known), ("corpus", set(self.corpus))):
            for name in sorted(names):
                if not FILE_NAME.match(name):
                    raise ValueError(
                        f"{what}: expected a name of letters, digits, _ and - (files bear it), got {name!r}"
                    )
        if self.store.rstrip("/") == self.output.rstrip("/"):
            raise ValueError(f"output: expected another folder than the store's, got {self.output!r}")
        for name, corpus in self.corpus.items():
            _unique(f"corpus.{name}.rules", list(corpus.rules))
            _unique(f"corpus.{name}.columns", list(corpus.columns))
            for rule in corpus.rules:
                if rule not in known:
                    raise ValueError(f"corpus.{name}.rules: expected names of rules ({', '.join(known)}), got {rule!r}")
        return self

    def fingerprint(self) -> str:
        """12 hex digits over everything that decides about content: not where it runs or where it is put."""
        value = self.model_dump(mode="json", by_alias=True, exclude={"engine", "store", "output", "propose"})
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def parse_rule(entry: Any, place: str = "rule") -> Rule:
    """A rule of the kind that its fields tell.

    Raises:
        RecipeError: a field is wrong.
    """
    if isinstance(entry, ValueRule | QuantileRule | SampleRule | DedupRule | PresetRule):
        return entry
    if not isinstance(entry, dict):
        raise RecipeError(f"{place}: expected a table, got {type(entry).__name__}")
    model: type[Rule] = ValueRule
    if "dedup" in entry:
        model = DedupRule
    elif "preset" in entry:
        model = PresetRule
    elif "drop_lowest" in entry or "drop_highest" in entry:
        model = QuantileRule
    elif "sample" in entry:
        model = SampleRule
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        raise RecipeError(f"{place} ({entry.get('name', 'no name')}): {_first(error)}") from error


def _unique(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what}: expected different names, got {name!r} twice")


def _first(error: ValidationError) -> str:
    """The first problem of a validation error as `field: expectation, got value`."""
    problem = error.errors()[0]
    # Tagged unions put the tag into the location; it is no field of the recipe.
    place = ".".join(str(part) for part in problem["loc"] if part not in {"directories", "git", "archives", "table"})
    message = problem["msg"].removeprefix("Value error, ")
    value = repr(problem["input"])
    got = "" if isinstance(problem["input"], dict) or problem["type"] == "value_error" else f", got {value[:80]}"
    return f"{place}: {message}{got}" if place else f"{message}{got}"


def parse_settings(model: type[S], values: dict[str, Any], place: str) -> S:
    """Settings checked against their model; errors are one line that begins with `place`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{place}.{_first(error)}") from error


def recipe_kind(path: str | Path) -> str:
    """What a recipe is about: its `kind`, `files` where it names none. Unreadable recipes are left to their loaders."""
    try:
        return str(tomllib.loads(Path(path).read_text(encoding="utf-8")).get("kind", "files"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return "files"


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe over files. Relative paths in it are relative to the working directory.

    Raises:
        RecipeError: the file is missing, no TOML, or says something that can't be.
    """
    return load_recipe_as(Recipe, path)


def load_recipe_as(model: type[S], path: str | Path) -> S:
    """Read and check a recipe of the kind that `model` describes; errors are as those of `load_recipe`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path}: expected a readable TOML file, got {error}") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {path}: expected TOML, got {error}") from error
    if values.get("kind") == "files":  # the kind of recipes that name none
        del values["kind"]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"recipe {path}: {_first(error)}") from error
    except RecipeError as error:
        raise RecipeError(f"recipe {path}: {error}") from error
