"""Compares two oracles (or two readings of one): how well they agree, where they differ, a heat map of ratings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.assess.charts import heat_map
from codemill.assess.pages import figure, plain, share, text_table, write_page
from codemill.errors import InputError
from codemill.quality.metrics import CLASSES, kappa, mae, spearman
from codemill.quality.rubric import SCORES
from codemill.quality.table import read_labels

_SAYS = ("zero", "explanation", "why")


@dataclass(frozen=True)
class Agreement:
    """How two lists of ratings agree. `bias` is the mean of the other less the one; kappa has quadratic weights."""

    name: str
    files: int
    exact: float
    within_one: float
    bias: float
    mae: float
    spearman: float
    kappa: float


@dataclass(frozen=True)
class Difference:
    """One file that the two rate differently."""

    file: str
    language: str
    one: int
    other: int
    one_says: str
    other_says: str


@dataclass(frozen=True)
class Comparison:
    """What two tables of labels have in common.

    Attributes:
        one, other: names of the two.
        files, only_one, only_other: files rated by both, by one alone.
        counts: [11, 11], files by rating of the one (rows) and the other (columns).
        agreement: of the overall rating, then of the aspects that both have.
        languages: of the overall rating, language by language, most files first.
        zero_alike: share of files that both or neither call a zero; same_reason: share of equal reasons among the
            files both call one.
        differences: files that differ most, first.
    """

    one: str
    other: str
    files: int
    only_one: int
    only_other: int
    counts: np.ndarray
    agreement: list[Agreement]
    languages: list[Agreement]
    zero_alike: float
    same_reason: float
    differences: list[Difference]

    def text(self) -> str:
        """The agreement as a table for a terminal."""
        head = ("rating", "files", "same", "within 1", "difference", "absolute", "Spearman", "kappa")
        rows = [
            (
                a.name,
                f"{a.files:,}",
                share(a.exact),
                share(a.within_one),
                *map(figure, (a.bias, a.mae, a.spearman, a.kappa)),
            )
            for a in self.agreement
        ]
        return f"{self.files:,} files rated by {self.one} and {self.other}\n{text_table(head, rows)}"

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values; NaN is null."""
        return dict(plain(asdict(self)))

    def write_html(self, path: str | Path) -> None:
        """A self-contained page. Raises StoreError where it can't be written."""
        heat = heat_map(self.counts, across=self.other, down=self.one)
        title = f"{self.one} and {self.other}"
        write_page(path, "comparison.html.j2", {"title": title, "c": self, "heat": heat})


def compare_labels(
    one: str | Path, other: str | Path, names: tuple[str, str] | None = None, differences: int = 50
) -> Comparison:
    """Compare two tables of labels, joined by blob and language.

    Args:
        one, other: tables of labels or folders of labelling runs.
        names: what to call them; by default the models that the tables name.
        differences: how many of the files that differ most to list.

    Raises:
        InputError: a table can't be read, or they have no file in common.
    """
    (left, _), (right, _) = read_labels(one), read_labels(other)
    key = "blob_id" if not left["blob_id"].null_count and not right["blob_id"].null_count else "git_blob"
    left, right = _keyed(left, key), _keyed(right, key)
    index = pc.index_in(left["key"], value_set=right["key"].combine_chunks())
    both = pc.is_valid(index)
    a, b = left.filter(both), right.take(index.filter(both))
    if not a.num_rows:
        raise InputError(f"labels {other}: expected files that {one} rates too (by {key} and language), got none")
    name, other_name = names or (_name(left, one), _name(right, other))
    if name == other_name:
        name, other_name = f"{name} (1)", f"{other_name} (2)"
    x, y = _ints(a["overall"]), _ints(b["overall"])
    counts = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    np.add.at(counts, (x, y), 1)
    zero_alike, same_reason = _zeros(a, b)
    return Comparison(
        one=name,
        other=other_name,
        files=a.num_rows,
        only_one=left.num_rows - a.num_rows,
        only_other=right.num_rows - a.num_rows,
        counts=counts,
        agreement=[agreed for score in SCORES if (agreed := _column(a, b, score)) is not None],
        languages=_languages(a, x, y),
        zero_alike=zero_alike,
        same_reason=same_reason,
        differences=_differences(a, b, differences),
    )


def agree(name: str, one: np.ndarray, other: np.ndarray) -> Agreement:
    """Agreement of two arrays of integer ratings."""
    gap = np.abs(one - other)
    return Agreement(
        name=name,
        files=len(one),
        exact=float((gap == 0).mean()),
        within_one=float((gap <= 1).mean()),
        bias=float((other - one).mean()),
        mae=mae(one, other),
        spearman=spearman(one, other),
        kappa=kappa(one, other),
    )


def _keyed(table: pa.Table, key: str) -> pa.Table:
    """The table with a column `key`, one row for each: a file rated twice counts once, with its first rating."""
    keys = pc.binary_join_element_wise(pc.fill_null(table[key], ""), pc.fill_null(table["language"], ""), "\0")
    first = np.unique(np.asarray(keys.to_pylist(), dtype=object), return_index=True)[1]
    return table.append_column("key", keys).take(pa.array(np.sort(first)))


def _name(table: pa.Table, path: str | Path) -> str:
    models = pc.unique(table["model"]).drop_null().to_pylist() if "model" in table.column_names else []
    return str(models[0]) if len(models) == 1 else Path(path).stem


def _ints(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.int64()).to_numpy())


def _column(a: pa.Table, b: pa.Table, score: str) -> Agreement | None:
    known = pc.and_(pc.is_valid(a[score]), pc.is_valid(b[score]))
    if not pc.any(known).as_py():
        return None
    return agree(score, _ints(a[score].filter(known)), _ints(b[score].filter(known)))


def _languages(a: pa.Table, x: np.ndarray, y: np.ndarray) -> list[Agreement]:
    names = np.asarray([name or "unknown" for name in a["language"].to_pylist()], dtype=object)
    found = [agree(str(name), x[names == name], y[names == name]) for name in np.unique(names)]
    return sorted(found, key=lambda entry: -entry.files)


def _zeros(a: pa.Table, b: pa.Table) -> tuple[float, float]:
    pairs = list(zip(a["zero"].to_pylist(), b["zero"].to_pylist(), strict=True))
    alike = float(np.mean([(x is None) == (y is None) for x, y in pairs]))
    same = [x == y for x, y in pairs if x is not None and y is not None]
    return alike, float(np.mean(same)) if same else float("nan")


def _differences(a: pa.Table, b: pa.Table, most: int) -> list[Difference]:
    gap = np.abs(_ints(a["overall"]) - _ints(b["overall"]))
    order = np.argsort(-gap, kind="stable")[:most]
    chosen = pa.array(order[gap[order] > 0])
    rows: list[Difference] = []
    for x, y in zip(a.take(chosen).to_pylist(), b.take(chosen).to_pylist(), strict=True):
        rows.append(
            Difference(
                file=x["path"] or y["path"] or x["blob_id"] or x["git_blob"],
                language=x["language"] or "unknown",
                one=x["overall"],
                other=y["overall"],
                one_says=_says(x, _SAYS),
                other_says=_says(y, _SAYS),
            )
        )
    return rows


def _says(row: dict[str, Any], names: Sequence[str]) -> str:
    text = ": ".join(str(row[name]) for name in names if row.get(name))
    return text if len(text) <= 300 else f"{text[:299]}…"
