"""Parts of corpora hold every listed file once, in order, however they are cut; masks touch the output alone."""

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from codemill.corpus import write as corpus_write
from codemill.corpus.write import _repositories, _runs
from codemill.store import Store
from tests.conftest import write
from tests.test_pipeline import make_recipe, run


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=20))
def test_runs_are_ranges_of_equal_neighbours(letters):
    ranges = list(_runs(pa.chunked_array([letters])))
    assert [index for start, stop in ranges for index in range(start, stop)] == list(range(len(letters)))
    assert all(len(set(letters[start:stop])) == 1 for start, stop in ranges)
    assert all(letters[stop - 1] != letters[stop] for _, stop in ranges[:-1])


def table(rows):
    """Files as `_files` gives them: (repo, path, bytes)."""
    count = len(rows)
    columns = {
        "content": ["x" * size for _, _, size in rows],
        "git_blob": ["g"] * count,
        "blob_id": [f"{number}" for number in range(count)],
        "source": ["s"] * count,
        "repo": [repo for repo, _, _ in rows],
        "revision": [""] * count,
        "path": [path for _, path, _ in rows],
        "bytes": [size for _, _, size in rows],
    }
    facts = {"stars": pa.int64(), "forks": pa.int64(), "declared_licence": pa.string()}
    stamps = {name: pa.timestamp("s", "UTC") for name in ("created_at", "pushed_at")}
    nulls = {name: pa.nulls(count, kind) for name, kind in {**facts, **stamps}.items()}
    return pa.table({**columns, **nulls})


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=30),
    st.integers(1, 10),
    st.integers(20, 100),
)
def test_repositories_hold_all_their_files_in_order(sizes, cut, limit):
    rows = sorted((f"r{repo}", f"f{number:02}", size) for number, (repo, size) in enumerate(sizes))
    chunks = [rows[start : start + cut] for start in range(0, len(rows), cut)]
    before = corpus_write.ROW_BYTES, corpus_write.GROUP_BYTES
    corpus_write.ROW_BYTES, corpus_write.GROUP_BYTES = limit, 2 * limit
    try:
        out = [row for piece in _repositories(table(chunk) for chunk in chunks) for row in piece.to_pylist()]
    finally:
        corpus_write.ROW_BYTES, corpus_write.GROUP_BYTES = before
    assert [(row["repo"], file["path"], file["bytes"]) for row in out for file in row["files"]] == rows
    assert all(row["file_count"] == len(row["files"]) for row in out)
    for repo in {row["repo"] for row in out}:
        parts = [row["part"] for row in out if row["repo"] == repo]
        assert parts == list(range(len(parts)))


def test_masks_change_the_output_and_never_the_blob(tmp_path):
    secret = (
        'CONTACT = "jane.roe@mill-works.org"\n\n\ndef grind(corn):\n    """Grind the corn."""\n    return corn * 2\n'
    )
    write(tmp_path / "source", "repo/mill.py", secret)
    quantile = {"drop_lowest = 0.10": "drop_lowest = 0.001"}
    run(make_recipe(tmp_path, tmp_path / "source", **quantile))
    (part,) = (tmp_path / "corpus/files/parquet").glob("*.parquet")
    (row,) = pq.read_table(part).to_pylist()
    assert row["content"] == secret.replace("jane.roe@mill-works.org", "<EMAIL>")
    store = Store(tmp_path / "store")
    (blobs,) = store.files("blobs")
    assert store.read(blobs)["content"].to_pylist() == [secret.encode()]


def test_parts_that_no_decision_asks_for_are_removed(tmp_path):
    source = tmp_path / "source"
    write(source, "one/a.py", "def one(value):\n    return value + 1\n")
    quantile = {"drop_lowest = 0.10": "drop_lowest = 0.001"}
    path = make_recipe(tmp_path, source, **quantile)
    run(path)
    before = set((tmp_path / "corpus").rglob("*.parquet"))
    write(source, "one/a.py", "def two(value):\n    return value + 2\n")
    run(path)
    after = set((tmp_path / "corpus").rglob("*.parquet"))
    assert len(before) == len(after) == 2
    assert not before & after
