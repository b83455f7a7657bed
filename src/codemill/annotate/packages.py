"""What package metadata says of its licence: a few well-known files, read with the standard library."""

import json
import re
import tomllib
from collections.abc import Callable
from email.parser import HeaderParser
from typing import Any

from codemill.annotate.spdx import canonical, join

_MAX_BYTES = 1_000_000


def is_metadata(name: str) -> bool:
    """Whether a file of this name is package metadata that `declared_in` reads."""
    return _reader(name) is not None


def declared_in(path: str, content: bytes) -> str | None:
    """The licence that a metadata file states, as an SPDX expression; None if it states none that can be read."""
    read = _reader(path.rpartition("/")[2])
    if read is None or len(content) > _MAX_BYTES:
        return None
    try:
        statement = read(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):  # not the format that its name promises; TOML's and JSON's errors are these
        return None
    alternatives = [canonical(one) for one in statement if one.strip()]
    known = [one for one in alternatives if one]
    return join(known, "OR") if known and len(known) == len(alternatives) else None


def _json(text: str) -> list[str]:
    """package.json and composer.json: `license` as a string, a list, or npm's old objects with a `type`."""
    value = json.loads(text)
    if not isinstance(value, dict):
        return []
    statement = value.get("license") or value.get("licenses") or []
    statements = statement if isinstance(statement, list) else [statement]
    texts = [one.get("type") if isinstance(one, dict) else one for one in statements]
    return [text for text in texts if isinstance(text, str)]


def _table(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _cargo(text: str) -> list[str]:
    value = tomllib.loads(text)
    found = [_table(value, *place) for place in (("package", "license"), ("workspace", "package", "license"))]
    return [one for one in found if isinstance(one, str)][:1]


def _pyproject(text: str) -> list[str]:
    value = tomllib.loads(text)
    found = [
        _table(value, *place)
        for place in (("project", "license"), ("project", "license", "text"), ("tool", "poetry", "license"))
    ]
    return [one for one in found if isinstance(one, str)][:1]


def _core_metadata(text: str) -> list[str]:
    """Python's METADATA and PKG-INFO: the expression, else the classifiers, else the free field."""
    message = HeaderParser().parsestr(text)
    if message.get("License-Expression"):
        return [str(message["License-Expression"])]
    prefix = "License :: OSI Approved :: "
    classifiers = [str(one).removeprefix(prefix) for one in message.get_all("Classifier", []) if prefix in str(one)]
    if classifiers:
        return classifiers
    return [str(message.get("License", ""))]


def _cran(text: str) -> list[str]:
    """R's DESCRIPTION: alternatives divided by a bar, each perhaps with a file of additional terms."""
    match = re.search(r"(?m)^License:[ \t]*(.+)$", text)
    return (
        [one.split("+")[0].strip() for one in match.group(1).split("|") if "file" not in one.split("+")[0]]
        if match
        else []
    )


def _line(pattern: str) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        match = re.search(pattern, text)
        return [match.group(1).strip()] if match else []

    return read


_READERS: dict[str, Callable[[str], list[str]]] = {
    "package.json": _json,
    "composer.json": _json,
    "Cargo.toml": _cargo,
    "pyproject.toml": _pyproject,
    "METADATA": _core_metadata,
    "PKG-INFO": _core_metadata,
    "DESCRIPTION": _cran,
    "setup.cfg": _line(r"(?m)^license[ \t]*=[ \t]*(.+)$"),
    ".cabal": _line(r"(?mi)^license:[ \t]*(.+)$"),
    ".gemspec": _line(r"(?m)\.licenses?[ \t]*=[ \t]*\[?[ \t]*[\"']([^\"']+)[\"']"),
}


def _reader(name: str) -> Callable[[str], list[str]] | None:
    return _READERS.get(name) or _READERS.get(name[name.rfind(".") :] if "." in name[1:] else "")
