"""The ratings that ship: git blob ids without contents, and how to put the contents back from clones or a table."""

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codemill.errors import InputError
from codemill.quality.table import as_bytes

# `group` numbers the repositories in random order: folds need to know which files belong together, not where they are.
SHIPPED = pa.schema(
    [
        ("git_blob", pa.string()),
        ("language", pa.string()),  # Linguist's name
        ("group", pa.int16()),
        ("overall", pa.int8()),
        ("readability", pa.int8()),
        ("modularity", pa.int8()),
        ("clarity", pa.int8()),
        ("reusability", pa.int8()),
        ("zero", pa.string()),  # data, config, trivial, generated; null where the rating is not 0
        ("rubric", pa.int32()),
        ("set", pa.int8()),  # 1, which figures are about; 2, our own, rated to teach
    ]
)


def load_labels() -> pa.Table:
    """The rated files that ship, as `SHIPPED` says: no contents, no names of anything."""
    with as_file(files("codemill.quality").joinpath("data", "labels.parquet")) as path:
        return pq.read_table(path)


def join_contents(labels: pa.Table, source: pa.Table | Sequence[str | Path] | str | Path) -> tuple[pa.Table, int]:
    """Labels with a column `content` (large_binary), and how many rows were left out because theirs was not found.

    Args:
        labels: has `git_blob`.
        source: a table with `content` and `git_blob` (or `blob`, or `blob_id`s of git), or git directories: clones,
            bare or not; a folder that holds several is searched one and two levels deep.

    Raises:
        InputError: the source has no such columns, a folder holds no repository, or nothing was found.
    """
    if "git_blob" not in labels.column_names:
        raise InputError(f"labels: expected a column git_blob, got {', '.join(labels.column_names)}")
    if isinstance(source, pa.Table):
        content = _from_table(labels, source)
    else:
        folders = [source] if isinstance(source, str | Path) else list(source)
        content = _from_clones(labels["git_blob"].to_pylist(), [Path(folder) for folder in folders])
    found = pc.is_valid(content)
    joined = labels.append_column("content", content).filter(found)
    if not joined.num_rows:
        raise InputError(f"contents: expected blobs of the labels, got none of {labels.num_rows}")
    return joined, labels.num_rows - joined.num_rows


def _from_table(labels: pa.Table, source: pa.Table) -> pa.Array:
    key = next((name for name in ("git_blob", "blob", "blob_id") if name in source.column_names), None)
    if key is None or "content" not in source.column_names:
        raise InputError(f"contents: expected columns git_blob and content, got {', '.join(source.column_names)}")
    rows = pc.index_in(labels["git_blob"], value_set=source[key].combine_chunks())
    return as_bytes(source["content"]).take(rows.combine_chunks())


def _from_clones(blobs: list[str], folders: list[Path]) -> pa.Array:
    import pygit2

    contents: dict[str, bytes] = {}
    wanted = set(blobs)
    for folder in folders:
        places = repositories(folder)
        if not places:
            raise InputError(f"contents {folder}: expected a git repository or a folder of some, got none")
        for place in places:
            objects = pygit2.Repository(str(place))
            for blob in list(wanted):
                if blob in objects:
                    contents[blob] = cast(pygit2.Blob, objects[blob]).data
                    wanted.discard(blob)
    return pa.array([contents.get(blob) for blob in blobs], pa.large_binary())


def repositories(folder: Path) -> list[Path]:
    """The git directories that a folder is, or holds one or two levels deep, sorted."""
    places = [folder, *sorted(folder.glob("*")), *sorted(folder.glob("*/*"))]
    found = [
        place
        for place in places
        if ((place / "objects").is_dir() and (place / "HEAD").is_file()) or (place / ".git" / "HEAD").is_file()
    ]
    # A work tree's own .git is found twice: once as itself, once by its folder.
    return [place for place in found if place.name != ".git" or place.parent not in found]
