"""Annotators that belong to one kind of recipe are refused in the others, before any work, in one line."""

from pathlib import Path

import pytest

from codemill.annotate import OF_KIND, REGISTRY
from codemill.cli.kinds import KINDS
from codemill.engine import Engine
from codemill.errors import RecipeError
from codemill.recipe import load_recipe
from tests.test_pipeline import make_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
ROOMS = {"codemill.web.": "web", "codemill.commits.": "commits"}


def test_every_annotator_that_lives_with_a_kind_belongs_to_it():
    lives = {name: kind for name, place in REGISTRY.items() for room, kind in ROOMS.items() if place.startswith(room)}
    assert lives == OF_KIND


@pytest.mark.parametrize(
    ("kind", "name", "other"),
    [
        *[("files", name, kind) for name, kind in OF_KIND.items()],
        *[("web", name, kind) for name, kind in OF_KIND.items() if kind != "web"],
        *[("commits", name, kind) for name, kind in OF_KIND.items() if kind != "commits"],
    ],
)
def test_annotators_of_other_kinds_are_one_line(kind, name, other):
    kinds = KINDS[kind]
    recipe = kinds.part("load")(RECIPES / ("code.toml" if kind == "files" else f"{kind}.toml"))
    changed = recipe.model_copy(update={"annotate": {**recipe.annotate, name: {}}})
    with pytest.raises(RecipeError) as caught:
        kinds.part("pipeline")(changed, Engine(workers=1))
    assert (
        str(caught.value)
        == f"annotate.{name}: expected an annotator for recipes of kind '{kind}', got one for '{other}'"
    )


def test_the_verb_annotate_refuses_them_too(tmp_path):
    pipeline = KINDS["files"].part("pipeline")(
        load_recipe(make_recipe(tmp_path, tmp_path / "source")), Engine(workers=1)
    )
    with pytest.raises(RecipeError, match=r"annotate\.category: expected .* 'files', got one for 'web'"):
        pipeline.with_needs("category")
