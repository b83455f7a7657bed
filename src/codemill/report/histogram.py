"""Bins the values of a rule's column so that the rule's cut is an edge: a bar is then dropped or kept as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from codemill.report.frame import Floats, Ints, Mask

BINS = 40
SMALL_BINS = 24
UNIT_RANGE = 40  # whole numbers of at most this range get one bar each
SKEW = 30  # a maximum this many times the median asks for a logarithmic axis

Side = Literal["low", "high"]


@dataclass(frozen=True)
class Cut:
    """A bound: rows below a `low` one go, and rows above a `high` one."""

    value: float
    side: Side


@dataclass(frozen=True)
class Scale:
    """A horizontal axis from `low` to `high`; logarithmic ones count log(1 + value).

    `unit` ones are of whole numbers, few enough for a bar each.
    """

    low: float
    high: float
    log: bool
    unit: bool = False

    def place(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1; beyond them at the end."""
        low, high = self.bend(np.array([self.low, self.high]))
        here = float(self.bend(np.array([min(max(value, self.low), self.high)]))[0])
        return (here - low) / (high - low) if high > low else 0.5

    def bend(self, values: Floats) -> Floats:
        return np.log1p(values) if self.log else values

    def straight(self, values: Floats) -> Floats:
        """The inverse of `bend`."""
        return np.asarray(np.expm1(values) if self.log else values, dtype=np.float64)

    def even(self, bins: int) -> Floats:
        """Edges of bins that look equally wide."""
        low, high = self.bend(np.array([self.low, self.high]))
        edges = self.straight(np.linspace(low, high, bins + 1))
        edges[0], edges[-1] = self.low, self.high
        return np.asarray(edges, dtype=np.float64)

    def ticks(self) -> list[float]:
        """About five round values on the axis."""
        if self.log:
            # Powers of ten, or with 2 and 5 between them where few of them are on the axis.
            for factors in ((1,), (1, 2, 5)):
                marks = [0.0, *(factor * 10.0**exponent for exponent in range(19) for factor in factors)]
                inside = [value for value in marks if self.low <= value <= self.high]
                if len(inside) >= 3:
                    return inside[:: -(-len(inside) // 6)]
        span = self.high - self.low
        raw = span / 5 if span > 0 else 1.0
        power = 10.0 ** np.floor(np.log10(raw))
        step = float(min(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999))
        first = np.ceil(self.low / step - 1e-9) * step
        return [round(float(value), 12) + 0.0 for value in np.arange(first, self.high + step * 1e-6, step)]


@dataclass(frozen=True)
class Histogram:
    """Counts of m bins between m + 1 edges: rows the rule let pass, and rows it dropped."""

    scale: Scale
    edges: Floats
    passed: Ints
    dropped: Ints


def make_scale(values: Floats, cuts: Sequence[Cut]) -> Scale:
    """The axis for finite values (at least one) and the cuts to be seen on it."""
    limits = np.array([cut.value for cut in cuts if np.isfinite(cut.value)])
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high > 1:
        positive = values[values > 0]
        if high > SKEW * max(float(np.median(positive)), 1e-9) or high > SKEW * max(float(np.median(values)), 1.0):
            return Scale(float(min([low, *limits[limits >= 0]])), float(max([high, *limits])), True)
    inner_low, inner_high = (float(value) for value in np.quantile(values, [0.002, 0.998]))
    if inner_high > inner_low and high - low > 4 * (inner_high - inner_low):
        low, high = inner_low, inner_high
    low, high = float(min([low, *limits])), float(max([high, *limits]))
    if low >= 0 and high <= 1 and high > 0.4:
        low, high = 0.0, 1.0  # shares and scores read best on their whole range
    if high - low < 1e-300:  # a range that can't be divided
        low, high = low - 0.5, high + 0.5
    unit = 1 <= high - low <= UNIT_RANGE and bool((values == np.round(values)).all())
    return Scale(low, high, False, unit)


def make_edges(scale: Scale, cuts: Sequence[Cut], bins: int = BINS) -> Floats:
    """Edges on an axis: one bar for each whole number of a small range, else equal bins moved onto the cuts."""
    if scale.unit:
        return np.asarray(np.arange(np.floor(scale.low), np.ceil(scale.high) + 2) - 0.5, dtype=np.float64)
    edges = scale.even(bins)
    bent = scale.bend(edges)
    width = float(bent[-1] - bent[0]) / bins
    for cut in (cut for cut in cuts if scale.low <= cut.value <= scale.high):
        at = float(scale.bend(np.array([cut.value]))[0])
        # A bound near an end would leave no room for what lies beyond it, often a great part of all: it gets a bar as
        # wide as the others, which reaches beyond the axis. So does what equals a bound at the end.
        if 0 <= at - bent[0] < width / 2 and (cut.value > scale.low or cut.side == "high"):
            edges = np.concatenate([scale.straight(np.array([at - width])), [_edge(cut)], edges[edges > _edge(cut)]])
        elif 0 <= bent[-1] - at < width / 2 and (cut.value < scale.high or cut.side == "low"):
            edges = np.concatenate([edges[edges < _edge(cut)], [_edge(cut)], scale.straight(np.array([at + width]))])
    for cut in cuts:
        value = _edge(cut)
        if edges[0] < value < edges[-1]:
            nearest = 1 + int(np.argmin(np.abs(scale.bend(edges[1:-1]) - scale.bend(np.array([value]))[0])))
            edges[nearest] = value
    return np.unique(edges)


def _edge(cut: Cut) -> float:
    """Where a cut divides bins. What equals a bound stays: bins are closed below, an upper edge is just above."""
    return cut.value if cut.side == "low" else float(np.nextafter(cut.value, np.inf))


def fill(values: Floats, dropped: Mask, scale: Scale, edges: Floats) -> Histogram:
    """Count values into bins; what lies beyond the ends counts in the end bins."""
    bins = len(edges) - 1
    index = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    every = np.bincount(index, minlength=bins).astype(np.int64)
    gone = np.bincount(index[dropped], minlength=bins).astype(np.int64)
    return Histogram(scale, edges, every - gone, gone)
