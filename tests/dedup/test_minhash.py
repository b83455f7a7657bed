"""Sketches estimate what they claim to, and bands propose with the documented chance."""

import numpy as np
import pyarrow as pa
import pytest

from codemill.annotate import build
from codemill.annotate.base import annotate_safely
from codemill.dedup import minhash
from codemill.dedup.minhash import Banding, MinHashParams, band_hashes, banding, sketch
from codemill.errors import RecipeError
from codemill.lexer import mix

SIZE = 256


def pair_of_sets(size: int, similarity: float, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Two sets in one array, their offsets, and their true similarity, which is near the one asked for."""
    shared = max(1, round(size * 2 * similarity / (1 + similarity)))
    own = size - shared
    count = shared + 2 * own
    values = np.array([mix(np.uint64(seed * 10_000_000 + i + 1)) for i in range(count)], np.uint64)
    left, right = values[: shared + own], np.concatenate([values[:shared], values[shared + own :]])
    return np.concatenate([left, right]), np.array([0, size, 2 * size], np.int64), shared / count


@pytest.mark.parametrize("size", [1, 7, 60, 2000])
@pytest.mark.parametrize("similarity", [0.2, 0.5, 0.7, 0.9])
def test_equal_components_estimate_the_jaccard_similarity(size: int, similarity: float) -> None:
    errors, trials = [], 60
    for seed in range(trials):
        values, offsets, true = pair_of_sets(size, similarity, seed)
        left, right = sketch(values, offsets, SIZE, np.uint64(seed))
        errors.append((left == right).mean() - true)
    # A mean of independent components would spread by this much; small sets do not spread more.
    spread = np.sqrt(max(true * (1 - true), 1e-9) / SIZE)
    assert abs(np.mean(errors)) < 4 * spread / np.sqrt(trials) + 1e-9
    assert np.sqrt(np.mean(np.square(errors))) < 1.3 * spread + 1e-9


def test_a_union_takes_the_lesser_component_of_its_parts() -> None:
    """What makes sketches MinHash: components are minima, so a union's follow from those of its parts."""
    values, offsets, _ = pair_of_sets(90, 0.3, 5)
    left, right = sketch(values, offsets, SIZE, np.uint64(1))
    union = np.unique(values)
    (both,) = sketch(union, np.array([0, len(union)], np.int64), SIZE, np.uint64(1))
    assert (both == np.minimum(left, right)).all()


def test_components_depend_on_the_set_alone() -> None:
    values, offsets, _ = pair_of_sets(50, 0.5, 9)
    first, _ = sketch(values, offsets, SIZE, np.uint64(1))
    shuffled = np.random.default_rng(1).permutation(values[:50])
    again = sketch(np.concatenate([shuffled, shuffled]), np.array([0, 100], np.int64), SIZE, np.uint64(1))[0]
    assert (first == again).all()
    assert (first != sketch(values, offsets, SIZE, np.uint64(2))[0]).mean() > 0.9


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.7, Banding(42, 6)), (0.8, Banding(32, 8)), (0.5, Banding(85, 3)), (1.0, Banding(1, 256))],
)
def test_banding_is_the_most_selective_that_finds_the_threshold(threshold: float, expected: Banding) -> None:
    found = banding(256, threshold)
    assert found == expected
    assert found.probability(threshold) >= 0.99
    assert Banding(256 // (found.rows + 1) or 1, found.rows + 1).probability(threshold) < 0.99 or threshold == 1.0


def test_too_few_permutations_use_single_rows() -> None:
    assert banding(2, 0.1) == Banding(2, 1)


@pytest.mark.parametrize("similarity", [0.4, 0.55, 0.7])
def test_bands_propose_with_the_chance_of_the_formula(similarity: float) -> None:
    params, trials, hits, chance = MinHashParams(), 300, 0, 0.0
    for seed in range(trials):
        values, offsets, true = pair_of_sets(400, similarity, seed)
        left, right = band_hashes(values, offsets, params)
        hits += bool((left == right).any())
        chance += banding(256, 0.7).probability(true) / trials
    assert abs(hits / trials - chance) < 4 * np.sqrt(max(chance * (1 - chance), 1e-4) / trials)


def test_annotator_gives_counts_and_bands() -> None:
    content = [b"a b c d e f g", b"x y", b"\f", b"a  b\nc d e f g", b"e f " * 50]
    batch = pa.record_batch({"content": pa.array(content, pa.large_binary())})
    values = annotate_safely(build("minhash"), batch).to_pydict()
    assert values["shingles"] == [3, 1, 0, 3, 2]
    assert [len(bands) for bands in values["bands"]] == [42, 42, 0, 42, 42]
    assert values["bands"][0] == values["bands"][3]
    assert not set(values["bands"][0]) & set(values["bands"][1])
    assert values["error"] == [None] * 5


def test_batches_of_any_cut_give_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    content = [bytes(np.random.default_rng(i).choice(list(b"ab (="), 20 * i)) for i in range(40)]
    batch = pa.record_batch({"content": pa.array(content, pa.large_binary())})
    whole = build("minhash").annotate(batch)
    monkeypatch.setattr(minhash, "PIECE_BYTES", 300)
    assert build("minhash").annotate(batch).equals(whole)
    assert build("minhash").annotate(batch.slice(7, 20)).equals(whole.slice(7, 20))


def test_parameters_are_checked_and_belong_to_the_fingerprint() -> None:
    with pytest.raises(RecipeError, match=r"annotate\.minhash\.ngram"):
        build("minhash", {"ngram": 0})
    assert build("minhash").fingerprint() != build("minhash", {"threshold": 0.8}).fingerprint()
