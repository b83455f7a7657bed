"""Calls the deduplication that a rule asks for and turns its evidence into dropped rows with their notes."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.run import Data
from codemill.dedup.exact import exact_duplicates
from codemill.dedup.minhash import MinHashParams
from codemill.dedup.near import Candidates, NearSettings, near_duplicates
from codemill.dedup.repos import repository_duplicates
from codemill.engine import Engine
from codemill.errors import RecipeError
from codemill.keys import KeyIndex, Keys, best_of_each, join_keys, keys_of
from codemill.lexer import Ints
from codemill.recipe import DedupRule
from codemill.schema import EVIDENCE, REPOSITORY
from codemill.select.reasons import json_text
from codemill.select.rules import Mask
from codemill.store import Store
from codemill.tables import AnyTable, parts, take


@dataclass(frozen=True)
class Rows:
    """The rows that a dedup rule is asked about.

    Attributes:
        signals: all rows.
        here: numbers of those asked about, ascending.
        key: the column whose equal values are copies.
    """

    signals: AnyTable
    here: Ints
    key: str

    def keys(self, *columns: str) -> tuple[Keys, Mask]:
        """Keys of these columns of the rows, and which rows have a value in the first of them."""
        found, known = [], [np.zeros(0, dtype=np.bool_)]
        for start, part in parts(self.signals, columns):
            low, high = np.searchsorted(self.here, [start, start + part.num_rows])
            rows = part.take(pa.array(self.here[low:high] - start))
            found.append(keys_of(*(rows[name].cast(pa.string()) for name in columns)))
            known.append(pc.is_valid(rows[columns[0]]).to_numpy())
        return join_keys(found), np.concatenate(known)

    def take(self, rows: Ints, column: str) -> pa.Array:
        """Values of some of the rows, by their number among `here`."""
        return take(self.signals, self.here[rows], [column])[column].cast(pa.string()).combine_chunks()


@dataclass(frozen=True)
class Duplicates:
    """What a dedup rule drops of the rows it was given.

    Attributes:
        dropped: numbers of the rows, ascending.
        places: for each of them the row of the evidence that speaks of it.
        evidence: the whole evidence table, for the report and for `explain`.
    """

    dropped: Ints
    places: Ints
    evidence: pa.Table

    def notes(self, start: int, rows: Mask) -> pa.Array:
        """JSON objects `duplicate_of` and `similarity` of dropped rows, given as a mask over rows from `start` on."""
        low, high = np.searchsorted(self.dropped, [start, start + len(rows)])
        hits = self.evidence.take(pa.array(self.places[low:high]))
        kept = json_text(pc.replace_substring(hits["kept"].combine_chunks(), "\0", " "))
        similarity = pc.round(hits["similarity"], 4).cast(pa.string()).combine_chunks()
        return pc.binary_join_element_wise('{"duplicate_of": ', kept, ', "similarity": ', similarity, "}", "")


def find_duplicates(  # noqa: PLR0917 - six parameters are what it depends on
    rule: DedupRule, rows: Rows, rank: Ints, store: Store, engine: Engine, data: Data
) -> Duplicates:
    """Apply a dedup rule to rows of this rank (unique, lower is kept).

    Raises:
        RecipeError: near-duplicates are asked for without the annotator that sketches.
    """
    if rule.dedup == "exact":
        return _exact(rows, rank)
    if rule.dedup == "near":
        return _near(rule, rows, rank, store, engine, data)
    columns = ["occurrence_id", *REPOSITORY, "path", rows.key]
    table = take(rows.signals, rows.here, columns).rename_columns([*columns[:-1], "blob_id"])
    evidence = repository_duplicates(table.append_column("rank", pa.array(rank)), rule)
    names = pc.binary_join_element_wise(*(table[name] for name in REPOSITORY), "\0")
    return _look_up(rows.here, keys_of(names), evidence)


def _exact(rows: Rows, rank: Ints) -> Duplicates:
    keys, known = rows.keys(rows.key)
    with_key = np.flatnonzero(known)  # what was not read is never a duplicate
    dropped, kept = (with_key[found] for found in exact_duplicates(keys.take(with_key), rank[with_key]))
    columns = [rows.take(found, "occurrence_id") for found in (dropped, kept)]
    evidence = pa.Table.from_arrays([*columns, pa.array(np.ones(len(dropped)))], schema=EVIDENCE)
    order = np.argsort(dropped)
    return Duplicates(rows.here[dropped[order]], order, evidence)


def _near(  # noqa: PLR0917 - as above
    rule: DedupRule, rows: Rows, rank: Ints, store: Store, engine: Engine, data: Data
) -> Duplicates:
    if "minhash" not in data.annotations:
        raise RecipeError(f"rule {rule.name}: expected annotate.minhash in the recipe, got none")
    sketches = data.annotations["minhash"]
    params = sketches.annotator.params
    assert isinstance(params, MinHashParams)
    keys, _ = rows.keys(rows.key)
    best = np.flatnonzero(best_of_each(keys, rank) == np.arange(len(keys)))
    best = best[np.argsort(rank[best])]
    candidates = Candidates(keys.take(best), lambda places: rows.take(best[places], rows.key))
    settings = NearSettings(rule.threshold, rule.max_representatives)
    evidence = near_duplicates(store, engine, candidates, sketches.files, params, settings).evidence
    return _look_up(rows.here, keys, evidence)


def _look_up(here: Ints, keys: Keys, evidence: pa.Table) -> Duplicates:
    """Rows whose key the evidence lists as dropped."""
    places = KeyIndex(keys_of(evidence["dropped"])).find(keys)
    found = np.flatnonzero(places >= 0)
    return Duplicates(here[found], places[found], evidence)
