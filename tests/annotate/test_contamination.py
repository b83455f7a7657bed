"""The annotator: what files share with benchmarks, alone and as a rule of a recipe."""

import shutil

import pyarrow as pa
import pytest

from codemill.annotate import build
from codemill.decontaminate.index import build_index
from codemill.decontaminate.problems import open_benchmark
from codemill.engine import Engine
from codemill.errors import InputError
from codemill.pipeline import Pipeline
from codemill.recipe import Recipe
from codemill.select.result import read_selection
from codemill.store import Store
from tests.decontaminate.planted import DISGUISES, FIELDS, SOLUTION, write_benchmark

CLEAN = "def double(x):\n    return 2 * x\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    with (folder / "index").open("wb") as stream:
        build_index([open_benchmark(str(write_benchmark(folder)), FIELDS, "task_id")], 10).write(stream)
    return str(folder / "index")


def batch(*contents):
    return pa.record_batch({"content": pa.array(contents, pa.large_binary())})


def test_values(index):
    annotator = build("contamination", {"index": [index]})
    annotator.load()
    clean, empty, hit = annotator.annotate(batch(CLEAN.encode(), b"", SOLUTION.encode())).to_pylist()
    assert (
        clean
        == empty
        == dict.fromkeys(("hits", "share", "problems"), 0) | dict.fromkeys(("benchmark", "problem", "words"))
    )
    assert hit["hits"] > 10
    assert (hit["share"], hit["problems"], hit["benchmark"], hit["problem"]) == (1.0, 1, "own", "Own/0")


def test_the_default_index_is_that_of_the_package():
    annotator = build("contamination")
    assert annotator.annotate(batch(CLEAN.encode(), SOLUTION.encode()))["hits"].to_pylist() == [0, 0]


def test_another_index_makes_another_table(index, tmp_path):
    ours, default = build("contamination", {"index": [index]}), build("contamination")
    assert ours.fingerprint() != default.fingerprint()
    path = tmp_path / "index"
    shutil.copy(index, path)
    before = build("contamination", {"index": [str(path)]}).fingerprint()
    with path.open("wb") as stream:
        build_index([open_benchmark(str(write_benchmark(tmp_path)), FIELDS[:2], "task_id")], 10).write(stream)
    assert build("contamination", {"index": [str(path)]}).fingerprint() != before


def test_an_index_that_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(InputError, match="expected an index"):
        build("contamination", {"index": [str(tmp_path / "none")]})


def test_a_rule_of_a_recipe(index, tmp_path):
    folder = tmp_path / "repos" / "one"
    folder.mkdir(parents=True)
    for number, disguise in enumerate(DISGUISES.values()):
        (folder / f"planted{number}.py").write_text(f"{CLEAN}\n\n{disguise}")
    (folder / "clean.py").write_text(CLEAN)
    recipe = {
        "name": "test",
        "store": str(tmp_path / "store"),
        "output": str(tmp_path / "out"),
        "source": [{"kind": "directories", "name": "repos", "path": str(tmp_path / "repos")}],
        "annotate": {"language": {}, "rules": {}, "contamination": {"index": [index]}},
        "rule": [{"name": "contaminated", "column": "contamination.hits", "max": 0}],
        "corpus": {"files": {"rules": ["contaminated"]}},
    }
    summary = Pipeline(Recipe.model_validate(recipe), Engine(workers=1)).run()
    decided = read_selection(Store(tmp_path / "store"), summary.decisions, "files").decisions.read().to_pylist()
    assert [row["path"] for row in decided if row["status"] == "kept"] == ["clean.py"]
    assert {row["reason"] for row in decided if row["path"] != "clean.py"} == {"contaminated"}
    assert len(decided) == len(DISGUISES) + 1
