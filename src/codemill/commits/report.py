"""The report of a run over histories: the page of a run over files, with commits in the place of files."""

from typing import cast

from codemill.commits.settings import CommitRecipe
from codemill.recipe import Recipe, parse_settings
from codemill.report.html import build_page
from codemill.report.summary import RunSummary
from codemill.report.wording import COMMITS
from codemill.store import Store


def build_commit_report(store: Store, summary: RunSummary) -> str:
    """The report as HTML: funnel, reasons, groups, and commits (message and patch) on both sides of every cut.

    Raises:
        StoreError: decisions or contents can't be read.
    """
    recipe = parse_settings(CommitRecipe, summary.recipe, "recipe")
    # The page asks a recipe for its name, its fingerprint and its text, which both kinds have.
    return build_page(store, summary, cast(Recipe, recipe), dict.fromkeys(summary.corpora, "commit"), COMMITS)
