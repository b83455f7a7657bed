"""Calls the deduplication that a rule asks for and turns its evidence into dropped rows with their notes."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.run import Data
from codemill.dedup.exact import exact_duplicates
from codemill.dedup.minhash import MinHashParams
from codemill.dedup.near import NearSettings, near_duplicates
from codemill.dedup.repos import repository_duplicates
from codemill.engine import Engine
from codemill.errors import RecipeError
from codemill.recipe import DedupRule
from codemill.select.reasons import json_text
from codemill.select.rules import Mask, to_mask
from codemill.store import Store


@dataclass(frozen=True)
class Duplicates:
    """What a dedup rule drops of the rows it was given.

    Attributes:
        dropped: mask over the rows.
        notes: for every dropped row a JSON object: `duplicate_of` and `similarity`.
        evidence: the whole evidence table, for the report and for `explain`.
    """

    dropped: Mask
    notes: pa.Array
    evidence: pa.Table


def find_duplicates(rule: DedupRule, rows: pa.Table, store: Store, engine: Engine, data: Data) -> Duplicates:
    """Apply a dedup rule to rows (identity columns and `rank`, unique, lower is kept)."""
    if rule.dedup == "exact":
        evidence = exact_duplicates(rows)
        return _lookup(rows["occurrence_id"], evidence)
    if rule.dedup == "near":
        if "minhash" not in data.annotations:
            raise RecipeError(f"rule {rule.name}: expected annotate.minhash in the recipe, got none")
        blobs = rows.group_by("blob_id", use_threads=False).aggregate([("rank", "min")])
        candidates = blobs.rename_columns(["blob_id", "rank"])
        sketches = data.annotations["minhash"]
        settings = NearSettings(rule.threshold, rule.max_representatives)
        params = sketches.annotator.params
        assert isinstance(params, MinHashParams)
        evidence = near_duplicates(store, engine, candidates, sketches.files, params, settings).evidence
        return _lookup(rows["blob_id"], evidence)
    evidence = repository_duplicates(rows, rule)
    keys = pc.binary_join_element_wise(rows["source"], rows["repo"], rows["revision"], "\0")
    return _lookup(keys, evidence)


def _lookup(keys: pa.ChunkedArray, evidence: pa.Table) -> Duplicates:
    """Rows whose key the evidence lists as dropped."""
    index = pc.index_in(keys.combine_chunks(), value_set=evidence["dropped"].combine_chunks())
    dropped = to_mask(pc.is_valid(index))
    hits = evidence.take(index.drop_null())
    kept = json_text(pc.replace_substring(hits["kept"].combine_chunks(), "\0", " "))
    similarity = pc.round(hits["similarity"], 4).cast(pa.string()).combine_chunks()
    notes = pc.binary_join_element_wise('{"duplicate_of": ', kept, ', "similarity": ', similarity, "}", "")
    return Duplicates(np.asarray(dropped), notes, evidence)
