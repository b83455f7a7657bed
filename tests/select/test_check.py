"""What can't work in a recipe is said before anything is read: the sources of these recipes do not even exist."""

import json

import pytest

from codemill.engine import Engine
from codemill.errors import CodemillError, InputError, RecipeError
from codemill.pipeline import Pipeline
from codemill.recipe import load_recipe
from codemill.store import Store

SECRETS = "[annotate.language]\n[annotate.secrets]\n"


def check(folder, text, output="out"):
    path = folder / "recipe.toml"
    source = f'[[source]]\nname = "s"\nkind = "directories"\npath = "{folder / "nowhere"}"\n'
    path.write_text(f'name = "r"\nstore = "{folder / "store"}"\noutput = "{folder / output}"\n{source}{text}')
    return Pipeline(load_recipe(path), Engine())


def with_rule(rule, annotators=""):
    return f'{annotators}[[rule]]\nname = "a"\n{rule}\n[corpus.c]\nrules = ["a"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[corpus.c]\nrules = []\ncolumns = ["stars"]', "column stars: .*no dot"),
        ('[corpus.c]\nrules = []\nmask = ["keys"]', r"corpus\.mask: expected annotate\.secrets"),
        (SECRETS + '[corpus.c]\nrules = []\ncolumns = ["secrets.spans"]', r"secrets\.spans: expected .* single values"),
        (with_rule('dedup = "exact"\non = "secrets.spans"', SECRETS), r"secrets\.spans: expected .* single values"),
        (with_rule('dedup = "exact"\nprefer = ["-secrets.spans"]', SECRETS), "expected a column of single values"),
        (with_rule('dedup = "near"'), r"rule a: expected annotate\.minhash"),
        (with_rule('column = "occurrence.path"\nmin = 1'), r"rule a\.min: expected a value comparable with string"),
        (
            with_rule('column = "occurrence.bytes"\n[rule.per_language.C]\nin = ["x"]', "[annotate.language]\n"),
            r"rule a\.in: expected a value comparable with int64",
        ),
        (with_rule('column = "occurrence.bytes"\n[rule.per_language.C]\nmin = 1'), r"expected annotate\.language"),
        (with_rule('column = "occurrence.path"\ndrop_lowest = 0.1'), r"rule a\.column: expected a column of numbers"),
        (with_rule('column = "occurrence.bytes"\ndrop_lowest = 0.1'), r"rule a\.by: expected annotate\.rules"),
        (
            with_rule('column = "occurrence.bytes"\ndrop_lowest = 0.1\nby = "rows"\nwithin = "language"'),
            r"rule a: expected annotate\.language",
        ),
    ],
)
def test_rules_that_cannot_work_are_one_line(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        check(tmp_path, text)


def test_rules_that_can_work_pass(tmp_path):
    check(tmp_path, with_rule('column = "occurrence.bytes"\ndrop_lowest = 0.1\nby = "rows"'))
    check(tmp_path, with_rule('dedup = "exact"\nprefer = ["-occurrence.depth"]'))


def test_an_output_overwrites_neither_a_store_nor_a_readme_of_its_own(tmp_path):
    plain = "[corpus.c]\nrules = []\n"
    (tmp_path / "project").mkdir()
    (tmp_path / "project/README.md").write_text("# Mine\n")
    with pytest.raises(InputError, match=r"README\.md of its own"):
        check(tmp_path, plain, output="project")
    (tmp_path / "project/codemill.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(InputError, match="expected a new folder or one of recipe 'r', got a store"):
        check(tmp_path, plain, output="project")


def test_an_output_is_new_or_of_this_recipe(tmp_path):
    plain = "[corpus.c]\nrules = []\n"
    folder = tmp_path / "data"
    (folder / "c/parquet").mkdir(parents=True)
    (folder / "c/parquet/mine.parquet").write_bytes(b"mine")
    with pytest.raises(
        InputError, match=r"output .*data: expected a new folder or one of recipe 'r', got one with 'c'"
    ):
        check(tmp_path, plain, output="data")
    (folder / ".codemill.json").write_text(json.dumps({"kind": "files", "name": "r"}))
    check(tmp_path, plain, output="data")
    for owner in ({"kind": "files", "name": "other"}, {"kind": "pretrain", "name": "r"}):
        (folder / ".codemill.json").write_text(json.dumps(owner))
        with pytest.raises(InputError, match=f"got that of '{owner['name']}' .kind {owner['kind']}"):
            check(tmp_path, plain, output="data")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="got a file"):
        check(tmp_path, plain, output="file")


def test_a_url_of_no_known_kind_is_one_line():
    with pytest.raises(CodemillError, match=r"ftp://x: expected a path"):
        Store("ftp://x")
