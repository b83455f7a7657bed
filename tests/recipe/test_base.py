"""What kinds of recipes share: names that files can bear, folders apart, rules told by their fields."""

import pytest

from codemill.errors import RecipeError
from codemill.recipe import (
    ValueRule,
    check_apart,
    check_file_names,
    check_unique,
    parse_rules,
)


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
