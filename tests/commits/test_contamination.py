"""A benchmark's solution that a sample shows as context is contamination, too."""

import pyarrow.parquet as pq
import pytest

from codemill.commits.pipeline import run_commits
from codemill.commits.settings import CommitRecipe
from codemill.decontaminate.index import build_index
from codemill.decontaminate.problems import open_benchmark
from codemill.engine import Engine
from codemill.store import Store
from tests.commits.histories import History
from tests.decontaminate.planted import FIELDS, SOLUTION, write_benchmark

ASKED = "Count prices of books on shelves in euros"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A history whose first commit brings a solution, and whose second changes another file; an index to find it."""
    root = tmp_path_factory.mktemp("planted")
    history = History(root / "history")
    shelves = f"def merge(left, right):\n{SOLUTION}"
    history.commit({"shelves.py": shelves, "euros.py": "prices = 1\n"}, "Merge shelves of books by their prices")
    history.commit({"euros.py": "prices = 100\n"}, ASKED)
    with (root / "index").open("wb") as stream:
        build_index([open_benchmark(str(write_benchmark(root)), FIELDS, "task_id")], 10).write(stream)
    return root


def reasons(planted, folder, context, annotators):
    """Subject -> reason, and the samples written."""
    values = {
        "kind": "commits",
        "name": "test",
        "store": str(folder / "store"),
        "output": str(folder / "out"),
        "source": [{"kind": "git", "name": "git", "path": str(planted / "history"), "layout": "single"}],
        "annotate": annotators,
        "corpus": {"all": {"rules": [], "context": context, "columns": ["commit.subject"]}},
    }
    summary = run_commits(CommitRecipe.model_validate(values), Engine(workers=1))
    store = Store(folder / "store")
    signals = store.read(f"{summary.decisions}/all.signals.parquet", ["commit.subject", "sample.context_hits"])
    reason = store.read(f"{summary.decisions}/all.parquet", ["reason"])["reason"]
    samples = [pq.read_table(path) for path in (folder / "out" / "all" / "parquet").glob("*.parquet")]
    texts = [text for table in samples for text in table["text"].to_pylist()]
    found = dict(zip(signals["commit.subject"].to_pylist(), reason.to_pylist(), strict=True))
    return found[ASKED], signals["sample.context_hits"].to_pylist(), texts


def test_a_sample_that_shows_a_solution_is_dropped(planted, tmp_path):
    look = {"contamination": {"index": [str(planted / "index")]}}
    reason, hits, texts = reasons(planted, tmp_path / "drop", {}, look)
    assert reason == "contaminated_context"
    assert sorted(hits)[0] == 0 and sorted(hits)[1] > 10  # the first commit has no context
    assert len(texts) == 1 and ASKED not in texts[0]


def test_it_stays_where_nobody_looks_or_the_recipe_says_so(planted, tmp_path):
    look = {"contamination": {"index": [str(planted / "index")]}}
    for name, context, annotators in (
        ("keep", {"contaminated": "keep"}, look),
        ("none", {}, {}),
        ("hidden", {"files": 0}, look),
    ):
        reason, hits, texts = reasons(planted, tmp_path / name, context, annotators)
        assert reason is None
        assert hits == ([0, 0] if name == "hidden" else [None, None])
        assert any(ASKED in text and ("cheaper.pop" in text) == (name != "hidden") for text in texts)
