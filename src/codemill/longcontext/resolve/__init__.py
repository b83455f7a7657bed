"""Resolves imports inside a repository: from what files say they need to the files that have it."""

import importlib
from collections.abc import Iterator, Sequence

from codemill.longcontext.extract import Found
from codemill.longcontext.grammars import import_grammars
from codemill.longcontext.resolve.files import Files, Link, Member


def resolve_links(
    paths: Sequence[str], languages: Sequence[str | None], texts: Sequence[str], found: Sequence[Found]
) -> Iterator[Link]:
    """The links of a repository's n files, family by family, in a set order.

    Args:
        paths: with forward slashes, relative to the repository.
        languages: as Linguist names them.
        texts: contents.
        found: what each file told.
    """
    files = Files(paths, texts)
    families: dict[str, dict[int, Member]] = {}
    rows = {language: row for row in import_grammars().values() for language in row.languages}
    for index, (language, one) in enumerate(zip(languages, found, strict=True)):
        row = rows.get(language or "")
        if row is not None:
            families.setdefault(row.family, {})[index] = Member(row.name, one.matches, row.common)
    for family in sorted(families):
        module = importlib.import_module(f"codemill.longcontext.resolve.{family}")
        yield from module.resolve(files, families[family])
