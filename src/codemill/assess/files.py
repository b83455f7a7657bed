"""Scores files where they lie, without a store: for a look at what a scorer makes of a folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from codemill.annotate.language import detect
from codemill.errors import InputError
from codemill.quality.scorer import Scorer
from codemill.sources.base import clean_text
from codemill.sources.directories import Entry, list_entries, read_entry
from codemill.sources.ingest import content_problem

BATCH_BYTES = 8_000_000
MAX_BYTES = 50_000_000


def score_files(scorer: Scorer, paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Scores of all files at or below the paths, in order.

    Yields:
        `path`, `language`, `overall`, `readability`, `modularity`, `clarity`, `reusability`; or `path` and `problem`
        where a file is no text or can't be read.

    Raises:
        InputError: a path does not exist, or is a folder without files.
    """
    waiting: list[tuple[str, bytes]] = []
    size = 0
    for path in paths:
        if not path.exists():
            raise InputError(f"score {path}: expected a file or folder, got nothing there")
        for name, content, problem in _read(path):
            if content is None:
                yield {"path": name, "problem": problem}
                continue
            waiting.append((name, content))
            size += len(content)
            if size >= BATCH_BYTES:
                yield from _score(scorer, waiting)
                waiting, size = [], 0
    yield from _score(scorer, waiting)


def _read(path: Path) -> Iterator[tuple[str, bytes | None, str | None]]:
    entries = list_entries(path) if path.is_dir() else [Entry(path.name, path.stat().st_size, 0, None)]
    if not entries:
        raise InputError(f"score {path}: expected files, got an empty folder")
    root = path if path.is_dir() else path.parent
    for entry in entries:
        content, problem = read_entry(root, entry, MAX_BYTES)
        problem = problem if content is None else content_problem(content)
        yield clean_text(str(root / entry.path)), None if problem else content, problem


def _score(scorer: Scorer, files: list[tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
    if not files:
        return
    names, contents = [name for name, _ in files], [content for _, content in files]
    languages = detect(pa.array(names), pa.array(contents, pa.large_binary()))
    scores = scorer.score(contents, languages, names)
    for name, language, row in zip(names, languages, scores.to_pylist(), strict=True):
        yield {"path": name, "language": language, **{key: round(value, 3) for key, value in row.items()}}
