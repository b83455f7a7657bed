"""The index: what benchmarks become, what counts as evidence, and what the default one holds."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.decontaminate.index import GRAMS, Evidence, build_index, load_index, load_indexes, merge
from codemill.decontaminate.match import Matcher
from codemill.decontaminate.problems import Benchmark, Layout, open_benchmark
from codemill.decontaminate.reference import COPY, count_repositories
from codemill.errors import InputError
from tests.decontaminate.planted import DISGUISES, FIELDS, PROBLEMS, SOLUTION, write_benchmark


def build(folder, problems=PROBLEMS, n=10, name="own.jsonl"):
    path = write_benchmark(folder, problems, name)
    return build_index([open_benchmark(str(path), FIELDS, "task_id")], n)


def texts(*values):
    return pa.array(values, pa.large_string())


def written(index):
    stream = io.BytesIO()
    index.write(stream)
    return stream.getvalue()


def test_counts_problems_and_those_too_short(tmp_path):
    (source,) = build(tmp_path).sources
    assert (source.name, source.problems, source.short) == ("own", 3, 1)


def test_written_and_read_again(tmp_path):
    index = build(tmp_path)
    (tmp_path / "index").write_bytes(written(index))
    again = load_index(str(tmp_path / "index"))
    assert again.table.equals(index.table)
    assert (again.problems, again.sources, again.fingerprint) == (index.problems, index.sources, index.fingerprint)
    assert written(again) == written(index) == written(build(tmp_path))


def test_holds_no_word(tmp_path):
    data = written(build(tmp_path))
    for word in ("shelf", "cheaper", "tower", "candidate"):
        assert word.encode() not in data
    assert all(pa.types.is_integer(field.type) for field in GRAMS)


@pytest.mark.parametrize("disguise", DISGUISES)
def test_finds_a_disguised_solution(tmp_path, disguise):
    matcher = Matcher(build(tmp_path), Evidence())
    text = f"import os\n\n\ndef main():\n    return os.name\n\n\n{DISGUISES[disguise]}\n\nprint(main())\n"
    row = matcher.match(texts(text, "print(1)")).to_pylist()
    assert row[0]["hits"] > 0
    assert (row[0]["benchmark"], row[0]["problem"], row[0]["problems"]) == ("own", "Own/0", 1)
    assert "shelf" in row[0]["words"].lower()
    assert 0 < row[0]["share"] < 1
    assert row[1] == {"hits": 0, "share": 0.0, "problems": 0, "benchmark": None, "problem": None, "words": None}


def test_names_the_problem_with_most_ngrams_and_its_first_words(tmp_path):
    matcher = Matcher(build(tmp_path), Evidence())
    other = PROBLEMS[1]["canonical_solution"].split("    best")[0] + " best block height for"
    (row,) = matcher.match(texts(f"{other}\n{SOLUTION}")).to_pylist()
    assert (row["problem"], row["problems"]) == ("Own/0", 2)
    assert " ".join(row["words"].split()).startswith("shelf = [] while left and right")


def test_long_words_are_cut(tmp_path):
    matcher = Matcher(build(tmp_path), Evidence())
    (row,) = matcher.match(texts(SOLUTION.replace("\n", "  # " + "why " * 200 + "\n"))).to_pylist()
    assert len(row["words"]) == 300
    assert row["words"].endswith("…")


def test_problems_of_a_family_are_the_same(tmp_path):
    layout = Layout(family="Own", documents=(FIELDS,), id="task_id")
    renamed = [{**problem, "task_id": problem["task_id"].removeprefix("Own/")} for problem in PROBLEMS]
    first = Benchmark("Own", str(write_benchmark(tmp_path)), layout.model_copy(update={"strip": "Own/"}))
    second = Benchmark("Own+", str(write_benchmark(tmp_path, renamed, "plus.jsonl")), layout)
    index = build_index([first, second], 10)
    assert set(index.column("problems")) == {1}
    assert {index.named(problem)[0] for problem in index.column("problem").tolist()} == {"Own"}
    stranger = Benchmark("Other", second.place, layout.model_copy(update={"family": ""}))
    assert set(build_index([first, stranger], 10).column("problems")) == {2}


def test_what_does_not_tell_is_no_evidence(tmp_path):
    numbers = {"task_id": "n", "prompt": "[" + ", ".join(map(str, range(40))) + "]"}
    loops = {"task_id": "l", "prompt": "for i in range(n): for j in range(m): if a[i][j] < b[i][j]: c = a[i][j]"}
    index = build(tmp_path, [numbers, loops])
    both = texts(numbers["prompt"], loops["prompt"])
    assert Matcher(index, Evidence()).match(both).column("hits").to_pylist() == [0, 0]
    assert min(Matcher(index, Evidence(every=True)).match(both).column("hits").to_pylist()) > 0
    assert min(Matcher(index, Evidence(telling=0)).match(both).column("hits").to_pylist()) > 0


def test_frames_of_many_problems_are_no_evidence(tmp_path):
    frame = "import unittest\nfrom solution import solve as candidate\nclass TestSolution(unittest.TestCase):\n"
    problems = [{"task_id": str(i), "test": f"{frame}    def test_thing{i}(self): self.fail()"} for i in range(5)]
    index = build(tmp_path, problems)
    assert Matcher(index, Evidence()).match(texts(frame)).column("hits").to_pylist() == [0]
    assert Matcher(index, Evidence(problems=5)).match(texts(frame)).column("hits").to_pylist() == [3]


def test_common_idioms_are_no_evidence_but_copies_do_not_make_them_common(tmp_path):
    idiom = (
        "parser = argparse.ArgumentParser(description=__doc__)\nparser.add_argument('--verbose', action='store_true')\n"
    )
    problems = [*PROBLEMS, {"task_id": "cli", "prompt": f"{idiom}arguments = parser.parse_args()"}]
    index = build(tmp_path, problems)
    copy = PROBLEMS[1]["prompt"] + PROBLEMS[1]["canonical_solution"]
    rows = [(repo, text) for repo in ("one", "two", "three") for text in (idiom, copy)]
    path = tmp_path / "reference.parquet"
    pq.write_table(pa.table({"repo": [r for r, _ in rows], "content": [t for _, t in rows]}), path)
    counted = count_repositories(index, [str(path)])
    assert counted.reference["repositories"] == 3
    assert counted.reference["texts"] == 6
    assert set(counted.column("repositories").tolist()) == {0, 3}
    tries = texts(idiom, copy)
    before = Matcher(index, Evidence()).match(tries).column("hits").to_pylist()
    assert before[0] > 0
    assert before[1] >= COPY
    assert Matcher(counted, Evidence()).match(tries).column("hits").to_pylist() == [0, before[1]]
    assert Matcher(counted, Evidence(repositories=3)).match(tries).column("hits").to_pylist() == before
    # the same, from JSON lines
    lines = tmp_path / "reference.jsonl"
    lines.write_text("".join(json.dumps({"repo": repo, "content": text}) + "\n" for repo, text in rows))
    assert count_repositories(index, [str(lines)]).table.equals(counted.table)


@pytest.mark.parametrize(
    "row, message",
    [
        ({"content": "x"}, "reference row #@0: expected the name of a repository, got None"),
        ({"repo": "x"}, "reference row #@0: expected content and repo, got no_text"),
    ],
)
def test_reference_without_what_it_needs(tmp_path, row, message):
    path = tmp_path / "reference.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=message):
        count_repositories(build(tmp_path), [str(path)])


def test_several_indexes_as_one(tmp_path):
    first = build(tmp_path, PROBLEMS[:1], name="first.jsonl")
    second = build(tmp_path, PROBLEMS, name="second.jsonl")
    both = merge([first, second])
    assert both.grams.tolist() == sorted(set(first.grams.tolist()) | set(second.grams.tolist()))
    rows = Matcher(both, Evidence()).match(texts(SOLUTION, PROBLEMS[1]["canonical_solution"])).to_pylist()
    assert [(row["benchmark"], row["problem"]) for row in rows] == [("first", "Own/0"), ("second", "Own/1")]
    assert np.array_equal(merge([first]).grams, first.grams)


def test_indexes_of_different_n_do_not_go_together(tmp_path):
    for n in (8, 10):
        (tmp_path / f"index{n}").write_bytes(written(build(tmp_path, n=n)))
    with pytest.raises(InputError, match=r"index: expected indexes of the same n, got .*index8 8, .*index10 10"):
        load_indexes([str(tmp_path / "index8"), str(tmp_path / "index10")])


def test_what_is_no_index(tmp_path):
    with pytest.raises(InputError, match="expected an index of `codemill benchmark-index`"):
        load_index(str(write_benchmark(tmp_path)))
    with pytest.raises(InputError, match="expected an index of `codemill benchmark-index`"):
        load_index(str(tmp_path / "none"))
    table = pa.table({"a": [1]}).replace_schema_metadata({"codemill": json.dumps({"format": 1, "words": 0})})
    pq.write_table(table, tmp_path / "old")
    with pytest.raises(InputError, match="expected words 1, got 0: build it again"):
        load_index(str(tmp_path / "old"))


def test_nothing_long_enough(tmp_path):
    with pytest.raises(InputError, match="expected a text of at least 10 words, got none"):
        build(tmp_path, PROBLEMS[2:])


def test_the_index_that_ships():
    index = load_index("default")
    assert index.n == 10
    assert {source.name: source.problems for source in index.sources} == {
        "HumanEval": 164,
        "HumanEval+": 164,
        "MBPP": 974,
        "MBPP+": 378,
        "CRUXEval": 800,
    }
    assert index.table.schema.equals(GRAMS)
    assert index.reference["repositories"] > 100
    counted = index.counted(Evidence())
    assert 0.7 < counted.mean() < 0.9
    assert index.counted(Evidence(every=True)).all()
