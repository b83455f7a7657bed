"""Quality of a page by a scorer: what an oracle would rate it under the rubric of pages, for what it teaches.

The scorer is of the same kind as that of files (`quality/`), without a language: it sees the text alone. (The oracle is
told a page's category; a scorer that is told the category another model guesses does worse than one that is not.)
"""

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from codemill.annotate.base import Annotator, Key
from codemill.errors import RecipeError
from codemill.quality.backends import open_scorer
from codemill.quality.reference import ReferenceScorer
from codemill.quality.scorer import SCHEMA, Scorer
from codemill.recipe import Strict

SHIPPED = "shipped"
MODEL = "quality"


class PageQualityParams(Strict):
    """Which scorer."""

    model: str = Field(SHIPPED, description="`shipped`, or the folder of a scorer fitted to ratings of pages")


@cache
def open_page_scorer(model: str = SHIPPED) -> Scorer:
    """The scorer of pages that ships, or one in a folder that `codemill fit` wrote from ratings of pages.

    Raises:
        InputError: there is no such scorer.
    """
    if model != SHIPPED:
        return open_scorer(model)
    with as_file(files("codemill.web").joinpath("models") / MODEL) as folder:
        return ReferenceScorer.load(Path(folder))


class PageQualityAnnotator(Annotator):
    """Ratings of pages that a scorer predicts from their text.

    Fields: `overall`, `readability`, `modularity`, `clarity`, `reusability`, each 0..10, float32. What they mean for a
    page is in rubric 201 (`quality/rubrics`).
    """

    name: ClassVar[str] = "page_quality"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "blob"
    fields: ClassVar[pa.Schema] = SCHEMA
    Params: ClassVar[type[Strict]] = PageQualityParams

    def scorer(self) -> Scorer:
        """The scorer, read on first use.

        Raises:
            RecipeError: it is that of files.
        """
        assert isinstance(self.params, PageQualityParams)
        if self.params.model == "reference":
            raise RecipeError(f"annotate.page_quality.model: expected `{SHIPPED}` or a folder, got the scorer of files")
        return open_page_scorer(self.params.model)

    def model(self) -> str:
        return self.scorer().fingerprint

    def load(self) -> None:
        self.scorer()

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        # An empty name is no language, and nothing guesses one.
        return self.scorer().score(batch.column("content"), pa.array([""] * batch.num_rows, pa.string()))
