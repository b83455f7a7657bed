"""Cuts histories into shards, named by the commits they hold, so that a longer history keeps the shards it had."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from codemill.commits.history import History, listed
from codemill.commits.places import Place
from codemill.commits.settings import HistorySettings
from codemill.commits.table import CommitTable
from codemill.engine import Task
from codemill.schema import FACTS, digest
from codemill.store import Store, annotation_folder

Facts = dict[str, dict[str, Any]]


def facts_of(facts: Facts, place: Place) -> dict[str, Any]:
    """What the tables of facts say of a repository. They are keyed by `source NUL repo`."""
    return facts.get(f"{place.source}\0{place.repo}", {})


@dataclass(frozen=True)
class CommitShard:
    """A range of one history, or the one row of a repository that has none.

    Attributes:
        name: of its files in the store.
        place: the repository.
        history: its listed history; None with a problem.
        start, stop: range of commits in it.
    """

    name: str
    place: Place
    history: History | None
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return max(1, self.stop - self.start)


def plan_shards(
    store: Store, places: Sequence[Place], histories: Sequence[History], settings: HistorySettings, most: int
) -> list[CommitShard]:
    """The shards that hold these histories, at most `most` commits each; those that are new are noted in the store."""
    by_place = {history.place: history for history in histories}
    shards: list[CommitShard] = []
    for place in places:
        history = by_place.get(place)
        if history is None:
            shards.append(CommitShard("", place, None, 0, 0))
        else:
            cuts = range(0, history.commits, most)
            shards += [CommitShard("", place, history, cut, min(cut + most, history.commits)) for cut in cuts]
    fingerprint = CommitTable(settings).fingerprint()
    named = [replace(shard, name=_name(store, shard, fingerprint)) for shard in shards]
    _note(store, named)
    return named


def _name(store: Store, shard: CommitShard, fingerprint: str) -> str:
    place = shard.place
    parts = (fingerprint, place.source, place.repo, place.origin, str(place.problem))
    if shard.history is None:
        return digest(parts)
    ids = hashlib.sha256(b"".join(listed(store, shard.history.key, shard.start, shard.stop))).hexdigest()
    return digest((*parts, ids))


def _note(store: Store, shards: Sequence[CommitShard]) -> None:
    """Add new shards to the plans, whose order says which shard owns a content that several hold."""
    plans = store.files("plans", ".json")
    known = {entry["name"] for path in plans for entry in store.read_json(path)["shards"]}
    fresh = [{"name": one.name, "source": one.place.source, "units": []} for one in shards if one.name not in known]
    if fresh:
        store.write_json(f"plans/{len(plans):05d}.json", {"shards": fresh})


def tasks(store: Store, shards: Sequence[CommitShard], settings: HistorySettings, facts: Facts) -> Iterator[Task]:
    """What is to be done for the shards that are not complete.

    Args:
        store: where they go.
        shards: all of them.
        settings: how commits are read.
        facts: what is known of repositories.
    """
    done = {path.removeprefix("ingested/").removesuffix(".json") for path in store.files("ingested", ".json")}
    for shard in shards:
        if shard.name in done:
            continue
        place = shard.place
        known = facts_of(facts, place)
        yield {
            "store": store.root,
            "shard": shard.name,
            "table": table_file(settings, shard.name),
            "source": place.source,
            "repo": place.repo,
            "origin": place.origin,
            "location": place.location,
            "problem": place.problem,
            "history": shard.history and shard.history.key,
            "start": shard.start,
            "stop": shard.stop,
            "settings": settings.model_dump(mode="json"),
            "facts": {name: _plain(known.get(name)) for name in FACTS},
        }


def table_file(settings: HistorySettings, shard: str) -> str:
    """Where the commit table of a shard lies."""
    return f"{annotation_folder('commit', CommitTable(settings).fingerprint())}/{shard}.parquet"


def _plain(value: Any) -> Any:
    """A fact as JSON: dates as seconds."""
    return int(value.timestamp()) if hasattr(value, "timestamp") else value
