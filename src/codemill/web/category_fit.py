"""Fits the model of page categories to labelled pages, and measures it on sites it has not seen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codemill.errors import InputError, MissingExtra
from codemill.web.category import BITS, CARD, MODEL, CategoryModel, Floats, Seen, look, marks

STRENGTH = 0.1  # of the penalty's inverse; chosen by cross-validation
WORD_WEIGHT = 16.0  # how much longer the words' row is than a standardized input, before the penalty
RARE = 0.5  # pages weigh by this power of their category's rarity
SEED = 7


@dataclass(frozen=True)
class Labelled:
    """Labelled pages as inputs: pages, codes of their categories, and groups (sites) that stay together."""

    pages: list[Seen]
    codes: NDArray[np.int64]
    groups: NDArray[np.int64]


def read_labelled(table: pa.Table) -> Labelled:
    """Pages of a table with `host`, `path`, `content`, `category`, and `group` or else by host.

    Raises:
        InputError: a column is missing, or a category is unknown.
    """
    names = ("host", "path", "content", "category")
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise InputError(f"labels: expected columns {', '.join(names)}; {missing[0]} is missing")
    known = {name: code for code, name in enumerate(marks().categories)}
    unknown = sorted(set(table["category"].to_pylist()) - set(known), key=str)
    if unknown:
        raise InputError(f"labels: category: expected one of {', '.join(known)}, got {unknown[0]!r}")
    rows = table.to_pylist()
    pages = [look(row["host"] or "", row["path"] or "", _text(row["content"])) for row in rows]
    groups = [str(row["group"] if "group" in row else row["host"]) for row in rows]
    codes = np.array([known[row["category"]] for row in rows], np.int64)
    return Labelled(pages, codes, np.unique(groups, return_inverse=True)[1])


def _text(content: bytes | str) -> str:
    return content if isinstance(content, str) else content.decode("utf-8", "replace")


def _regression() -> tuple[Any, Any]:
    try:
        import scipy.sparse
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtra("fitting a model of categories", "train") from error
    return scipy.sparse, LogisticRegression


def fit_arrays(pages: Sequence[Seen], codes: NDArray[np.int64]) -> dict[str, Floats]:
    """The arrays of `CategoryModel`.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    sparse, regression = _regression()
    dense = np.array([page.dense for page in pages])
    mean, scale = dense.mean(axis=0), np.maximum(dense.std(axis=0), 0.05)
    ends = np.cumsum([0, *(len(page.buckets) for page in pages)])
    words = sparse.csr_matrix(
        (
            np.concatenate([page.weights for page in pages]) * WORD_WEIGHT,
            np.concatenate([page.buckets for page in pages]),
            ends,
        ),
        shape=(len(pages), 1 << BITS),
    )
    inputs = sparse.hstack([sparse.csr_matrix((dense - mean) / scale), words]).tocsr()
    model = regression(C=STRENGTH, max_iter=2000, random_state=SEED).fit(inputs, codes, rarity(codes))
    size, width = len(marks().categories), dense.shape[1]
    weights = np.zeros((inputs.shape[1], size))
    bias = np.full(size, -20.0)  # a category that no page has is never chosen
    weights[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
    of_words = weights[width:] * WORD_WEIGHT
    step = (np.abs(of_words).max(axis=0) + 1e-12) / 127
    return {
        "dense": np.vstack([weights[:width], bias]).astype(np.float32),
        "mean": mean.astype(np.float32),
        "scale": scale.astype(np.float32),
        "words": np.rint(of_words / step).astype(np.int8),
        "step": step.astype(np.float32),
    }


def rarity(codes: NDArray[np.int64]) -> Floats:
    """A weight for each page, of mean 1: more for those of rare categories."""
    weights = np.bincount(codes)[codes] ** -RARE
    return np.asarray(weights / weights.mean())


def fit_category(table: pa.Table, out: Path, version: str = "1") -> dict[str, Any]:
    """Fit to all pages of a table (see `read_labelled`) and write the model into the folder `out`; returns its card."""
    labelled = read_labelled(table)
    arrays = fit_arrays(labelled.pages, labelled.codes)
    digest = sha256(str(marks().version).encode())
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    card = {
        "name": "category",
        "version": version,
        "marks": marks().version,
        "categories": list(marks().categories),
        "pages": table.num_rows,
        "groups": len(np.unique(labelled.groups)),
        "fingerprint": f"category-{version}-{digest.hexdigest()[:12]}",
    }
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / MODEL, **arrays)  # type: ignore[arg-type]
    (out / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


def cross_validate(table: pa.Table, folds: int = 10) -> Floats:
    """Probabilities of every page under models that have not seen its site: float64[pages, categories]."""
    labelled = read_labelled(table)
    card = {"marks": marks().version, "categories": list(marks().categories), "fingerprint": ""}
    place = np.random.default_rng(SEED).permutation(int(labelled.groups.max()) + 1) % folds
    out = np.zeros((len(labelled.pages), len(marks().categories)))
    for fold in range(folds):
        held = place[labelled.groups] == fold
        arrays = fit_arrays([labelled.pages[row] for row in np.flatnonzero(~held)], labelled.codes[~held])
        model = CategoryModel(arrays, card)
        for row in np.flatnonzero(held):
            out[row] = model.probabilities(labelled.pages[row])
    return out


def confusion(codes: NDArray[np.int64], chances: Floats) -> NDArray[np.int64]:
    """Pages by category as labelled (rows) and as judged (columns)."""
    out = np.zeros((chances.shape[1], chances.shape[1]), np.int64)
    np.add.at(out, (codes, chances.argmax(axis=1)), 1)
    return out
