"""Recipes of kind `web`: which archives of pages, how they are read, which rules decide, which corpora come out."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from codemill.recipe import IngestSettings, Recipe, SourceSettings, Strict, load_recipe_as


class WarcSource(SourceSettings):
    """WARC files (and WET: WARC of plain text), one record a page; local, s3://, gs:// or https:// paths."""

    kind: Literal["warc"]
    facts: None = Field(None, description="pages have no facts of repositories")


class PagesSource(SourceSettings):
    """Parquet with one page a row: HTML, or text that others extracted."""

    kind: Literal["pages"]
    facts: None = Field(None, description="pages have no facts of repositories")
    columns: dict[str, str] = Field(
        default_factory=dict, description="ours -> theirs, for url, date, html, text; by default the same names"
    )

    @field_validator("columns")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in PAGE_COLUMNS:
                raise ValueError(f"expected columns among {', '.join(PAGE_COLUMNS)}, got {name!r}")
        return value


PAGE_COLUMNS = ("url", "date", "html", "text")
WebSource = Annotated[WarcSource | PagesSource, Field(discriminator="kind")]


class PageSettings(Strict):
    """How pages are read. Part of the identity of the values: other settings, other tables."""

    max_bytes: int = Field(5_000_000, gt=0, description="pages whose HTML is larger are recorded without text")


class WebRecipe(Recipe):
    """A whole run over pages: a recipe whose sources are archives of pages."""

    kind: Literal["web"]
    ingest: IngestSettings = IngestSettings(shard_bytes=128_000_000)
    page: PageSettings = PageSettings()
    # Pages come from other places than files; nothing that takes a recipe looks into its sources.
    source: tuple[WebSource, ...] = Field(min_length=1)  # type: ignore[assignment]


def load_web_recipe(path: str | Path) -> WebRecipe:
    """Read and check a recipe of kind `web`.

    Raises:
        RecipeError: the file is missing, no TOML, or says something that can't be.
    """
    return load_recipe_as(WebRecipe, path)
