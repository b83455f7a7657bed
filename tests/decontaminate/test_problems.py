"""Benchmarks from files and from the hub's library, known ones and others."""

import gzip
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from codemill.decontaminate.problems import known, open_benchmark
from codemill.errors import InputError, MissingExtra
from tests.decontaminate.planted import FIELDS, PROBLEMS, write_benchmark


def test_every_known_benchmark_is_complete():
    for layout in known().values():
        assert layout.hub
        assert layout.documents


@pytest.mark.parametrize(
    "name",
    ["HumanEval", "humaneval", "openai/openai_humaneval", "HumanEval=HumanEvalPlus.jsonl", "x/HumanEval.jsonl.gz"],
)
def test_known_by_name(name):
    assert open_benchmark(name).name == "HumanEval"


@pytest.mark.parametrize("name", ["HumanEvalPlus.jsonl.gz", "HumanEval+=x.jsonl", "evalplus/humanevalplus"])
def test_the_plus_is_another(name):
    benchmark = open_benchmark(name)
    assert (benchmark.name, benchmark.family) == ("HumanEval+", "HumanEval")


def test_unknown_without_fields(tmp_path):
    path = write_benchmark(tmp_path)
    with pytest.raises(InputError, match=r"benchmark '.*own.jsonl': expected one of HumanEval, .*--field"):
        open_benchmark(str(path))
    with pytest.raises(InputError, match="expected NAME=FILE, got no name"):
        open_benchmark(f"={path}")


@pytest.mark.parametrize("packing", ["plain", "gz", "zst", "parquet"])
def test_the_same_from_every_format(tmp_path, packing):
    plain = write_benchmark(tmp_path, name="HumanEval.jsonl")
    expected = list(open_benchmark(str(plain)).problems())
    assert [problem.id for problem in expected] == ["Own/0", "Own/1", "Own/2"]
    assert expected[0].texts[0] == f"{PROBLEMS[0]['prompt']}\n{PROBLEMS[0]['canonical_solution']}"
    assert len(expected[2].texts) == 1  # its test is empty
    path = tmp_path / "other" / {"parquet": "HumanEval.parquet"}.get(packing, f"HumanEval.jsonl.{packing}")
    path.parent.mkdir()
    data = plain.read_bytes()
    if packing == "parquet":
        pq.write_table(pa.Table.from_pylist(PROBLEMS), path)
    elif packing == "plain":
        path = plain
    else:
        path.write_bytes(gzip.compress(data) if packing == "gz" else zstandard.ZstdCompressor().compress(data))
    assert list(open_benchmark(str(path)).problems()) == expected


def test_lists_inner_fields_and_numbers_for_ids(tmp_path):
    rows = [{"meta": {"id": 7}, "tests": ["one", ["two"]], "text": None}, {"meta": {"id": 8}, "tests": []}]
    path = write_benchmark(tmp_path, rows)
    problems = list(open_benchmark(str(path), ("tests", "text"), "meta.id").problems())
    assert [(problem.id, problem.texts) for problem in problems] == [("7", ("one\ntwo",)), ("8", ())]
    assert [problem.id for problem in open_benchmark(str(path), ("tests",)).problems()] == ["0", "1"]


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"a": 1}\n', "benchmark own: expected text in one of the fields prompt, canonical_solution, test, got none"),
        ("{\n", "row 1: expected JSON, got"),
        ("[1]\n", "row 1: expected an object, got list"),
        ('{"prompt": "x"}\n', "row 1: expected an id in 'task_id', got None"),
    ],
)
def test_what_is_no_benchmark(tmp_path, content, message):
    path = tmp_path / "own.jsonl"
    path.write_text(content)
    identity = "" if "expected text" in message else "task_id"
    with pytest.raises(InputError, match=message):
        list(open_benchmark(str(path), FIELDS, identity).problems())


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "own.jsonl.gz"
    path.write_bytes(b"no gzip")
    for place in (str(path), str(tmp_path / "none.jsonl"), str(tmp_path / "none.parquet")):
        with pytest.raises(InputError, match=r"benchmark (own|none): expected a readable file"):
            list(open_benchmark(place, FIELDS).problems())


def test_numbers_that_json_does_not_know(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"task_id": 1, "prompt": "x", "inputs": [NaN, -Infinity]}\n')
    assert [problem.texts for problem in open_benchmark(str(path), FIELDS, "task_id").problems()] == [("x",)]


def test_through_the_library_of_the_hub(tmp_path):
    pytest.importorskip("datasets")
    folder = tmp_path / "humanevalplus"
    folder.mkdir()
    (folder / "test.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS))
    benchmark = open_benchmark(str(folder))
    assert benchmark.name == "HumanEval+"
    assert [problem.id for problem in benchmark.problems()] == ["Own/0", "Own/1", "Own/2"]


def test_a_dataset_that_is_not_there(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    folder = tmp_path / "mbpp"
    folder.mkdir()
    with pytest.raises(InputError, match="benchmark MBPP: expected a dataset"):
        list(open_benchmark(str(folder)).problems())


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'codemill\[hub\]'"):
        list(open_benchmark("openai/openai_humaneval").problems())
