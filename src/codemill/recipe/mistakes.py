"""What is wrong with settings, in one line that says field, expectation and value: pydantic's words in ours."""

import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

COLUMN = r"^[a-z_]+\.[a-z0-9_]+$"  # annotator.field or occurrence.field
NAME = r"^[a-z0-9][a-z0-9_-]*$"
PATTERNS = {COLUMN: "annotator.field or occurrence.field", NAME: "a name of small letters, digits, _ and -"}
WORDS = {
    "missing": "a value",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "union_tag_not_found": "one of the kinds there are",
    "string_too_short": "some text",
}


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a validation error as `field: expected …, got …`; names that don't exist come first, since
    they are often what another field is missing for.

    Args:
        error: of the model.
        model: what was validated.
    """
    problems = error.errors()
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    kind, context = problem["type"], problem.get("ctx", {})
    place, models = _walk(model, problem["loc"][:-1] if kind == "extra_forbidden" else problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    got = "" if isinstance(problem["input"], Mapping) else f", got {problem['input']!r:.80}"
    if kind == "extra_forbidden":
        name = str(problem["loc"][-1])
        names = sorted({field.alias or name for one in models for name, field in one.model_fields.items()})
        place, message, got = _join(place, name), f"expected one of {', '.join(names)}", f", got {name!r}"
    elif kind == "value_error":
        got = ""
    elif kind == "union_tag_invalid":
        place, message = _join(place, "kind"), f"expected {context['expected_tags']}"
        got = f", got {context['tag']!r}"
    elif kind == "union_tag_not_found":
        place, message, got = _join(place, "kind"), f"expected {', '.join(_kinds(models))}", ", got none"
    else:
        message = f"expected {_expected(kind, message, context)}"
        got = ", got none" if kind == "missing" else got or f", got {'a table' if problem['input'] else 'an empty one'}"
    return f"{place}: {message}{got}" if place else f"{message}{got}"


def _expected(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """What a value should have been."""
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], f"text that matches {context['pattern']}")
    if kind == "too_short":
        least = context["min_length"]
        return f"at least {least} {'entry' if least == 1 else 'entries'}"
    known = WORDS.get(kind)
    if known:
        return known
    should = message.removeprefix("Input should be ")
    return f"a number {should}" if kind.startswith(("greater_than", "less_than")) else should


def _walk(model: type[BaseModel], location: Sequence[str | int]) -> tuple[str, list[type[BaseModel]]]:
    """A location as a recipe's reader knows it, and the models that may stand there."""
    place, models = "", [model]
    for part in location:
        tagged = [one for one in models if part in _tags(one)]
        fields = [field for one in models for name, field in one.model_fields.items() if part in (name, field.alias)]
        if tagged and not fields:  # a tag of a union: no field of the recipe
            models = tagged
            continue
        place = _join(place, part)
        # An index or the key of a table leaves the models as they are.
        models = [found for field in fields for found in _models(field.annotation)] or models
    return place, models


def _join(place: str, part: str | int) -> str:
    if isinstance(part, int):
        return f"{place}[{part}]"
    return f"{place}.{part}" if place else part


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, inside of lists, tables and unions too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in typing.get_args(annotation) for found in _models(inner)]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """The values of `kind` that tell a model from others of its union."""
    return typing.get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()


def _kinds(models: Sequence[type[BaseModel]]) -> list[str]:
    return [repr(tag) for one in models for tag in _tags(one)]
