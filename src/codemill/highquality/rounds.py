"""Rounds of one source: learn, score the candidates, measure, grow; until nothing is gained or a round is noise.

A finished round is a folder that `round.json`, written last, marks as finished; a run that is repeated reads it.
"""

import heapq
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from codemill.engine import Engine, Task
from codemill.errors import InputError
from codemill.highquality.choose import Draw, draw, first
from codemill.highquality.classifier import train
from codemill.highquality.documents import Documents, Floats, Ints, Pool, shuffled
from codemill.highquality.measure import Measured, State, measure, noise
from codemill.highquality.parts import CHOSEN, PROBABILITIES
from codemill.highquality.settings import HighQualityRecipe
from codemill.select.rules import Mask
from codemill.store import Store

# The engine weighs work by bytes at the pace of a parser; fastText is a few times as fast.
PACE = 4
SAMPLES = 6  # of each kind, for the report


@dataclass(frozen=True)
class Rounds:
    """What rounds of a source work with.

    Attributes:
        store, engine, recipe: where and how.
        name: the source.
        folder: where its rounds lie in the store.
        documents: all of them; pool: what the source says of them.
        say: told one line a round.
    """

    store: Store
    engine: Engine
    recipe: HighQualityRecipe
    name: str
    folder: str
    documents: Documents
    pool: Pool
    say: Callable[[str], None] = lambda _: None

    def run(self) -> "Outcome":
        """All rounds of the source.

        Raises:
            InputError: too few documents to learn from.
        """
        settings, pool = self.recipe.rounds, self.pool
        count = self.documents.count
        start = State(pool.seed, np.zeros(count, np.bool_), np.full(count, np.nan))
        states, figures, samples = [start], list[Measured](), list[dict[str, Ints]]()
        first_round = np.where(pool.seed, 0, -1)
        stopped = f"{settings.most} rounds, the most that the recipe allows"
        for number in range(1, settings.most + 1):
            state, found = self._round(number, states[-1])
            figures.append(found)
            samples.append(self._samples(states[-1], state))
            self.say(f"{self.name} round {number}: {line(found)}")
            if found.noise:
                stopped = f"round {number} is noise and was put aside: {found.noise}"
                break
            states.append(state)
            first_round[state.taken & (first_round < 0)] = number
            if number > 1 and found.new < settings.least_gain * max(found.size, 1):
                stopped = f"round {number} recalled {found.new:,} new documents, less than the least gain"
                break
        last = states[-1]
        taken_in = np.where(last.taken, first_round, -1)
        return Outcome(self.name, figures, samples, len(states) - 1, stopped, last, taken_in)

    def _samples(self, before: State, after: State) -> dict[str, Ints]:
        """Some rows of a round to look at: taken, recalled and refused, and just missed; at random but the last."""
        order = shuffled(self.documents.key, "samples")
        refused = after.recalled & ~after.taken
        missed = np.flatnonzero(self.pool.candidate & ~after.recalled & ~after.taken)
        nearest = missed[np.lexsort((order[missed], -after.probability[missed]))][:SAMPLES]
        return {
            "newly taken": first(np.flatnonzero(after.taken & ~before.taken), order, SAMPLES),
            "recalled and refused": first(np.flatnonzero(refused), order, SAMPLES),
            "just missed": nearest,
        }

    def _round(self, number: int, before: State) -> tuple[State, Measured]:
        """Do a round, or read what an earlier run has done of it."""
        folder = f"{self.folder}/round-{number}"
        settings = (self.recipe.source[self.name], self.recipe.rounds)
        chosen = draw(
            self.documents, self.pool, settings=settings, number=number, taken=before.taken, recalled=before.recalled
        )
        self._check(number, chosen)
        if not self.store.exists(f"{folder}/model.bin"):
            self._learn(number, folder, chosen)
        probability = self._score(folder)
        recalled = self.pool.candidate & (np.nan_to_num(probability) >= self.recipe.rounds.threshold)
        after = State(self.pool.seed | (recalled & self.pool.take), recalled, probability)
        found = measure(self.documents, self.pool, before=before, after=after, drawn=chosen.counts())
        found = replace(found, number=number, noise=noise(found, self.recipe.rounds))
        if not self.store.exists(f"{folder}/round.json"):
            self.store.write_json(f"{folder}/round.json", json.loads(json.dumps(found.to_json())))
        return after, found

    def _check(self, number: int, chosen: Draw) -> None:
        negatives = len(chosen.random) + len(chosen.hard) + len(chosen.bad)
        if not len(chosen.good) or not negatives:
            raise InputError(
                f"source.{self.name}: expected positives and negatives to learn from in round {number}, "
                f"got {len(chosen.good)} and {negatives} of {int(self.pool.candidate.sum())} candidates"
            )

    def _task(self, part: int) -> Task:
        one = self.documents.parts[part]
        return {
            "store": self.store.root,
            "file": one.file,
            "present": list(one.columns),
            "notebooks": self.recipe.notebooks.model_dump(),
            "classifier": self.recipe.classifier.model_dump(),
        }

    def _learn(self, number: int, folder: str, chosen: Draw) -> None:
        """Train the round's classifier on the lines of the chosen documents."""
        rows, good = chosen.rows, chosen.labels
        order = shuffled(self.documents.key, "lines", number)
        tasks = []
        for part, here in by_part(self.documents, rows):
            listing = f"{folder}/lines/{self.documents.parts[part].name}"
            places = self.documents.place[rows[here]]
            by_place = np.argsort(places)
            columns = [places[by_place], order[rows[here]][by_place], good[here][by_place]]
            self.store.write(
                f"{listing}.chosen.parquet", pa.Table.from_arrays([pa.array(c) for c in columns], schema=CHOSEN)
            )
            tasks.append({**self._task(part), "listing": f"{listing}.chosen.parquet", "out": f"{listing}.parquet"})
        list(self.engine.map("codemill.highquality.parts:line_part", tasks, self._weight(rows)))
        with tempfile.TemporaryDirectory() as place:
            file = Path(place, "lines.txt")
            with file.open("w", encoding="utf-8") as stream:
                for text in merged(self.store, [task["out"] for task in tasks]):
                    stream.write(f"{text}\n")
            train(file, self.recipe.classifier, self.store, f"{folder}/model.bin")
        self.store.delete_folder(f"{folder}/lines")

    def _score(self, folder: str) -> Floats:
        """Probabilities of all candidates, NaN for the others."""
        rows = np.flatnonzero(self.pool.candidate)
        tasks, todo, unscored = list[tuple[Ints, Task]](), list[Task](), list[Ints]()
        for part, here in by_part(self.documents, rows):
            name = self.documents.parts[part].name
            listing, out = f"{self.folder}/candidates/{name}.parquet", f"{folder}/probabilities/{name}.parquet"
            task = {**self._task(part), "listing": listing, "out": out}
            task |= {"model": f"{self.store.root}/{folder}", "model_file": f"{folder}/model.bin"}
            tasks.append((rows[here], task))
            if not self.store.exists(out):
                if not self.store.exists(listing):
                    self.store.write(listing, pa.table({"place": self.documents.place[rows[here]]}))
                todo.append(task)
                unscored.append(rows[here])
        weight = self._weight(np.concatenate(unscored)) if unscored else 0
        list(self.engine.map("codemill.highquality.parts:score_part", todo, weight))
        probability = np.full(self.documents.count, np.nan)
        for mine, task in tasks:
            probability[mine] = self.store.read(task["out"]).cast(PROBABILITIES)["probability"].to_numpy()
        return probability

    def _weight(self, rows: Ints) -> int:
        sizes = self.documents.column("bytes").fill_null(0).to_numpy(zero_copy_only=False)[rows]
        return int(np.minimum(sizes, self.recipe.classifier.max_bytes).sum()) // PACE


@dataclass(frozen=True)
class Outcome:
    """What came out of a source's rounds.

    Attributes:
        rounds: figures of every round that was done, noise included.
        samples: for each of them some rows by what became of them.
        used: the last round whose classifier counts; 0: none, the set is the seed.
        stopped: why no further round was done.
        state: the set and the probabilities of the last round that counts.
        taken_in: for each document the first round that took it, 0 for the seed, -1 where it is not in the set.
    """

    name: str
    rounds: list[Measured]
    samples: list[dict[str, Ints]]
    used: int
    stopped: str
    state: State
    taken_in: Ints

    @property
    def taken(self) -> Mask:
        return self.state.taken


def by_part(documents: Documents, rows: Ints) -> Iterator[tuple[int, Ints]]:
    """For every part that holds some of the rows: the part, and which of `rows` they are, in the order of places."""
    order = np.lexsort((documents.place[rows], documents.part[rows]))
    parts = documents.part[rows][order]
    for part in np.unique(parts).tolist():
        low, high = np.searchsorted(parts, [part, part + 1])
        yield part, order[low:high]


def merged(store: Store, files: list[str]) -> Iterator[str]:
    """The lines of all files in one order; some hundred of each file in memory."""

    def lines(file: str) -> Iterator[tuple[int, str]]:
        for batch in store.batches(file, rows=256):
            yield from zip(batch.column("order").to_pylist(), batch.column("line").to_pylist(), strict=True)

    for _, text in heapq.merge(*map(lines, files)):
        yield text


def line(found: Measured) -> str:
    """A round in one line."""
    precision = "none" if found.precision is None else f"{found.precision:.3f}"
    recall = "none" if found.recall is None else f"{found.recall:.3f}"
    return f"{found.size:,} documents, {found.new:,} new, held-out precision {precision}, recall {recall}"
