"""Named sets of rules that ship with codemill, as data: thresholds from published filters, each with its origin."""

import tomllib
from functools import cache
from importlib.resources import files

from codemill.recipe import ValueRule


@cache
def load_preset(name: str) -> tuple[ValueRule, ...]:
    """The rules of a preset, in order. What a rule's `origin` says is for readers of the file."""
    table = tomllib.loads((files("codemill.data") / "rule_presets.toml").read_text(encoding="utf-8"))
    entries = [{key: value for key, value in entry.items() if key != "origin"} for entry in table[name]["rule"]]
    return tuple(ValueRule.model_validate(entry) for entry in entries)
