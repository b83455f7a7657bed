"""What decides: the kinds of rules, each told by its fields."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from codemill.errors import RecipeError
from codemill.recipe.base import Scalar, Strict
from codemill.recipe.mistakes import COLUMN, first_problem


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
        _in_order(self)
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


def _in_order(bounds: Bounds) -> None:
    """Raise where no value lies between min and max."""
    if bounds.min is not None and bounds.max is not None and bounds.min > bounds.max:
        raise ValueError(f"min: expected no more than max {bounds.max:g}, got {bounds.min:g}")


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
        _in_order(self)
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
        raise RecipeError(f"{place} ({entry.get('name', 'no name')}): {first_problem(error, model)}") from error


def parse_rules(value: Any, parse: Callable[[Any, str], Any] = parse_rule) -> Any:
    """Choose each rule's model by its telling field, so that errors speak of that one model alone.

    Args:
        value: the recipe's list; what is none is left to its field.
        parse: of an entry and its place, where a kind of recipes has rules of its own.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    return tuple(parse(entry, f"rule[{index}]") for index, entry in enumerate(value))


Rules = Annotated[tuple[Rule, ...], BeforeValidator(parse_rules)]
