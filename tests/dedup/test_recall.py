"""The measured recall on made and on real files, and the truth it is measured against."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.dedup.allpairs import Pairs, all_pairs, drop_by_pairs
from codemill.dedup.minhash import MinHashParams
from codemill.dedup.near import NearSettings
from codemill.dedup.recall import measure_path
from codemill.errors import InputError
from codemill.lexer import Shingles
from tests.dedup.samples import INLINE, families, jaccard, make_store, shingle_set


@given(
    st.lists(st.frozensets(st.integers(1, 15)), max_size=15), st.sampled_from([0.1, 0.5, 0.7, 2 / 3, 0.75, 0.9, 1.0])
)
@settings(deadline=None)
def test_all_pairs_are_those_of_comparing_all(family: list[frozenset[int]], threshold: float) -> None:
    values = np.array([value for one in family for value in sorted(one, reverse=True)], np.uint64)
    offsets = np.cumsum([0, *(len(one) for one in family)]).astype(np.int64)
    found = all_pairs(Shingles(values, offsets), threshold)
    expected = [
        (i, j, jaccard(family[i], family[j]))
        for i, j in combinations(range(len(family)), 2)
        if jaccard(family[i], family[j]) >= threshold
    ]
    assert list(zip(found.first.tolist(), found.second.tolist(), found.similarity.tolist(), strict=True)) == expected


def test_drops_by_pairs_go_through_no_chain() -> None:
    pairs = Pairs(np.array([0, 1, 2]), np.array([1, 2, 3]), np.ones(3))
    assert drop_by_pairs(pairs, 4).tolist() == [False, True, False, True]


def test_recall_on_made_files(tmp_path: Path) -> None:
    files = families(7, 25, 8)
    store, _, blobs = make_store(tmp_path, files)
    found = measure_path(store.root, INLINE, 0, MinHashParams(), NearSettings())
    sets = {blobs[path]: shingle_set(content) for path, content in files.items()}
    true = sum(jaccard(left, right) >= 0.7 for left, right in combinations(sets.values(), 2))
    assert (found.files, found.pairs.pairs) == (len(sets), true)
    assert sum(band.pairs for band in found.bands) == true > 200
    assert found.bands[0].pairs > 50
    assert found.precision == 1.0
    assert found.evidence > 50
    assert found.pairs.recall >= 0.98
    assert min(band.recall for band in found.bands) >= 0.98
    assert found.drop_recall >= 0.98
    assert any("recall of drops" in line for line in found.lines())


def test_recall_falls_when_sketches_are_too_small(tmp_path: Path) -> None:
    """The measure can fail: two components see less than 256 do."""
    store, _, _ = make_store(tmp_path, families(7, 60, 6))
    found = measure_path(store.root, INLINE, 0, MinHashParams(permutations=2), NearSettings())
    assert found.bands[0].recall < 0.98
    assert found.precision == 1.0


def test_recall_on_real_files() -> None:
    """An installed package with headers and sources that repeat each other; nothing of it is stored here."""
    found = measure_path(str(Path(pa.__file__).parent), INLINE, 0, MinHashParams(), NearSettings())
    assert found.files > 300
    assert found.pairs.pairs > 100
    assert found.precision == 1.0
    assert found.pairs.recall >= 0.98
    assert found.drop_recall >= 0.98


def test_a_sample_is_no_larger_than_asked_and_a_wrong_path_one_line(tmp_path: Path) -> None:
    store, _, _ = make_store(tmp_path, families(7, 5, 2))
    assert measure_path(store.root, INLINE, 8, MinHashParams(), NearSettings()).files == 8
    with pytest.raises(InputError, match="nothing there"):
        measure_path(str(tmp_path / "nowhere"), INLINE, 8, MinHashParams(), NearSettings())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected files, got an empty folder"):
        measure_path(str(tmp_path / "empty"), INLINE, 8, MinHashParams(), NearSettings())
