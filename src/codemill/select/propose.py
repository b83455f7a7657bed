"""Proposes bounds and sampling rates for the groups of a corpus from the shares it shall have of each.

One bound for all lets in whichever groups score high by nature: tidy documentation crowds out forums. So each group is
asked for its share, and gives its best: first its bound rises until its supply fits, up to a ceiling beyond which
better scores no longer mean better data; what is still too much is sampled. A group that lacks supply is said so.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.run import Data
from codemill.engine import Engine
from codemill.errors import InputError, RecipeError
from codemill.recipe import ProposeSettings, QuantileRule, Recipe, SampleRule, ValueRule
from codemill.select.decide import select
from codemill.select.judged import NO_GROUP
from codemill.store import Store

STEP = 0.1  # bounds are multiples of this
BARE = re.compile(r"[A-Za-z0-9_-]+")
WORTH, RATES = "worth", "rates"  # names of the rules where the recipe has none to replace

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Supply:
    """What there is to choose from: rows that pass all other rules of the corpus.

    Attributes:
        scores: n, NaN where there is none.
        weights: n, tokens (bytes where none were counted).
        groups: n names.
        rules: names of the rules that a proposal replaces: the bound's, and the rates'; None where there is none.
    """

    scores: Floats
    weights: Floats
    groups: npt.NDArray[np.object_]
    rules: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True)
class Share:
    """What is proposed for one group.

    Attributes:
        target: of the corpus, 0..1.
        rows, weight: all there is of it.
        supply: weight at or above the floor.
        low: the bound.
        rate: share that stays of what lies at or above it.
        expected: weight that bound and rate leave.
        short: weight that is missing for the target.
    """

    group: str
    target: float
    rows: int
    weight: float
    supply: float
    low: float
    rate: float
    expected: float
    short: float


@dataclass(frozen=True)
class Proposal:
    """Shares of all groups, heaviest target first; `limit` is the group whose supply bounds the whole, if one does."""

    settings: ProposeSettings
    shares: list[Share]
    limit: str | None
    rules: tuple[str | None, str | None]

    @property
    def expected(self) -> float:
        """Weight of the corpus that the proposal makes, about."""
        return sum(share.expected for share in self.shares)

    def toml(self) -> str:
        """The two rules, to paste into the recipe."""
        settings = self.settings
        rest = 1.0 if sum(settings.target.values()) < 1 - 1e-9 else 0.0
        bounds = ", ".join(f"{_key(share.group)} = {{ min = {share.low} }}" for share in self.shares)
        rates = ", ".join(f"{_key(share.group)} = {share.rate}" for share in self.shares)
        return (
            f'[[rule]]\nname = "{self.rules[0] or WORTH}"\ncolumn = "{settings.score}"\nmin = {settings.floor}\n'
            f'by = "{settings.by}"\nper = {{ {bounds} }}\n\n'
            f'[[rule]]\nname = "{self.rules[1] or RATES}"\nsample = {rest}\n'
            f'by = "{settings.by}"\nper = {{ {rates} }}\n'
        )

    def lines(self) -> list[str]:
        """The proposal as a table and sentences, for people."""
        head = f"{'group':<22}{'target':>8}{'rows':>9}{'supply':>13}{'min':>6}{'rate':>7}{'expected':>13}{'share':>8}"
        whole = self.expected or 1.0
        lines = [head]
        for one in self.shares:
            lines.append(
                f"{one.group:<22}{one.target:>8.1%}{one.rows:>9,}{one.supply:>13,.0f}{one.low:>6.1f}{one.rate:>7.3f}"
                f"{one.expected:>13,.0f}{one.expected / whole:>8.1%}"
            )
        for one in self.shares:
            if one.short > 0:
                wanted = one.supply + one.short
                lines.append(f"short: {one.group} has {one.supply:,.0f} of the {wanted:,.0f} tokens it should give")
        if self.limit is not None:
            lines.append(
                f"the supply of {self.limit} limits the whole to {self.expected:,.0f} tokens; "
                "with --keep the others may give more, and it less than its share"
            )
        return lines


def supply_of(  # noqa: PLR0917 - eight parameters is the house limit
    store: Store, engine: Engine, recipe: Recipe, data: Data, corpus: str, settings: ProposeSettings
) -> Supply:
    """What passes the rules of a corpus but those that a proposal would replace.

    Raises:
        RecipeError: there is no such corpus, or no such column.
    """
    if corpus not in recipe.corpus:
        raise RecipeError(f"corpus: expected one of {', '.join(recipe.corpus)}, got {corpus!r}")
    names: list[str | None] = [None, None]
    rules = []
    by_name = {rule.name: rule for rule in recipe.rule}
    for name in recipe.corpus[corpus].rules:
        rule = by_name[name]
        if isinstance(rule, ValueRule | QuantileRule) and rule.column == settings.score:
            names[0] = names[0] or name
        elif isinstance(rule, SampleRule) and rule.by == settings.by:
            names[1] = names[1] or name
        else:
            rules.append(name)
    trimmed = recipe.corpus[corpus].model_copy(
        update={"rules": tuple(rules), "columns": (settings.score, settings.by), "level": "file", "mask": ()}
    )
    [selection] = select(store, engine, recipe.model_copy(update={"corpus": {corpus: trimmed}}), data)
    assert isinstance(selection.decisions, pa.Table) and isinstance(selection.signals, pa.Table)  # put down nowhere
    kept = pc.equal(selection.decisions["status"], "kept")
    signals, decisions = selection.signals.filter(kept), selection.decisions.filter(kept)
    weights = decisions["tokens"] if decisions["tokens"].null_count < decisions.num_rows else decisions["bytes"]
    groups = signals[settings.by].combine_chunks().cast(pa.string()).fill_null(NO_GROUP)
    return Supply(
        signals[settings.score].cast(pa.float64()).to_numpy(),
        weights.fill_null(0).cast(pa.float64()).to_numpy(),
        groups.to_numpy(zero_copy_only=False),
        (names[0], names[1]),
    )


def propose(supply: Supply, settings: ProposeSettings) -> Proposal:
    """Bounds and rates that bring the groups to their shares.

    Groups that no target names divide what the targets leave, in proportion to their supply. The whole is as large as
    the scarcest named group allows, or the share `keep` of what there is.

    Raises:
        InputError: there is nothing to choose from.
    """
    usable = np.where(np.isnan(supply.scores), -np.inf, supply.scores)
    names = sorted(set(supply.groups.tolist()) | set(settings.target))
    here = {name: supply.groups == name for name in names}
    above = {name: float(supply.weights[here[name] & (usable >= settings.floor)].sum()) for name in names}
    if not sum(above.values()):
        raise InputError(f"propose: expected rows with {settings.score} at or above {settings.floor:g}, got none")
    targets = _targets(above, settings.target)
    limit, whole = None, (settings.keep or 0.0) * float(supply.weights.sum())
    if settings.keep is None:
        room = {name: above[name] / part for name, part in targets.items() if part > 0 and above[name] > 0}
        room = {name: size for name, size in room.items() if name in settings.target} or room
        if not room:
            raise InputError(f"propose: expected rows of {', '.join(settings.target)} to choose from, got none")
        limit = min(room, key=lambda name: (room[name], name))
        whole = room[limit]
    shares = []
    for name in sorted(names, key=lambda name: (-targets[name], name)):
        mine = here[name]
        low, rate, expected = _fit(usable[mine], supply.weights[mine], targets[name] * whole, settings)
        short = max(targets[name] * whole - above[name], 0.0)
        shares.append(
            Share(
                name, targets[name], int(mine.sum()), float(supply.weights[mine].sum()), above[name], low, rate,
                expected, short if short > 1e-6 * max(whole, 1.0) else 0.0,
            )
        )  # fmt: skip
    return Proposal(settings, shares, limit, supply.rules)


def _key(name: str) -> str:
    """A name as a key in TOML, quoted where it has to be."""
    return name if BARE.fullmatch(name) else json.dumps(name)


def _targets(above: Mapping[str, float], named: Mapping[str, float]) -> dict[str, float]:
    """The share of every group: as named, or its part of the rest."""
    rest = max(1 - sum(named.values()), 0.0)
    others = sum(weight for name, weight in above.items() if name not in named)
    return {
        name: named[name] if name in named else (rest * weight / others if others else 0.0)
        for name, weight in above.items()
    }


def _fit(scores: Floats, weights: Floats, need: float, settings: ProposeSettings) -> tuple[float, float, float]:
    """Bound, rate and what they leave of one group that shall give `need`."""

    def at(bound: float) -> float:
        return float(weights[scores >= bound].sum())

    low, there = settings.floor, at(settings.floor)
    if need <= 0:
        return settings.ceiling, 0.0, 0.0
    if there <= need:
        return low, 1.0, there
    steps = max(round((settings.ceiling - settings.floor) / STEP), 0)
    for step in range(1, steps + 1):
        bound = round(settings.floor + step * STEP, 6)
        if at(bound) < need:
            break
        low, there = bound, at(bound)
    rate = min(max(round(need / there, 3), 0.001), 1.0)
    return low, rate, rate * there
