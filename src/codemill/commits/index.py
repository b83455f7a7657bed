"""BM25 over the files of a snapshot, moved from commit to commit by what differs between their trees.

Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond* (2009), with the always positive
inverse document frequency of Lucene. Terms of a content are counted once for each git blob; a move drops and adds the
files that differ. Document frequencies are those of the query's terms alone and are counted while scoring, in the pass
that looks the terms up: nothing global is kept up to date, so nothing can drift, and a result depends on the snapshot
and the query alone, not on the way to it.

Libraries for BM25 (bm25s, tantivy) build an index for one corpus: bm25s keeps scores, which every change of the
document count or the mean length changes for all documents, so a move would be a rebuild.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pygit2
from pygit2.enums import FileMode

from codemill.commits.terms import Counts, Terms, Words, terms
from codemill.lexer import Ints, jit
from codemill.sources.base import SNIFF_BYTES

# Measured: of twelve settings around the usual ones these find most of the files that commits then change
# (docs/commits.md). Long files are where most changes happen, so length counts for less than in prose.
K1, B = 2.0, 0.3
REGULAR = frozenset({FileMode.BLOB, FileMode.BLOB_EXECUTABLE})
# Unused term lists stay until they outweigh the used ones: branches come back to contents they left.
SPARE_TERMS = 1_000_000

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Hit:
    """A file that matches a query."""

    path: str
    blob: str
    score: float


class SnapshotIndex:
    """The searchable files of one tree.

    Args:
        repository: whose trees are searched.
        max_bytes: larger files are left out, as are binary ones, links and submodules.
        path_weight: how often each term of a path counts.
        skip: paths for which it is true are left out.
    """

    def __init__(
        self, repository: pygit2.Repository, max_bytes: int, path_weight: int, skip: Callable[[str], bool]
    ) -> None:
        self.repository, self.max_bytes, self.path_weight, self.skip = repository, max_bytes, path_weight, skip
        self.tree: pygit2.Oid | None = None
        self.files: dict[str, tuple[str, int]] = {}  # path -> blob, slot in `rows`
        self.counted = 0  # contents whose terms were counted, for statistics
        self._lists = _TermLists()
        self._blobs: dict[str, int] = {}  # blob -> its term list; -1: not searchable
        self._paths: dict[str, int] = {}  # path -> term list of the path
        self._rows = np.zeros((1024, 2), np.int64)  # term lists of each file: content, path
        self._names: list[str | None] = []  # path of each row; None: free
        self._free: list[int] = []

    def move(self, tree: pygit2.Oid | None) -> None:
        """Make this the index of another tree; None is the empty one."""
        if tree == self.tree:
            return
        for path, blob in self._difference(tree):
            if path in self.files:
                self._drop(path)
            if blob is not None:
                self._add(path, blob)
        self.tree = tree
        if self._lists.spare > self._lists.live + SPARE_TERMS:
            self._compact()

    def search(self, words: Words, most: int) -> tuple[list[Hit], Reals]:
        """The most relevant files for a query of these terms (different ones), best first, equals by path; and the
        inverse document frequency of each term."""
        if not len(words) or not self.files or most <= 0:
            return [], np.zeros(len(words))
        lists = self._lists
        scores, idf = _score(
            (lists.words, lists.counts),
            (lists.starts, lists.sizes, lists.lengths),
            self._rows[: len(self._names)],
            (words, self.path_weight, K1, B),
        )
        matching = np.flatnonzero(scores > 0)
        if len(matching) > most:
            least = np.partition(scores[matching], len(matching) - most)[len(matching) - most]
            matching = matching[scores[matching] >= least]
        hits = []
        for row in matching.tolist():
            path = self._names[row]
            assert path is not None
            hits.append(Hit(path, self.files[path][0], float(scores[row])))
        return sorted(hits, key=lambda hit: (-hit.score, hit.path))[:most], idf

    def _difference(self, tree: pygit2.Oid | None) -> list[tuple[str, str | None]]:
        """Paths that differ between the index's tree and another, with their blob there (None: gone or no file)."""
        new = None if tree is None else self._tree(tree)
        if self.tree is None:
            if new is None:
                return []
            diff = new.diff_to_tree(swap=True)
        else:
            old = self._tree(self.tree)
            diff = old.diff_to_tree() if new is None else old.diff_to_tree(new)
        found: list[tuple[str, str | None]] = []
        for delta in diff.deltas:
            file = delta.new_file
            try:
                path = file.raw_path.decode("utf-8")
            except UnicodeDecodeError:
                continue  # can't be shown in a sample
            kept = delta.status_char() != "D" and file.mode in REGULAR
            found.append((path, str(file.id) if kept else None))
        return found

    def _tree(self, oid: pygit2.Oid) -> pygit2.Tree:
        tree = self.repository[oid]
        assert isinstance(tree, pygit2.Tree)
        return tree

    def _add(self, path: str, blob: str) -> None:
        if self.skip(path):
            return
        content = self._blobs.get(blob)
        if content is None:
            found = self._count(blob)
            content = -1 if found is None else self._lists.add(found)
            self._blobs[blob] = content
        if content < 0:
            return
        name = self._paths.get(path)
        if name is None:
            name = self._paths[path] = self._lists.add(terms(path.encode()))
        self._lists.use(content, 1)
        self._lists.use(name, 1)
        if self._free:
            row = self._free.pop()
            self._names[row] = path
        else:
            row = len(self._names)
            self._names.append(path)
            if row == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[row] = (content, name)
        self.files[path] = (blob, row)

    def _drop(self, path: str) -> None:
        _, row = self.files.pop(path)
        content, name = self._rows[row].tolist()
        self._lists.use(content, -1)
        self._lists.use(name, -1)
        self._rows[row] = (-1, -1)
        self._names[row] = None
        self._free.append(row)

    def _count(self, blob: str) -> Terms | None:
        """The terms of a content; None if it is not to be searched: too large, binary, not there."""
        try:
            if self.repository.odb.read_header(pygit2.Oid(hex=blob))[1] > self.max_bytes:
                return None
            content = bytes(self.repository.odb.read(pygit2.Oid(hex=blob))[1])
            content.decode("utf-8")
        except (KeyError, pygit2.GitError, UnicodeDecodeError):
            return None
        if b"\0" in content[:SNIFF_BYTES]:
            return None
        self.counted += 1
        return terms(content)

    def _compact(self) -> None:
        """Forget term lists that no file uses."""
        moved = self._lists.compact()
        self._blobs = {
            key: moved[old] if old >= 0 else -1 for key, old in self._blobs.items() if old < 0 or old in moved
        }
        self._paths = {key: moved[old] for key, old in self._paths.items() if old in moved}
        for _, row in self.files.values():
            content, name = self._rows[row].tolist()
            self._rows[row] = (moved[content], moved[name])


class _TermLists:
    """Term lists one after the other in two arrays, each with how many files use it."""

    def __init__(self) -> None:
        self.words: Words = np.empty(1 << 16, np.uint32)
        self.counts: Counts = np.empty(1 << 16, np.int32)
        self.starts, self.sizes, self.lengths = (np.zeros(1024, np.int64) for _ in range(3))
        self.uses: list[int] = []
        self.filled = self.live = 0

    @property
    def spare(self) -> int:
        return self.filled - self.live

    def add(self, found: Terms) -> int:
        number, size = len(self.uses), len(found.words)
        while self.filled + size > len(self.words):
            self.words = np.concatenate([self.words, np.empty_like(self.words)])
            self.counts = np.concatenate([self.counts, np.empty_like(self.counts)])
        if number == len(self.starts):
            self.starts, self.sizes, self.lengths = (
                np.concatenate([one, np.zeros_like(one)]) for one in (self.starts, self.sizes, self.lengths)
            )
        self.words[self.filled : self.filled + size] = found.words
        self.counts[self.filled : self.filled + size] = found.counts
        self.starts[number], self.sizes[number], self.lengths[number] = self.filled, size, found.length
        self.filled += size
        self.uses.append(0)
        return number

    def use(self, number: int, change: int) -> None:
        before = self.uses[number]
        self.uses[number] = before + change
        if (before == 0) != (before + change == 0):
            self.live += int(self.sizes[number]) * change

    def compact(self) -> dict[int, int]:
        """Drop unused lists; the new number of every list that stays."""
        fresh = _TermLists()
        moved: dict[int, int] = {}
        for number, used in enumerate(self.uses):
            if used:
                start, size = int(self.starts[number]), int(self.sizes[number])
                part = slice(start, start + size)
                moved[number] = fresh.add(Terms(self.words[part], self.counts[part], int(self.lengths[number])))
                fresh.use(moved[number], used)
        self.__dict__.update(fresh.__dict__)
        return moved


@jit
def _score(
    postings: tuple[Words, Counts],
    lists: tuple[Ints, Ints, Ints],
    rows: Ints,
    query: tuple[Words, int, float, float],
) -> tuple[Reals, Reals]:
    """BM25 of every row (content list, path list), and the IDF of every word; free rows, with lists -1, score 0."""
    starts, sizes, lengths = lists
    words, weight, k1, b = query
    frequency = np.zeros((len(rows), len(words)), np.int64)
    size = np.zeros(len(rows), np.int64)
    documents = np.zeros(len(words), np.int64)
    total, files = 0, 0
    for row in range(len(rows)):
        if rows[row, 0] < 0:
            continue
        files += 1
        size[row] = lengths[rows[row, 0]] + weight * lengths[rows[row, 1]]
        total += size[row]
        for part in range(2):
            start = starts[rows[row, part]]
            stop = start + sizes[rows[row, part]]
            factor = 1 if part == 0 else weight
            for index in range(len(words)):
                place = _find(postings[0], start, stop, words[index])
                if place >= 0:
                    frequency[row, index] += factor * postings[1][place]
        for index in range(len(words)):
            documents[index] += frequency[row, index] > 0
    idf = np.log(1 + (files - documents + 0.5) / (documents + 0.5))
    scores = np.zeros(len(rows))
    mean = max(total / max(files, 1), 1.0)
    for row in range(len(rows)):
        norm = k1 * (1 - b + b * size[row] / mean)
        for index in range(len(words)):
            if frequency[row, index]:
                scores[row] += idf[index] * frequency[row, index] * (k1 + 1) / (frequency[row, index] + norm)
    return scores, idf


@jit
def _find(words: Words, start: int, stop: int, word: np.uint32) -> int:
    """Place of a word in an ascending range, or -1."""
    low, high = start, stop
    while low < high:
        middle = (low + high) >> 1
        if words[middle] < word:
            low = middle + 1
        else:
            high = middle
    return low if low < stop and words[low] == word else -1
