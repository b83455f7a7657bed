"""Builds the report: one HTML file that opens offline and says what a run did, what it took, and shows it.

The page loads nothing: styles, script and pictures are in it, and a content security policy forbids the rest. All that
comes from data is escaped by the template engine. Apart from the timings, the same decisions give the same page.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Any

import tomli_w
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from codemill import __version__
from codemill.recipe import Recipe, Strict
from codemill.report import charts, wording
from codemill.report.contents import read_heads
from codemill.report.frame import Frame
from codemill.report.sections import CorpusView, corpus_view, samples_each
from codemill.report.summary import RunSummary
from codemill.select.result import read_selection
from codemill.store import Store


def build_report(store: Store, summary: RunSummary) -> str:
    """The report of a finished run as HTML.

    Args:
        store: where its decisions and contents lie.
        summary: what the run left behind.

    Raises:
        StoreError: decisions or contents can't be read.
    """
    recipe = summary.load_recipe()
    return build_page(store, summary, recipe, {name: corpus.level for name, corpus in recipe.corpus.items()})


def build_page(
    store: Store, summary: RunSummary, recipe: Recipe, levels: dict[str, str], units: wording.Units = wording.FILES
) -> str:
    """The report of a run of any kind; `levels` says what a row of each corpus is, `units` what rows are called.

    Raises:
        StoreError: decisions or contents can't be read.
    """
    with wording.speaking_of(units):
        selections = (read_selection(store, summary.decisions, corpus) for corpus in summary.corpora)
        frames = [Frame(selection, units.keys) for selection in selections]
        samples = samples_each(frames)
        views = [corpus_view(frame, levels[frame.corpus], samples) for frame in frames]
        heads = read_heads(store, summary.shards, set().union(*(view.blobs() for view in views)))
        for view in views:
            view.show(heads)
        return render(recipe, summary, views)


def render(recipe: Recipe, summary: RunSummary, views: list[CorpusView]) -> str:
    """The page for these views."""
    return render_page(
        "report.html.j2",
        recipe=recipe,
        fingerprint=recipe.fingerprint(),
        recipe_text=recipe_toml(recipe),
        summary=summary,
        annotations=_annotations(summary),
        corpora=views,
    )


def render_page(template: str, **values: Any) -> str:
    """A page of the report's look: style, script, filters and charts are there, `values` are what it tells of."""
    environment = Environment(
        loader=PackageLoader("codemill.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "count",
        "share",
        "size",
        "short",
        "number",
        "seconds",
        "visible",
        "clip",
        "breakable",
        "plural",
        "marked",
    ):
        environment.filters[name] = getattr(wording, name)
    environment.globals["stacked"] = charts.stacked
    environment.globals["units"] = wording.units()
    script = _asset("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        version=__version__,
        style=Markup(_asset("style.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        **values,
    )


def recipe_toml(recipe: Strict) -> str:
    """The recipe as it was run, as TOML that can be run again; settings left at their defaults are left out."""
    values = recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if "rule" in values:
        values["rule"] = [{"name": rule["name"], **rule} for rule in values["rule"]]
    return tomli_w.dumps(_present(values), multiline_strings=True)


def _present(value: Any) -> Any:
    """The value without the nulls that TOML has no word for."""
    if isinstance(value, dict):
        return {key: _present(one) for key, one in value.items() if one is not None}
    return [_present(one) for one in value] if isinstance(value, list) else value


def _annotations(summary: RunSummary) -> list[dict[str, Any]]:
    """What each annotator computed in this run, the most work first."""
    rows = [
        {"name": name, "seconds": entry["seconds"], "computed": entry["computed"], "folder": entry["folder"]}
        for name, entry in summary.annotations.items()
    ]
    return sorted(rows, key=lambda row: (-row["seconds"], row["name"]))


def _asset(name: str) -> str:
    return (files("codemill.report") / "templates" / name).read_text(encoding="utf-8")
