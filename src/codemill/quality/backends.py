"""Opens a scorer of any backend by name or folder: what recipes and commands call `model`."""

from pathlib import Path

from codemill.errors import InputError
from codemill.quality.llama import CARD, LlamaScorer
from codemill.quality.scorer import Scorer, load_scorer


def open_scorer(model: str = "reference") -> Scorer:
    """The scorer that ships (`reference`), or the one in a folder that `codemill fit` wrote, whatever its backend.

    Raises:
        InputError: there is no such scorer.
    """
    if model == "reference":
        return load_scorer()
    if not Path(model).is_dir():
        raise InputError(f"model: expected `reference` or the folder of a scorer, got {model!r}")
    if (Path(model) / CARD).is_file():
        return LlamaScorer(model)
    return load_scorer(path=model)
