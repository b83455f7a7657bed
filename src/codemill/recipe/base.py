"""What settings of every kind share: strict models, names, one line for each mistake, fingerprints."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from codemill.errors import RecipeError
from codemill.recipe.mistakes import first_problem

Scalar = str | bool | int | float
S = TypeVar("S", bound=BaseModel)
# Names of corpora and rules become names of folders and files.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")


class Strict(BaseModel):
    """Base of all settings: unknown fields are errors, values don't change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse_settings(model: type[S], values: dict[str, Any], place: str) -> S:
    """Settings checked against their model; errors are one line that begins with `place`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{place}.{first_problem(error, model)}") from error


def check_unique(what: str, names: Iterable[str]) -> None:
    """Raise ValueError where a name comes up twice."""
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"{what}: expected different names, got {name!r} twice")


def check_file_names(what: str, names: Iterable[str]) -> None:
    """Raise ValueError where a name can't be that of a file or folder."""
    for name in names:
        if not FILE_NAME.match(name):
            raise ValueError(f"{what}: expected a name of letters, digits, _ and - (files bear it), got {name!r}")


def check_apart(store: str, output: str) -> None:
    """Raise ValueError where both are the same folder."""
    if store.rstrip("/") == output.rstrip("/"):
        raise ValueError(f"output: expected another folder than the store's, got {output!r}")


def fingerprint_of(recipe: Strict, *beside: str) -> str:
    """12 hex digits over everything that decides about content: not where it runs or where it is put.

    Args:
        recipe: of any kind.
        beside: more sections that decide nothing.
    """
    value = recipe.model_dump(mode="json", by_alias=True, exclude={"engine", "store", "output", *beside})
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
