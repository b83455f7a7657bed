"""Gathers, for every occurrence, the values that rules look at: one wide table out of many narrow ones."""

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.run import Data
from codemill.engine import Engine, Join
from codemill.errors import ConservationError, RecipeError
from codemill.recipe import CorpusSettings, DedupRule, QuantileRule, Rule, SampleRule, ValueRule
from codemill.schema import OCCURRENCE
from codemill.store import Store

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


def gather(
    store: Store,
    engine: Engine,
    data: Data,
    columns: Iterable[str],
) -> pa.Table:
    """One row for every occurrence of the shards, sorted by source, repo, revision, path and id.

    Columns: those of `BASE`, each wanted `annotator.field`, and `annotator.error` of every annotator touched. The
    language and the token count are always there where their annotators ran.

    Raises:
        ConservationError: the joins made more or fewer rows than there are occurrences.
    """
    wanted = list(dict.fromkeys([*columns, *(c for c in (LANGUAGE, TOKENS) if c.split(".")[0] in data.annotations)]))
    base = list(
        dict.fromkeys([*BASE, *(c.split(".", 1)[1] for c in wanted if c.startswith("occurrence.") and c != DEPTH)])
    )
    fields: dict[str, dict[str, str]] = {"language": {}} if "language" in data.annotations else {}
    for column in wanted:
        name, field = column.split(".", 1)
        if name != "occurrence":
            fields.setdefault(name, {})[field] = column
    joins, absent = _joins(store, data, fields)
    if data.shards:
        table = engine.join([store.url(f"occurrences/{shard}.parquet") for shard in data.shards], base, joins)
    else:
        table = pa.schema([OCCURRENCE.field(name) for name in base]).empty_table()
    for alias, kind in absent.items():
        table = table.append_column(alias, pa.nulls(table.num_rows, kind))
    expected = sum(store.read_json(f"ingested/{shard}.json")["occurrences"] for shard in data.shards)
    if table.num_rows != expected:
        raise ConservationError(f"signals: expected {expected} rows, one for every occurrence, got {table.num_rows}")
    names = [name.replace("__", ".", 1) if "__" in name else name for name in table.column_names]
    table = table.rename_columns(names)
    for column in wanted:
        if column == DEPTH:
            table = table.append_column(column, pc.count_substring(table["path"], "/"))
        elif column.startswith("occurrence."):
            table = table.append_column(column, table[column.split(".", 1)[1]])
    order = [(name, "ascending") for name in ("source", "repo", "revision", "path", "occurrence_id")]
    return _sorted(table, order)


def _sorted(table: pa.Table, order: list[tuple[str, str]]) -> pa.Table:
    """The table in this order, each column as one chunk; a column at a time, so that it is not held twice."""
    places = pc.sort_indices(table, sort_keys=order)
    columns: dict[str, pa.ChunkedArray] = {}
    for name in table.column_names:
        columns[name] = pa.chunked_array([table[name].combine_chunks().take(places)])
        table = table.drop_columns([name])
    return pa.table(columns)


def _plain(column: str) -> str:
    """A column's name without the dot, which query engines take for access to a struct."""
    return column.replace(".", "__", 1)


def _joins(
    store: Store, data: Data, fields: Mapping[str, Mapping[str, str]]
) -> tuple[list[Join], dict[str, pa.DataType]]:
    """What to join for the wanted fields (annotator -> field -> column), and the columns of tables with no file."""
    joins: list[Join] = []
    absent: dict[str, pa.DataType] = {}
    for name, chosen in fields.items():  # the language comes first: others are joined by it
        annotation = data.annotations[name]
        on = {"occurrence_id": "occurrence_id"}
        if annotation.annotator.key != "occurrence":
            on = {"blob_id": "blob_id"}
        if annotation.annotator.key == "blob_language":
            on[_plain(LANGUAGE)] = "language"
        picked = {field: _plain(column) for field, column in chosen.items()} | {"error": f"{name}__error"}
        if annotation.files and data.shards:
            joins.append(Join([store.url(file) for file in annotation.files], on, picked))
        else:  # nothing has content, so nothing has a value
            schema = annotation.annotator.schema()
            absent.update({alias: schema.field(field).type for field, alias in picked.items()})
    return joins, absent
