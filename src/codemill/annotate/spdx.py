"""SPDX licence expressions: reading what people write, joining, and whether what they say is permissive.

Facts (aliases, which licences are permissive) come from `data/licences.toml`.
"""

import re
import tomllib
from collections.abc import Iterable, Set
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

# SPDX's own values: there is no licence information; there is some, but none that can be told.
NONE = "NONE"
NOASSERTION = "NOASSERTION"


@cache
def facts() -> dict[str, Any]:
    """The tables of `data/licences.toml`."""
    return tomllib.loads(files("codemill").joinpath("data/licences.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1 << 14)
def canonical(text: str) -> str | None:
    """A statement of a licence as an SPDX expression, None if it can't be read as one.

    Understands expressions in any case, common names (`MIT License`, `GPLv3+`, R's `GPL (>= 2)`) and Cargo's old
    `MIT/Apache-2.0`, which means a choice.
    """
    words = " ".join(text.split()).strip(" \"'")
    if not words or len(words) > 1000 or words.count("(") > 50:
        return None
    alias = facts()["aliases"].get(words.lower())
    if alias:
        return str(alias)
    try:
        expression = str(canonicalize_license_expression(words))
        bracketed = re.fullmatch(r"\(([^()]*)\)", expression)
        return bracketed.group(1) if bracketed else expression
    except (InvalidLicenseExpression, SyntaxError):
        pass
    parts = [canonical(part) for part in words.split("/")] if "/" in words else []
    known = [part for part in parts if part]
    return join(known, "OR") if known and len(known) == len(parts) else None


def join(expressions: Iterable[str], operator: str) -> str:
    """Expressions joined by AND or OR, each once, in their order, bracketed where they hold an operator themselves."""
    unique = list(dict.fromkeys(expressions))
    if len(unique) == 1:
        return unique[0]
    return f" {operator} ".join(f"({one})" if " AND " in one or " OR " in one else one for one in unique)


@cache
def _permissive() -> frozenset[str]:
    return frozenset(name for tier in facts()["permissive"].values() for name in tier)


def is_permissive(expression: str, also: Set[str] = frozenset()) -> bool | None:
    """Whether one may use the work under permissive terms alone; None if that is not known.

    A choice needs one permissive branch, a sum needs all. An exception (`WITH`) only adds permissions, so the licence
    before it counts. `also` are further identifiers to take as permissive.
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression)
    value, rest = _either(tokens, 0, also)
    return value if rest == len(tokens) else None


def _either(tokens: list[str], at: int, also: Set[str]) -> tuple[bool | None, int]:
    value, at = _all(tokens, at, also)
    while at < len(tokens) and tokens[at] == "OR":
        other, at = _all(tokens, at + 1, also)
        value = True if value or other else (None if None in (value, other) else False)
    return value, at


def _all(tokens: list[str], at: int, also: Set[str]) -> tuple[bool | None, int]:
    value, at = _one(tokens, at, also)
    while at < len(tokens) and tokens[at] == "AND":
        other, at = _one(tokens, at + 1, also)
        value = False if False in (value, other) else (None if None in (value, other) else True)
    return value, at


def _one(tokens: list[str], at: int, also: Set[str]) -> tuple[bool | None, int]:
    if at < len(tokens) and tokens[at] == "(":
        value, at = _either(tokens, at + 1, also)
        return value, at + 1
    name = tokens[at] if at < len(tokens) else NOASSERTION
    at += 3 if tokens[at + 1 : at + 2] == ["WITH"] else 1
    base = name.removesuffix("+")
    if base in also or base in _permissive():
        return True, at
    if base in facts()["references"]:
        return bool(facts()["references"][base]), at
    unknown = base in (NONE, NOASSERTION) or base.startswith(("LicenseRef-", "DocumentRef-"))
    return (None if unknown else False), at
