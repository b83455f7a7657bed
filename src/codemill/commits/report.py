"""The report of a run over histories: the page of a run over files, with commits in the place of files."""

from typing import cast

from codemill.commits.settings import CommitRecipe
from codemill.recipe import Recipe, parse_settings
from codemill.report.contents import read_heads
from codemill.report.frame import Frame
from codemill.report.html import render
from codemill.report.sections import corpus_view, samples_each
from codemill.report.summary import RunSummary
from codemill.select.result import read_selection
from codemill.store import Store


def build_commit_report(store: Store, summary: RunSummary) -> str:
    """The report as HTML: funnel, reasons, groups, and commits (message and patch) on both sides of every cut.

    Raises:
        StoreError: decisions or contents can't be read.
    """
    recipe = parse_settings(CommitRecipe, summary.recipe, "recipe")
    frames = [Frame(read_selection(store, summary.decisions, corpus)) for corpus in summary.corpora]
    samples = samples_each(frames)
    views = [corpus_view(frame, "commit", samples) for frame in frames]
    heads = read_heads(store, summary.shards, set().union(*(view.blobs() for view in views)))
    for view in views:
        view.show(heads)
    # The page asks a recipe for its name, its fingerprint and its text, which both kinds have.
    return render(cast(Recipe, recipe), summary, views)
