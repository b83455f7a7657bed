"""Which languages have imports, and how a grammar shows them: the table `data/imports.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class ImportGrammar:
    """One row of the table.

    Attributes:
        name: of the grammar, as tree-sitter-language-pack calls it.
        languages: that it parses, as Linguist names them.
        family: the module of `longcontext.resolve` that makes edges of what the query finds.
        find: the query.
        marks: a file with none of these imports nothing; empty: every file is parsed.
        names: whether files see each other's names without naming the file.
        common: names that are no sign of a file that declares them.
    """

    name: str
    languages: tuple[str, ...]
    family: str
    find: str
    marks: tuple[str, ...]
    names: bool
    common: frozenset[str]

    def parses(self, text: str) -> bool:
        """Whether a file with this text can have anything to find."""
        return not self.marks or any(mark in text for mark in self.marks)


@cache
def import_grammars() -> dict[str, ImportGrammar]:
    """All rows by the grammar's name."""
    text = files("codemill.data").joinpath("imports.toml").read_text(encoding="utf-8")
    return {
        name: ImportGrammar(
            name,
            tuple(row["languages"]),
            row["family"],
            row["find"],
            tuple(row.get("marks", ())),
            row.get("names", False),
            frozenset(row.get("common", ())),
        )
        for name, row in tomllib.loads(text)["grammar"].items()
    }


@cache
def import_grammar(language: str | None) -> ImportGrammar | None:
    """The row of a language (Linguist's name), None where its files import nothing that we can read."""
    return next((row for row in import_grammars().values() if language in row.languages), None)
