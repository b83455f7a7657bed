"""Opens a scorer of any backend by name or folder: what recipes and commands call `model`."""

from importlib.resources import as_file, files
from pathlib import Path

from codemill.errors import InputError
from codemill.quality.llama import CARD, LlamaScorer
from codemill.quality.reference import ReferenceScorer
from codemill.quality.scorer import Scorer

SHIPPED = "reference"


def open_scorer(model: str = SHIPPED) -> Scorer:
    """The scorer that ships (`reference`), or the one in a folder that `codemill fit` wrote, whatever its backend.

    Raises:
        InputError: there is no such scorer.
    """
    if model != SHIPPED and not Path(model).is_dir():
        raise InputError(f"model: expected `{SHIPPED}` or the folder of a scorer, got {model!r}")
    return load_scorer(path=None if model == SHIPPED else model)


def load_scorer(name: str = SHIPPED, path: str | None = None) -> Scorer:
    """The scorer of that name, or the fitted one in the folder `path`, whatever its backend.

    Raises:
        InputError: there is no such scorer, or `path` holds no model.
    """
    if name != SHIPPED:
        raise InputError(f"scorer: expected {SHIPPED}, got {name}")
    if path is None:
        with as_file(files("codemill.quality").joinpath("model")) as folder:
            return ReferenceScorer.load(folder)
    return LlamaScorer(path) if (Path(path) / CARD).is_file() else ReferenceScorer.load(Path(path))
