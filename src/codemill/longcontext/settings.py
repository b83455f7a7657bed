"""Settings of long context: the window, which repositories and files go in, and how a sequence is written."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from codemill.errors import RecipeError
from codemill.longcontext.text import headers
from codemill.recipe import Strict, parse_settings


class LongContextSettings(Strict):
    """How corpora become long documents."""

    window: int = Field(32_768, gt=0, description="most tokens of a sequence; larger repositories are cut")
    tokenizer: str | None = Field(
        None, description="tokenizer.json or its folder, to count tokens with; none: estimated by bytes_per_token"
    )
    bytes_per_token: float = Field(3.5, gt=0, description="bytes of UTF-8 in a token, where no tokenizer counts")
    header: str = Field("comment", description="what stands before each file: a name of data/imports_headers.toml")
    readme_first: bool = Field(True, description="a repository's README opens its first sequence, if it fits there")
    score: str = Field("quality_overall", description="column of a file's score; its mean ranks repositories")
    min_score: float | None = Field(None, description="least mean score of a repository's files")
    drop_lowest: float | None = Field(None, gt=0, lt=1, description="share of repositories to drop, worst first")
    unscored: Literal["keep", "drop"] = Field("keep", description="what becomes of repositories without any score")
    min_sequence: int = Field(0, ge=0, description="shorter sequences of repositories are dropped; tokens")
    min_document: int = Field(8_192, ge=0, description="shorter files of file-level corpora are dropped; tokens")
    max_repository_bytes: int = Field(
        512_000_000, gt=0, description="larger repositories are taken in pieces of whole rows, which bounds memory"
    )
    seed: int = Field(0, description="of the order of files that have no graph")

    @field_validator("header")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in headers():
            raise ValueError(f"expected one of {', '.join(headers())}, got {value!r}")
        return value

    @model_validator(mode="after")
    def _one_cut(self) -> "LongContextSettings":
        if self.min_score is not None and self.drop_lowest is not None:
            raise ValueError("expected min_score or drop_lowest, got both")
        return self

    @property
    def ranks(self) -> bool:
        """Whether scores decide over repositories."""
        return self.min_score is not None or self.drop_lowest is not None


def load_settings(path: Path | None, changes: dict[str, Any]) -> LongContextSettings:
    """Settings of a TOML file, if there is one, with changes over them.

    Raises:
        RecipeError: the file can't be read, or a setting is wrong.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RecipeError(f"settings {path}: expected a readable TOML file, got {error}") from error
    return parse_settings(LongContextSettings, {**values, **changes}, "longcontext")
