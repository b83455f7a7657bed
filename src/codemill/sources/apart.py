"""Keeps what a run writes out of what it reads: a source that holds its own output would grow with every run."""

import fnmatch
import glob
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from codemill.errors import RecipeError


class Read(Protocol):
    """What is asked of a source of any kind."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...


def check_outside(sources: Iterable[Read], **written: str) -> None:
    """Raise where a source would read what is written. Git sources read objects alone, whatever lies beside them.

    Args:
        sources: of a recipe.
        written: setting -> the folder that it names.

    Raises:
        RecipeError: names source and setting.
    """
    for source in sources:
        if source.kind == "git" or "://" in source.path:
            continue
        for setting, folder in written.items():
            if "://" not in folder and _reads(source.path, Path(folder).resolve()):
                raise RecipeError(f"{setting}: expected a folder outside of source {source.name!r}, got {folder!r}")


def _reads(path: str, folder: Path) -> bool:
    """Whether a path or glob takes a folder or what lies in it."""
    place = Path(path)
    if place.exists() or not glob.has_magic(path):
        return place.is_dir() and place.resolve() in (folder, *folder.parents)
    parts = place.parts
    wild = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    start = Path(*parts[:wild]).resolve()
    if "**" in parts[wild:]:
        return start in folder.parents
    pattern = str(start.joinpath(*parts[wild:]))
    return any(fnmatch.fnmatchcase(str(one), pattern) for one in (folder, *folder.parents))
