"""Shows what deduplication took for copies of what: the largest clusters, their likeness, and the least alike pairs."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from codemill.keys import KeyIndex, keys_of
from codemill.recipe import DedupRule
from codemill.report import charts
from codemill.report.contents import EXCERPT_WIDTH, Head
from codemill.report.frame import Frame, Ints, Mask, repository_keys
from codemill.report.histogram import Scale, fill, make_edges
from codemill.report.wording import clip, count, units, visible
from codemill.schema import REPOSITORY
from codemill.tables import parts

MOST_CLUSTERS = 10
MOST_MEMBERS = 4
MOST_PAIRS = 3
DIFF_LINES = 14
MOST_TITLE = 72  # characters
DIFF_INPUT = 400  # lines of each file that a difference looks at
SIZES = ((2, 2), (3, 5), (6, 10), (11, 100), (101, 1000), (1001, None))


@dataclass(frozen=True)
class Member:
    """One side of a duplicate: a file or, for repositories, a whole one with `files` files."""

    name: str
    repo: str
    blob: str | None
    files: int
    fate: str
    similarity: float | None = None


@dataclass(frozen=True)
class Cluster:
    """A kept representative and what was dropped against it: `copies` contents or repositories, `files` files."""

    kept: Member
    copies: int
    files: int
    lowest: float
    highest: float
    members: list[Member]


@dataclass
class Pair:
    """A dropped file and the kept one it resembles; `diff` is (class, line) from kept to dropped."""

    kept: Member
    dropped: Member
    similarity: float
    diff: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class DedupView:
    """What the report says of a dedup rule's step; `titles` are first lines by content, of rows that have such."""

    step: int
    kind: str
    clusters: int
    copies: int
    files: int
    bytes: int
    sizes: list[tuple[str, int, int]] = field(default_factory=list)
    chart: Markup | None = None
    largest: list[Cluster] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    titles: dict[str | None, str] = field(default_factory=dict)

    def blobs(self) -> set[str]:
        """The contents that are needed for the differences and, where rows have some, for titles."""
        shown = [member for pair in self.pairs for member in (pair.kept, pair.dropped)]
        if units().titled:
            shown += [member for cluster in self.largest for member in (cluster.kept, *cluster.members)]
        return {member.blob for member in shown if member.blob}

    def compare(self, heads: dict[str, Head]) -> None:
        """Fill in the differences and titles."""
        if units().titled:
            known = self.blobs() & heads.keys()
            self.titles = {blob: clip(visible(heads[blob].text.split("\n")[0]), MOST_TITLE) for blob in known}
        for pair in self.pairs:
            old, new = heads.get(pair.kept.blob or ""), heads.get(pair.dropped.blob or "")
            if old and new:
                pair.diff = difference(old, new)


@dataclass(frozen=True)
class _Evidence:
    """A rule's evidence with, for each row, the files that its step dropped for it.

    Attributes:
        dropped, kept: keys of m rows, the latter as indices into `names`.
        similarity: m values.
        files, bytes: m sums over the files dropped for the row.
    """

    dropped: pa.Array
    kept: Ints
    names: pa.Array
    similarity: np.ndarray
    files: Ints
    bytes: Ints


def dedup_view(frame: Frame, index: int) -> DedupView:
    """The view of the dedup rule at a step."""
    step = frame.selection.steps[index]
    rule = step.setting
    assert isinstance(rule, DedupRule)
    table = frame.selection.evidence.get(step.rule)
    if table is None or not table.num_rows:
        return DedupView(index, rule.dedup, 0, 0, 0, 0)
    evidence = _weigh(frame, rule.dedup, frame.stopped == index, table)
    clusters = len(evidence.names)
    view = DedupView(index, rule.dedup, clusters, table.num_rows, int(evidence.files.sum()), int(evidence.bytes.sum()))
    copies = np.bincount(evidence.kept, minlength=clusters)
    files = np.zeros(clusters, dtype=np.int64)
    np.add.at(files, evidence.kept, evidence.files)
    for low, high in SIZES:
        here = (copies + 1 >= low) & (copies + 1 <= (high or np.inf))
        if here.any():
            name = str(low) if low == high else f"{low:,} to {high:,}" if high else f"over {low - 1:,}"
            view.sizes.append((name, int(here.sum()), int(files[here].sum())))
    if rule.dedup != "exact":
        view.chart = _draw(evidence, rule)
    largest = np.lexsort((np.arange(clusters), -copies, -files))[:MOST_CLUSTERS]
    chosen = [(int(which), _members(evidence, int(which))) for which in largest]
    pairs = _least_alike(evidence) if rule.dedup == "near" else np.array([], dtype=np.int64)
    _name(frame, view, evidence, chosen, pairs)
    return view


def _keys(frame: Frame, kind: str) -> Iterator[tuple[int, pa.Array]]:
    """What the evidence calls every row of the frame by, a part of the rows at a time."""
    if kind != "repository":
        yield from frame.column("occurrence_id" if kind == "exact" else "blob_id")
        return
    for start, rows in parts(frame.selection.decisions, REPOSITORY):
        yield start, repository_keys(rows, REPOSITORY)


def _weigh(frame: Frame, kind: str, stopped: Mask, table: pa.Table) -> _Evidence:
    dropped = table["dropped"].combine_chunks()
    kept, names = _encode(table["kept"].combine_chunks())
    files, sizes = np.zeros(len(dropped), dtype=np.int64), np.zeros(len(dropped), dtype=np.int64)
    index = KeyIndex(keys_of(dropped))
    for start, keys in _keys(frame, kind):
        rows = np.flatnonzero(stopped[start : start + len(keys)])
        place = index.find(keys_of(keys.take(pa.array(rows))))
        known = place >= 0
        np.add.at(files, place[known], 1)
        np.add.at(sizes, place[known], frame.bytes[start + rows[known]])
    return _Evidence(dropped, kept, names, table["similarity"].to_numpy(), files, sizes)


def _encode(values: pa.Array) -> tuple[Ints, pa.Array]:
    """Values as indices into the different ones, which come sorted."""
    coded = values.dictionary_encode()
    order = pc.sort_indices(coded.dictionary).to_numpy()
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[coded.indices.to_numpy()], coded.dictionary.take(pa.array(order))


def _draw(evidence: _Evidence, rule: DedupRule) -> Markup:
    scale = Scale(min(rule.threshold, float(evidence.similarity.min())), 1.0, False)
    edges = make_edges(scale, [], 30)
    every = np.ones(len(evidence.similarity), dtype=np.bool_)
    data = fill(evidence.similarity, every, scale, edges)
    label = f"Similarity of {count(len(every))} copies to what was kept, from {rule.threshold:g} on"
    copies = "repositories" if rule.dedup == "repository" else "near-duplicates"
    return charts.histogram(data, [], label, axes=charts.Axes("Jaccard similarity to what was kept", copies))


def _members(evidence: _Evidence, cluster: int) -> Ints:
    """The rows of evidence to show of a cluster: the least alike, ties by key."""
    rows = np.flatnonzero(evidence.kept == cluster)
    if len(rows) > 10 * MOST_MEMBERS:
        last = np.partition(evidence.similarity[rows], MOST_MEMBERS - 1)[MOST_MEMBERS - 1]
        rows = rows[evidence.similarity[rows] <= last]
    names = evidence.dropped.take(pa.array(rows))
    table = pa.table({"similarity": evidence.similarity[rows], "name": names, "row": rows})
    keys = [("similarity", "ascending"), ("name", "ascending")]
    limit = min(MOST_MEMBERS, table.num_rows)
    return np.asarray(table.take(pc.select_k_unstable(table, limit, keys))["row"].to_numpy())


def _least_alike(evidence: _Evidence) -> Ints:
    """The evidence rows nearest to the threshold, one a cluster."""
    here = np.flatnonzero(evidence.files > 0)
    order = here[np.argsort(evidence.similarity[here], kind="stable")]
    _, first = np.unique(evidence.kept[order], return_index=True)
    return order[np.sort(first)[:MOST_PAIRS]]


def _name(frame: Frame, view: DedupView, evidence: _Evidence, chosen: list[tuple[int, Ints]], pairs: Ints) -> None:
    """Look up the few rows that are shown, all at once, and complete the view with them."""
    wanted: dict[str, None] = {}
    for which, rows in chosen:
        wanted[evidence.names[which].as_py()] = None
        wanted.update(dict.fromkeys(evidence.dropped.take(pa.array(rows)).to_pylist()))
    for row in pairs.tolist():
        wanted[evidence.dropped[row].as_py()] = None
        wanted[evidence.names[int(evidence.kept[row])].as_py()] = None
    found = _look_up(frame, view, list(wanted))

    def member(key: str, similarity: float | None = None) -> Member:
        base = found.get(key) or Member(visible(key.replace("\0", " ")), "", None, 0, "")
        return Member(base.name, base.repo, base.blob, base.files, base.fate, similarity)

    for which, rows in chosen:
        alike = evidence.similarity[evidence.kept == which]
        files = int(evidence.files[evidence.kept == which].sum())
        members = [member(evidence.dropped[row].as_py(), float(evidence.similarity[row])) for row in rows.tolist()]
        kept = member(evidence.names[which].as_py())
        view.largest.append(Cluster(kept, len(alike), files, float(alike.min()), float(alike.max()), members))
    for row in pairs.tolist():
        kept = member(evidence.names[int(evidence.kept[row])].as_py())
        view.pairs.append(Pair(kept, member(evidence.dropped[row].as_py()), float(evidence.similarity[row])))


def _look_up(frame: Frame, view: DedupView, wanted: list[str]) -> dict[str, Member]:
    """The occurrence that stands for each key: of those that came to the rule the one that went furthest, by id."""
    keys = pa.array(wanted, pa.string())
    found = []
    for start, column in _keys(frame, view.kind):
        index = pc.index_in(column, value_set=keys)
        rows = np.flatnonzero(index.is_valid().to_numpy(zero_copy_only=False))
        found.append((rows + start, index.take(pa.array(rows)).to_numpy().astype(np.int64)))
    rows, which = (np.concatenate([np.zeros(0, np.int64), *(one[side] for one in found)]) for side in (0, 1))
    files = np.bincount(which, minlength=len(wanted))
    ids = frame.take(rows, ["occurrence_id"])["occurrence_id"]
    table = pa.table({"which": which, "stopped": frame.stopped[rows], "id": ids, "row": rows}).sort_by(
        [("which", "ascending"), ("stopped", "descending"), ("id", "ascending")]
    )
    names, first = np.unique(table["which"].to_numpy(), return_index=True)
    best = table["row"].to_numpy()[first]
    columns = frame.take(best, ("repo", "revision", "path", "blob_id")).to_pydict()
    steps = frame.selection.steps
    members = {}
    for place, name in enumerate(names.tolist()):
        stopped = int(frame.stopped[best[place]])
        later = view.step < stopped < len(steps)
        fate = f"later dropped by {steps[stopped].rule}" if later else ""
        repo = visible(columns["repo"][place] or "")
        path = visible(columns["path"][place] or "")
        if view.kind == "repository":
            # Its files have fates of their own.
            path, fate = repo, ""
            repo = visible(columns["revision"][place] or "")[:12]
        blob = columns["blob_id"][place] if view.kind != "repository" else None
        members[wanted[name]] = Member(path, repo, blob, int(files[name]), fate)
    return members


def difference(kept: Head, dropped: Head) -> list[tuple[str, str]]:
    """The first lines of a unified difference from the kept to the dropped file, as (class, line)."""
    old, new = (visible(head.text.replace("\r", "")).split("\n")[:DIFF_INPUT] for head in (kept, dropped))
    lines = []
    for line in list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]:
        kind = {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "same")
        lines.append((kind, clip(line, EXCERPT_WIDTH)))
        if len(lines) == DIFF_LINES:
            break
    return lines
