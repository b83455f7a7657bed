"""Draws the report's pictures as inline SVG: bars, stacked bars and histograms with their cuts.

Colours are classes (`kept`, `dropped`, `errored`), so that one style sheet serves the light and the dark scheme. Every
picture has a label that says the same in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from codemill.report.histogram import Cut, Histogram, Scale
from codemill.report.wording import clip, count, mark, number, units

ROOT_SCALE_FROM = 20  # a tallest bar this many times the median one asks for square-root heights
LEAST_APART = 26  # pixels between two grid lines
LEAST_MARK = 14  # pixels between the axis and the lowest grid line
LEAST_HEIGHT = 1.5  # pixels of a bar that holds anything at all


@dataclass(frozen=True)
class Box:
    """A drawing area and its margins, in pixels."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    @property
    def inner_width(self) -> int:
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> int:
        return self.height - self.top - self.bottom


@dataclass(frozen=True)
class Axes:
    """What a histogram's axes measure: the values, and what is counted (rows of the run where it is empty)."""

    across: str = ""
    up: str = ""


LARGE = Box(640, 214, 46, 14, 30, 34)
SMALL = Box(300, 122, 36, 8, 16, 20)


def stacked(parts: Sequence[tuple[str, float]], whole: float, label: str, height: int = 12) -> Markup:
    """One horizontal bar as wide as its container: (class, amount) side by side, of `whole`."""
    bars, at = [], 0.0
    for kind, amount in parts:
        width = 100 * amount / whole if whole else 0.0
        if width > 0:
            bars.append(f'<rect class="{kind}" x="{at:.3f}" y="0" width="{width:.3f}" height="10"/>')
        at += width
    return Markup(
        f'<svg class="bar" viewBox="0 0 100 10" height="{height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"><title>{escape(label)}</title><rect class="ground" width="100" height="10"/>'
        f"{''.join(bars)}</svg>"
    )


def bars(rows: Sequence[tuple[str, int, int]], width: int = 480) -> Markup:
    """Horizontal bars of named values: (name, passed, dropped), one line each."""
    left, right, line = 165, 145, 20
    most = max((passed + dropped for _, passed, dropped in rows), default=0) or 1
    room = width - left - right
    parts = []
    for index, (name, passed, dropped) in enumerate(rows):
        y = index * line + 3
        kept, gone = room * passed / most, room * dropped / most
        text = count(passed + dropped)
        if dropped:
            text += f", {count(dropped) if passed else 'all'} dropped"
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{y + 11}" text-anchor="end">{escape(clip(name, 26))}</text>'
            f'<rect class="dropped" x="{left}" y="{y}" width="{gone:.1f}" height="14"/>'
            f'<rect class="kept" x="{left + gone:.1f}" y="{y}" width="{kept:.1f}" height="14"/>'
            f'<text class="tick" x="{left + gone + kept + 6:.1f}" y="{y + 11}">{text}</text>'
        )
    label = "; ".join(f"{name}: {passed + dropped}, {dropped} dropped" for name, passed, dropped in rows)
    return _svg(width, len(rows) * line + 6, label, parts, "chart bars")


def histogram(data: Histogram, cuts: Sequence[Cut], label: str, box: Box = LARGE, axes: Axes = Axes()) -> Markup:
    """Bars of a histogram, each split into passed and dropped; the dropped side is shaded, a cut is a line.

    A large one names its axes, a small one leaves that to what stands above it.
    """
    up = axes.up or units().many
    totals = data.passed + data.dropped
    most = int(totals.max()) if len(totals) else 0
    filled = totals[totals > 0]
    root = bool(len(filled)) and most > ROOT_SCALE_FROM * float(np.median(filled))
    parts = [_shade(cut, data.scale, data.edges, box) for cut in cuts]
    parts += _value_axis(most, root, box)
    parts += _columns(data, most, root, box, up)
    parts += [_cut(cut, data.scale, data.edges, box) for cut in cuts]
    parts += _ticks(data.scale, data.edges, box)
    if box is SMALL and root:
        parts.append('<text class="tick" x="0" y="10">√ scale</text>')
    if box is LARGE:
        parts.append(f'<text class="tick" x="4" y="10">{escape(up)}{", √ scale" if root else ""}</text>')
        across = ", ".join(part for part in (axes.across, "log scale" if data.scale.log else "") if part)
        parts.append(
            f'<text class="tick" x="{box.width - box.right}" y="{box.height - 3}" text-anchor="end">'
            f"{escape(across)}</text>"
        )
    return _svg(box.width, box.height, label, parts)


def _columns(data: Histogram, most: int, root: bool, box: Box, up: str) -> list[str]:
    parts = []
    floor = box.top + box.inner_height
    for index in range(len(data.passed)):
        dropped, total = int(data.dropped[index]), int(data.passed[index] + data.dropped[index])
        if not total:
            continue
        start, stop = (_x(data.edges[index + step], data.scale, data.edges, box) for step in (0, 1))
        x, width = start, max(stop - start - 0.6, 0.8)
        height = max(box.inner_height * _tall(total, most, root), LEAST_HEIGHT)
        # The split within a bar is linear also where heights are roots: it shows the share.
        gone = height * dropped / total
        # The bars at the ends may be drawn wider than what there is, to be seen.
        low, high = (min(max(data.edges[index + step], data.scale.low), data.scale.high) for step in (0, 1))
        what = f"{number(low)} to {number(high)}: {count(total)} {escape(up)}"
        what += f", {count(dropped)} dropped" if dropped else ""
        rects = ""
        if dropped:
            rects += (
                f'<rect class="dropped" x="{x:.1f}" y="{floor - gone:.1f}" width="{width:.1f}" height="{gone:.1f}"/>'
            )
        if total > dropped:
            rects += (
                f'<rect class="kept" x="{x:.1f}" y="{floor - height:.1f}" width="{width:.1f}" '
                f'height="{height - gone:.1f}"/>'
            )
        parts.append(f"<g><title>{what}</title>{rects}</g>" if box is LARGE else rects)
    return parts


def _value_axis(most: int, root: bool, box: Box) -> list[str]:
    """Grid lines at a few counts."""
    if not most:
        return []
    parts = []
    for amount in _marks(most, root, box):
        y = box.top + box.inner_height * (1 - _tall(amount, most, root))
        parts.append(
            f'<line class="grid" x1="{box.left}" x2="{box.width - box.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{box.left - 5}" y="{y + 4:.1f}" text-anchor="end">{mark(amount)}</text>'
        )
    return parts


def _marks(most: int, root: bool, box: Box) -> list[int]:
    """Round counts to draw grid lines at, from the top down and not too close to each other."""
    steps = [factor * 10.0**power for power in range(16) for factor in (1, 2, 5)]
    round_ones = steps if root else Scale(0.0, float(most), False).ticks()
    chosen: list[int] = []
    last = float(box.inner_height + 100)
    for one in sorted((int(one) for one in round_ones if 1 <= one <= most and one == int(one)), reverse=True):
        height = box.inner_height * _tall(one, most, root)
        if last - height >= LEAST_APART and height >= LEAST_MARK:
            chosen.append(one)
            last = height
    return chosen or [most]


def _tall(amount: int, most: int, root: bool) -> float:
    part = amount / most if most else 0.0
    return float(part**0.5) if root else part


def _ticks(scale: Scale, edges: np.ndarray, box: Box) -> list[str]:
    floor = box.top + box.inner_height
    parts = [f'<line class="axis" x1="{box.left}" x2="{box.width - box.right}" y1="{floor}" y2="{floor}"/>']
    ticks = scale.ticks()
    if box is SMALL:
        ticks = ticks[:: max(1, len(ticks) // 3)]
    for tick in ticks:
        x = _x(tick, scale, edges, box)
        parts.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}"/>'
            f'<text class="tick" x="{x:.1f}" y="{floor + 15}" text-anchor="middle">{mark(tick)}</text>'
        )
    return parts


def _shade(cut: Cut, scale: Scale, edges: np.ndarray, box: Box) -> str:
    x = _line(cut, scale, edges, box)
    start, stop = (box.left, x) if cut.side == "low" else (x, box.width - box.right)
    return (
        f'<rect class="gone" x="{start:.1f}" y="{box.top}" width="{max(stop - start, 0):.1f}" '
        f'height="{box.inner_height}"/>'
    )


def _cut(cut: Cut, scale: Scale, edges: np.ndarray, box: Box) -> str:
    x = _line(cut, scale, edges, box)
    end = x > box.width * 0.75
    text = f"{'≥' if cut.side == 'low' else '≤'} {number(cut.value)}"
    return (
        f'<line class="cut" x1="{x:.1f}" x2="{x:.1f}" y1="{box.top - 4}" y2="{box.top + box.inner_height}"/>'
        f'<text class="cutlabel" x="{x + (-5 if end else 5):.1f}" y="{box.top - 4}" '
        f'text-anchor="{"end" if end else "start"}">{text}</text>'
    )


def _line(cut: Cut, scale: Scale, edges: np.ndarray, box: Box) -> float:
    """Where a cut is drawn: with one bar for each whole number, between the bars."""
    if scale.unit:
        value = np.ceil(cut.value) - 0.5 if cut.side == "low" else np.floor(cut.value) + 0.5
        return _x(float(value), scale, edges, box)
    return _x(cut.value, scale, edges, box)


def _x(value: float, scale: Scale, edges: np.ndarray, box: Box) -> float:
    whole = Scale(float(edges[0]), float(edges[-1]), scale.log)
    return box.left + box.inner_width * whole.place(value)


def _svg(width: int, height: int, label: str, parts: Sequence[str], kind: str = "chart") -> Markup:
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
