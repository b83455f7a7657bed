"""Names of the values that rules look at: which columns rules and corpora want, and whether they are there."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from codemill.errors import RecipeError
from codemill.recipe import CorpusSettings, DedupRule, QuantileRule, Rule, SampleRule, ValueRule
from codemill.schema import OCCURRENCE

LANGUAGE = "language.language"
TOKENS = "rules.tokens"
DEPTH = "occurrence.depth"  # folders above the file; copies within other projects tend to lie deeper
BASE = ("occurrence_id", "source", "repo", "revision", "path", "blob_id", "bytes", "problem")


def groups_of(rule: Rule | None) -> str:
    """What a rule tells apart: `all` (nothing), `language`, `source`, or a column."""
    if isinstance(rule, QuantileRule):
        return rule.within
    return rule.groups if isinstance(rule, ValueRule | SampleRule) else "all"


def wanted_columns(rules: Iterable[Rule], corpora: Iterable[CorpusSettings]) -> list[str]:
    """Every `annotator.field` that these rules look at or these corpora write."""
    columns: dict[str, None] = {}
    for rule in rules:
        if isinstance(rule, ValueRule | QuantileRule):
            columns[rule.column] = None
        if "." in (groups := groups_of(rule)):
            columns[groups] = None
        if isinstance(rule, DedupRule):
            columns.update({name.removeprefix("-"): None for name in rule.prefer})
            if rule.on is not None:
                columns[rule.on] = None
    for corpus in corpora:
        columns.update(dict.fromkeys(corpus.columns))
    return list(columns)


def check_columns(columns: Iterable[str], annotators: Mapping[str, pa.Schema]) -> None:
    """Raise unless every column is one that the recipe's annotators (name -> schema) or the occurrences have.

    Raises:
        RecipeError: names the column and what there is.
    """
    for column in columns:
        name, dot, field = column.partition(".")
        if not dot:
            raise RecipeError(f"column {column}: expected annotator.field or occurrence.field, got no dot")
        schema = OCCURRENCE if name == "occurrence" else annotators.get(name)
        if schema is None:
            known = ", ".join(sorted(["occurrence", *annotators]))
            raise RecipeError(f"column {column}: expected one of the recipe's annotators ({known}), got {name!r}")
        if field not in schema.names and column != DEPTH:
            raise RecipeError(f"column {column}: expected one of {', '.join(schema.names)}, got {field!r}")
