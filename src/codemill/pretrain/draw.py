"""Draws a stage's documents: how much of each source, which of its documents, in which order. Nothing is read here.

A source is a stream without end: its documents in an order drawn for the first pass, then in another for the second.
Every stage goes on where the one before it stopped, so that nothing is seen again before all has been seen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codemill.pretrain.tokenize import mix
from codemill.tokens.settings import FimSettings

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Fim = FimSettings | None


@dataclass(frozen=True)
class TokenTable:
    """A source as it was encoded for one draw of fill-in-the-middle and one pass: n rows over all its files.

    Attributes:
        source: its name.
        files: the token files.
        file: which of them holds each row, shape (n,).
        row: its number there, shape (n,).
        key: what shuffling sorts by, shape (n,); the pieces of a document share it, no two documents do.
        length: tokens, shape (n,).
        loss: tokens that bear the loss, shape (n,).
        first: whether it is the first piece of its document, shape (n,); the others follow it.
        fim: whether its middle was moved to the end, shape (n,).
        language: index into `languages`, shape (n,).
        languages: names; "" where unknown.
    """

    source: str
    files: list[str]
    file: npt.NDArray[np.int32]
    row: Ints
    key: Keys
    length: Ints
    loss: Ints
    first: npt.NDArray[np.bool_]
    fim: npt.NDArray[np.bool_]
    language: npt.NDArray[np.int32]
    languages: list[str]


@dataclass(frozen=True)
class Draw:
    """Rows of a table that a stage takes, in the order of the source's stream; documents are whole."""

    table: TokenTable
    rows: Ints
    epoch: int

    @property
    def tokens(self) -> int:
        return int(self.table.length[self.rows].sum())

    @property
    def pieces(self) -> Ints:
        """Which piece of its document each row is."""
        place = np.arange(len(self.rows))
        return place - np.maximum.accumulate(np.where(self.table.first[self.rows], place, 0))


class Stream:
    """A source as a stream of documents, and how far training has come in it.

    Args:
        load: gives the source as encoded for a phase's fill-in-the-middle and a pass.
        seed: of the order.
        repeats: most passes.
    """

    def __init__(self, load: Callable[[Fim, int, int], TokenTable], seed: int, repeats: int) -> None:
        self._load, self._seed, self._repeats = load, seed, repeats
        self.epoch = 0
        self._table: TokenTable | None = None
        self._last: int | None = None  # the order of the last document taken in this pass; the pass is whole if None

    def left(self, fim: Fim, length: int) -> int:
        """Tokens that may still be taken, all passes together; those of passes to come as in this one."""
        if self.epoch >= self._repeats:
            return 0
        table = self._table = self._load(fim, self.epoch, length)
        return int(table.length[self._ahead(self._order(table))].sum()) + (self._repeats - self.epoch - 1) * int(
            table.length.sum()
        )

    def take(self, fim: Fim, length: int, tokens: float) -> list[Draw]:
        """The documents that come next: as many as bring their tokens closest to `tokens`."""
        draws: list[Draw] = []
        while tokens > 0 and self.epoch < self._repeats:
            table = self._table = self._load(fim, self.epoch, length)
            order = self._order(table)
            rows = np.flatnonzero(self._ahead(order))
            rows = rows[np.argsort(order[rows], kind="stable")]
            starts = np.append(np.flatnonzero(table.first[rows]), len(rows))
            ends = np.cumsum(table.length[rows])[starts[1:] - 1]
            # The document in which the amount is reached is taken if it is nearer with it than without it.
            whole = int(np.searchsorted(ends - np.diff(ends, prepend=0) / 2, tokens, side="left"))
            count = int(starts[whole])
            if count:
                draws.append(Draw(table, rows[:count], self.epoch))
                tokens -= float(ends[whole - 1])
            if count < len(rows):
                if count:
                    self._last = int(order[rows[count - 1]])
                break
            self.epoch, self._last = self.epoch + 1, None
            if not table.length.sum():
                break  # a source of nothing would be passed over for ever
        return draws

    def state(self) -> dict[str, float | int]:
        """How often the source was passed over, in parts, and how many of its documents no stage has drawn."""
        if self._table is None:
            return {"passes": 0.0, "unused": 0}
        whole = int(self._table.length.sum())
        rest = self._ahead(self._order(self._table))
        passed = 1 - int(self._table.length[rest].sum()) / whole if whole and self.epoch < self._repeats else 0.0
        unused = int(self._table.first[rest].sum()) if self.epoch == 0 else 0
        return {"passes": self.epoch + passed, "unused": unused}

    def _order(self, table: TokenTable) -> Keys:
        """What this pass gives its rows in the order of."""
        return mix(mix(table.key, self._seed), self.epoch)

    def _ahead(self, order: Keys) -> npt.NDArray[np.bool_]:
        """Which rows this pass has still to give."""
        return np.ones(len(order), np.bool_) if self._last is None else order > np.uint64(self._last)


def amounts(
    weights: Mapping[str, float], tokens: float, available: Mapping[str, int], shortfall: str
) -> dict[str, float]:
    """Tokens that each source is to give to a stage.

    Args:
        weights: parts, of any sum.
        tokens: of the stage.
        available: what each source can give.
        shortfall: `shrink`: all give less, so that the parts hold; `fill`: those that have more fill up.
    """
    whole = sum(weights.values())
    parts = {name: weight / whole for name, weight in weights.items()}
    if shortfall == "shrink":
        tokens = min([tokens, *(available[name] / part for name, part in parts.items())])
        return {name: part * tokens for name, part in parts.items()}
    given: dict[str, float] = {}
    open_parts = dict(parts)
    while open_parts:
        left, rest = tokens - sum(given.values()), sum(open_parts.values())
        wanted = {name: left * part / rest for name, part in open_parts.items()}
        short = [name for name, amount in wanted.items() if available[name] < amount]
        if not short:
            given |= wanted
            break
        for name in short:
            given[name] = float(available[name])
            del open_parts[name]
    return {name: given[name] for name in weights}
