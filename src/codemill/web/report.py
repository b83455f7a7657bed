"""The report of a run over pages: the page of a run over files, which speaks of pages and hosts."""

from codemill.recipe import parse_settings
from codemill.report.html import build_page
from codemill.report.summary import RunSummary
from codemill.report.wording import PAGES
from codemill.store import Store
from codemill.web.settings import WebRecipe


def build_web_report(store: Store, summary: RunSummary) -> str:
    """The report as HTML: funnel, reasons, groups, and pages on both sides of every cut.

    Raises:
        StoreError: decisions or contents can't be read.
    """
    recipe = parse_settings(WebRecipe, summary.recipe, "recipe")
    return build_page(store, summary, recipe, dict.fromkeys(summary.corpora, "page"), PAGES)
