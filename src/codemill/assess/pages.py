"""Turns results into self-contained HTML pages and text tables."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from codemill.errors import StoreError


def write_page(path: str | Path, template: str, values: dict[str, Any]) -> None:
    """Render a template of this package to a file; everything it shows lies within it.

    Raises:
        StoreError: the file can't be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("codemill.assess"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"figure": figure, "share": share}
    text = environment.get_template(template).render(**values)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"report {path}: cannot write: {error}") from error


def figure(value: float | None) -> str:
    """Two decimals; a dash where there is no value."""
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"


def share(value: float | None) -> str:
    """Percent; a dash where there is no value."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.0f}%"


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell, the first to the left, the others to the right."""
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in (head, *rows))
    ]
    return "\n".join(line.rstrip() for line in lines)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN becomes null, arrays lists."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") else value
