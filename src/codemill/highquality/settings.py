"""Recipes of kind `highquality`: which documents a source may hold, which of them are its seed, how it grows.

All thresholds are here and in the rules that a source names. The paper describes the method in a paragraph
(arXiv:2506.03524, section 2.2.4); what it leaves open are settings with defaults.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from codemill.errors import RecipeError
from codemill.recipe import (
    COLUMN,
    NAME,
    EngineSettings,
    NotebookSettings,
    Strict,
    ValueRule,
    check_apart,
    check_file_names,
    check_unique,
    fingerprint_of,
    first_problem,
    load_recipe_as,
    parse_rule,
    parse_rules,
    recipe_kind,
)


class InputSettings(Strict):
    """A corpus that `codemill run` wrote at file level."""

    name: str = Field(pattern=NAME, description="names the input in decisions")
    path: str = Field(min_length=1, description="folder of Parquet files, glob or URL")


class TextRule(Strict):
    """Keeps rows whose text fits: a name among those of a list with commas between, or a regular expression."""

    name: str
    column: str = Field(pattern=COLUMN, description="`annotator.field` or `occurrence.field` of text")
    any_of: tuple[str, ...] = Field((), description="at least one of these is in the list")
    none_of: tuple[str, ...] = Field((), description="none of these is in the list")
    matches: str | None = Field(None, description="a regular expression (RE2) that fits some part of the text")

    @model_validator(mode="after")
    def _something(self) -> "TextRule":
        if not (self.any_of or self.none_of or self.matches):
            raise ValueError("expected any_of, none_of or matches, got none")
        if self.matches is not None:
            try:
                re.compile(self.matches)
            except re.error as error:
                raise ValueError(f"matches: expected a regular expression, got {error}") from error
        return self


Rule = ValueRule | TextRule


def _rule(entry: Any, place: str) -> Rule:
    if isinstance(entry, dict) and {"any_of", "none_of", "matches"} & set(entry):
        try:
            return TextRule.model_validate(entry)
        except ValidationError as error:
            raise RecipeError(f"{place} ({entry.get('name', 'no name')}): {first_problem(error, TextRule)}") from error
    rule = parse_rule(entry, place) if not isinstance(entry, TextRule) else entry
    if not isinstance(rule, ValueRule | TextRule):
        raise RecipeError(
            f"{place} ({rule.name}): expected bounds, any_of, none_of or matches, got another kind of rule"
        )
    return rule


Rules = Annotated[tuple[Rule, ...], BeforeValidator(lambda value: parse_rules(value, _rule))]


class SourceSettings(Strict):
    """One set: its candidates, its seed, its hard negatives, and what recalled documents must fulfil to be taken.

    Each list names rules; a document must fulfil all of a list.
    """

    description: str = Field("", description="for the card and the report")
    languages: tuple[str, ...] = Field((), description="Linguist's names; none: all")
    candidates: tuple[str, ...] = Field((), description="rules of documents that may be taken at all")
    seed: tuple[str, ...] = Field(min_length=1, description="rules of the seed positives")
    hard: tuple[str, ...] = Field((), description="rules of hard negatives: good marks, but not what is wanted")
    take: tuple[str, ...] = Field((), description="rules that a recalled document must fulfil to be taken")
    bad: tuple[str, ...] = Field((), description="rules of recalled documents that are negatives of the next round")
    seed_size: int = Field(100_000, ge=1, description="most seed documents that are trained on")
    seed_per_repository: int = Field(500, ge=1, description="most of them from one repository, so that they vary")


class ClassifierSettings(Strict):
    """fastText (arXiv:1607.01759) over words and marks of code; one thread, so that a run repeats to the byte."""

    dim: int = Field(64, ge=2, le=300, description="size of the vectors")
    epochs: int = Field(8, ge=1)
    rate: float = Field(0.3, gt=0, le=2, description="learning rate at the start")
    ngrams: int = Field(2, ge=1, le=5, description="longest word n-grams")
    buckets: int = Field(500_000, ge=1000, description="hash buckets of n-grams")
    min_count: int = Field(3, ge=1, description="rarer words are left out")
    split_names: bool = Field(True, description="readHTTPLine as read HTTP Line; identifiers as they are where false")
    max_bytes: int = Field(8_000, ge=100, description="a document is judged by so many bytes from its start")
    seed: int = Field(0, ge=0)


class RoundSettings(Strict):
    """How rounds go and when they stop."""

    most: int = Field(3, ge=1, le=10, description="most rounds")
    threshold: float = Field(0.5, gt=0, lt=1, description="probability from which on a document is recalled")
    held_out: float = Field(0.2, gt=0, lt=1, description="share that is never trained on")
    held_out_by: Literal["document", "repository"] = Field(
        "document", description="what is held out as a whole; repositories are the harder test"
    )
    random_negatives: float = Field(2.0, gt=0, description="for each positive")
    hard_negatives: float = Field(1.0, ge=0, description="most for each positive")
    bad_negatives: float = Field(1.0, ge=0, description="most for each positive, of those the last round recalled")
    match_languages: bool = Field(
        True, description="random negatives in the languages of the positives, so that no language is a negative"
    )
    most_positives: int = Field(300_000, ge=1, description="most documents trained on as positives in later rounds")
    score: str = Field("quality.overall", pattern=COLUMN, description="the score that `least_score` speaks of")
    least_precision: float = Field(
        0.8, ge=0, le=1, description="noise: held-out precision, positives against hard negatives, falls below"
    )
    least_score: float = Field(4.0, description="noise: the newly recalled score less than this on average")
    least_gain: float = Field(0.01, ge=0, description="done: a round adds less than this share of the set")


class HighQualityRecipe(Strict):
    """A whole run of kind `highquality`."""

    kind: Literal["highquality"]
    name: str = Field(pattern=NAME)
    description: str = ""
    store: str = Field(
        min_length=1, description="work folder: values, models, probabilities; may be the store of the corpora"
    )
    output: str = Field(min_length=1, description="sets, decisions, card, report.html")
    engine: EngineSettings = EngineSettings()
    input: tuple[InputSettings, ...] = Field(min_length=1)
    notebooks: NotebookSettings = NotebookSettings()
    annotate: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="parameters of annotators whose values the corpora lack"
    )
    rule: Rules = Field(min_length=1)
    classifier: ClassifierSettings = ClassifierSettings()
    rounds: RoundSettings = RoundSettings()
    source: dict[str, SourceSettings] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> "HighQualityRecipe":
        check_unique("rule", [rule.name for rule in self.rule])
        check_unique("input", [one.name for one in self.input])
        check_file_names("source", self.source)
        check_apart(self.store, self.output)
        known = {rule.name for rule in self.rule}
        for name, source in self.source.items():
            for list_ in LISTS:
                for rule in getattr(source, list_):
                    if rule not in known:
                        raise ValueError(
                            f"source.{name}.{list_}: expected names of rules ({', '.join(sorted(known))}), got {rule!r}"
                        )
        return self

    def fingerprint(self) -> str:
        """12 hex digits over everything that decides about content: not where it runs or where it is put."""
        return fingerprint_of(self)

    def columns(self) -> list[str]:
        """Every `annotator.field` that the sources' rules and the rounds look at, sorted."""
        used = {name for source in self.source.values() for list_ in LISTS for name in getattr(source, list_)}
        rules = [rule for rule in self.rule if rule.name in used]
        by = {rule.by for rule in rules if isinstance(rule, ValueRule) and rule.by}
        return sorted({self.rounds.score, *(rule.column for rule in rules), *by})

    def rules(self, names: Sequence[str]) -> list[Rule]:
        """The rules of these names."""
        found = {rule.name: rule for rule in self.rule}
        return [found[name] for name in names]


LISTS = ("candidates", "seed", "hard", "take", "bad")


def load_highquality_recipe(path: str) -> HighQualityRecipe:
    """Read and check a recipe.

    Raises:
        RecipeError: the file is missing, no TOML, or says something that can't be.
    """
    kind = recipe_kind(path)
    if Path(path).exists() and kind != "highquality":
        raise RecipeError(f"recipe {path}: kind: expected highquality for this command, got {kind!r}")
    return load_recipe_as(HighQualityRecipe, path)
