"""Packed sequences in the formats of the common loaders; one writer for each, all used the same way.

    writer = open_writer("mds", folder, ShardSettings(format="mds"), vocab_size=155_136)
    for batch in batches:      # rows of tokens.pack.SEQUENCE
        writer.write(batch)
    written = writer.close()
    finish("mds", folder, [written])

Several writers may work on one folder at a time, each with a `part` of its own; `finish` then makes them one dataset.
"""

import importlib
from pathlib import Path

from codemill.errors import RecipeError
from codemill.shards.base import ShardSettings, Writer, Written

FORMATS = {
    "parquet": "codemill.shards.parquet:ParquetShards",
    "megatron": "codemill.shards.megatron:MegatronShards",
    "mds": "codemill.shards.mds:MdsShards",
    "litdata": "codemill.shards.litdata:LitdataShards",
    "nanogpt": "codemill.shards.nanogpt:NanogptShards",
}

__all__ = ["FORMATS", "ShardSettings", "Writer", "Written", "finish", "open_writer"]


def _writer(name: str) -> type[Writer]:
    if name not in FORMATS:
        raise RecipeError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    module, _, attribute = FORMATS[name].partition(":")
    kind: type[Writer] = getattr(importlib.import_module(module), attribute)
    return kind


def open_writer(
    name: str, folder: str | Path, settings: ShardSettings | None = None, *, vocab_size: int, part: int = 0
) -> Writer:
    """A writer of sequences into `folder`.

    Args:
        name: one of FORMATS.
        folder: made if it is not there.
        settings: sizes; None: the defaults.
        vocab_size: decides between ids of 16 and 32 bits where the format leaves the choice.
        part: number of this writer among those that write into the folder.

    Raises:
        RecipeError: there is no such format.
    """
    return _writer(name)(folder, settings or ShardSettings(), vocab_size=vocab_size, part=part)


def finish(name: str, folder: str | Path, parts: list[Written]) -> None:
    """Make one dataset of what the writers of a folder wrote: indexes that name all parts, in the order of `parts`."""
    _writer(name).finish(Path(folder), parts)
