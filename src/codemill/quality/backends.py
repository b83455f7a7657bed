"""Opens a scorer of any backend by name or folder: what recipes and commands call `model`."""

from importlib.resources import as_file, files
from pathlib import Path

from codemill.errors import InputError
from codemill.quality.commits.model import NAME as COMMITS
from codemill.quality.commits.model import CommitScorer, is_of_commits
from codemill.quality.llama import CARD, LlamaScorer
from codemill.quality.reference import ReferenceScorer
from codemill.quality.scorer import Scorer

SHIPPED = "reference"
FOLDERS = {SHIPPED: "codemill.quality", COMMITS: "codemill.quality.commits"}  # what ships, and in which package


def open_scorer(model: str = SHIPPED) -> Scorer:
    """A scorer that ships (`reference`, `commits`), or the one in a folder that `codemill fit` wrote.

    Raises:
        InputError: there is no such scorer.
    """
    if model in FOLDERS:
        return load_scorer(model)
    if not Path(model).is_dir():
        raise InputError(f"model: expected `{SHIPPED}`, `{COMMITS}` or the folder of a scorer, got {model!r}")
    return load_scorer(path=model)


def load_scorer(name: str = SHIPPED, path: str | None = None) -> Scorer:
    """The scorer of that name, or the fitted one in the folder `path`, whatever its backend.

    Raises:
        InputError: there is no such scorer, or `path` holds no model.
    """
    if name not in FOLDERS:
        raise InputError(f"scorer: expected {' or '.join(FOLDERS)}, got {name}")
    if path is None:
        with as_file(files(FOLDERS[name]).joinpath("model")) as folder:
            return _small(folder)
    return LlamaScorer(path) if (Path(path) / CARD).is_file() else _small(Path(path))


def _small(folder: Path) -> Scorer:
    """The scorer of files or of commits that lies there."""
    return CommitScorer.load(folder) if is_of_commits(folder) else ReferenceScorer.load(folder)
