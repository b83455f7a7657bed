"""Fits the classifier of pages about code to ratings, with fastText, and measures it on sites it has not seen."""

import hashlib
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from codemill.errors import InputError
from codemill.quality.table import read_labels, with_contents
from codemill.recipe import Strict
from codemill.web.recall import WORDS, Floats, RecallModel, hash_word, read_model, words

ABOUT, OTHER = "__label__about", "__label__other"
Bools = npt.NDArray[np.bool_]


class RecallSettings(Strict):
    """How the classifier is fitted and its threshold chosen."""

    relevant: int = Field(5, ge=1, le=10, description="pages rated so or higher are about code")
    recall: float = Field(0.99, gt=0, le=1, description="share of the relevant validation pages the threshold keeps")
    validation: float = Field(0.3, gt=0, lt=1, description="share of the sites that are kept for validation")
    epochs: int = Field(25, gt=0)
    rate: float = Field(0.5, gt=0, description="learning rate")
    dimensions: int = Field(16, gt=0, description="of the vectors while it learns; a model is as large with any")
    min_count: int = Field(2, gt=0, description="words that occur less often in training are seen in parts alone")
    buckets: int = Field(262_144, gt=0, description="of hashes of character n-grams and word pairs")
    shortest: int = Field(3, gt=0, description="character n-grams from this length on")
    longest: int = Field(5, gt=0, description="and up to this")
    seed: int = Field(1, ge=0)


def is_validation(site: str, share: float) -> bool:
    """Whether a site is kept for validation: by its name's hash, so that it stays when others come or go."""
    return int(hashlib.sha256(site.encode()).hexdigest()[:8], 16) % 1000 < round(1000 * share)


def fit(texts: Sequence[str], about: Bools, settings: RecallSettings) -> RecallModel:
    """Train fastText on texts and fold the result into one number a word and a bucket of pairs.

    One thread: the same input gives the same model.

    Raises:
        InputError: fastText is not installed, or one class is empty.
    """
    try:
        import fasttext
    except ImportError as error:
        raise InputError("fit-recall: expected fastText, got none: pip install 'codemill[fasttext]'") from error
    if about.all() or not about.any():
        raise InputError(f"fit-recall: expected pages of both kinds to learn from, got {len(about)} of one")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pages.txt"
        lines = [f"{ABOUT if yes else OTHER} {words(text)}" for text, yes in zip(texts, about, strict=True)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")
        model = fasttext.train_supervised(
            input=str(path),
            lr=settings.rate,
            epoch=settings.epochs,
            dim=settings.dimensions,
            minCount=settings.min_count,
            wordNgrams=2,
            minn=settings.shortest,
            maxn=settings.longest,
            bucket=settings.buckets,
            loss="softmax",
            seed=settings.seed,
            thread=1,
            verbose=0,
        )
    return _folded(model, {"words": WORDS, "parts": [settings.shortest, settings.longest]})


def _folded(model: Any, card: dict[str, Any]) -> RecallModel:
    names: list[str] = model.get_words()
    labels: list[str] = model.get_labels()
    output = model.get_output_matrix()
    numbers = model.get_input_matrix() @ (output[labels.index(ABOUT)] - output[labels.index(OTHER)])
    hashes = np.array([_hash(name) for name in names], np.uint32)
    # Of words that share a hash the more frequent one, which fastText lists first, is kept.
    known, first = np.unique(hashes, return_index=True)
    return RecallModel(
        known, numbers[: len(names)][first].astype(np.float32), numbers[len(names) :].astype(np.float32), card
    )


def _hash(word: str) -> int:
    data = np.frombuffer(word.encode("utf-8"), np.uint8)
    return int(hash_word(data, 0, len(data)))


@dataclass(frozen=True)
class Curve:
    """What every threshold gives on weighted pages: pages that score at least `thresholds[i]` are kept."""

    thresholds: Floats
    recall: Floats
    precision: Floats
    kept: Floats

    def at(self, recall: float) -> int:
        """Where the highest threshold stands that keeps this share of the relevant pages."""
        return int(np.argmax(self.recall >= recall - 1e-9))


def curve(scores: Floats, about: Bools, weights: Floats) -> Curve:
    """Recall, precision and share kept at every score that occurs, highest first."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    total = np.cumsum(weights[order])
    hits = np.cumsum((weights * about)[order])
    return Curve(ranked[last], (hits / hits[-1])[last], (hits / total)[last], (total / total[-1])[last])


def interval(share: float, pages: float) -> tuple[float, float]:
    """The 95% interval of a share seen on so many pages (Wilson, JASA 1927)."""
    z = 1.959964
    middle = (share + z * z / (2 * pages)) / (1 + z * z / pages)
    half = z / (1 + z * z / pages) * math.sqrt(share * (1 - share) / pages + z * z / (4 * pages * pages))
    return max(0.0, middle - half), min(1.0, middle + half)


def measure(model: RecallModel, table: pa.Table, settings: RecallSettings) -> dict[str, Any]:
    """Threshold, recall, precision with their intervals and the curve on rated pages (`_pages`)."""
    scores = np.array([model.score(text) for text in table["text"].to_pylist()], np.float32)
    about = table["about"].to_numpy()
    weights = table["weight"].to_numpy().astype(np.float32)
    if not about.any() or about.all():
        raise InputError(f"fit-recall: expected pages of both kinds to validate with, got {len(about)} of one")
    found = curve(scores, about, weights)
    place = found.at(settings.recall)
    kept = scores >= found.thresholds[place]
    # Unequal weights make pages count for less: Kish's effective number.
    recall, precision = float(found.recall[place]), float(found.precision[place])
    points = [(share, found.at(share)) for share in (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)]
    return {
        "threshold": float(found.thresholds[place]),
        "pages": len(about),
        "relevant": int(about.sum()),
        "relevant_share": float(weights[about].sum() / weights.sum()),
        "recall": recall,
        "recall_95": list(interval(recall, effective(weights[about]))),
        "precision": precision,
        "precision_95": list(interval(precision, effective(weights[kept]))),
        "kept_share": float(found.kept[place]),
        "curve": [
            {
                "recall": float(found.recall[i]),
                "precision": float(found.precision[i]),
                "kept_share": float(found.kept[i]),
                "threshold": float(found.thresholds[i]),
            }
            for _, i in points
        ],
    }


def effective(weights: Floats) -> float:
    """How many equally weighted pages say as much."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _pages(labels: Path, contents: Path | None, settings: RecallSettings) -> pa.Table:
    """Rated pages with `text`, `about`, `weight` and `valid`.

    Sites are `repo`, the host (labels without are split by page); a column `split` (`train`, `validation`) goes first.
    """
    table, _ = with_contents(read_labels(labels)[0], labels, contents)
    sites = [site or blob for site, blob in zip(table["repo"].to_pylist(), table["blob_id"].to_pylist(), strict=True)]
    if "split" in table.column_names:
        valid = [split == "validation" for split in table["split"].to_pylist()]
    else:
        valid = [is_validation(site, settings.validation) for site in sites]
    weight = table["weight"].cast(pa.float64()) if "weight" in table.column_names else [1.0] * table.num_rows
    return pa.table(
        {
            "text": [value.decode("utf-8", "replace") for value in table["content"].to_pylist()],
            "about": [rating >= settings.relevant for rating in table["overall"].to_pylist()],
            "weight": weight,
            "valid": valid,
        }
    )


def fit_recall(
    labels: Path, out: Path, contents: Path | None = None, settings: RecallSettings | None = None
) -> dict[str, Any]:
    """Fit a classifier to ratings of pages, choose its threshold on validation sites, write it; returns its card.

    Args:
        labels: a folder of `codemill label` or a table with `overall` (relevance 0..10), `blob_id`, and best `repo`
            (the site), `split` (`train` or `validation`) and `weight` (pages that one stands for).
        out: folder for the model.
        contents: a table with the texts, where the labels have none.

    Raises:
        InputError: a table can't be read, texts are missing, or there are no pages of both kinds on both sides.
    """
    settings = settings or RecallSettings()
    table = _pages(labels, contents, settings)
    valid = table["valid"].to_numpy()
    train = table.filter(pa.array(~valid))
    model = fit(train["text"].to_pylist(), train["about"].to_numpy(), settings)
    model.save(out)
    model = read_model(out)  # as it will be used: its numbers have 16 bits
    model.card = {
        **model.card,
        "settings": settings.model_dump(mode="json"),
        "train": {"pages": train.num_rows, "relevant": int(train["about"].to_numpy().sum())},
        "validation": measure(model, table.filter(pa.array(valid)), settings),
    }
    model.save(out)
    return model.card
