"""A fastText classifier in the style of educational-value filters: what a scorer as cheap must beat.

Shared by cross-validation of the reference scorer and by `codemill evaluate-scorer`.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codemill.errors import MissingExtra
from codemill.quality.features import CHARACTERS

_WORDS = re.compile(r"\w+|[^\w\s]")
# Low, middle and high: the ratings that begin the middle and the high.
_STEPS = (4, 6)
_LABEL = "#kind:"  # marks a label for fastText; no word of a text has this form


def texts(contents: list[bytes]) -> list[str]:
    """The first 7,000 characters of each file as words and marks, on one line."""
    heads = (content[: 4 * CHARACTERS].decode("utf-8", "replace")[:CHARACTERS] for content in contents)
    return [" ".join(_WORDS.findall(head)) for head in heads]


def ratings(lines: list[str], rated: NDArray[Any], train: NDArray[Any], test: NDArray[Any]) -> NDArray[np.float64]:
    """Ratings of the rows `test` by a classifier of low, middle and high files (Joulin et al., arXiv:1607.01759) that
    learned from the rows `train`: the expected rating under its probabilities.

    Args:
        lines: see `texts`.
        rated: overall ratings, one a line; those of `test` are not looked at.
        train: rows to learn from.
        test: rows to judge.

    Raises:
        MissingExtra: the extra `fasttext` is not installed.
    """
    try:
        import fasttext as library
    except ImportError as error:
        raise MissingExtra("the fastText baseline", "fasttext") from error
    kinds = np.searchsorted(_STEPS, rated[train], side="right")
    worth = {f"{_LABEL}{kind}": rated[train][kinds == kind].mean() for kind in np.unique(kinds)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "train.txt")
        examples = (f"{_LABEL}{kind} {lines[index]}\n" for kind, index in zip(kinds, train, strict=True))
        file.write_text("".join(examples), encoding="utf-8")
        # One thread: with more, every run gives another model.
        model = library.train_supervised(
            str(file), label=_LABEL, lr=0.3, epoch=15, wordNgrams=2, dim=64, bucket=200_000, minCount=2, thread=1,
            verbose=0,
        )  # fmt: skip
    predicted = np.zeros(len(test))
    for place, index in enumerate(test):
        labels, chances = model.predict(lines[index], k=-1)
        predicted[place] = sum(worth[label] * chance for label, chance in zip(labels, chances, strict=True))
    return predicted
