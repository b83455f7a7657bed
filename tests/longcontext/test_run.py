"""Corpora become long documents: every file accounted for, resumed to the same bytes, mistakes said in one line."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from codemill.cli import app
from codemill.engine import Engine
from codemill.errors import ConservationError, InputError, RecipeError, StoreError
from codemill.longcontext.run import make_documents
from codemill.longcontext.settings import LongContextSettings, load_settings
from codemill.longcontext.text import measure_with, piece
from codemill.pipeline import Pipeline
from codemill.recipe import load_recipe
from codemill.schema import DOCUMENT
from codemill.store import Store
from tests.conftest import write
from tests.longcontext.repositories import REPOSITORIES

RECIPE = """
name = "small"
store = "{folder}/store"
output = "{folder}/corpus"
[engine]
workers = 1
[[source]]
kind = "directories"
name = "local"
path = "{folder}/repositories"
[annotate.language]
[annotate.rules]
[annotate.quality]
[[rule]]
name = "known"
column = "language.language"
not_equals = "unknown"
[corpus.repositories]
level = "repository"
rules = ["known"]
columns = ["quality.overall"]
[corpus.files]
level = "file"
rules = ["known"]
"""
SMALL = LongContextSettings(window=200, min_document=40)


@pytest.fixture(scope="session")
def corpora(tmp_path_factory):
    """Output of a real run over the repositories of every language, and two without imports."""
    folder = tmp_path_factory.mktemp("longcontext")
    for name, (files, _) in REPOSITORIES.items():
        for path, (_, text) in files.items():
            write(folder / "repositories" / name.replace(" ", "_"), path, text)
    for number in range(30):
        write(folder / "repositories/queries", f"q{number:02}.sql", f"select {number} from shop where price > 0;\n" * 3)
    write(folder / "repositories/queries", "README.md", "# Queries\n\nOf a shop.\n")
    write(folder / "repositories/one", "long.py", '"""Long."""\n' + "value = 1  # and a comment\n" * 60)
    (folder / "recipe.toml").write_text(RECIPE.format(folder=folder))
    Pipeline(load_recipe(folder / "recipe.toml"), Engine(workers=1)).run()
    return folder / "corpus"


def make(corpus, out, settings=SMALL, engine=None):
    inputs = [str(corpus)] if isinstance(corpus, Path) else [str(one) for one in corpus]
    return make_documents(engine or Engine(workers=1), inputs, str(out), settings)


def table(out, name):
    return pq.read_table(out / name).to_pylist()


def hashes(out):
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name[0] != ".")
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="session")
def made(corpora, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "out"
    return out, make(corpora / "repositories", out)


def test_every_file_is_accounted_for(corpora, made):
    out, summary = made
    given = {
        (row["repo"], file["path"])
        for row in pq.read_table(corpora / "repositories/parquet").to_pylist()
        for file in row["files"]
    }
    files = table(out, "files")
    assert {(row["repo"], row["path"]) for row in files} == given and len(files) == len(given)
    assert summary["files"] == len(given) == summary["kept"] + sum(summary["dropped"].values())
    held = [(row["repo"], path) for row in table(out, "sequences") for path in row["paths"]]
    assert sorted(held) == sorted((row["repo"], row["path"]) for row in files if row["status"] == "kept")
    places = {(row["document_id"], row["position"]): row["path"] for row in files if row["status"] == "kept"}
    for row in table(out, "sequences"):
        assert row["paths"] == [places[row["document_id"], position] for position in range(len(row["paths"]))]


def test_documents_are_the_files_under_their_headers(corpora, made):
    out, _ = made
    contents = {
        (row["repo"], file["path"]): (file["language"], file["content"])
        for row in pq.read_table(corpora / "repositories/parquet").to_pylist()
        for file in row["files"]
    }
    assert pq.read_schema(next((out / "documents").glob("*.parquet"))) == DOCUMENT
    documents = {row["document_id"]: row for row in table(out, "documents")}
    sequences = table(out, "sequences")
    assert len(documents) == len(sequences)
    for row in sequences:
        pieces = [piece("comment", row["repo"], path, *contents[row["repo"], path]) for path in row["paths"]]
        assert documents[row["document_id"]]["text"] == "".join(pieces)
        assert row["tokens"] == measure_with(None, 3.5)(pieces).sum()
        assert row["over_window"] == (row["tokens"] > SMALL.window)
        assert not row["over_window"] or len(row["paths"]) == 1
        assert documents[row["document_id"]]["targets"] is None


def test_edges_are_counted_where_they_lie(made):
    out, summary = made
    home = {(row["repo"], path): row["document_id"] for row in table(out, "sequences") for path in row["paths"]}
    place = {(row["repo"], row["path"]): (row["position"], row["component"]) for row in table(out, "files")}
    edges = table(out, "edges")
    assert {edge["repo"] for edge in edges} == {name.replace(" ", "_") for name in REPOSITORIES}
    inside = {}
    for edge in edges:
        user, target = (edge["repo"], edge["user"]), (edge["repo"], edge["target"])
        assert edge["inside"] == (home[user] == home[target])
        inside[home[user]] = inside.get(home[user], 0) + edge["inside"]
        if edge["inside"] and place[user][1] != place[target][1]:
            assert place[target][0] < place[user][0]
    assert all(row["edges_inside"] == inside.get(row["document_id"], 0) for row in table(out, "sequences"))
    assert summary["edges"] == len(edges)
    assert summary["edges_inside"] == sum(edge["inside"] for edge in edges)
    assert sum(row["edges_inside"] + row["edges_cut"] for row in table(out, "sequences")) == len(edges)


def test_languages_without_graph_are_in_random_order_behind_the_readme(made):
    out, _ = made
    rows = sorted((row for row in table(out, "sequences") if row["repo"] == "queries"), key=lambda row: row["number"])
    assert len(rows) > 1
    paths = [path for row in rows for path in row["paths"]]
    assert paths[0] == "README.md"
    assert sorted(paths[1:]) != paths[1:]


def test_the_same_again_costs_nothing_and_more_workers_change_nothing(corpora, made, tmp_path):
    out, _ = made
    again = make(corpora / "repositories", out)
    assert again["parts_made"] == 0
    engine = Engine(workers=2)
    engine_bytes = make(corpora / "repositories", tmp_path / "two", engine=engine)
    assert engine_bytes["parts_made"] == len(list((out / "parts").glob("*.json")))
    assert hashes(tmp_path / "two") == hashes(out)


def test_a_killed_call_goes_on_and_ends_with_the_same_bytes(corpora, tmp_path):
    """As it looks when the process dies after the tables of a part, before its note."""
    make([corpora / "repositories", corpora / "files"], tmp_path / "o")
    whole = hashes(tmp_path / "o")
    (tmp_path / "o/longcontext.json").unlink()
    note = sorted((tmp_path / "o/parts").glob("*.json"))[0]
    note.unlink()
    (tmp_path / "o/documents" / f"{note.stem}.parquet").write_bytes(b"half")
    (tmp_path / "o/files" / f".{note.stem}.parquet.123.part").write_bytes(b"half")
    assert make([corpora / "repositories", corpora / "files"], tmp_path / "o")["parts_made"] == 1
    assert hashes(tmp_path / "o") == whole
    assert not list((tmp_path / "o").rglob("*.part"))


def test_other_settings_replace_what_was_there(corpora, made, tmp_path):
    out, _ = made
    make(corpora / "repositories", tmp_path / "o", LongContextSettings(window=100_000, header="plain"))
    assert all(row["number"] == 0 for row in table(tmp_path / "o", "sequences"))
    assert table(tmp_path / "o", "documents")[0]["text"].startswith("File: ")
    make(corpora / "repositories", tmp_path / "o")
    assert hashes(tmp_path / "o") == hashes(out)


def test_long_files_are_documents_of_their_own(corpora, tmp_path):
    summary = make(corpora / "files", tmp_path / "o")
    rows = {(row["repo"], row["path"]): row for row in table(tmp_path / "o", "files")}
    documents = {row["document_id"]: row["text"] for row in table(tmp_path / "o", "documents")}
    for row in pq.read_table(corpora / "files/parquet").to_pylist():
        placed = rows[row["repo"], row["path"]]
        long = measure_with(None, 3.5)([row["content"]])[0] >= SMALL.min_document
        assert (placed["status"], placed["reason"]) == (("kept", None) if long else ("dropped", "short_file"))
        if long:
            assert documents[row["blob_id"]] == row["content"]
    assert summary["dropped"]["short_file"] and summary["kept"]
    assert summary["over_window"] == sum(row["over_window"] for row in table(tmp_path / "o", "sequences")) > 0


def test_pages_and_other_texts_are_taken_too(tmp_path):
    texts = ["word " * 100, None, "", "short", "line\n" * 100]
    pq.write_table(pa.table({"sample_id": list("abcde"), "text": texts}), tmp_path / "pages.parquet")
    pq.write_table(pa.table({"content": [b"\xff" * 900, b"word " * 90]}), tmp_path / "bytes.parquet")
    summary = make([tmp_path / "pages.parquet", tmp_path / "bytes.parquet"], tmp_path / "o")
    assert summary["dropped"] == {"no_content": 3, "short_file": 1}
    assert sorted(row["text"] for row in table(tmp_path / "o", "documents")) == sorted(
        [texts[0], texts[4], "word " * 90]
    )


# -- repositories that corpora continue, and that are ranked -----------------------------------------------------------


def write_corpus(path, rows, **more):
    """Rows of repositories as (repo, part, {path: (language, text, score)})."""
    made = [
        {
            "source": "s",
            "repo": repo,
            "revision": "r",
            "part": part,
            "files": [
                {
                    "content": text,
                    "blob_id": f"{repo}{name}",
                    "path": name,
                    "language": language,
                    "quality_overall": score,
                }
                for name, (language, text, score) in files.items()
            ],
        }
        for repo, part, files in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(made), path, **more)
    return path


def test_a_continued_repository_is_one_again(tmp_path):
    rows = [
        ("a", 0, {"a.py": ("Python", "import z\n", 1.0)}),
        ("a", 1, {"z.py": ("Python", "x = 1\n", 1.0)}),
        ("b", 0, {"b.py": ("Python", "import z\n", 1.0)}),
    ]
    corpus = write_corpus(tmp_path / "c.parquet", rows, row_group_size=1)
    make(corpus, tmp_path / "o")
    assert [row["paths"] for row in table(tmp_path / "o", "sequences")] == [["z.py", "a.py"], ["b.py"]]
    summary = make(corpus, tmp_path / "o", LongContextSettings(max_repository_bytes=10))
    assert [(row["piece"], row["paths"]) for row in table(tmp_path / "o", "sequences")] == [
        (0, ["a.py"]),
        (1, ["z.py"]),
        (0, ["b.py"]),
    ]
    assert summary["repositories"] == 2 and summary["repositories_in_pieces"] == 1


RANKED = [
    (name, 0, {"x.py": ("Python", "x = 1\n", score), "y.py": ("Python", "y = 1\n", score)})
    for name, score in (("bad", 1.0), ("fair", 5.0), ("fine", 5.0), ("good", 9.0), ("none", None))
]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, ["bad", "fair", "fine", "good", "none"]),
        ({"min_score": 5.0}, ["fair", "fine", "good", "none"]),
        ({"min_score": 5.5, "unscored": "drop"}, ["good"]),
        ({"drop_lowest": 0.25}, ["fair", "fine", "good", "none"]),
        # Half would part equals: they stay together, so less than half goes.
        ({"drop_lowest": 0.5}, ["fair", "fine", "good", "none"]),
    ],
)
def test_repositories_are_ranked_by_their_mean_score(tmp_path, settings, kept):
    corpus = write_corpus(tmp_path / "c.parquet", RANKED)
    summary = make(corpus, tmp_path / "o", LongContextSettings(**settings))
    assert sorted({row["repo"] for row in table(tmp_path / "o", "sequences")}) == kept
    reasons = {row["repo"]: row["reason"] for row in table(tmp_path / "o", "files") if row["status"] == "dropped"}
    assert set(reasons) == {"bad", "fair", "fine", "good", "none"} - set(kept)
    assert summary["kept"] == 2 * len(kept)
    assert reasons.get("none") in (None, "unscored_repository")


def test_short_sequences_and_empty_files_are_dropped_with_a_reason(tmp_path):
    corpus = write_corpus(
        tmp_path / "c.parquet",
        [
            (
                "a",
                0,
                {"a.py": ("Python", "x = 1\n" * 50, 1.0), "e.py": ("Python", "", 1.0), "n.py": ("Python", None, 1.0)},
            ),
            ("b", 0, {"b.py": ("Python", "x = 1\n", 1.0)}),
        ],
    )
    summary = make(corpus, tmp_path / "o", LongContextSettings(min_sequence=20))
    assert summary["dropped"] == {"no_content": 2, "short_sequence": 1} and summary["kept"] == 1


# -- mistakes ----------------------------------------------------------------------------------------------------------


def test_mistakes_are_one_line(tmp_path):
    corpus = write_corpus(tmp_path / "c.parquet", RANKED)
    with pytest.raises(InputError, match="expected a file or folder, got none at"):
        make(tmp_path / "nowhere", tmp_path / "o")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected Parquet files, got none"):
        make(tmp_path / "empty", tmp_path / "o")
    with pytest.raises(InputError, match="each file once"):
        make([corpus, corpus], tmp_path / "o")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(InputError, match=r"expected a readable Parquet file, got"):
        make(tmp_path / "broken.parquet", tmp_path / "o")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="expected a column files, content or text, got x"):
        make(tmp_path / "other.parquet", tmp_path / "o")
    with pytest.raises(InputError, match=r"score: expected a field files.stars_of, got none"):
        make(corpus, tmp_path / "o", LongContextSettings(min_score=1, score="stars_of"))
    with pytest.raises(InputError, match="tokenizer"):
        make(corpus, tmp_path / "o", LongContextSettings(tokenizer=str(tmp_path / "none.json")))
    write(tmp_path, "mine/notes.txt", "mine")
    with pytest.raises(InputError, match="expected a new folder or one of long context"):
        make(corpus, tmp_path / "mine")
    assert (tmp_path / "mine/notes.txt").read_text() == "mine"
    with pytest.raises(InputError, match="expected a folder apart from the corpora"):
        make(tmp_path, tmp_path / "o")
    with Store(tmp_path / "held").lock(), pytest.raises(StoreError, match="only writer"):
        make(corpus, tmp_path / "held")
    assert not (tmp_path / "o").exists()


def test_settings_are_checked(tmp_path):
    with pytest.raises(RecipeError, match="header: expected one of comment, repository, plain, none, got 'loud'"):
        load_settings(None, {"header": "loud"})
    with pytest.raises(RecipeError, match="expected min_score or drop_lowest, got both"):
        load_settings(None, {"min_score": 1.0, "drop_lowest": 0.1})
    (tmp_path / "s.toml").write_text("window = 8192\nseed = 3\n")
    loaded = load_settings(tmp_path / "s.toml", {"window": 65_536})
    assert (loaded.window, loaded.seed) == (65_536, 3)
    (tmp_path / "s.toml").write_text("window = ")
    with pytest.raises(RecipeError, match="expected a readable TOML file"):
        load_settings(tmp_path / "s.toml", {})


def test_counts_that_do_not_add_up_fail(tmp_path):
    corpus = write_corpus(tmp_path / "c.parquet", RANKED)
    make(corpus, tmp_path / "o")
    note = next((tmp_path / "o/parts").glob("*.json"))
    output = Store(tmp_path / "o")
    counts = json.loads(note.read_text())
    output.write_json(f"parts/{note.name}", {**counts, "kept": counts["kept"] - 1})
    with pytest.raises(ConservationError, match="expected 10 files kept or dropped"):
        make(corpus, tmp_path / "o")
    assert not (tmp_path / "o/longcontext.json").exists()


def test_command(tmp_path):
    corpus = write_corpus(tmp_path / "c.parquet", RANKED)
    call = CliRunner().invoke
    out = str(tmp_path / "o")
    done = call(
        app, ["longcontext", str(corpus), "--out", out, "--window", "50", "--drop-lowest", "0.3", "--workers", "1"]
    )
    assert done.exit_code == 0, done.output
    assert "8 of 10 files" in done.output and "2 files dropped: low_score_repository" in done.output
    done = call(app, ["longcontext", str(corpus), "--out", out, "--json", "--workers", "1"])
    assert json.loads(done.stdout)["kept"] == 10
    done = call(app, ["longcontext", str(corpus), "--out", out, "--window", "0"])
    assert isinstance(done.exception, RecipeError) and "window" in str(done.exception)


# -- text --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "language", "expected"),
    [
        ("comment", "Python", "# a/b\nx\n\n"),
        ("comment", "C++", "// a/b\nx\n\n"),
        ("comment", "HTML", "<!-- a/b -->\nx\n\n"),
        ("comment", None, "# a/b\nx\n\n"),
        ("repository", "SQL", "-- r/a/b\nx\n\n"),
        ("plain", "Go", "File: a/b\n\nx\n\n"),
        ("none", "Go", "x\n\n"),
    ],
)
def test_headers(header, language, expected):
    assert piece(header, "r", "a/b", language, "x") == expected
    assert piece(header, "r", "a/b", language, "x\n") == expected


def test_braces_and_line_breaks_in_paths_are_no_template():
    assert piece("comment", "{open}", "a{path}\nb", "Go", "x\n") == "// a{path} b\nx\n\n"


def test_a_tokenizer_counts(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([], tokenizers.trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    texts = ["héllo\n", "", "x" * 1000]
    # Without merges a token is a byte.
    assert measure_with(str(tmp_path / "tokenizer.json"), 3.5)(texts).tolist() == [7, 0, 1000]
    assert measure_with(None, 3.5)(texts).tolist() == [2, 0, 286]
    corpus = write_corpus(tmp_path / "c.parquet", RANKED)
    settings = LongContextSettings(tokenizer=str(tmp_path / "tokenizer.json"))
    summary = make(corpus, tmp_path / "o", settings)
    assert summary["tokens"] == summary["bytes"]
