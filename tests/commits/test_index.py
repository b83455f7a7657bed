"""The moving index finds what a fresh one finds, and scores as the formula says."""

import math
import random

import numpy as np
import pygit2
import pytest

from codemill.commits import index as index_module
from codemill.commits.index import K1, B, SnapshotIndex
from codemill.commits.terms import line_hits, terms
from tests.commits.histories import LINK, History

WORDS = [
    "parse",
    "http_server",
    "URLPath",
    "maxBytes",
    "read",
    "write",
    "token",
    "cache",
    "index",
    "tree",
    "commit",
    "file",
    "path",
    "merge",
]


def words_of(text):
    return terms(text.encode()).words


def fresh(repository, tree, weight=3):
    index = SnapshotIndex(repository, 10_000, weight, lambda path: path.endswith(".skip"))
    index.move(tree)
    return index


def wander(path, steps, seed):
    """A history with branches that come and go, of files that are born, changed, moved and dropped."""
    pick = random.Random(seed)
    history = History(path)
    history.commit({"a/one.py": "parse token\n"}, "start")
    for _ in range(steps):
        parent = pick.choice(list(history.trees)[-4:])
        files = history.trees[parent]
        changes = {}
        for _ in range(pick.randint(1, 3)):
            name = f"{pick.choice('abc')}/{pick.choice(WORDS)}.{pick.choice(['py', 'md', 'skip'])}"
            text = " ".join(pick.choice(WORDS) for _ in range(pick.randint(0, 40)))
            changes[name] = pick.choice([text, text, b"\0" + text.encode(), "x" * 20_000, (LINK, "a")])
        if len(files) > 2:
            changes[pick.choice(list(files))] = None
        history.commit({k: v for k, v in changes.items() if v is not None or k in files}, "step", parents=[parent])
    return history


@pytest.mark.parametrize("seed", range(4))
def test_moving_is_as_good_as_building(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(index_module, "SPARE_TERMS", 50)  # so that lists are dropped and numbered anew on the way
    history = wander(tmp_path, 60, seed)
    repository = history.repository
    moving = fresh(repository, None)
    order = list(history.trees)
    random.Random(seed).shuffle(order)
    query = words_of("parse the URLs of a server cache")
    for sha in order:
        tree = repository[sha].tree_id
        moving.move(tree)
        built = fresh(repository, tree)
        assert set(moving.files) == set(built.files)
        found, expected = moving.search(query, 5), built.search(query, 5)
        assert found[0] == expected[0]
        assert found[1].tolist() == expected[1].tolist()
    assert moving.counted < sum(len(history.trees[sha]) for sha in order) / 2


def test_scores_follow_the_formula(tmp_path):
    history = wander(tmp_path, 40, 9)
    tree = history.repository[history.head].tree_id
    index = fresh(history.repository, tree, weight=3)
    query = words_of("merge commit tree")
    bags = {}
    for path in index.files:
        content, name = terms(history.trees[history.head][path][1]), terms(path.encode())
        bag = dict(zip(content.words.tolist(), content.counts.tolist(), strict=True))
        for word, count in zip(name.words.tolist(), name.counts.tolist(), strict=True):
            bag[word] = bag.get(word, 0) + 3 * count
        bags[path] = bag
    mean = sum(sum(bag.values()) for bag in bags.values()) / len(bags)
    expected = {}
    for path, bag in bags.items():
        for word in query.tolist():
            holders = sum(word in other for other in bags.values())
            idf = math.log(1 + (len(bags) - holders + 0.5) / (holders + 0.5))
            count = bag.get(word, 0)
            norm = K1 * (1 - B + B * sum(bag.values()) / mean)
            expected[path] = expected.get(path, 0) + idf * count * (K1 + 1) / (count + norm)
    ranked = sorted(((-score, path) for path, score in expected.items() if score > 0))[:5]
    hits, _ = index.search(query, 5)
    assert [hit.path for hit in hits] == [path for _, path in ranked]
    assert [hit.score for hit in hits] == pytest.approx([-score for score, _ in ranked])


def test_nothing_is_found_in_nothing(tmp_path):
    repository = pygit2.init_repository(str(tmp_path), bare=True)
    assert fresh(repository, None).search(words_of("parse"), 5)[0] == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("parseHttpURL", ["parsehttpurl", "pars", "http", "url"]),
        ("max_bytes", ["max_bytes", "max", "byte"]),
        ("HTTPServer2", ["httpserver2", "http", "server"]),
        ("renames renaming renamed rename", ["renam"]),
        ("größe", ["größ"]),
    ],
)
def test_identifiers_come_apart(text, parts):
    def hashed(word):  # FNV-1a
        value = 2166136261
        for byte in word.encode():
            value = (value ^ byte) * 16777619 % 2**32
        return value

    assert set(words_of(text).tolist()) == {hashed(part) for part in parts}


def test_hits_are_counted_line_by_line():
    query = words_of("parse token")
    assert line_hits(b"a token\n\nparseToken token\n", query).sum(axis=1).tolist() == [1, 0, 3, 0]
    assert line_hits(b"", query).tolist() == [[0] * len(query)]
    assert np.all(np.diff(query.astype(np.int64)) > 0)
