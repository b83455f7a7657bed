"""Selections as the pipeline makes them, from rows that a test writes, and one store with a finished run."""

import numpy as np
import pyarrow as pa
import pytest

from codemill.engine import Engine
from codemill.pipeline import Pipeline
from codemill.recipe import AlarmSettings, QuantileRule, Recipe, SampleRule, ValueRule
from codemill.schema import blob_id, occurrence_id
from codemill.select.judged import Judged
from tests.conftest import write, write_repositories

HOSTILE = "<script>alert(1)</script><img src=http://bad.example/a.png onerror=alert(2)>"
NAME = HOSTILE.replace("/", "\u2215")  # a slash is no part of a file's name, what looks like one is


def select_rows(columns, rules, problems=None, languages=None):
    """A selection over generated occurrences with these signal columns (name -> values), by the rules in order."""
    count = len(next(iter(columns.values())))
    problems = problems or [None] * count
    ids = [occurrence_id("made", str(number)) for number in range(count)]
    table = {
        "occurrence_id": ids,
        "source": ["made"] * count,
        "repo": [f"repo-{number % 7}" for number in range(count)],
        "revision": [""] * count,
        "path": [f"folder/file_{number}.py" for number in range(count)],
        "blob_id": [blob_id(str(number).encode()) for number in range(count)],
        "bytes": pa.array([100 + number for number in range(count)], pa.int64()),
        "problem": pa.array(problems, pa.string()),
        "language.language": pa.array(languages or ["Python"] * count, pa.string()),
        "rules.tokens": pa.array([number % 50 for number in range(count)], pa.int64()),
        **columns,
    }
    run = Judged(pa.table(table))
    decide = {QuantileRule: run.quantile, SampleRule: run.sample, ValueRule: run.value}
    for rule in rules:
        decide[type(rule)](rule)
    return run.finish("files", AlarmSettings())


def held(selection):
    """The selection with its rows in memory."""
    tables = {"decisions": selection.decisions.read(), "signals": selection.signals.read()}
    return type(selection)(**{**vars(selection), **tables})


def shuffled(selection, seed=0):
    """The same selection with its rows in another order."""
    order = pa.array(np.random.default_rng(seed).permutation(selection.decisions.num_rows))
    values = {**vars(selection), "decisions": selection.decisions.take(order), "signals": selection.signals.take(order)}
    return type(selection)(**values)


def recipe_values(folder, source):
    """A recipe with a rule of every kind, on both levels."""
    return {
        "name": "made",
        "description": f"A description with <b>markup</b> and {HOSTILE}",
        "store": str(folder / "store"),
        "output": str(folder / "corpus"),
        "source": [{"name": "made", "kind": "directories", "path": str(source)}],
        "annotate": {"language": {}, "rules": {}, "minhash": {}},
        "rule": [
            {
                "name": "big",
                "column": "occurrence.bytes",
                "min": 30,
                "max": 100_000,
                "per_language": {"C": {"max": 500}},
            },
            {"name": "known", "column": "language.language", "not_in": ["Markdown"]},
            {"name": "exact", "dedup": "exact"},
            {"name": "near", "dedup": "near", "threshold": 0.7},
            {"name": "repository", "dedup": "repository", "threshold": 0.8},
            {"name": "shortest", "column": "rules.tokens", "drop_lowest": 0.2, "by": "rows", "within": "language"},
            {"name": "stars", "column": "occurrence.stars", "min": 1, "missing": "keep"},
        ],
        "corpus": {
            "files": {"rules": ["big", "known", "exact", "near", "shortest", "stars"]},
            "repositories": {"level": "repository", "rules": ["repository", "big", "shortest"]},
        },
    }


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """(store, summary) of a run over good files, copies, junk, and names and contents that attack a page."""
    root = tmp_path_factory.mktemp("report")
    source = root / "repositories"
    write_repositories(source)
    write(
        source,
        f"hostile/{NAME}.py",
        f"# {HOSTILE}\n</pre></style>\n\x1b[31m\u202e" + "x = 1\n" * 30,
    )
    write(source, "hostile/'\"&amp;/<\x01>.py", "--><!--'\"" + "y" * 5000)
    pipeline = Pipeline(Recipe.model_validate(recipe_values(root, source)), Engine(workers=1))
    return pipeline.store, pipeline.run()
