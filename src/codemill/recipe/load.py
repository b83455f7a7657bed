"""Reads recipes of any kind from TOML, each mistake as one line."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from codemill.errors import RecipeError
from codemill.recipe.base import S
from codemill.recipe.files import Recipe
from codemill.recipe.mistakes import first_problem


def recipe_kind(path: str | Path) -> str:
    """What a recipe is about: its `kind`, `files` where it names none. Unreadable recipes are left to their loaders."""
    try:
        return str(tomllib.loads(Path(path).read_text(encoding="utf-8")).get("kind", "files"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return "files"


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe over files. Relative paths in it are relative to the working directory.

    Raises:
        RecipeError: the file is missing, no TOML, or says something that can't be.
    """
    return load_recipe_as(Recipe, path)


def kind_of(recipe: object) -> str:
    """The kind of a recipe that is loaded; that of files bears none."""
    return str(getattr(recipe, "kind", "files"))


def load_recipe_as(model: type[S], path: str | Path) -> S:
    """Read and check a recipe of the kind that `model` describes; errors are as those of `load_recipe`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path}: expected a readable TOML file, got {error}") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {path}: expected TOML, got {error}") from error
    if values.get("kind") == "files":  # the kind of recipes that name none
        del values["kind"]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"recipe {path}: {first_problem(error, model)}") from error
    except RecipeError as error:
        raise RecipeError(f"recipe {path}: {error}") from error
