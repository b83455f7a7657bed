"""The report of a run over pages: the page of a run over files, with pages in the place of files."""

from codemill.recipe import parse_settings
from codemill.report.contents import read_heads
from codemill.report.frame import Frame
from codemill.report.html import render
from codemill.report.sections import corpus_view, samples_each
from codemill.report.summary import RunSummary
from codemill.select.result import read_selection
from codemill.store import Store
from codemill.web.settings import WebRecipe


def build_web_report(store: Store, summary: RunSummary) -> str:
    """The report as HTML: funnel, reasons, groups, and pages on both sides of every cut.

    Raises:
        StoreError: decisions or contents can't be read.
    """
    recipe = parse_settings(WebRecipe, summary.recipe, "recipe")
    frames = [Frame(read_selection(store, summary.decisions, corpus)) for corpus in summary.corpora]
    samples = samples_each(frames)
    views = [corpus_view(frame, "file", samples) for frame in frames]
    heads = read_heads(store, summary.shards, set().union(*(view.blobs() for view in views)))
    for view in views:
        view.show(heads)
    return render(recipe, summary, views)
