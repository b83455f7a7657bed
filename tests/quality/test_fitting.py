"""The parts of the reference scorer, fitted: what is fitted with Gram matrices must be what scoring computes."""

import numpy as np
import pytest

from codemill.quality import fitting

sparse = pytest.importorskip("scipy.sparse")


def rows(seed: int, count: int, columns: int) -> object:
    made = sparse.random(count, columns, density=0.2, random_state=seed, format="csr", dtype=np.float32)
    return made + sparse.eye(count, columns, format="csr", dtype=np.float32)


@pytest.mark.parametrize("block", [1, 7, 30, 100])
def test_gram_in_blocks_is_the_sum_of_all_products(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(fitting, "BLOCK", block)
    monkeypatch.setattr(fitting, "DENSE_COLUMNS", 5)
    a, b, codes = rows(0, 30, 40), rows(1, 30, 50), np.arange(30) % 3
    found = fitting.gram((a, b), codes)
    alike = codes[:, None] == codes[None, :]
    wanted = (a @ a.T).toarray() + (b @ b.T).toarray() + fitting.LANGUAGE_SHARE * alike
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_array_equal(found, found.T)


def test_ridge_solves_its_equations_on_the_rows_it_is_given() -> None:
    a, codes = rows(2, 40, 30), np.arange(40) % 2
    full = fitting.gram((a,), codes)
    targets, chosen = np.random.default_rng(0).normal(size=(40, 3)), np.arange(0, 40, 3)
    before = full.copy()
    alphas, mean = fitting.solve(full, targets, chosen, 0.5)
    np.testing.assert_array_equal(full, before)
    np.testing.assert_allclose(mean, targets[chosen].mean(axis=0))
    said = full[np.ix_(chosen, chosen)] @ alphas[chosen] + 0.5 * alphas[chosen]
    np.testing.assert_allclose(said, targets[chosen] - mean, atol=1e-4)
    assert not alphas[np.setdiff1d(np.arange(40), chosen)].any()


def test_opinions_by_the_gram_matrix_are_those_by_weights() -> None:
    """Scoring has no Gram matrix: it has a weight for each n-gram and a term for the language, which counts once."""
    a, codes = rows(3, 50, 60), np.arange(50) % 4
    targets, nonzero = np.random.default_rng(1).normal(5, 2, size=(50, 4)), np.arange(50) % 5 > 0
    chosen, held = np.arange(40), np.arange(40, 50)
    text = fitting.fit_text(fitting.gram((a,), codes), targets, nonzero, 2, chosen, codes, 4)
    by_gram = text.judge(fitting.gram((a,), codes), held)
    by_weights = a[held] @ (a.T @ text.alphas) + text.language[codes[held]]
    np.testing.assert_allclose(by_gram, by_weights, rtol=1e-3, atol=1e-3)
