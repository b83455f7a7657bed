"""Repositories that are copies of each other: forks, renamed or vendored copies, old revisions beside new ones.

A repository is compared as the set of its distinct files (blobs), whatever their paths, so that a copy under another
name or in another folder still meets its original; equal paths only make the verdict stronger.
"""

import hashlib
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.dedup.candidates import group
from codemill.dedup.minhash import MinHashParams, band_hashes
from codemill.dedup.representatives import KEPT, Sets, choose
from codemill.lexer import Hashes, Ints, buffers
from codemill.recipe import DedupRule
from codemill.schema import EVIDENCE

REPOSITORY_EVIDENCE = EVIDENCE.append(pa.field("kind", pa.string()))


def repository_duplicates(rows: pa.Table, rule: DedupRule) -> pa.Table:
    """Evidence of duplicate repositories among the occurrences given; what earlier rules dropped plays no part.

    A repository is as good as the best-ranked of its occurrences. One is dropped if a better one that is kept has the
    very same files, or file sets whose Jaccard similarity is at least the rule's threshold. A repository of a single
    file is a copy of another only if that is all the other holds as well. The similarity counts files, not bytes.

    Args:
        rows: columns `source`, `repo`, `revision`, `path`, `blob_id` (null: unread, left out) and `rank` (unique,
            lower is better).
        rule: its `threshold` and `max_representatives`.

    Returns:
        Columns `dropped` and `kept` (keys: source, repo and revision joined by NUL), `similarity`, and `kind`:
        `identical` (the same paths with the same files), `same_files` (the same set of files), `similar`.
    """
    rows = rows.filter(pc.is_valid(rows["blob_id"]))
    if not rows.num_rows:
        return REPOSITORY_EVIDENCE.empty_table()
    keys = pc.binary_join_element_wise(
        *(pc.fill_null(rows[name], "") for name in ("source", "repo", "revision")), pa.scalar("\0")
    )
    table = pa.table({"key": keys, "path": rows["path"], "blob_id": rows["blob_id"], "rank": rows["rank"]})
    ranks = table.group_by("key", use_threads=False).aggregate([("rank", "min")]).sort_by("rank_min")
    names = ranks["key"].combine_chunks()
    repo = pc.index_in(table["key"], value_set=names)
    pairs = table.append_column("repo", repo).select(["repo", "path", "blob_id"])
    layouts = _fingerprints(pairs, ["path", "blob_id"])
    files = (
        pairs.group_by(["repo", "blob_id"], use_threads=False)
        .aggregate([])
        .sort_by([("repo", "ascending"), ("blob_id", "ascending")])
    )
    contents = _fingerprints(files, ["blob_id"])
    # The best-ranked of all with one set of files stands for them.
    _, first, member = np.unique(contents, return_index=True, return_inverse=True)
    stands = first[member]
    kept_by, similarity = _similar(files, np.sort(first), rule)
    kept = kept_by[stands]
    dropped = np.flatnonzero(kept != np.arange(len(names)))
    kept = kept[dropped]
    same = contents[dropped] == contents[kept]
    kind = np.where(same, np.where(layouts[dropped] == layouts[kept], "identical", "same_files"), "similar")
    columns = [
        names.take(pa.array(dropped)),
        names.take(pa.array(kept)),
        pa.array(np.where(same, 1.0, similarity[stands[dropped]])),
        pa.array(kind.tolist(), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=REPOSITORY_EVIDENCE)


def _fingerprints(pairs: pa.Table, columns: list[str]) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    """SHA-256 of every repository's sorted rows of these columns, by number of the repository."""
    table = pairs.sort_by([("repo", "ascending"), *((name, "ascending") for name in columns)])
    large = pa.large_string()
    cells = [*(table[name].cast(large) for name in columns), pa.scalar("", large)]
    lines = pc.binary_join_element_wise(*cells, pa.scalar("\0", large))
    data, offsets = buffers(lines.combine_chunks())
    numbers = table["repo"].to_numpy()
    starts = np.append(np.flatnonzero(np.diff(numbers, prepend=-1)), len(numbers))
    return np.array([hashlib.sha256(data[a:b].data).digest() for a, b in pairwise(offsets[starts])], dtype="S32")


def _similar(
    files: pa.Table, stands: Ints, rule: DedupRule
) -> tuple[Ints, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Which kept repository each one resembles (itself where it is kept), and how much.

    Args:
        files: `repo`, `blob_id`, sorted by both, each pair once.
        stands: numbers of the repositories to compare, ascending.
    """
    numbers = files["repo"].to_numpy()
    bounds = np.searchsorted(numbers, np.arange(numbers[-1] + 2))
    values = _words(files["blob_id"].combine_chunks())
    sizes = np.diff(bounds)[stands]
    picked = np.repeat(bounds[stands] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    sets = Sets(values[picked], offsets[:-1].copy(), sizes)
    sketches = band_hashes(sets.values, offsets, MinHashParams(threshold=rule.threshold))
    buckets = group(np.arange(len(stands)), sketches, len(stands))
    choice = choose(sets, buckets, rule.threshold, rule.max_representatives)
    kept_by, similarity = np.arange(numbers[-1] + 1), np.zeros(numbers[-1] + 1)
    lost = choice.kept_by != KEPT
    kept_by[stands[lost]] = stands[choice.kept_by[lost]]
    similarity[stands] = choice.similarity
    return kept_by, similarity


def _words(blob_ids: pa.Array) -> Hashes:
    """The first 64 bits of SHA-256 blob ids, never 0."""
    prefixes = "".join(pc.utf8_slice_codeunits(blob_ids, 0, 16).to_pylist())
    return np.maximum(np.frombuffer(bytes.fromhex(prefixes), ">u8").astype(np.uint64), np.uint64(1))
