"""What `data/web_tags.toml` says, as the sets and questions that extraction asks thousands of times a page."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

SPLIT = str.maketrans(dict.fromkeys(":;,{}()", " "))
NO_LANGUAGE = frozenset({"none", "text", "default", "plain", "plaintext", "nohighlight", "txt", "literal", "output"})


@dataclass(frozen=True)
class Tags:
    """The file's lists as sets; see there for what each is."""

    skipped: frozenset[str]
    roles: frozenset[str]
    boilerplate: frozenset[str]
    marks: frozenset[str]
    code: frozenset[str]
    containers: frozenset[str]
    gutters: frozenset[str]
    lines: frozenset[str]
    highlighters: frozenset[str]
    prefixes: tuple[str, ...]
    attributes: tuple[str, ...]
    languages: dict[str, str]


def _load() -> Tags:
    values: dict[str, Any] = tomllib.loads((files("codemill.data") / "web_tags.toml").read_text(encoding="utf-8"))
    known = tomllib.loads((files("codemill.data") / "languages.toml").read_text(encoding="utf-8"))["reference"]
    languages = {name.lower(): name for name in known}
    boilerplate, code = values["boilerplate"], values["code"]
    return Tags(
        frozenset(boilerplate["tags"]),
        frozenset(boilerplate["roles"]),
        frozenset(boilerplate["tokens"]),
        frozenset(boilerplate["marks"]),
        frozenset(code["tags"]),
        frozenset(code["containers"]),
        frozenset(code["gutters"]),
        frozenset(code["lines"]),
        frozenset(code["highlighters"]),
        tuple(code["prefixes"]),
        tuple(code["attributes"]),
        {**languages, **values["languages"]},
    )


TAGS = _load()


@cache
def _words(names: str) -> frozenset[str]:
    return frozenset(names.lower().translate(SPLIT).split())


def words(names: str | None) -> frozenset[str]:
    """The words of a class or id; remembered, since a site uses the same few over and over."""
    if not names or len(names) > 500:
        return frozenset()
    if _words.cache_info().currsize > 100_000:
        _words.cache_clear()
    return _words(names)


def language_of(names: str | None, bare: bool) -> str | None:
    """The language that a class names, as the page spells it: `python` of `language-python`, `highlight-python`.

    Args:
        names: value of a class attribute.
        bare: whether a word without a prefix may be one (`sourceCode haskell`).
    """
    found = words(names)
    if not found:
        return None
    for word in found:
        for prefix in TAGS.prefixes:
            if word.startswith(prefix):
                name = word.removeprefix(prefix).removeprefix("source-")
                if name in TAGS.languages:
                    return name
    if bare or found & TAGS.highlighters:
        named = sorted(word for word in found if word in TAGS.languages and word not in NO_LANGUAGE)
        if len(named) == 1:
            return named[0]
    return None
