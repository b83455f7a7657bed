"""Where data comes from: the kinds of sources that a recipe over files may name."""

from typing import Annotated, Literal

from pydantic import Field

from codemill.recipe.base import Strict
from codemill.recipe.mistakes import NAME


class SourceSettings(Strict):
    """What all kinds of sources share."""

    name: str = Field(pattern=NAME, description="names the source in every table")
    path: str = Field(min_length=1, description="local path, glob or URL")
    facts: str | None = Field(
        None, min_length=1, description="Parquet, JSONL or CSV table with a column `repo` and any of the facts"
    )


class DirectorySource(SourceSettings):
    """Folders on a file system, with or without git metadata; `.git` folders are passed over."""

    kind: Literal["directories"]
    layout: Literal["children", "single"] = Field("children", description="each child a repository, or one as given")


class GitSource(SourceSettings):
    """Git repositories, bare or not, read from the object store with no checkout."""

    kind: Literal["git"]
    layout: Literal["children", "single"] = "children"
    revision: str = Field("HEAD", description="any revision git understands")
    max_files: int = Field(2_000_000, gt=0, description="most files of one commit; guards against trees of trees")


class ArchiveSource(SourceSettings):
    """Tar and zip archives (wheels too), each one repository, read without unpacking to disk."""

    kind: Literal["archives"]
    max_files: int = Field(200_000, gt=0)
    max_total_bytes: int = Field(4_000_000_000, gt=0, description="most bytes unpacked from one archive")
    max_ratio: int = Field(200, gt=0, description="most bytes out for a byte in")
    strip_top: bool = Field(True, description="drop a single top folder that all members share")


class TableSource(SourceSettings):
    """Parquet, JSONL or JSONL.zst with one file a row; local, s3://, gs:// or hf:// paths."""

    kind: Literal["table"]
    preset: Literal["the-stack-v1", "the-stack-v2", "the-stack-v3"] | None = None
    columns: dict[str, str] = Field(
        default_factory=dict, description="ours -> theirs, for repo, revision, path, content and the facts"
    )


Source = Annotated[DirectorySource | GitSource | ArchiveSource | TableSource, Field(discriminator="kind")]
