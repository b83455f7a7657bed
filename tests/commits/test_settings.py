"""Mistakes in a recipe of commits are one line, found before any work."""

from pathlib import Path

import pytest

from codemill.commits.pipeline import CommitPipeline
from codemill.commits.settings import load_commit_recipe
from codemill.engine import Engine
from codemill.errors import RecipeError

GOOD = """
kind = "commits"
name = "r"
store = "STORE"
output = "o"
[[source]]
kind = "git"
name = "g"
path = "p"
[[rule]]
name = "merge"
column = "commit.merge"
equals = false
[[rule]]
name = "same"
dedup = "exact"
on = "commit.patch_id"
prefer = ["commit.commit_time"]
[corpus.samples]
rules = ["merge", "same"]
"""


def load(tmp_path, text):
    path = tmp_path / "r.toml"
    path.write_text(text.replace("STORE", str(tmp_path / "store")))
    recipe = load_commit_recipe(path)
    CommitPipeline(recipe, Engine())
    return recipe


def test_a_good_recipe_loads(tmp_path):
    recipe = load(tmp_path, GOOD)
    assert recipe.corpus["samples"].format == "diff"
    assert recipe.fingerprint() == load(tmp_path, GOOD + "[work]\nshard_commits = 7\n").fingerprint()
    assert recipe.fingerprint() != load(tmp_path, GOOD + "[history]\nmax_paths = 7\n").fingerprint()


def test_the_recipe_that_ships_loads(tmp_path):
    text = Path("recipes/commits.toml").read_text()
    assert load(tmp_path, text).kind == "commits"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "r"', "", "name: expected a value, got none"),
        ('kind = "git"', 'kind = "table"', "kind: .*'git'"),
        ("equals = false", "", r"rule\[0\] \(merge\): expected a bound"),
        ("commit.merge", "commit.merged", "column commit.merged: expected one of .*'merged'"),
        ("commit.merge", "rules.tokens", "column rules.tokens: expected one of the recipe's annotators"),
        ("commit.patch_id", "commit.patch", "column commit.patch: expected one of"),
        ('rules = ["merge", "same"]', 'rules = ["merges"]', "corpus.samples.rules: expected names of rules .*'merges'"),
        ('rules = ["merge", "same"]', 'rules = []\nformat = "patch"', "corpus.samples.format: .*'patch'"),
        ('rules = ["merge", "same"]', 'rules = []\ntemplate = "v0"', "template: expected one of v1, got 'v0'"),
        ('rules = ["merge", "same"]', 'rules = []\ntokens = {fim = "x"}', "tokens: expected names among .*'fim'"),
        ('rules = ["merge", "same"]', 'rules = []\ntokenizer = "gpt"', "tokenizer: expected 'lexical' or .*'gpt'"),
        ("[corpus.samples]", '[history]\nidentities = "hash"\n[corpus.samples]', "history.salt_env: expected the name"),
        (
            "[corpus.samples]",
            "[annotate.commit]\n[corpus.samples]",
            "annotate.commit: expected an annotator of contents",
        ),
    ],
)
def test_mistakes_are_one_line_with_field_and_value(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(RecipeError, match=message) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_is_one_line(tmp_path):
    with pytest.raises(RecipeError, match="expected a readable TOML file"):
        load_commit_recipe(tmp_path / "nowhere.toml")


def test_a_missing_secret_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("CODEMILL_NO_SALT", raising=False)
    hashed = '[history]\nidentities = "hash"\nsalt_env = "CODEMILL_NO_SALT"\n[corpus.samples]'
    with pytest.raises(RecipeError, match="a secret in the environment variable CODEMILL_NO_SALT, got none"):
        load(tmp_path, GOOD.replace("[corpus.samples]", hashed))
