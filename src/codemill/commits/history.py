"""Histories as lists of commits, parents first, with the facts of a repository that its history tells.

The list of a history lies in the store; workers read the range they need of it. What is held in memory for a commit
while it is listed is its id.
"""

import datetime
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pygit2
from pygit2.enums import SortMode

from codemill.commits.places import Place, reading
from codemill.engine import Engine, Task
from codemill.schema import digest
from codemill.store import Store

VERSION = 1  # raise it when the list of a history comes out differently
LISTING = pa.schema([("sha", pa.binary(20))])
ROWS = 65_536


@dataclass(frozen=True)
class History:
    """A listed history.

    Attributes:
        place: the repository.
        key: names the list in the store.
        commits: how many.
        first, last: least and greatest committer date (seconds since 1970), or None.
        contributors: different author addresses.
    """

    place: Place
    key: str
    commits: int
    first: int | None
    last: int | None
    contributors: int

    @property
    def days(self) -> int:
        """Days of maintenance: from the first commit to the last."""
        return 0 if self.first is None or self.last is None else (self.last - self.first) // 86_400


def survey(store: Store, engine: Engine, places: list[Place]) -> list[History]:
    """The histories of all places that have one; only those not listed yet are walked."""
    keys = {place: _key(place) for place in places if place.head is not None}
    tasks: dict[str, Task] = {}
    for place, key in keys.items():
        if not store.exists(f"histories/{key}.json"):
            tasks[key] = {"store": store.root, "key": key, "location": place.location, "head": place.head}
    weight = 20_000_000 * len(tasks)
    list(engine.map("codemill.commits.history:survey_one", list(tasks.values()), weight))
    return [History(place, key, **store.read_json(f"histories/{key}.json")) for place, key in keys.items()]


def _key(place: Place) -> str:
    # What a shallow clone lacks depends on the clone; all else follows from the commit.
    with reading(place.location) as repository:
        shallow = repository.is_shallow
    return digest((str(VERSION), str(place.head), place.location if shallow else ""))


def survey_one(task: Task) -> Task:
    """Walk one history: its list, and its facts, written last."""
    store = Store(task["store"])
    file = f"histories/{task['key']}.parquet"
    contributors: set[bytes] = set()
    dates: list[int] = []
    count = 0
    with reading(task["location"]) as repository, store.table_writer(file, LISTING) as write:
        rows: list[bytes] = []
        for oid in walk(repository, task["head"]):
            commit = repository[oid].peel(pygit2.Commit)
            contributors.add(hashlib.blake2b(_address(commit), digest_size=8).digest())
            if plausible(commit.commit_time):
                dates = [min([*dates[:1], commit.commit_time]), max([*dates[1:], commit.commit_time])]
            rows.append(oid.raw)
            count += 1
            if len(rows) == ROWS:
                write(pa.table({"sha": rows}, schema=LISTING))
                rows = []
        write(pa.table({"sha": rows}, schema=LISTING))
    facts: Task = {
        "commits": count,
        "first": dates[0] if dates else None,
        "last": dates[1] if dates else None,
        "contributors": len(contributors),
    }
    store.write_json(f"histories/{task['key']}.json", facts)
    return facts


def _address(commit: pygit2.Commit) -> bytes:
    return bytes(commit.author.raw_email or commit.author.raw_name or b"").lower()


def plausible(seconds: int) -> bool:
    """Whether a date can be one of a commit: between 1970 and 2100. Clocks and converters leave others behind."""
    return 0 < seconds < 4_102_444_800


def timestamp(seconds: int) -> datetime.datetime | None:
    """Seconds since 1970 as a date; None for dates no calendar has."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return None


def walk(repository: pygit2.Repository, head: str) -> Iterator[pygit2.Oid]:
    """Every commit behind `head`, parents before children; where the history has holes, what can be reached."""
    try:
        for commit in repository.walk(head, SortMode.TOPOLOGICAL | SortMode.REVERSE):
            yield commit.id
        return
    except (KeyError, pygit2.GitError):  # raised before the first commit comes out, as the order needs all of them
        pass
    yield from _walk_with_holes(repository, pygit2.Oid(hex=head))


def _walk_with_holes(repository: pygit2.Repository, head: pygit2.Oid) -> Iterator[pygit2.Oid]:
    seen: set[pygit2.Oid] = {head}
    stack: list[tuple[pygit2.Oid, Iterator[pygit2.Oid]]] = [(head, iter(_parents(repository, head)))]
    while stack:
        oid, parents = stack[-1]
        parent = next((one for one in parents if one not in seen and one in repository), None)
        if parent is None:
            stack.pop()
            yield oid
        else:
            seen.add(parent)
            stack.append((parent, iter(_parents(repository, parent))))


def _parents(repository: pygit2.Repository, oid: pygit2.Oid) -> list[Any]:
    commit = repository[oid].peel(pygit2.Commit)
    return list(commit.parent_ids)


def listed(store: Store, key: str, start: int, stop: int) -> list[bytes]:
    """Ids of the commits `start` to `stop` of a listed history."""
    found: list[bytes] = []
    at = 0
    for batch in store.batches(f"histories/{key}.parquet", rows=8192):
        if at < stop and at + batch.num_rows > start:
            found += batch.column("sha")[max(0, start - at) : stop - at].to_pylist()
        at += batch.num_rows
        if at >= stop:
            break
    return found
