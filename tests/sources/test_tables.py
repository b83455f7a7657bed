"""Table sources: every layout we name, every format, and whatever can be wrong with a table."""

import datetime
import gzip
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.errors import InputError
from codemill.recipe import IngestSettings, TableSource
from tests.sources.helpers import rows_of, units_of


def source(path, **more):
    return TableSource(kind="table", name="t", path=str(path), **more)


ROWS = [{"content": f"x = {index}\n", "repo": f"o/r{index % 2}", "path": f"f{index}.py"} for index in range(7)]
COLUMNS = {"repo": "repo", "path": "path"}


def write(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    elif path.suffix == ".zst":
        path.write_bytes(zstandard.compress(text))
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(text))
    else:
        path.write_bytes(text)


@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl", "t.jsonl.zst", "t.jsonl.gz"])
def test_every_format_gives_the_same_rows(tmp_path, name):
    write(tmp_path / name, ROWS)
    rows = rows_of(source(tmp_path, columns=COLUMNS))
    assert [(row["repo"], row["path"], row["content"]) for row in rows] == [
        (row["repo"], row["path"], row["content"].encode()) for row in ROWS
    ]
    assert len({row["origin"] for row in rows}) == len(ROWS)
    assert all(row["origin"].startswith(f"{name}#") for row in rows)
    assert all(row["bytes"] == len(row["content"]) for row in rows)


def test_without_columns_for_them_repo_is_the_file_and_path_is_empty(tmp_path):
    write(tmp_path / "name.jsonl", [{"content": "x"}])
    (row,) = rows_of(source(tmp_path / "name.jsonl"))
    assert (row["repo"], row["path"], row["origin"]) == ("name", "", "name.jsonl#@0")


V1 = {
    "content": "int x;\n",
    "max_stars_repo_name": "o/r",
    "max_stars_repo_path": "x.c",
    "max_stars_repo_head_hexsha": "abc",
    "max_stars_count": 5,
    "max_stars_repo_licenses": ["MIT", "ISC"],
    "max_forks_count": 9,
}
V2 = {
    "blob_id": "b1",
    "repo_name": "o/r",
    "revision_id": "abc",
    "path": "x.c",
    "content": "int x;\n",
    "star_events_count": 5,
    "fork_events_count": 2,
    "gha_created_at": datetime.datetime(2015, 1, 1),
    "committer_date": datetime.datetime(2016, 1, 1),
    "detected_licenses": ["MIT", "ISC"],
}
V2_REPO = {
    **{key: V2[key] for key in ("repo_name", "revision_id", "star_events_count", "fork_events_count")},
    "gha_created_at": V2["gha_created_at"],
    "committer_date": V2["committer_date"],
    "files": [{"path": "x.c", "content": "int x;\n", "detected_licenses": ["MIT", "ISC"]}],
}
V3 = {
    "repo_path": "o/r",
    "repo_id": 1,
    "commit_id": "abc",
    "github_metadata": {"branch": "main", "repo_created_at": "2015-01-01T00:00:00.000Z", "stars": 5, "forks": 2},
    "num_files": 1,
    "files": [
        {"content_id": "c", "content": "int x;\n", "file_path": "x.c", "detected_licenses": ["MIT", "ISC"]},
    ],
}


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
@pytest.mark.parametrize(
    ("preset", "row", "facts"),
    [
        ("the-stack-v1", V1, (5, None, None, None)),
        ("the-stack-v2", V2, (5, 2, 2015, 2016)),
        ("the-stack-v2", V2_REPO, (5, 2, 2015, 2016)),
        ("the-stack-v3", V3, (5, 2, 2015, None)),
    ],
)
def test_presets_read_their_layouts(tmp_path, form, preset, row, facts):
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
    else:
        (tmp_path / "t.jsonl").write_text(json.dumps(row, default=lambda value: value.isoformat()) + "\n")
    (found,) = rows_of(source(tmp_path, preset=preset))
    assert (found["repo"], found["revision"], found["path"]) == ("o/r", "abc", "x.c")
    assert found["content"] == b"int x;\n"
    assert found["declared_licence"] == "MIT AND ISC"
    years = [value and value.year for value in (found["created_at"], found["pushed_at"])]
    assert (found["stars"], found["forks"], *years) == facts


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_repositories_unfold_into_their_files(tmp_path, form):
    repos = [
        {"name": "a", "files": [{"c": "1", "p": "x"}, {"c": "2", "p": "y"}]},
        {"name": "b", "files": []},
        {"name": "c", "files": [{"c": None, "p": "z"}]},
        {"name": "d", "files": None},
        {"name": "e", "files": [{"c": "3", "p": "w"}]},
    ]
    write(tmp_path / f"t.{form}", repos)
    rows = rows_of(source(tmp_path, columns={"content": "files.c", "path": "files.p", "repo": "name"}))
    assert sorted((row["repo"], row["path"], row["content"], row["problem"]) for row in rows) == [
        ("a", "x", b"1", None),
        ("a", "y", b"2", None),
        ("c", "z", None, "missing_object"),
        ("d", "", None, "missing_object"),
        ("e", "w", b"3", None),
    ]
    assert len({row["origin"] for row in rows}) == 5


@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl"])
def test_contents_that_are_missing_or_long_are_rows(tmp_path, name):
    write(tmp_path / name, [{"content": "ok"}, {"content": None}, {"content": "x" * 100}])
    rows = rows_of(source(tmp_path), IngestSettings(max_bytes=50))
    assert [(row["content"], row["bytes"], row["problem"]) for row in rows] == [
        (b"ok", 2, None),
        (None, 0, "missing_object"),
        (None, 100, "too_large"),
    ]


def test_lines_that_are_no_rows_are_rows_with_a_problem(tmp_path):
    lines = [
        '{"content": "ok"}',
        "{broken",
        "[1]",
        '{"content": 5}',
        '{"content": "\\ud800"}',
        '{"path": "no content"}',
        "",
        "\udc80".encode("utf-8", "surrogateescape").decode("latin-1"),
        "[" * 100_000,
        '{"content": "last"}',
    ]
    (tmp_path / "t.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    rows = rows_of(source(tmp_path, columns={"path": "path"}))
    assert [row["problem"] for row in rows] == [
        None,
        "invalid_row",
        "invalid_row",
        "invalid_row",
        "undecodable",
        "missing_object",
        "invalid_row",
        "invalid_row",
        None,
    ]
    assert len({row["origin"] for row in rows}) == len(rows)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=40), st.integers(1, 400))
def test_ranges_of_bytes_give_every_line_once(tmp_path_factory, texts, part):
    from codemill.sources.lines import lines

    folder = tmp_path_factory.mktemp("lines")
    write(folder / "t.jsonl", [{"content": text} for text in texts])
    data = (folder / "t.jsonl").read_bytes()
    found = []
    for start in range(0, len(data), part):
        with (folder / "t.jsonl").open("rb") as stream:
            found += list(lines(stream, start, min(start + part, len(data))))
    assert [json.loads(line)["content"] for _, line in found] == texts
    assert [data[place : place + len(line)] for place, line in found] == [line for _, line in found]


def test_large_files_of_lines_are_split(tmp_path):
    rows = [{"content": f"{index} " + "x" * 2000} for index in range(2000)]
    write(tmp_path / "t.jsonl", rows)
    small = IngestSettings(shard_bytes=1)
    assert len(units_of(source(tmp_path), small)) == 4
    found = rows_of(source(tmp_path), small)
    assert [row["content"].decode() for row in found] == [row["content"] for row in rows]


def test_parquet_is_split_at_row_groups(tmp_path):
    write(tmp_path / "t.parquet", ROWS)
    units = units_of(source(tmp_path), IngestSettings(shard_bytes=1))
    assert [(unit.start, unit.stop) for unit in units] == [(0, 2), (2, 4), (4, 6), (6, 7)]
    rows = rows_of(source(tmp_path), IngestSettings(shard_bytes=1))
    assert [row["origin"] for row in rows] == [f"t.parquet#{index}" for index in range(7)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int8(), pa.string())])
def test_text_of_any_type(tmp_path, kind):
    content = pa.array(["a", "ü", None], pa.string()).cast(kind)
    repo = pa.array([1, 2, None], pa.int64())
    pq.write_table(pa.table({"content": content, "repo": repo}), tmp_path / "t.parquet")
    rows = rows_of(source(tmp_path, columns={"repo": "repo"}))
    assert [row["content"] for row in rows] == [b"a", "ü".encode(), None]
    assert [row["repo"] for row in rows] == ["1", "2", "t"]


def test_text_that_is_no_utf8_is_kept_as_bytes_or_cleaned(tmp_path):
    wrong = pa.array([b"a\xff"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 1, wrong.buffers())
    pq.write_table(pa.table({"content": text, "path": text}), tmp_path / "t.parquet")
    (row,) = rows_of(source(tmp_path, columns={"path": "path"}))
    assert (row["content"], row["path"]) == (b"a\xff", "a\ufffd")


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ([{"text": "x"}], {}, r"columns\.content: expected a column content in .*, got none"),
        ([{"content": 5}], {}, r"columns\.content: expected text or bytes in content of .*, got int64"),
        ([{"content": "x"}], {"columns": {"repo": "name"}}, r"columns\.repo: expected a column name in .*, got none"),
        ([{"content": "x"}], {"columns": {"repos": "x"}}, "columns: expected any of repo, .*, got repos"),
        ([{"blob_id": "x"}], {"preset": "the-stack-v2"}, "The Stack v2 ships ids without contents"),
        (
            [{"a": [{"content": "x"}], "b": [{"path": "y"}]}],
            {"columns": {"content": "a.content", "path": "b.path"}},
            "expected one list that rows unfold by, got a and b",
        ),
    ],
)
def test_columns_that_cannot_be_are_one_line_before_the_run(tmp_path, rows, more, message):
    write(tmp_path / "t.parquet", rows)
    with pytest.raises(InputError, match=message) as caught:
        units_of(source(tmp_path, **more))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl"])
def test_facts_of_the_wrong_type_are_one_line(tmp_path, name):
    write(tmp_path / name, [{"content": "x", "stars": "many"}])
    with pytest.raises(InputError, match=r"columns\.stars: expected int64 in") as caught:
        rows_of(source(tmp_path, columns={"stars": "stars"}))
    assert "\n" not in str(caught.value)


def test_files_that_are_broken_are_rows(tmp_path):
    write(tmp_path / "good.jsonl", ROWS[:1])
    write(tmp_path / "cut.jsonl.gz", ROWS)
    data = (tmp_path / "cut.jsonl.gz").read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(data[:-12])
    (tmp_path / "no.parquet").write_bytes(b"PAR1 and nothing")
    (tmp_path / "no.jsonl.zst").write_bytes(b"nothing")
    (tmp_path / "notes.txt").write_text("x")
    rows = rows_of(source(tmp_path))
    faults = {row["origin"].split("#")[0]: row["problem"] for row in rows if row["content"] is None}
    assert faults == dict.fromkeys(["cut.jsonl.gz", "no.parquet", "no.jsonl.zst", "notes.txt"], "unreadable")
    assert [row["origin"] for row in rows if row["origin"].startswith("good")] == ["good.jsonl#@0"]


def test_a_broken_row_group_costs_itself(tmp_path):
    write(tmp_path / "t.parquet", ROWS)
    place = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(1).column(0)
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    start = place.dictionary_page_offset or place.data_page_offset
    data[start : start + 30] = b"\xff" * 30
    (tmp_path / "t.parquet").write_bytes(data)
    rows = rows_of(source(tmp_path, columns=COLUMNS))
    assert [row["origin"] for row in rows if row["problem"]] == ["t.parquet#2-3"]
    assert len(rows) == 6


def test_units_follow_the_file_and_the_mapping(tmp_path):
    write(tmp_path / "t.parquet", ROWS)
    key = units_of(source(tmp_path))[0].key("t")
    assert key == units_of(source(tmp_path))[0].key("t")
    assert key != units_of(source(tmp_path, columns={"repo": "path"}))[0].key("t")
    write(tmp_path / "t.parquet", ROWS[:3])
    assert key != units_of(source(tmp_path))[0].key("t")


def test_sidecar_facts_go_over_the_tables(tmp_path):
    write(tmp_path / "t.jsonl", [{"content": "x", "repo": "a", "s": 1}, {"content": "y", "repo": "b", "s": 2}])
    (tmp_path / "facts.csv").write_text("repo,stars\na,7\n")
    given = source(tmp_path / "t.jsonl", columns={"repo": "repo", "stars": "s"}, facts=str(tmp_path / "facts.csv"))
    assert [row["stars"] for row in rows_of(given)] == [7, 2]


@pytest.mark.parametrize("path", ["nothing.parquet", "none*.parquet"])
def test_paths_that_lead_nowhere_are_one_line(tmp_path, path):
    with pytest.raises(InputError, match=re.escape(path)):
        units_of(source(tmp_path / path))


@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl"])
def test_columns_of_our_own_names_need_no_mapping(tmp_path, name):
    write(tmp_path / name, [{"repo": "o/r", "path": "a/b.py", "content": "x = 1\n", "stars": 7, "other": 1}])
    (row,) = rows_of(source(tmp_path / name))
    assert (row["repo"], row["path"], row["stars"], row["content"]) == ("o/r", "a/b.py", 7, b"x = 1\n")
