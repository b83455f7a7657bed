"""The quality annotator gives what its scorer gives, names it in its fingerprint, and knows nothing of training."""

import subprocess
import sys

import pyarrow as pa
import pytest

from codemill.annotate import build
from codemill.annotate.base import annotate_safely
from codemill.annotate.run import run_annotators
from codemill.engine import Engine
from codemill.errors import InputError, RecipeError
from codemill.quality.backends import open_scorer
from codemill.quality.rubric import SCORES
from codemill.recipe import DirectorySource, IngestSettings
from codemill.sources.ingest import ingest
from codemill.store import Store
from tests.conftest import write_repositories

GOOD = (
    b'"""Sums."""\n\n\ndef total(values: list[int]) -> int:\n    """The sum of the values."""\n    return sum(values)\n'
)


def test_values_are_those_of_the_scorer():
    batch = pa.RecordBatch.from_pydict(
        {
            "blob_id": ["a", "b", "c"],
            "language": ["Python", "unknown", "Python"],
            "content": pa.array([GOOD, b"\xff\xfe broken", b"x"], pa.large_binary()),
        }
    )
    annotator = build("quality")
    annotator.load()
    values = annotate_safely(annotator, batch)
    scorer = open_scorer()
    assert values.select(list(SCORES)).equals(scorer.score(batch["content"], batch["language"]))
    assert values["error"].null_count == 3
    assert all(0 <= value <= 10 for name in SCORES for value in values[name].to_pylist())
    assert annotator.model() == scorer.fingerprint
    assert annotator.schema().names == ["blob_id", "language", *SCORES, "error"]


def test_every_pair_of_blob_and_language_is_scored(tmp_path):
    write_repositories(tmp_path / "in")
    store = Store(tmp_path / "store")
    store.create()
    shards = ingest(
        store,
        Engine(workers=1),
        [DirectorySource(name="s", kind="directories", path=str(tmp_path / "in"))],
        IngestSettings(),
    ).shards
    done = run_annotators(store, Engine(workers=1), shards, [build("language"), build("quality")])["quality"]
    table = store.read_all(done.files, done.annotator.schema())
    assert table.num_rows == done.computed > 10 and table["overall"].null_count == 0
    assert done.annotator.fingerprint() in done.folder


def test_models_that_are_none_are_one_line(tmp_path):
    with pytest.raises(InputError, match="expected `reference`, `commits` or the folder of a scorer, got 'nothing'"):
        build("quality", {"model": "nothing"}).fingerprint()
    with pytest.raises(InputError):
        build("quality", {"model": str(tmp_path)}).fingerprint()
    with pytest.raises(RecipeError, match=r"annotate\.quality"):
        build("quality", {"modle": "reference"})


def test_training_is_never_imported():
    code = (
        "import sys; from codemill.annotate import build; a = build('quality'); a.load();"
        "print([m for m in sys.modules if m in ('codemill.quality.train', 'codemill.quality.llama_fit', 'torch')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
