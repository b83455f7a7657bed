"""Writes down why: lists of failed rules and the values they looked at, as Arrow columns and without row loops."""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.select.rules import Mask


def value_note(rule: str, values: pa.Array, errors: pa.Array | None) -> pa.Array:
    """JSON members `"rule": value` for every row; where there is no value, the annotator's error or null."""
    texts = json_text(values)
    if errors is not None:
        texts = pc.if_else(pc.is_valid(values), texts, json_text(errors))
    return wrap(rule, texts)


def sample_note(rule: str, groups: pa.Array, rates: pa.Array, draws: pa.Array) -> pa.Array:
    """JSON members `"rule": {"group", "rate", "draw"}`: what was drawn for every row, and the rate that it missed."""
    parts = [json_text(groups), json_text(rates), json_text(draws)]
    texts = pc.binary_join_element_wise('{"group": ', parts[0], ', "rate": ', parts[1], ', "draw": ', parts[2], "}", "")
    return wrap(rule, texts)


def wrap(rule: str, texts: pa.Array) -> pa.Array:
    """JSON members `"rule": text`; a null text stays a JSON null."""
    return pc.binary_join_element_wise(json.dumps(rule) + ": ", texts.fill_null("null"), "")


def json_text(values: pa.Array) -> pa.Array:
    """Scalar values as JSON texts; nulls stay null. Strings are quoted once for each distinct one."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        coded = values.dictionary_encode()
        quoted = pa.array([json.dumps(text) for text in coded.dictionary.to_pylist()], pa.string())
        return quoted.take(coded.indices)
    if pa.types.is_nested(values.type):
        return pa.array([None if value is None else json.dumps(value) for value in values.to_pylist()], pa.string())
    if pa.types.is_floating(values.type):
        rounded = pc.round(values.cast(pa.float64()), 6)
        return pc.if_else(pc.is_finite(rounded), rounded.cast(pa.string()), "null")
    return values.cast(pa.string())


def failed_rules(failed: Sequence[tuple[str, Mask]], problem: pa.Array) -> pa.Array:
    """For every row the names of the rules it failed, in order; unreadable rows have their problem alone."""
    columns = [np.asarray(pc.is_valid(problem).to_numpy(zero_copy_only=False)), *(mask for _, mask in failed)]
    matrix = np.stack(columns, axis=1)
    rows, which = np.nonzero(matrix)
    names = pa.array([name for name, _ in failed], pa.string())
    texts = (
        pc.if_else(pa.array(which == 0), problem.take(pa.array(rows)), names.take(pa.array(np.maximum(which, 1) - 1)))
        if len(failed)
        else problem.take(pa.array(rows))
    )
    offsets = np.concatenate([[0], np.cumsum(matrix.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), texts)


def join_notes(failed: Sequence[tuple[str, Mask]], notes: Sequence[pa.Array], count: int) -> pa.Array:
    """One JSON object a row with the notes of the rules it failed; null where it failed none.

    Args:
        failed: rules in order, each with the rows that failed it.
        notes: for each rule the members of those rows alone.
        count: how many rows there are.
    """
    rows = np.concatenate([np.zeros(0, np.int64), *(np.flatnonzero(mask) for _, mask in failed)])
    if not len(rows):
        return pa.nulls(count, pa.string())
    texts = pa.concat_arrays(notes).take(pa.array(np.argsort(rows, kind="stable")))
    sizes = np.bincount(rows, minlength=count)
    here = sizes > 0
    offsets = np.concatenate([[0], np.cumsum(sizes[here])]).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), texts), ", ")
    whole = pc.binary_join_element_wise("{", joined, "}", "")
    return pc.replace_with_mask(pa.nulls(count, pa.string()), pa.array(here), whole)
