"""Templates of samples as versioned data: which parts stand in which order, and what the special tokens are."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import model_validator

from codemill.errors import RecipeError
from codemill.recipe import Strict, parse_settings
from codemill.schema import digest

PARTS = ("repository", "readme", "tree", "files", "message", "cue", "paths", "change", "end")


class Template(Strict):
    """One template.

    Attributes:
        description: what a sample looks like.
        order: parts in the order of the text.
        target: the parts to be predicted; the last ones of the order.
        tokens: special tokens by name.
        part: the text of each part.
    """

    description: str
    order: tuple[str, ...]
    target: tuple[str, ...]
    tokens: dict[str, str]
    part: dict[str, str]

    @model_validator(mode="after")
    def _whole(self) -> "Template":
        if sorted(self.order) != sorted(PARTS):
            raise ValueError(f"order: expected each of {', '.join(PARTS)} once")
        if not self.target or self.order[-len(self.target) :] != self.target or "paths" not in self.target:
            raise ValueError("target: expected the last parts of the order, paths and change among them")
        return self

    def render(self, part: str, **values: Any) -> str:
        """The text of a part that holds these values."""
        return self.part[part].format(tokens=self.tokens, **values)

    def special(self) -> re.Pattern[str]:
        """Finds any special token in a text."""
        return re.compile("|".join(re.escape(token) for token in self.tokens.values() if token) or r"(?!)")

    def fingerprint(self) -> str:
        """Identity of what it writes."""
        return digest([self.model_dump_json()])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("codemill.data") / "commit_templates.toml").read_text(encoding="utf-8"))


def load_template(name: str, tokens: dict[str, str] | None = None) -> Template:
    """A template of this version, some special tokens replaced.

    Raises:
        RecipeError: there is none, or a token that it has no use for.
    """
    table = _table()
    if name not in table:
        raise RecipeError(f"template: expected one of {', '.join(table)}, got {name!r}")
    values = table[name]
    for token in tokens or {}:
        if token not in values["tokens"]:
            raise RecipeError(f"tokens: expected names among {', '.join(values['tokens'])}, got {token!r}")
    return parse_settings(Template, {**values, "tokens": {**values["tokens"], **(tokens or {})}}, f"template {name}")
