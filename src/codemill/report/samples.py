"""Picks the files a reader looks at: at a cut, and at random. Ids are hashes, so the smallest ids are a random sample.

The same data gives the same samples, whatever the order of rows or the number of workers.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.report.contents import Excerpt
from codemill.report.frame import Floats, Frame, Ints, Mask
from codemill.report.wording import clip, number, visible

MOST_NOTE = 240  # characters of a decision's evidence
POOL = 4  # how many times the wanted rows are looked at, to leave out copies of one content


@dataclass
class Sample:
    """A file to be shown; `value` is what the rule looked at, `note` what else is known of the decision in words,
    `excerpt` follows when contents are read."""

    occurrence: str
    blob: str | None
    source: str
    repo: str
    path: str
    language: str
    bytes: int
    status: str
    reason: str
    value: str = ""
    note: str = ""
    excerpt: Excerpt | None = None


@dataclass
class Samples:
    """What both sides of a rule, or one, look like; `gone` were dropped (or errored), `stayed` passed the rule."""

    gone: list[Sample] = field(default_factory=list)
    stayed: list[Sample] = field(default_factory=list)

    def every(self) -> Iterable[Sample]:
        return [*self.gone, *self.stayed]


def at_random(frame: Frame, mask: Mask, limit: int) -> Ints:
    """Up to `limit` rows of the mask, a random sample by id, no content twice."""
    return nearest(frame, mask, np.zeros(int(mask.sum())), limit)


def nearest(frame: Frame, mask: Mask, distances: Floats, limit: int) -> Ints:
    """Up to `limit` rows of the mask with the least distance, ties by id, no content twice.

    Args:
        frame: n rows.
        mask: n, of which m are set.
        distances: m, finite.
    """
    rows = np.flatnonzero(mask)
    if not len(rows) or not limit:
        return rows[:0]
    wanted = limit * POOL
    if len(rows) > wanted:
        # First by distance alone, which is cheap; all that tie with the last stay in, since ids are to break ties.
        last = np.partition(distances, wanted - 1)[wanted - 1]
        near = distances <= last
        rows, distances = rows[near], distances[near]
    mask = np.zeros(frame.count, dtype=np.bool_)
    mask[rows] = True
    keys = [("distance", "ascending"), ("id", "ascending")]
    best = pa.table({"distance": distances[:0], "id": pa.array([], pa.string()), "row": rows[:0]})
    for here, ids in frame.chosen("occurrence_id", mask):
        beside = distances[np.searchsorted(rows, here)]
        best = pa.concat_tables([best, pa.table({"distance": beside, "id": ids, "row": here})])
        best = best.take(pc.select_k_unstable(best, min(wanted, best.num_rows), keys))
    chosen = best.sort_by(keys)["row"].to_numpy()
    blobs = frame.take(chosen, ["blob_id"])["blob_id"].to_pylist()
    seen: set[str] = set()
    fresh = []
    for row, blob in zip(chosen, blobs, strict=True):
        if blob is None or blob not in seen:
            seen.add(blob or "")
            fresh.append(row)
    return np.array(fresh[:limit], dtype=np.int64)


def describe(frame: Frame, rows: Ints, column: str = "") -> list[Sample]:
    """The rows as samples, with what the rule looked at if its column is given."""
    names = ("occurrence_id", "blob_id", "source", "repo", "path", "language", "bytes", "status", "reason", "evidence")
    columns = frame.take(rows, names).to_pydict()
    shown = frame.take(rows, [column])[column].to_pylist() if column else [None] * len(rows)
    return [
        Sample(
            occurrence=columns["occurrence_id"][i],
            blob=columns["blob_id"][i],
            source=columns["source"][i] or "",
            repo=visible(columns["repo"][i] or ""),
            path=visible(columns["path"][i] or ""),
            language=columns["language"][i] or "unknown",
            bytes=columns["bytes"][i] or 0,
            status=columns["status"][i],
            reason=columns["reason"][i] or "",
            value=_value(shown[i]),
            note=clip(visible(_note(columns["evidence"][i], columns["reason"][i] if column else None)), MOST_NOTE),
        )
        for i in range(len(rows))
    ]


def _note(evidence: str | None, shown: str | None) -> str:
    """What a decision went by, in words: `exact: copy of 1f0c…`, `quality: 0.31`.

    A value is left out for the rule `shown`, whose column stands beside the sample already.
    """
    parts = []
    for rule, found in json.loads(evidence).items() if evidence else ():
        if not isinstance(found, dict):
            if rule != shown:
                parts.append(f"{rule}: {_value(found) or 'no value'}")
        elif "duplicate_of" in found:
            kept, likeness = str(found["duplicate_of"]), float(found["similarity"])
            # Ids are 32 digits, of which 12 are enough for `explain`; repositories have names.
            kept = kept[:12] if re.fullmatch("[0-9a-f]{32,}", kept) else kept
            parts.append(f"{rule}: copy of {kept}" + (f", similarity {number(likeness)}" if likeness < 1 else ""))
        else:
            parts.append(f"{rule}: " + ", ".join(f"{name} {_value(one)}" for name, one in found.items()))
    return " · ".join(parts)


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return number(value) if isinstance(value, int | float) else clip(visible(str(value)), 80)
