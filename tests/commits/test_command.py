"""The command line runs recipes of commits, explains and reports them, and says what it can't do with them."""

import json

import pytest
from typer.testing import CliRunner

from codemill.cli import app
from codemill.errors import RecipeError
from tests.commits.histories import gauge

RECIPE = """
kind = "commits"
name = "gauges"
store = "store"
output = "out"
[engine]
workers = 1
[[source]]
kind = "git"
name = "git"
path = "repositories"
[[rule]]
name = "merge"
column = "commit.merge"
equals = false
[corpus.samples]
rules = ["merge"]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gauge(tmp_path / "repositories" / "gauge")
    (tmp_path / "r.toml").write_text(RECIPE)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_run_explain_report(folder):
    shown = call("run", "r.toml")
    assert shown.exit_code == 0
    assert "dropped: merge" in shown.output
    assert "commits" in shown.output
    assert "files" not in shown.output
    counts = json.loads(call("run", "r.toml", "--json").stdout)
    assert counts["seen"] == 15
    revision = next((folder / "repositories" / "gauge" / "refs" / "heads").iterdir()).read_text()
    found = json.loads(call("explain", f"{revision[:12]}.diff", "--json").stdout)
    values = found["occurrences"][0]["annotations"]
    assert values["commit"]["subject"] == "Drop the constants of old instruments"
    assert values["sample"]["round_trip"] is True
    assert call("report", "again.html").exit_code == 0
    again, first = (path.read_text() for path in (folder / "again.html", folder / "out" / "report.html"))
    assert "Merge branch" in again
    assert abs(len(again) - len(first)) < 1000  # the first could not say how long it took itself


def test_other_commands_say_what_they_expect(folder):
    with pytest.raises(RecipeError, match=r"r\.toml: kind: expected files for this command, got 'commits'"):
        call("assemble", "r.toml")
