"""Explains one blob or occurrence: where it was seen, all that is known of it, what was decided and why."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from codemill.errors import InputError
from codemill.report.summary import RunSummary
from codemill.report.wording import condition, speaking_of, units_of
from codemill.schema import BLOB, KEYS, OCCURRENCE
from codemill.select.result import Step, read_selection
from codemill.sources.base import clean_text
from codemill.store import Store
from codemill.tables import parts

MOST_MATCHES = 20


def explain(store: Store, query: str) -> dict[str, Any]:
    """Everything known of what `query` names in the last run.

    Args:
        store: a store with a finished run.
        query: a blob id, git blob id or occurrence id (or at least 6 digits of its beginning), a path as seen in its
            repository, or `repo/path`.

    Returns:
        `occurrences`: a list with, for each, its row, `annotations` (annotator -> values) and `decisions` (corpus ->
        status, reason, reasons, evidence, resembling); `matches`: how many there were.

    Raises:
        InputError: nothing matches.
    """
    summary = RunSummary.read(store)
    paths = [f"occurrences/{shard}.parquet" for shard in summary.shards]
    occurrences = store.read_all(paths, OCCURRENCE)
    # Names that are no UTF-8 are looked for as tables hold them.
    found = occurrences.filter(_matches(store, summary, occurrences, clean_text(query)))
    if not found.num_rows:
        raise InputError(f"explain: expected the id or path of something the last run saw, got {query!r}")
    found = found.sort_by([("repo", "ascending"), ("path", "ascending")])
    matches, found = found.num_rows, found.slice(0, MOST_MATCHES)
    known = _annotations(store, summary, found)
    with speaking_of(units_of(summary.recipe.get("kind", "files"))):
        decided = _decisions(store, summary, found)
    rows = found.to_pylist()
    for row in rows:
        row["annotations"] = known(row)
        row["decisions"] = decided[row["occurrence_id"]]
    return {"query": query, "matches": matches, "occurrences": rows}


def _matches(store: Store, summary: RunSummary, occurrences: pa.Table, query: str) -> pa.Array:
    """Which occurrences the query names: ids by prefix, then whole paths, then ends of paths."""
    nothing = pa.array([False] * occurrences.num_rows)
    if len(query) >= 6 and all(letter in "0123456789abcdef" for letter in query):
        mask = pc.or_(
            pc.starts_with(occurrences["blob_id"], query).fill_null(False),
            pc.starts_with(occurrences["occurrence_id"], query),
        )
        if len(query) <= 40 and not pc.any(mask).as_py():
            mask = pc.is_in(occurrences["blob_id"], value_set=_git_blobs(store, summary, query))
        if pc.any(mask).as_py():
            return mask
    whole = pc.binary_join_element_wise(occurrences["repo"], occurrences["path"], "/")
    for mask in (
        pc.equal(whole, query),
        pc.equal(occurrences["path"], query),
        pc.ends_with(whole, "/" + query),
    ):
        if pc.any(mask).as_py():
            return mask
    return nothing


def _git_blobs(store: Store, summary: RunSummary, prefix: str) -> pa.Array:
    blobs = store.read_all([f"blobs/{shard}.parquet" for shard in summary.shards], BLOB, ["blob_id", "git_blob"])
    return blobs.filter(pc.starts_with(blobs["git_blob"], prefix))["blob_id"].combine_chunks()


def _annotations(store: Store, summary: RunSummary, found: pa.Table) -> Any:
    """A function from an occurrence's row to annotator -> values."""
    tables: dict[str, tuple[tuple[str, ...], dict[tuple[str, ...], dict[str, Any]]]] = {}
    for name, table in summary.load_data().annotations.items():
        keys = KEYS[table.annotator.key]
        values = store.read_all(table.files, table.annotator.schema())
        here = values.filter(pc.is_in(values[keys[0]], value_set=found[keys[0]].combine_chunks()))
        rows = {tuple(row[key] for key in keys): row for row in here.to_pylist()}
        tables[name] = (keys, rows)

    def known(row: dict[str, Any]) -> dict[str, dict[str, Any]]:
        spoken = next((tables[name][1] for name in ("language", "commit") if name in tables), {})
        language = spoken.get((row["occurrence_id"],), {}).get("language")
        place = {**row, "language": language}
        result = {}
        for name, (keys, rows) in tables.items():
            values = rows.get(tuple(place[key] for key in keys))
            if values is not None:
                shown = {field: value for field, value in values.items() if field not in keys and field != "bands"}
                result[name] = {field: value for field, value in shown.items() if field != "error" or value is not None}
        return result

    return known


def _decisions(store: Store, summary: RunSummary, found: pa.Table) -> dict[str, dict[str, Any]]:
    """Occurrence id -> corpus -> what was decided."""
    decided: dict[str, dict[str, Any]] = {key: {} for key in found["occurrence_id"].to_pylist()}
    for corpus in summary.corpora:
        selection = read_selection(store, summary.decisions, corpus)
        ids = found["occurrence_id"].combine_chunks()
        here = [part.filter(pc.is_in(part["occurrence_id"], value_set=ids)) for _, part in parts(selection.decisions)]
        settings = {step.rule: step for step in selection.steps}
        for row in (row for rows in here for row in rows.to_pylist()):
            looked_at = json.loads(row["evidence"]) if row["evidence"] else {}
            decided[row["occurrence_id"]][corpus] = {
                "status": row["status"],
                "reason": row["reason"],
                "failed": [_failed(rule, settings.get(rule), looked_at.get(rule)) for rule in row["reasons"]],
                "stands_for": _stands_for(selection.evidence, row),
            }
    return decided


def _failed(rule: str, step: Step | None, got: Any) -> dict[str, Any]:
    """A rule that a file broke: what it asked for, what it looked at, and where it cut if it is a quantile."""
    setting = step.setting if step else None
    return {
        "rule": rule,
        "setting": setting.model_dump(mode="json", by_alias=True, exclude_none=True) if setting else {},
        "asked": condition(setting) if setting else "",
        "got": got,
        "cuts": step.cuts if step else {},
    }


def _stands_for(evidence: dict[str, pa.Table], row: dict[str, Any]) -> dict[str, int]:
    """How many duplicates were dropped in favour of this one, by rule."""
    keys = (row["occurrence_id"], row["blob_id"], "\0".join((row["source"], row["repo"], row["revision"])))
    counts = {}
    for rule, table in evidence.items():
        count = pc.sum(pc.is_in(table["kept"], value_set=pa.array(keys, pa.string()))).as_py()
        if count:
            counts[rule] = count
    return counts
