"""Archives as repositories: which files are archives, what they are called, and what their members are called."""

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from codemill.recipe import ArchiveSource, IngestSettings
from codemill.schema import digest
from codemill.sources.base import RowBuffer, Unit, clean_text, find_places, load_facts, with_facts
from codemill.sources.directories import list_entries
from codemill.sources.unpack import read_members

SUFFIX = re.compile(
    r"\.(tar|tar\.(gz|bz2|xz|zst)|tgz|tbz2?|txz|tzst|zip|whl|egg|jar|nupkg|vsix|crate|gem)$", re.IGNORECASE
)
# Source code shrinks to about a quarter.
EXPANSION = 4


class ArchiveReader:
    """Reads every archive below a folder, each match of a glob, or one file. A unit is a whole archive."""

    def __init__(self, settings: ArchiveSource) -> None:
        self.settings = settings
        self.facts = load_facts(settings.facts)

    def units(self, settings: IngestSettings) -> Iterator[Unit]:
        # Limits decide what is read of an archive, as the archive itself does.
        limits = self.settings.model_dump_json(exclude={"name", "path", "facts"})
        for location, (name, problem) in self._places.items():
            try:
                info = Path(location).stat()
                state = digest((str(info.st_size), str(info.st_mtime_ns), str(problem), limits))
                weight = 0 if problem else info.st_size * EXPANSION
            except OSError:
                state, weight = "unreadable", 0
            repo = clean_text(SUFFIX.sub("", name))
            yield Unit(repo, "", location, with_facts(state, self.facts.get(repo)), 0, 1, weight)

    def read(self, unit: Unit, settings: IngestSettings) -> Iterator[pa.RecordBatch]:
        name, problem = self._places.get(unit.location, (Path(unit.location).name, None))
        # `a.zip` and `a.tar.gz` give repositories of one name: the origin keeps their rows apart.
        origin = clean_text(name)
        buffer = RowBuffer(unit.repo, unit.revision, self.facts.get(unit.repo, {}))
        if problem is not None:
            buffer.add("", None, 0, problem, origin)
            yield buffer.flush()
            return
        place = Path(unit.location)
        top = ""
        if self.settings.strip_top:
            names = read_members(place, self.settings, None)
            top = shared_top(member.name for member in names if member.problem not in FAULTS)
        seen: dict[str, int] = {}
        for member in read_members(place, self.settings, settings.max_bytes):
            path = member.name.removeprefix(top)
            seen[path] = count = seen.get(path, 0) + 1
            where = origin if count == 1 else f"{origin}#{count}"  # a name may come twice
            if buffer.add(path, member.content, member.size, member.problem, where):
                yield buffer.flush()
        yield buffer.flush()

    @functools.cached_property
    def _places(self) -> dict[str, tuple[str, str | None]]:
        """Where archives are -> what they are called there, and why they can't be read, if that is known already."""
        places: dict[str, tuple[str, str | None]] = {}
        given = find_places(self.settings.path)
        single = len(given) == 1 and str(given[0][1]) == str(Path(self.settings.path))
        for name, place in given:
            if not place.is_dir():
                places[str(place)] = (name, None)
                continue
            for entry in list_entries(place):
                problem = entry.problem or (None if SUFFIX.search(entry.path) else "no_repository")
                places[str(place / entry.path)] = (entry.path if single else f"{name}/{entry.path}", problem)
        return places


# Members whose names say nothing about how an archive is laid out.
FAULTS = frozenset({"unsafe_path", "archive_limit", "corrupt_archive", "unreadable"})


def shared_top(names: Iterable[str]) -> str:
    """The one top folder that all names share, with its slash; empty if they share none."""
    tops: set[str] = set()
    for name in names:
        top, slash, _ = name.partition("/")
        tops.add(top if slash else "")
        if len(tops) > 1 or "" in tops:
            return ""
    return f"{tops.pop()}/" if tops else ""
