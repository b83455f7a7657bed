"""Annotators: what is known of blobs and occurrences, as raw values beside them."""

import importlib
from collections.abc import Iterable
from typing import Any

from codemill.annotate.base import BaseAnnotator
from codemill.errors import RecipeError
from codemill.recipe import parse_settings

# Imported when used: a run that needs no licences loads no licence texts.
REGISTRY = {
    "language": "codemill.annotate.language:LanguageAnnotator",
    "flags": "codemill.annotate.flags:FlagsAnnotator",
    "syntax": "codemill.annotate.syntax:SyntaxAnnotator",
    "rules": "codemill.annotate.rules:RulesAnnotator",
    "licence_text": "codemill.annotate.licence_text:LicenceTextAnnotator",
    "licence": "codemill.annotate.licence:LicenceAnnotator",
    "secrets": "codemill.annotate.secrets:SecretsAnnotator",
    "minhash": "codemill.dedup.minhash:MinHashAnnotator",
    "quality": "codemill.annotate.quality:QualityAnnotator",
    "outline": "codemill.annotate.outline:OutlineAnnotator",
    "notebook": "codemill.annotate.notebook:NotebookAnnotator",
    "contamination": "codemill.annotate.contamination:ContaminationAnnotator",
    # Of recipes of kind `commits`, where they always run; see OF_KIND.
    "commit": "codemill.commits.table:CommitTable",
    "repository": "codemill.commits.table:RepositoryTable",
    "sample": "codemill.commits.table:SampleTable",
    # Of recipes of kind `web`: the first always runs; see OF_KIND.
    "page": "codemill.web.table:PageTable",
    "host": "codemill.web.table:HostAnnotator",
    "recall": "codemill.web.recall:RecallAnnotator",
    "category": "codemill.web.category_table:CategoryAnnotator",
    "page_quality": "codemill.web.quality:PageQualityAnnotator",
}

# Annotators that say nothing of the units of other kinds of recipes.
OF_KIND = {
    **dict.fromkeys(("commit", "repository", "sample"), "commits"),
    **dict.fromkeys(("page", "host", "recall", "category", "page_quality"), "web"),
}


def check_kind(names: Iterable[str], kind: str) -> None:
    """Raise unless recipes of this kind have a use for the annotators of these names; unknown names are `build`'s.

    Raises:
        RecipeError: names the first that belongs to another kind.
    """
    for name in names:
        other = OF_KIND.get(name, kind)
        if other != kind:
            raise RecipeError(
                f"annotate.{name}: expected an annotator for recipes of kind {kind!r}, got one for {other!r}"
            )


def annotator_class(name: str) -> type[BaseAnnotator]:
    """The class behind a registered name."""
    module, cls = REGISTRY[name].split(":")
    kind: type[BaseAnnotator] = getattr(importlib.import_module(module), cls)
    return kind


def build(name: str, params: dict[str, Any] | None = None) -> BaseAnnotator:
    """The annotator of this name with these parameters.

    Raises:
        RecipeError: there is no such annotator, or a parameter is wrong.
    """
    if name not in REGISTRY:
        raise RecipeError(f"annotate.{name}: expected one of {', '.join(sorted(REGISTRY))}, got {name!r}")
    kind = annotator_class(name)
    return kind(parse_settings(kind.Params, params or {}, f"annotate.{name}"))
