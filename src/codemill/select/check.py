"""Finds what can't work in a recipe's rules and corpora before any work begins, rather than hours into a run."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from codemill.errors import RecipeError
from codemill.recipe import CorpusSettings, DedupRule, QuantileRule, Rule, ValueRule
from codemill.schema import OCCURRENCE
from codemill.select.rules import outside
from codemill.select.signals import DEPTH, check_columns, groups_of, wanted_columns


def check_rules(rules: Iterable[Rule], corpora: Iterable[CorpusSettings], annotators: Mapping[str, pa.Schema]) -> None:
    """Raise unless these rules and corpora can be applied to the values of these annotators (name -> schema).

    Raises:
        RecipeError: a column is not there or of a type that has no use there, or an annotator is missing.
    """
    rules, corpora = list(rules), list(corpora)
    check_columns(wanted_columns(rules, corpora), annotators)

    def kind(column: str) -> pa.DataType:
        name, field = column.split(".", 1)
        if column == DEPTH:
            return pa.int64()
        return (OCCURRENCE if name == "occurrence" else annotators[name]).field(field).type

    for corpus in corpora:
        for column in corpus.columns:
            _flat(f"corpus column {column}", kind(column))
        if corpus.mask and "secrets" not in annotators:
            raise RecipeError("corpus.mask: expected annotate.secrets in the recipe, got none")
    for rule in rules:
        if "." in (groups := groups_of(rule)):
            _flat(f"rule {rule.name}: column {groups}", kind(groups))
        if isinstance(rule, ValueRule):
            values = pa.array([], kind(rule.column))
            for bounds in (rule, *rule.limits.values()):
                outside(rule.name, bounds, values)
        elif isinstance(rule, QuantileRule):
            found = kind(rule.column)
            if not (pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_boolean(found)):
                raise RecipeError(f"rule {rule.name}.column: expected a column of numbers, got {found}")
        elif isinstance(rule, DedupRule):
            for column in [*rule.prefer, *([rule.on] if rule.on else [])]:
                _flat(f"rule {rule.name}: column {column}", kind(column.removeprefix("-")))
            if rule.dedup == "near" and "minhash" not in annotators:
                raise RecipeError(f"rule {rule.name}: expected annotate.minhash in the recipe, got none")


def check_helpers(rules: Iterable[Rule], annotators: Iterable[str]) -> None:
    """Raise unless the annotators that rules over files lean on without naming them are among these.

    Raises:
        RecipeError: names the rule and the annotator. Without it every file would be of the language `unknown` and
            weigh no tokens.
    """
    known = set(annotators)
    for rule in rules:
        if isinstance(rule, QuantileRule) and rule.by == "tokens" and "rules" not in known:
            raise RecipeError(f"rule {rule.name}.by: expected annotate.rules in the recipe for tokens, got none")
        if groups_of(rule) == "language" and "language" not in known:
            raise RecipeError(f"rule {rule.name}: expected annotate.language in the recipe, got none")


def _flat(what: str, kind: pa.DataType) -> None:
    if pa.types.is_nested(kind):
        raise RecipeError(f"{what}: expected a column of single values, got {kind}")
