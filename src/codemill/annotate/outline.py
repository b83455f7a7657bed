"""What a file defines, how much of that is documented, and which packages it imports; keyed by blob and language.

Line patterns of `data/outline.toml` rather than trees: they read files that don't parse, and cost a tenth. Seeds of
high-quality sets are chosen by these values.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import pyarrow as pa

from codemill.annotate.base import Annotator, Key

MAX_PACKAGES = 200  # of one file; more is a list, not an import
# Lines that may stand between a definition and its documentation: decorators, annotations, attributes.
_ATTRIBUTES = rb"(?:[ \t]*(?:@|#\[|\[)[^\n]*\n){0,8}"


@dataclass(frozen=True)
class Family:
    """The patterns of one family of languages, over bytes."""

    definition: re.Pattern[bytes]
    inside: re.Pattern[bytes] | None
    imports: tuple[re.Pattern[bytes], ...]
    separator: str
    depth: int
    relative: frozenset[str]

    @staticmethod
    def of(entry: dict[str, Any]) -> "Family":
        """A family out of its table."""
        plain = entry["definition"].encode()
        if "comment" in entry:
            plain = rb"(?P<doc>^(?:" + entry["comment"].encode() + rb")\r?\n" + _ATTRIBUTES + rb")?" + plain
        return Family(
            re.compile(plain, re.MULTILINE),
            re.compile(entry["inside"].encode()) if "inside" in entry else None,
            tuple(re.compile(pattern.encode(), re.MULTILINE) for pattern in entry.get("imports", ())),
            entry.get("separator", ""),
            entry.get("depth", 1),
            frozenset(entry.get("relative", ())),
        )

    def count(self, content: bytes) -> tuple[int, int]:
        """How many definitions there are, and how many of them are documented."""
        total = documented = 0
        for found in self.definition.finditer(content):
            total += 1
            documented += self.inside is None and found.groupdict().get("doc") is not None
        if self.inside is not None:
            documented = min(total, sum(1 for _ in self.inside.finditer(content)))
        return total, documented

    def packages(self, content: bytes) -> list[str]:
        """What is imported, each name once, sorted."""
        names: set[str] = set()
        for pattern in self.imports:
            for found in pattern.findall(content):
                for part in found.decode("utf-8", "replace").split(","):
                    words = part.split()
                    if words:
                        names.add(self.package(words[0]))
        return sorted(names - self.relative - {""})[:MAX_PACKAGES]

    def package(self, name: str) -> str:
        """The package of an imported name: its leading parts; scoped npm names have one more."""
        if not self.separator:
            return name
        depth = self.depth + (self.separator == "/" and name.startswith("@"))
        return self.separator.join(name.split(self.separator)[:depth])


@cache
def families() -> dict[str, Family]:
    """Language -> its family."""
    table = tomllib.loads((files("codemill.data") / "outline.toml").read_text(encoding="utf-8"))["family"]
    return {
        language: family for entry in table.values() for family in [Family.of(entry)] for language in entry["languages"]
    }


class OutlineAnnotator(Annotator):
    """What a file defines and imports, by patterns over its lines.

    Fields: `definitions`, functions, methods, classes and the like; `documented`, those with a comment right above or a
    docstring right below; `documented_share` (null without definitions); `packages`, names of what is imported, sorted,
    with commas between, empty where nothing is; `package_count`. All null where `data/outline.toml` has no patterns for
    the language.
    """

    name: ClassVar[str] = "outline"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "blob_language"
    inputs: ClassVar[tuple[str, ...]] = ("content", "language")
    fields: ClassVar[pa.Schema] = pa.schema(
        [
            ("definitions", pa.int64()),
            ("documented", pa.int64()),
            ("documented_share", pa.float64()),
            ("packages", pa.string()),
            ("package_count", pa.int64()),
        ]
    )

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        pairs = zip(batch.column("content").to_pylist(), batch.column("language").to_pylist(), strict=True)
        rows = [_row(content, families().get(language)) for content, language in pairs]
        return pa.RecordBatch.from_pylist(rows, schema=self.fields)


def _row(content: bytes, family: Family | None) -> dict[str, Any]:
    if family is None:
        return {}
    definitions, documented = family.count(content)
    packages = family.packages(content)
    return {
        "definitions": definitions,
        "documented": documented,
        "documented_share": documented / definitions if definitions else None,
        "packages": ",".join(packages),
        "package_count": len(packages),
    }
