"""The command line: every mistake is one line on stderr and exit code 1, every result is there as JSON too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codemill.label.settings import load_label_settings
from codemill.recipe import load_recipe, recipe_kind
from tests.llm_server import Reply, as_json, serve
from tests.recipe.test_load import load_any
from tests.test_pipeline import make_recipe

COMMAND = [sys.executable, "-c", "from codemill.cli import main; main()"]


def codemill(*arguments, cwd, **environment):
    env = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run([*COMMAND, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def assert_one_line(done, *words):
    assert done.returncode == 1
    assert done.stderr.startswith("codemill: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repositories):
    """A folder in which a recipe was run."""
    path = tmp_path_factory.mktemp("cli")
    make_recipe(path, repositories)
    done = codemill("run", "recipe.toml", cwd=path)
    assert done.returncode == 0, done.stderr
    (path / "stdout.txt").write_text(done.stdout)
    (path / "stderr.txt").write_text(done.stderr)
    return path


def test_run_says_what_was_kept_and_why_the_rest_was_not(folder):
    table = (folder / "stdout.txt").read_text()
    for words in ("kept", "dropped: exact", "dropped: near", "dropped: binary", "seen", "report.html"):
        assert words in table
    progress = (folder / "stderr.txt").read_text().splitlines()
    assert [line.split()[0] for line in progress] == ["ingest", "annotate", "select", "assemble", "report"]
    assert (folder / "corpus" / "report.html").stat().st_size > 1000


def test_explain_after_run_needs_no_options(folder):
    done = codemill("explain", "gamma/broken.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "dropped, syntax" in done.stdout
    result = json.loads(codemill("explain", "gamma/broken.py", "--json", cwd=folder).stdout)
    assert result["occurrences"][0]["decisions"]["files"]["reason"] == "syntax"


def test_select_and_dedup_answer_as_json(folder):
    steps = json.loads(codemill("select", "recipe.toml", "--json", cwd=folder).stdout)
    assert steps["files"][0]["rule"] == "readable"
    assert sum(step["dropped"] for step in steps["files"]) > 0
    dedup = json.loads(codemill("dedup", "recipe.toml", "--json", cwd=folder).stdout)
    assert dedup["corpora"]["files"]["exact"]["dropped"] >= 6


def test_annotate_runs_one_annotator_and_what_it_needs(tmp_path, repositories):
    make_recipe(tmp_path, repositories)
    tables = json.loads(codemill("annotate", "syntax", "recipe.toml", "--json", cwd=tmp_path).stdout)
    assert set(tables) == {"language", "syntax"}
    assert (tmp_path / "store" / tables["syntax"]["folder"] / "annotator.json").exists()


def test_report_is_written_again(folder):
    done = codemill("report", "again.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "again.html").read_text().lstrip().startswith("<!")


def test_init_writes_a_recipe_that_loads_and_overwrites_nothing(tmp_path):
    assert codemill("init", "mine.toml", cwd=tmp_path).returncode == 0
    assert load_recipe(tmp_path / "mine.toml").corpus
    assert_one_line(codemill("init", "mine.toml", cwd=tmp_path), "mine.toml", "expected a new file")
    assert_one_line(
        codemill("init", "new.toml", "--kind", "images", cwd=tmp_path), "--kind: expected one of", "'images'"
    )
    assert not (tmp_path / "new.toml").exists()


@pytest.mark.parametrize("kind", ["files", "commits", "web", "pretrain", "highquality"])
def test_init_writes_a_recipe_of_every_kind_as_the_repository_has_it(tmp_path, kind):
    done = codemill("init", "mine.toml", "--kind", kind, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "mine.toml"
    assert recipe_kind(path) == kind
    assert load_any(path).description
    shipped = Path(__file__).parents[1] / "recipes" / ("code.toml" if kind == "files" else f"{kind}.toml")
    assert path.read_bytes() == shipped.read_bytes()


def test_init_writes_settings_of_label(tmp_path):
    assert codemill("init", "mine.toml", "--kind", "label", cwd=tmp_path).returncode == 0
    assert load_label_settings(tmp_path / "mine.toml").sample.per_language > 0
    shipped = Path(__file__).parents[1] / "recipes" / "label.toml"
    assert (tmp_path / "mine.toml").read_bytes() == shipped.read_bytes()


def test_the_users_mistakes_are_one_line(tmp_path, folder, repositories):
    assert_one_line(codemill("run", "nowhere.toml", cwd=tmp_path), "nowhere.toml", "expected")
    make_recipe(tmp_path, tmp_path / "gone")
    assert_one_line(codemill("run", "recipe.toml", cwd=tmp_path), "gone", "expected", "nothing there")
    assert_one_line(codemill("explain", "x.py", cwd=tmp_path), "--store", "expected a store")
    assert_one_line(codemill("explain", "no/such/file.py", cwd=folder), "no/such/file.py")
    assert_one_line(codemill("annotate", "beauty", "recipe.toml", cwd=folder), "beauty", "expected one of")
    assert_one_line(codemill("run", "recipe.toml", "--runner", "spark", cwd=folder), "runner", "spark")
    make_recipe(tmp_path, repositories, **{'column = "licence.permissive"': 'column = "licence.permisive"'})
    assert_one_line(codemill("run", "recipe.toml", cwd=tmp_path), "licence.permisive", "expected one of")
    make_recipe(tmp_path, repositories, **{"timeout_seconds = 5": "timeout_seconds = 'long'"})
    assert_one_line(codemill("run", "recipe.toml", cwd=tmp_path), "annotate.syntax.timeout_seconds", "long")
    make_recipe(tmp_path, repositories, **{"[annotate.language]": "#", "[annotate.minhash]": "[annotate.minhash]"})
    assert_one_line(codemill("run", "recipe.toml", cwd=tmp_path), "annotate", "language")
    assert not (tmp_path / "store" / "ingested").exists()


def test_help_lists_the_commands():
    done = codemill("--help", cwd=Path.cwd())
    for command in ("init", "run", "ingest", "annotate", "dedup", "select", "assemble", "explain", "report"):
        assert command in done.stdout


def test_wrong_options_are_one_line_too(tmp_path):
    assert_one_line(codemill("run", cwd=tmp_path), "recipe")
    assert_one_line(codemill("run", "r.toml", "--beauty", cwd=tmp_path), "--beauty")
    assert_one_line(codemill("run", "r.toml", "--workers", "many", cwd=tmp_path), "--workers")
    assert_one_line(codemill("polish", cwd=tmp_path), "polish")


def test_ctrl_c_is_one_line_too(tmp_path):
    code = (
        "import signal, codemill.cli.run as run; from codemill.cli import main\n"
        "run.recipe_kind = lambda path: signal.raise_signal(signal.SIGINT)\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "recipe.toml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert_one_line(done, "interrupted", "run the same command to go on")


def test_names_that_are_no_utf8_are_one_line_or_looked_for_as_tables_hold_them(folder):
    name = os.fsdecode(b"pl\xe4tze")
    assert_one_line(codemill("explain", "x", "--store", name, cwd=folder), "expected a name in UTF-8")
    assert_one_line(codemill("explain", name, cwd=folder), "explain: expected the id or path")


def test_what_commands_write_for_people_is_whole_or_not_there(tmp_path, folder):
    assert_one_line(codemill("init", "nowhere/recipe.toml", cwd=tmp_path), "expected a folder to write to")
    assert_one_line(codemill("report", str(tmp_path), cwd=folder), "expected a file to write, got a folder")
    code = (
        "import resource, signal; from codemill.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, "init", "my.toml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert_one_line(done, "cannot write my.toml")
    assert list(tmp_path.iterdir()) == []


def test_fewer_than_no_workers_or_files_are_one_line(tmp_path):
    assert_one_line(codemill("decontaminate", "x", "--out", "o", "--workers", "-1", cwd=tmp_path), "--workers")
    assert_one_line(codemill("dedup-recall", "x", "--sample", "-1", cwd=tmp_path), "--sample")


def test_labels_of_one_repository_teach_nothing_and_say_so(tmp_path):
    rows = [
        {"blob_id": f"{at:064x}", "repo": "a/b", "path": f"{at}.py", "language": "Python", "overall": at % 10}
        | {"content": f"def f{at}(): return {at}", "readability": 5, "modularity": 5, "clarity": 5, "reusability": 5}
        for at in range(12)
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert_one_line(
        codemill("fit", "labels.jsonl", "--out", "out", cwd=tmp_path), "labels.jsonl: expected", "got those of 1"
    )
    assert_one_line(
        codemill("evaluate-scorer", "labels.jsonl", cwd=tmp_path), "labels.jsonl: expected", "got those of one"
    )


def test_run_says_which_command_runs_high_quality_sets(tmp_path):
    (tmp_path / "r.toml").write_text('kind = "highquality"\n')
    assert_one_line(codemill("run", "r.toml", cwd=tmp_path), "`codemill highquality` runs these")


def test_score_fails_where_nothing_could_be_scored(tmp_path):
    (tmp_path / "empty.py").touch()
    done = codemill("score", "empty.py", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "codemill: empty.py: not scored, empty",
        "codemill: score: expected a file that can be scored, got none among 1",
    ]
    (tmp_path / "full.py").write_text("def double(x):\n    return 2 * x\n")
    done = codemill("score", "empty.py", "full.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "codemill: empty.py: not scored, empty\n")


def test_label_fails_where_every_request_of_the_run_did(tmp_path):
    rows = [{"content": f"x = {at}\n", "language": "Python", "path": f"{at}.py"} for at in range(3)]
    (tmp_path / "files.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = """
output = "out"
[sample]
source = "files.jsonl"
per_language = {files}
[endpoint]
base_url = "{url}"
model = "m"
answer = "json_schema"
retries = 0
[budget]
requests = {requests}
"""

    def label(server, files, requests=100):
        (tmp_path / "label.toml").write_text(text.format(url=server.url, files=files, requests=requests))
        return codemill("label", "label.toml", "--json", cwd=tmp_path)

    def told(done):
        return done.returncode, [line for line in done.stderr.splitlines() if line.startswith("codemill: ")]

    with serve(lambda body, number: Reply("down", status=500)) as dead, serve(lambda *_: Reply(as_json())) as alive:
        done = label(dead, 2)
        line = "codemill: label label.toml: expected a rating, got none for {} files, see `error` in out/labels.parquet"
        assert told(done) == (1, [line.format(2)])
        assert json.loads(done.stdout)["errors"] == {"endpoint": 2}
        assert told(label(alive, 2)) == (0, [])
        assert told(label(dead, 2)) == (0, []), "nothing is left to ask"
        assert told(label(dead, 3)) == (1, [line.format(1)]), "what earlier runs got is no success of this one"
        assert told(label(alive, 3, requests=1)) == (0, []), "a spent budget is no failure"
