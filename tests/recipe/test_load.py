"""A recipe's mistakes are found before any work, each as one line that says field, expectation and what came."""

import re
from pathlib import Path

import pytest

from codemill.cli.kinds import KINDS
from codemill.engine import Engine
from codemill.errors import RecipeError
from codemill.highquality.settings import load_highquality_recipe
from codemill.label.settings import load_label_settings
from codemill.recipe import QuantileRule, ValueRule, load_recipe, recipe_kind

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))

GOOD = """
name = "r"
store = "s"
output = "o"
[[source]]
kind = "directories"
name = "d"
path = "p"
[[rule]]
name = "size"
column = "occurrence.bytes"
max = 10
[[rule]]
name = "worst"
column = "quality.overall"
drop_lowest = 0.1
[corpus.files]
rules = ["size", "worst"]
"""


def load(tmp_path, text):
    path = tmp_path / "r.toml"
    path.write_text(text)
    return load_recipe(path)


def test_rules_become_the_kind_their_fields_tell(tmp_path):
    recipe = load(tmp_path, GOOD)
    assert [type(rule) for rule in recipe.rule] == [ValueRule, QuantileRule]
    assert recipe.rule[1].by == "tokens"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('store = "s"', "", r"store: expected a value, got none$"),
        ('store = "s"', "stor = 1", r"stor: expected one of alarm, .*, store, got 'stor'$"),
        ('store = "s"', 'store = ""', r"store: expected some text, got ''$"),
        ('output = "o"', 'output = ""', r"output: expected some text, got ''$"),
        ('path = "p"', 'path = ""', r"source\[0\]\.path: expected some text, got ''$"),
        ('path = "p"', 'path = "p"\nfacts = ""', r"source\[0\]\.facts: expected some text, got ''$"),
        ('kind = "directories"', 'kind = "ftp"', r"source\[0\]\.kind: expected 'directories', .*, got 'ftp'$"),
        ("max = 10", "max = 'ten'", r"rule\[0\] \(size\): max: .*'ten'"),
        ("max = 10", "max = 10\nmin = 11", r"rule\[0\] \(size\): min: expected no more than max 10, got 11$"),
        ("max = 10", "", r"rule\[0\] \(size\): expected a bound"),
        ("max = 10", "maximum = 10", r"rule\[0\] \(size\): maximum: expected one of .*, max, .*, got 'maximum'$"),
        ("drop_lowest = 0.1", "drop_lowest = 1.5", r"rule\[1\] \(worst\): drop_lowest: .*1\.5"),
        ("drop_lowest = 0.1", "drop_lowest = 0.1\ndrop_highest = 0.1", r"exactly one of drop_lowest, drop_highest"),
        ('rules = ["size", "worst"]', 'rules = ["sise"]', r"corpus\.files\.rules: expected names of rules .*'sise'"),
        ('name = "worst"', 'name = "size"', r"rule: expected different names, got 'size' twice"),
        ('column = "occurrence.bytes"', 'column = "bytes"', r"rule\[0\] \(size\): column: .*'bytes'"),
        ('name = "r"', "name = ", r"expected TOML, got"),
        ('rules = ["size", "worst"]', 'rules = ["size", "size"]', r"corpus\.files\.rules: .*'size' twice"),
        ("[corpus.files]", '[corpus."../files"]', r"corpus: expected a name of letters.*'\.\./files'"),
        ("[corpus.files]", "[corpus.files]\nformats = []", r"corpus\.files\.formats: .*at least 1"),
        ('output = "o"', 'output = "s/"', r"output: expected another folder than the store's, got 's/'"),
        ("drop_lowest = 0.1", "dedup = 'near'\non = 'occurrence.path'", r"rule\[1\] \(worst\).*"),
    ],
)
def test_mistakes_are_one_line_with_field_and_value(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(RecipeError, match=message) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "\n" not in str(caught.value)
    assert "r.toml" in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(RecipeError, match="expected a readable TOML file"):
        load_recipe(tmp_path / "nowhere.toml")


def test_the_fingerprint_follows_what_decides_and_nothing_else(tmp_path):
    first = load(tmp_path, GOOD).fingerprint()
    assert load(tmp_path, GOOD.replace('store = "s"', 'store = "t"')).fingerprint() == first
    assert load(tmp_path, GOOD + "[engine]\nworkers = 7\n").fingerprint() == first
    assert load(tmp_path, GOOD.replace("max = 10", "max = 11")).fingerprint() != first


def load_any(path):
    """A shipped recipe of any kind."""
    if path.name.startswith("label"):
        return load_label_settings(path)
    kind = recipe_kind(path)
    return load_highquality_recipe(str(path)) if kind == "highquality" else KINDS[kind].part("load")(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_recipes_pass_every_check_before_work(path):
    recipe = load_any(path)
    if path.name.startswith("label"):
        assert recipe.sample.per_language > 0
    elif recipe_kind(path) == "highquality":
        assert recipe.source
    else:
        assert KINDS[recipe_kind(path)].part("pipeline")(recipe, Engine()).recipe.fingerprint()


@pytest.mark.parametrize("path", [path for path in SHIPPED if "label" not in path.name], ids=lambda path: path.name)
def test_fingerprints_of_all_kinds_leave_out_where_a_run_is(path):
    recipe = load_any(path)
    first = recipe.fingerprint()
    assert len(first) == 12
    elsewhere = {"store": "there", "output": "here", "engine": recipe.engine.model_copy(update={"workers": 7})}
    assert recipe.model_copy(update=elsewhere).fingerprint() == first
    assert recipe.model_copy(update={"description": "another"}).fingerprint() != first


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_no_kind_of_recipe_takes_an_empty_place(tmp_path, path):
    text = path.read_text()
    places = [place for place in ("store", "output", "path", "source") if re.search(rf'^{place} = "', text, re.M)]
    assert places
    for place in places:
        emptied = tmp_path / path.name
        emptied.write_text(re.sub(rf'^{place} = ".*?"', f'{place} = ""', text, count=1, flags=re.M))
        with pytest.raises(RecipeError, match=rf"{place}: expected some text, got ''$"):
            load_any(emptied)


def test_the_kind_of_a_recipe_over_files_may_be_named(tmp_path):
    plain = load(tmp_path, GOOD)
    assert load(tmp_path, 'kind = "files"\n' + GOOD).fingerprint() == plain.fingerprint()
