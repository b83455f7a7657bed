"""fastText behind two functions: a model out of a file of lines, and probabilities of lines."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codemill.errors import InputError, MissingExtra
from codemill.highquality.settings import ClassifierSettings
from codemill.store import Store

LABEL = "#kind:"  # no word of a line has this form: marks stand alone
GOOD, OTHER = f"{LABEL}good", f"{LABEL}other"


def _library() -> Any:
    try:
        import fasttext
    except ImportError as error:
        raise MissingExtra("a high-quality classifier", "fasttext") from error
    return fasttext


def require() -> None:
    """Raise unless the library is there.

    Raises:
        MissingExtra: the extra `fasttext` is not installed.
    """
    _library()


def train(lines: Path, settings: ClassifierSettings, store: Store, file: str) -> None:
    """Train on a file of lines, each a label and words, and put the model into the store.

    Raises:
        InputError: no word is frequent enough to learn from.
    """
    try:
        model = _library().train_supervised(
            str(lines),
            label=LABEL,
            lr=settings.rate,
            epoch=settings.epochs,
            wordNgrams=settings.ngrams,
            dim=settings.dim,
            bucket=settings.buckets,
            minCount=settings.min_count,
            thread=1,  # with more, every run gives another model
            seed=settings.seed,
            verbose=0,
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(f"classifier: expected lines to learn from, got {str(error)[:120]}") from error
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "model.bin")
        model.save_model(str(local))
        with store.writing(file) as stream, local.open("rb") as saved:
            while block := saved.read(1 << 22):
                stream.write(block)


class Classifier:
    """A trained model."""

    def __init__(self, store: Store, file: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, "model.bin")
            local.write_bytes(store.read_bytes(file))
            self._model = _library().load_model(str(local))

    def probabilities(self, lines: list[str]) -> npt.NDArray[np.float32]:
        """How likely each line is a good one, float32."""
        if not lines:
            return np.zeros(0, np.float32)
        labels, chances = self._model.predict(lines, k=2)
        found = [
            next((float(p) for name, p in zip(names, row, strict=True) if name == GOOD), 0.0)
            for names, row in zip(labels, chances, strict=True)
        ]
        # fastText's floats end a little above 1.
        return np.clip(np.asarray(found, np.float32), 0.0, 1.0)
