"""Shows what each rule looked at: its column's values with the cut in them, and files just on either side of it."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from codemill.annotate import REGISTRY, annotator_class
from codemill.recipe import Bounds, QuantileRule, SampleRule, ValueRule
from codemill.report import charts
from codemill.report.frame import Codes, Floats, Frame, Mask
from codemill.report.histogram import BINS, SMALL_BINS, Cut, Side, fill, make_edges, make_scale
from codemill.report.samples import Samples, at_random, describe, nearest
from codemill.report.shares import groups_by
from codemill.report.wording import clip, count, number, share, units, visible
from codemill.select.result import Step
from codemill.select.signals import groups_of
from codemill.tables import one_chunk

MOST_VALUES = 14  # bars of a column of names
QUANTILES = {"min": 0.0, "1%": 0.01, "10%": 0.1, "median": 0.5, "90%": 0.9, "99%": 0.99, "max": 1.0}
MOST_PANELS = 8  # small charts, one a group
SCORES = ("quality.", "page_quality.")  # columns of these annotators always get a chart for each language

Measured = ValueRule | QuantileRule


@dataclass(frozen=True)
class Panel:
    """The chart of one group."""

    title: str
    detail: str
    chart: Markup


@dataclass
class RuleView:
    """What the report says of a rule's column.

    Attributes:
        step: index of the rule's step.
        missing, missing_dropped: files that reached it without a value, and those of them it dropped.
        facts: quantiles of the values of those that have one, by name.
        only: the value of all files that have one, where they share it; there is nothing to draw then.
        annotator, about: which one the column is of, and what it says of its values; nothing for columns of none.
        chart: all files that reached it; None where there is nothing to draw.
        panels: the same by language or source.
        at_cut: per side (`low`, `high`) files nearest to the cut.
        random: files it dropped, at random.
    """

    step: int
    missing: int = 0
    missing_dropped: int = 0
    only: str = ""
    annotator: str = ""
    about: str = ""
    chart: Markup | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)
    panels_by: str = ""
    panels: list[Panel] = field(default_factory=list)
    panels_left: int = 0
    at_cut: dict[str, Samples] = field(default_factory=dict)
    random: Samples = field(default_factory=Samples)

    def every(self) -> list[Samples]:
        return [*self.at_cut.values(), self.random]


def rule_view(frame: Frame, index: int, samples: int) -> RuleView:
    """The view of the rule at a step that looks at a column; `samples` files are shown on each side."""
    step = frame.selection.steps[index]
    rule = step.setting
    assert isinstance(rule, ValueRule | QuantileRule)
    view = RuleView(index)
    view.annotator = rule.column.partition(".")[0]
    if view.annotator in REGISTRY:
        view.about = " ".join((annotator_class(view.annotator).__doc__ or "").split())
    reached = frame.stopped >= index
    stopped = (frame.stopped == index) & ~frame.errored
    kind = frame.type_of(rule.column)
    if _numeric(kind):
        values, valid = frame.numbers(rule.column)
        _draw_numbers(frame, view, values, _Rows(step, reached & valid, stopped), samples)
        del values
    else:
        valid = np.zeros(frame.count, dtype=np.bool_)
        for start, column in frame.column(rule.column):
            valid[start : start + len(column)] = column.is_valid().to_numpy(zero_copy_only=False)
        if (reached & valid).any() and not pa.types.is_nested(kind):
            view.chart = _draw_names(frame, rule.column, reached & valid, stopped)
    view.missing = int((reached & ~valid).sum())
    view.missing_dropped = int((stopped & ~valid).sum())
    gone = (frame.stopped == index) & ~_shown(frame, view)
    view.random.gone = describe(frame, at_random(frame, gone, samples), rule.column)
    return view


def sample_view(frame: Frame, index: int, samples: int) -> RuleView:
    """The view of a rule that keeps a random share of each group: what came, what went, and the rates."""
    step = frame.selection.steps[index]
    assert isinstance(step.setting, SampleRule)
    view = RuleView(index)
    reached, gone = frame.stopped >= index, frame.stopped == index
    if groups_of(step.setting) != "all" and reached.any():
        _, codes, names = _groups(frame, step)
        came, went = (np.bincount(codes[mask], minlength=len(names)) for mask in (reached, gone))
        order = [int(i) for i in np.argsort(-came, kind="stable") if came[i]]
        view.chart = charts.bars([(visible(names[i].as_py()), int(came[i] - went[i]), int(went[i])) for i in order])
        view.facts = [(clip(names[i].as_py(), 26), f"{100 * step.cuts[names[i].as_py()]:g}%") for i in order]
    view.random.gone = describe(frame, at_random(frame, gone, samples))
    return view


def _shown(frame: Frame, view: RuleView) -> Mask:
    """Rows that are shown at the cut already."""
    ids = [sample.occurrence for samples in view.at_cut.values() for sample in samples.every()]
    shown = np.zeros(frame.count, dtype=np.bool_)
    if ids:
        for start, column in frame.column("occurrence_id"):
            found = pc.is_in(column, value_set=pa.array(ids, pa.string()))
            shown[start : start + len(column)] = found.to_numpy(zero_copy_only=False)
    return shown


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _draw_names(frame: Frame, column: str, here: Mask, stopped: Mask) -> Markup:
    """Bars of the commonest values."""
    codes, names = frame.encoded([column], lambda rows, _: pc.fill_null(one_chunk(rows[column]).cast(pa.string()), ""))
    every = np.bincount(codes[here], minlength=len(names))
    gone = np.bincount(codes[stopped & here], minlength=len(names))
    order = np.argsort(-every, kind="stable")[: int((every > 0).sum())]
    rows = [(visible(names[int(i)].as_py()), int(every[i] - gone[i]), int(gone[i])) for i in order[:MOST_VALUES]]
    rest = order[MOST_VALUES:]
    if len(rest):
        rows.append((f"{len(rest):,} others", int((every[rest] - gone[rest]).sum()), int(gone[rest].sum())))
    return charts.bars(rows)


@dataclass(frozen=True)
class _Rows:
    """The rows of a frame that came to a step with a value, and those that the step dropped."""

    step: Step
    here: Mask
    stopped: Mask


def _draw_numbers(frame: Frame, view: RuleView, numbers: Floats, rows: _Rows, samples: int) -> None:
    step, stopped = rows.step, rows.stopped
    rule = step.setting
    assert isinstance(rule, ValueRule | QuantileRule)
    here = rows.here & np.isfinite(numbers)
    if not here.any():
        return
    common = common_cuts(step)
    shown, gone = numbers[here], stopped[here]
    if len(shown) > 1 and shown.min() == shown.max():
        view.only = number(float(shown[0]))
        return
    scale = make_scale(shown, common)
    edges = make_edges(scale, common, BINS)
    label = f"Values of {rule.column}: {count(len(shown))} {units().many} reached the rule, {count(gone.sum())} dropped"
    view.chart = charts.histogram(fill(shown, gone, scale, edges), common, label, axes=charts.Axes(rule.column))
    view.facts = [
        (name, number(float(value)))
        for name, value in zip(QUANTILES, np.quantile(shown, list(QUANTILES.values())), strict=True)
    ]
    _draw_panels(frame, view, numbers, _Rows(step, here, stopped))
    for side, limits in row_limits(frame, step).items():
        distance = limits - numbers if side == "low" else numbers - limits
        below = here & stopped & (distance > 0)
        above = here & ~(frame.stopped == view.step) & (distance <= 0)
        pair = Samples(
            describe(frame, nearest(frame, below, distance[below], samples), rule.column),
            describe(frame, nearest(frame, above, -distance[above], samples), rule.column),
        )
        if pair.gone or pair.stayed:
            view.at_cut[side] = pair


def common_cuts(step: Step) -> list[Cut]:
    """The cuts that hold for all rows (or, beside exceptions, for the others)."""
    rule = step.setting
    if isinstance(rule, ValueRule):
        return _bound_cuts(rule)
    assert isinstance(rule, QuantileRule)
    return [Cut(step.cuts["all"], _side(rule))] if rule.within == "all" and "all" in step.cuts else []


def _bound_cuts(limits: Bounds) -> list[Cut]:
    low = [Cut(limits.min, "low")] if limits.min is not None else []
    return low + ([Cut(limits.max, "high")] if limits.max is not None else [])


def _side(rule: QuantileRule) -> Side:
    return "low" if rule.drop_lowest is not None else "high"


def _groups(frame: Frame, step: Step) -> tuple[str, Codes, pa.Array]:
    """What a rule tells apart, or what its panels show: kind, index of every row, names."""
    kind = groups_of(step.setting)
    if "." in kind:
        return (kind, *groups_by(frame, step))
    if kind == "source":
        return ("source", *frame.groups("source"))
    return ("language", *frame.languages)


def _group_cuts(step: Step, name: str) -> list[Cut]:
    rule = step.setting
    if isinstance(rule, ValueRule):
        return _bound_cuts(rule.limits.get(name, rule))
    assert isinstance(rule, QuantileRule)
    value = step.cuts.get("all" if rule.within == "all" else name)
    return [] if value is None else [Cut(value, _side(rule))]


def row_limits(frame: Frame, step: Step) -> dict[Side, Floats]:
    """For each side the rule cuts on, the bound that holds for every row; NaN where there is none."""
    _, codes, names = _groups(frame, step)
    cuts = [_group_cuts(step, name) for name in names.to_pylist()]
    limits: dict[Side, Floats] = {}
    sides: tuple[Side, ...] = ("low", "high")
    for side in sides:
        by_group = np.array([next((cut.value for cut in several if cut.side == side), np.nan) for several in cuts])
        if not np.isnan(by_group).all():
            limits[side] = by_group[codes]
    return limits


def _draw_panels(frame: Frame, view: RuleView, numbers: Floats, rows: _Rows) -> None:
    """A small chart for each of the largest groups where the cut, or by nature the column, differs between them."""
    step, here, stopped = rows.step, rows.here, rows.stopped
    rule = step.setting
    assert isinstance(rule, ValueRule | QuantileRule)
    if groups_of(rule) == "all" and not rule.column.startswith(SCORES):
        return
    kind, codes, names = _groups(frame, step)
    sizes = np.bincount(codes[here], minlength=len(names))
    order = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
    special = set(rule.limits) if isinstance(rule, ValueRule) else set()
    chosen = sorted(order, key=lambda i: (names[int(i)].as_py() not in special, -sizes[i]))[:MOST_PANELS]
    titles = [names[int(i)].as_py() for i in chosen]
    every = [cut for title in titles for cut in _group_cuts(step, title)]
    scale = make_scale(numbers[here], every)
    view.panels_by, view.panels_left = kind, len(order) - len(chosen)
    for which, title in zip(chosen, titles, strict=True):
        mine = here & (codes == which)
        shown, gone = numbers[mine], stopped[mine]
        cuts = _group_cuts(step, title)
        edges = make_edges(scale, cuts, SMALL_BINS)
        detail = f"{count(len(shown))} {units().many}, {share(gone.sum(), len(shown))} dropped"
        detail += "".join(f", {'≥' if cut.side == 'low' else '≤'} {number(cut.value)} kept" for cut in cuts)
        name = clip(visible(title), 40)
        chart = charts.histogram(fill(shown, gone, scale, edges), cuts, f"{name}: {detail}", charts.SMALL)
        view.panels.append(Panel(name, detail, chart))
