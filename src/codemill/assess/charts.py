"""Draws the pictures of an assessment as inline SVG: heat map, box plot, calibration.

Colours are classes or opacity over the text colour, so that one page serves light and dark schemes. Every picture has a
label that says what it shows.
"""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from codemill.quality.metrics import CLASSES

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 560, 300, 44, 40, 12


def heat_map(counts: np.ndarray, across: str, down: str) -> Markup:
    """How often a rating of one (columns) meets a rating of the other (rows, 10 on top). `counts`: [down, across]."""
    cell, left, bottom = 34, 44, 44
    size = counts.shape[0]
    most = max(int(counts.max()), 1)
    parts = []
    for row in range(size):
        y = (size - 1 - row) * cell
        parts.append(_text(left - 8, y + cell / 2 + 4, str(row), "end"))
        parts.append(_text(left + row * cell + cell / 2, size * cell + 16, str(row)))
        for column in range(size):
            count = int(counts[row, column])
            x = left + column * cell
            # Square roots keep rare meetings visible beside frequent ones.
            shade = 0.04 if not count else 0.1 + 0.9 * (count / most) ** 0.5
            parts.append(
                f'<rect class="heat" x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" fill-opacity="{shade:.2f}">'
                f"<title>{escape(down)} {row}, {escape(across)} {column}: {count}</title></rect>"
            )
            if count:
                kind = "on" if shade > 0.7 else "cell"
                parts.append(_text(x + cell / 2, y + cell / 2 + 4, f"{count:,}", kind=kind))
    parts.append(_text(left + size * cell / 2, size * cell + 36, across))
    parts.append(_upright(12, size * cell / 2, down))
    return _svg(left + size * cell, size * cell + bottom, f"{down} by {across}", parts)


def box_plot(boxes: Sequence[dict[str, float]], across: str, down: str) -> Markup:
    """Predictions (0..10) by rating: whiskers from percentile 5 to 95, box from 25 to 75, line at the median."""
    parts = _frame(across, down)
    step = (_WIDTH - _LEFT) / CLASSES
    for box in boxes:
        x = _LEFT + step * box["rating"] + step / 2
        y = {name: _y(box[name]) for name in ("p5", "p25", "p50", "p75", "p95")}
        half = step * 0.3
        title = f"rated {box['rating']:g}: {box['files']:,} files, median {box['p50']:.2f}"
        parts.append(
            f'<g><title>{title}</title><line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{y["p95"]:.1f}" '
            f'y2="{y["p5"]:.1f}"/><rect class="box" x="{x - half:.1f}" y="{y["p75"]:.1f}" width="{2 * half:.1f}" '
            f'height="{max(y["p25"] - y["p75"], 1):.1f}"/><line class="strong" x1="{x - half:.1f}" '
            f'x2="{x + half:.1f}" y1="{y["p50"]:.1f}" y2="{y["p50"]:.1f}"/></g>'
        )
        # Where a perfect scorer's prediction would lie.
        parts.append(
            f'<line class="ideal" x1="{x - step / 2:.1f}" x2="{x + step / 2:.1f}" y1="{_y(box["rating"]):.1f}" '
            f'y2="{_y(box["rating"]):.1f}"/>'
        )
    parts += [_text(_LEFT + step * rating + step / 2, _HEIGHT - _BOTTOM + 16, str(rating)) for rating in range(CLASSES)]
    return _svg(_WIDTH, _HEIGHT, f"{down} by {across}", parts)


def calibration_plot(points: Sequence[tuple[float, float, int]], across: str, down: str) -> Markup:
    """Mean rating over mean prediction, in bins of equally many files; the diagonal is perfect calibration."""
    parts = _frame(across, down)
    parts.append(f'<line class="ideal" x1="{_x(0):.1f}" y1="{_y(0):.1f}" x2="{_x(10):.1f}" y2="{_y(10):.1f}"/>')
    path = " ".join(f"{_x(guess):.1f},{_y(truth):.1f}" for guess, truth, _ in points)
    parts.append(f'<polyline class="strong" fill="none" points="{path}"/>')
    for guess, truth, files in points:
        title = f"{files:,} files: predicted {guess:.2f}, rated {truth:.2f}"
        parts.append(
            f'<circle class="dot" cx="{_x(guess):.1f}" cy="{_y(truth):.1f}" r="4"><title>{title}</title></circle>'
        )
    parts += [_text(_x(rating), _HEIGHT - _BOTTOM + 16, str(rating)) for rating in range(CLASSES)]
    return _svg(_WIDTH, _HEIGHT, f"{down} by {across}", parts)


def _frame(across: str, down: str) -> list[str]:
    parts = []
    for rating in range(0, CLASSES, 2):
        y = _y(rating)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 8, y + 4, str(rating), "end"))
    parts.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, across))
    parts.append(_upright(12, (_HEIGHT - _BOTTOM) / 2, down))
    return parts


def _x(value: float) -> float:
    margin = (_WIDTH - _LEFT) / CLASSES / 2
    return _LEFT + margin + (_WIDTH - _LEFT - 2 * margin) * value / 10


def _y(value: float) -> float:
    return _TOP + (_HEIGHT - _BOTTOM - _TOP) * (1 - value / 10)


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _upright(x: float, y: float, text: str) -> str:
    return (
        f'<text class="tick" text-anchor="middle" transform="translate({x:.1f} {y:.1f}) rotate(-90)">'
        f"{escape(text)}</text>"
    )


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> Markup:
    size = f'viewBox="0 0 {width:g} {height:g}" style="max-width:{width:g}px"'
    return Markup(f'<svg {size} role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>')
