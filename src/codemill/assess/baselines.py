"""What a scorer must beat: simple predictors of the same ratings, judged on files they did not learn from.

Each gives one prediction a file. Those that learn do so in folds: what they say of a file comes from files of other
repositories.
"""

import numpy as np
import pyarrow as pa

from codemill.annotate import build
from codemill.annotate.base import Annotator, annotate_safely
from codemill.presets import load_preset
from codemill.quality import fasttext as words
from codemill.select.rules import fails

FOLDS = 5
_ROWS = 512


def mean(rated: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The mean rating of the other folds."""
    return by_class(rated, fold, np.zeros(len(rated), dtype=np.int64))


def by_class(rated: np.ndarray, fold: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The mean rating of the file's class in the other folds; of all files there where the class is new."""
    predicted = np.zeros(len(rated))
    for number in np.unique(fold):
        here, there = fold == number, fold != number
        there = there if there.any() else here
        whole = rated[there].mean()
        for kind in np.unique(classes[here]):
            same = rated[there & (classes == kind)]
            predicted[here & (classes == kind)] = same.mean() if len(same) else whole
    return predicted


def rules(table: pa.Table, rated: np.ndarray, fold: np.ndarray, preset: str = "baseline") -> np.ndarray:
    """The rule preset as a scorer: the mean rating of files that break as many rules (0, 1, 2, 3 and more).

    Args:
        table: columns content, language, path.
    """
    broken = np.minimum(broken_rules(table, preset), 3)
    # More broken rules never speak for a file, even if a fold has it so by chance.
    return np.asarray(by_class(rated, fold, broken) - 1e-6 * broken)


def broken_rules(table: pa.Table, preset: str) -> np.ndarray:
    """How many rules of the preset each file breaks; values that can't be computed are judged by a rule's `missing`."""
    known = pa.table(
        {
            "content": table["content"],
            "language": table["language"].fill_null("unknown"),
            "path": table["path"].fill_null(""),
        }
    )
    loaded: dict[str, Annotator] = {}
    counts: list[np.ndarray] = []
    for batch in known.to_batches(max_chunksize=_ROWS):
        values: dict[str, pa.RecordBatch] = {}
        broken = np.zeros(batch.num_rows, dtype=np.int64)
        for rule in load_preset(preset):
            name, column = rule.column.split(".")
            if name not in values:
                if name not in loaded:
                    annotator = build(name)
                    assert isinstance(annotator, Annotator), "rules of presets look at single files"
                    annotator.load()
                    loaded[name] = annotator
                values[name] = annotate_safely(loaded[name], batch)
            broken += fails(rule, values[name].column(column), batch.column("language"))
        counts.append(broken)
    return np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)


def fasttext(contents: list[bytes], rated: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """A fastText classifier of low, middle and high files; see `codemill.quality.fasttext`.

    Raises:
        MissingExtra: the extra `fasttext` is not installed.
    """
    lines = words.texts(contents)
    predicted = np.zeros(len(rated))
    for number in np.unique(fold):
        here, there = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        predicted[here] = words.ratings(lines, rated, there, here)
    return predicted
