"""What kinds of recipes share: names that files can bear, folders apart, rules told by their fields."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from codemill.errors import RecipeError
from codemill.recipe import (
    Strict,
    ValueRule,
    check_apart,
    check_file_names,
    check_unique,
    parse_rules,
    parse_settings,
)
from codemill.recipe.mistakes import NAME


def test_names_are_unique_and_fit_for_files():
    check_unique("rule", ["a", "b"])
    with pytest.raises(ValueError, match=r"rule: expected different names, got 'b' twice"):
        check_unique("rule", ["a", "b", "b"])
    check_file_names("corpus", ["a", "B-2_c"])
    for name in ("", "-a", "../a", "a.b", "a\n"):
        with pytest.raises(ValueError, match=r"corpus: expected a name of letters"):
            check_file_names("corpus", ["a", name])


def test_store_and_output_are_apart():
    check_apart("work/store", "work/out")
    with pytest.raises(ValueError, match=r"output: expected another folder than the store's, got 'work/'"):
        check_apart("work", "work/")


def test_rules_are_parsed_one_by_one_and_named_by_their_place():
    rule = {"name": "size", "column": "occurrence.bytes", "max": 1}
    assert [type(one) for one in parse_rules([rule])] == [ValueRule]
    assert parse_rules("size") == "size"  # no list: its field says what was expected
    with pytest.raises(RecipeError, match=r"rule\[1\]: expected a table, got int"):
        parse_rules([rule, 3])
    assert parse_rules([rule, rule], lambda entry, place: f"{place} {entry['name']}") == (
        "rule[0] size",
        "rule[1] size",
    )


class Kept(Strict):
    kind: Literal["kept"]
    least: int = Field(1, gt=0)


class Left(Strict):
    kind: Literal["left"]


class Settings(Strict):
    name: str = Field(pattern=NAME)
    pick: tuple[Annotated[Kept | Left, Field(discriminator="kind")], ...] = Field(min_length=1)
    within: dict[str, Kept] = Field(default_factory=dict)
    mode: Literal["a", "b"] = "a"
    on: bool = False
    only_in: tuple[str, ...] = Field((), alias="in")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"name": 3}, "name: expected text, got 3"),
        ({"name": "A b"}, "name: expected a name of small letters, digits, _ and -, got 'A b'"),
        ({"name": None}, "name: expected text, got None"),
        ({"pick": []}, "pick: expected at least 1 entry, got []"),
        ({"pick": "x"}, "pick: expected a list, got 'x'"),
        ({"pick": {"a": 1}}, "pick: expected a list, got a table"),
        ({"pick": [{}]}, "pick[0].kind: expected 'kept', 'left', got none"),
        ({"pick": [{"kind": "kep"}]}, "pick[0].kind: expected 'kept', 'left', got 'kep'"),
        ({"pick": [{"kind": "kept", "lest": 1}]}, "pick[0].lest: expected one of kind, least, got 'lest'"),
        ({"pick": [{"kind": "left", "lest": 1}]}, "pick[0].lest: expected one of kind, got 'lest'"),
        ({"pick": [{"kind": "kept", "least": 0}]}, "pick[0].least: expected a number greater than 0, got 0"),
        ({"pick": [{"kind": "kept", "least": "x"}]}, "pick[0].least: expected a whole number, got 'x'"),
        ({"within": {"x": {"kind": "kept", "least": 1.5}}}, "within.x.least: expected a whole number, got 1.5"),
        ({"within": {"x": 3}}, "within.x: expected a table, got 3"),
        ({"mode": "c"}, "mode: expected 'a' or 'b', got 'c'"),
        ({"on": "x"}, "on: expected true or false, got 'x'"),
        ({"only_in": []}, "only_in: expected one of in, mode, name, on, pick, within, got 'only_in'"),
    ],
)
def test_every_mistake_says_field_expectation_and_value(changes, line):
    values = {"name": "a", "pick": [{"kind": "left"}], **changes}
    with pytest.raises(RecipeError) as caught:
        parse_settings(Settings, values, "x")
    assert str(caught.value) == f"x.{line}"
