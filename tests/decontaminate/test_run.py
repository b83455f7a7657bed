"""`codemill decontaminate` over tables of all kinds: nothing lost, kept rows as they were, a killed run goes on."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codemill.cli import main
from codemill.decontaminate import rows as rows_module
from codemill.decontaminate.index import build_index
from codemill.decontaminate.problems import open_benchmark
from codemill.decontaminate.run import DecontaminateSettings, decontaminate, describe
from codemill.engine import Engine
from codemill.errors import InputError
from tests.decontaminate.planted import FIELDS, SOLUTION, write_benchmark

CLEAN = "def double(x):\n    return 2 * x\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    path = folder / "index"
    with path.open("wb") as stream:
        build_index([open_benchmark(str(write_benchmark(folder)), FIELDS, "task_id")], 10).write(stream)
    return str(path)


def work(inputs, out, index, **values):
    chosen = DecontaminateSettings(index=(index,), **values)
    return decontaminate([str(one) for one in inputs], str(out), chosen, Engine(workers=1))


def kept_lines(out):
    unpack = zstandard.ZstdDecompressor()
    files = sorted((out / "kept").glob("*.jsonl.zst"))
    return b"".join(unpack.stream_reader(file.read_bytes()).read() for file in files)


def others(out):
    return pa.concat_tables([pq.read_table(file) for file in sorted((out / "dropped").glob("*"))]).to_pylist()


def lines(*values):
    return "".join(value if isinstance(value, str) else json.dumps(value) + "\n" for value in values)


def test_json_lines(tmp_path, index):
    path = tmp_path / "data.jsonl"
    path.write_text(
        lines(
            {"text": CLEAN, "b": [1, {"a": None}]},
            {"text": SOLUTION},
            "{broken\n",
            {"number": 3},
            '{"text": "fine",   "x": NaN}\n',
            "\n",
            [1],
            '{"text": "no end"}',
        ).replace("[1]\n", "[1]\n")
    )
    outcome = work([path], tmp_path / "out", index)
    assert (outcome.seen, outcome.kept, outcome.dropped) == (7, 3, 1)
    assert outcome.errored == {"invalid_row": 2, "no_text": 1}
    assert outcome.benchmarks == {"own": 1}
    read = kept_lines(tmp_path / "out").decode()
    assert read == lines(
        {"text": CLEAN, "b": [1, {"a": None}]}, '{"text": "fine",   "x": NaN}\n', '{"text": "no end"}\n'
    )
    first, *rest = others(tmp_path / "out")
    assert (first["file"], first["status"], first["reason"]) == ("data.jsonl", "dropped", "contaminated")
    assert (first["benchmark"], first["problem"]) == ("own", "Own/0")
    assert path.read_bytes()[int(first["origin"].removeprefix("#@")) :].startswith(b'{"text": "    shelf')
    assert [(row["status"], row["reason"]) for row in rest] == [
        ("errored", "invalid_row"),
        ("errored", "no_text"),
        ("errored", "invalid_row"),
    ]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["seen"] == summary["kept"] + summary["dropped"] + sum(summary["errored"].values())
    assert describe(outcome).startswith("7 rows: 3 kept, 1 dropped, 3 errored")


def test_parquet_stays_as_it_was(tmp_path, index):
    table = pa.table(
        {
            "id": [0, 1, 2, 3],
            "prompt": ["double it", "merge", None, None],
            "answer": pa.array([CLEAN, SOLUTION, CLEAN, None], pa.large_string()),
        }
    ).replace_schema_metadata({"note": "kept"})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=2)
    outcome = work([tmp_path / "data.parquet"], tmp_path / "out", index, text=("prompt", "answer"))
    assert (outcome.kept, outcome.dropped, dict(outcome.errored)) == (2, 1, {"no_text": 1})
    (file,) = (tmp_path / "out" / "kept").iterdir()
    kept = pq.read_table(file)
    assert kept.schema.metadata[b"note"] == b"kept"
    assert kept.equals(table.take([0, 2]))
    assert [row["origin"] for row in others(tmp_path / "out")] == ["#1", "#3"]


@pytest.mark.parametrize("text", [(), ("messages",), ("messages.content",)])
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_chat_messages(tmp_path, index, kind, text):
    chats = [
        [{"role": "user", "content": "How do I double?"}, {"role": "assistant", "content": CLEAN}],
        [{"role": "user", "content": "How do I merge?"}, {"role": "assistant", "content": SOLUTION}],
        # in pieces that are too small by themselves
        [{"role": "user", "content": part} for part in SOLUTION.split("\n")[:2]],
    ]
    path = tmp_path / f"data.{kind}"
    rows = [{"messages": chat} for chat in chats]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(lines(*rows))
    outcome = work([path], tmp_path / "out", index, text=text)
    assert (outcome.kept, outcome.dropped) == (2, 1)


def test_only_the_named_columns_count(tmp_path, index):
    path = tmp_path / "data.jsonl"
    path.write_text(lines({"text": CLEAN, "note": SOLUTION}))
    assert work([path], tmp_path / "all", index).dropped == 1
    assert work([path], tmp_path / "text", index, text=("text",)).dropped == 0
    assert work([path], tmp_path / "many", index, max_hits=1000).dropped == 0


def test_text_at_any_depth_and_in_any_type(tmp_path, index):
    deep = "[" * 900 + json.dumps(SOLUTION) + "]" * 900
    (tmp_path / "deep.jsonl").write_text(f'{{"text": {deep}}}\n{{"text": {{"a": [{{"b": [["x"]]}}]}}}}\n')
    assert work([tmp_path / "deep.jsonl"], tmp_path / "deep", index).dropped == 1
    path = tmp_path / "types.parquet"
    columns = {
        "category": pa.array([SOLUTION, "x", "x"]).dictionary_encode(),
        "pairs": pa.array([[], [("key", SOLUTION)], []], pa.map_(pa.string(), pa.string())),
        "bytes": pa.array([b"", b"", SOLUTION.encode()]),
        "number": [1, 2, 3],
    }
    pq.write_table(pa.table(columns), path)
    outcome = work([path], tmp_path / "types", index)
    assert (outcome.seen, outcome.dropped) == (3, 3)
    for name in ("category", "pairs", "bytes"):
        assert work([path], tmp_path / name, index, text=(name,)).dropped == 1


def test_nothing_in_nothing_out(tmp_path, index):
    (tmp_path / "empty.jsonl").write_text("")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    outcome = work([tmp_path / "empty.jsonl", tmp_path / "empty.parquet"], tmp_path / "out", index)
    assert (outcome.seen, outcome.parts) == (0, 2)


def test_packed_files_folders_and_globs(tmp_path, index):
    data = lines({"text": CLEAN}, {"text": SOLUTION}).encode()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "in" / "b.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(data))
    (tmp_path / "in" / "notes.txt").write_text("not a table")
    assert work([tmp_path / "in"], tmp_path / "folder", index).dropped == 2
    assert work([tmp_path / "in" / "*.gz"], tmp_path / "glob", index).seen == 2


def test_a_file_that_breaks_off(tmp_path, index):
    data = gzip.compress(lines(*[{"text": f"{CLEAN}{index}"} for index in range(2000)]).encode())
    (tmp_path / "data.jsonl.gz").write_bytes(data[: len(data) // 2])
    outcome = work([tmp_path / "data.jsonl.gz"], tmp_path / "out", index)
    assert outcome.kept > 0
    assert outcome.errored["unreadable"] == 1
    assert outcome.seen == outcome.kept + outcome.errored.total()


def test_parts_give_the_same_and_a_killed_run_goes_on(tmp_path, index, monkeypatch):
    monkeypatch.setattr(rows_module, "PART_BYTES", 1000)
    rows = [{"n": n, "text": SOLUTION if n % 7 == 0 else CLEAN} for n in range(100)]
    (tmp_path / "a.jsonl").write_text(lines(*rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet", row_group_size=9)
    inputs = [tmp_path / "a.jsonl", tmp_path / "b.parquet"]
    outcome = work(inputs, tmp_path / "out", index)
    assert outcome.parts > 10
    assert (outcome.seen, outcome.dropped) == (200, 30)
    assert kept_lines(tmp_path / "out").decode() == lines(*[row for row in rows if row["n"] % 7])
    files = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    for name in ("00001", "00004"):
        (tmp_path / "out" / "parts" / f"{name}.json").unlink()
        next((tmp_path / "out" / "kept").glob(f"{name}.*")).write_bytes(b"half")
    (tmp_path / "out" / "summary.json").unlink()
    again = work(inputs, tmp_path / "out", index)
    assert (again.new, again.seen, again.kept) == (2, outcome.seen, outcome.kept)
    assert {path: path.read_bytes() for path in files} == files


def test_other_settings_or_inputs_need_another_folder(tmp_path, index):
    path = tmp_path / "data.jsonl"
    path.write_text(lines({"text": CLEAN}))
    work([path], tmp_path / "out", index)
    with pytest.raises(InputError, match="expected the inputs and settings of before, got other settings"):
        work([path], tmp_path / "out", index, max_hits=1)
    path.write_text(lines({"text": CLEAN}, {"text": CLEAN}))
    with pytest.raises(InputError, match="got other inputs"):
        work([path], tmp_path / "out", index)


@pytest.mark.parametrize(
    "name, content, text, message",
    [
        ("data.csv", b"a", (), "expected Parquet or JSON lines"),
        ("data.parquet", b"none", (), "expected a readable Parquet file"),
        ("data.parquet", None, ("body",), r"--text: expected a column of .* with text \(id, text\), got 'body'"),
        ("data.parquet", None, ("id",), "got 'id'"),
    ],
)
def test_wrong_inputs(tmp_path, index, name, content, text, message):  # noqa: PLR0917 - cases and fixtures
    path = tmp_path / name
    if content is None:
        pq.write_table(pa.table({"id": [1], "text": ["a"]}), path)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        work([path], tmp_path / "out", index, text=text)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected tables, got no"):
        work([tmp_path / "empty"], tmp_path / "out", index)


VALUES = st.recursive(st.text(max_size=20) | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3))
ROW = st.dictionaries(st.sampled_from(["text", "a", "b"]), VALUES | st.just(SOLUTION), max_size=3)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(ROW | st.just("{broken"), max_size=12))
def test_every_row_ends_somewhere(tmp_path_factory, index, rows):
    folder = tmp_path_factory.mktemp("rows")
    (folder / "data.jsonl").write_text(lines(*[f"{row}\n" if isinstance(row, str) else row for row in rows]))
    outcome = work([folder / "data.jsonl"], folder / "out", index)
    planted = [row for row in rows if isinstance(row, dict) and SOLUTION in row.values()]
    assert outcome.seen == len(rows)
    assert outcome.dropped == len(planted)
    assert outcome.errored["invalid_row"] == rows.count("{broken")
    kept = [json.loads(line) for line in kept_lines(folder / "out").splitlines()]
    assert kept == [row for row in rows if row in kept]
    assert len(kept) == outcome.kept


def test_commands(tmp_path, monkeypatch, capsys):
    path = write_benchmark(tmp_path)
    (tmp_path / "data.jsonl").write_text(lines({"text": SOLUTION}, {"text": CLEAN}))
    index, out = str(tmp_path / "index"), str(tmp_path / "out")

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["codemill", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    fields = [part for field in FIELDS for part in ("--field", field)]
    code, said = call("benchmark-index", str(path), *fields, "--id", "task_id", "--n", "8", "--out", index)
    assert code == 0
    assert "own: 3 problems, 1 with fewer than 8 words" in said.out
    code, said = call("decontaminate", str(tmp_path / "data.jsonl"), "--index", index, "--out", out, "--json")
    assert code == 0
    assert json.loads(said.out)["benchmarks"] == {"own": 1}
    code, said = call("decontaminate", str(tmp_path / "none.jsonl"), "--index", index, "--out", out)
    assert code == 1
    assert len(said.err.splitlines()) == 1
    assert "none.jsonl" in said.err
