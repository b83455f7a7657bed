"""Corpora in, long documents out: ranks repositories, has workers make the parts that are missing, and sums them up."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codemill.engine import Engine, Task
from codemill.errors import ConservationError, InputError
from codemill.longcontext.part import TABLES, VERSION, make_part  # noqa: F401 - the engine loads it by name
from codemill.longcontext.rank import Ranking, rank
from codemill.longcontext.read import Input, find_inputs
from codemill.longcontext.settings import LongContextSettings
from codemill.longcontext.text import measure_with
from codemill.schema import blob_id, digest
from codemill.store import Store

SUMMARY = "longcontext.json"
BEGUN = ".longcontext.json"  # marks a folder as one of long context before there is a summary
NESTED = ("dropped", "parsed")


def make_documents(
    engine: Engine, inputs: Sequence[str], output_folder: str, settings: LongContextSettings
) -> dict[str, Any]:
    """Make long documents of repository-level and file-level corpora.

    Below the folder, one Parquet file for each input file: `documents/` (as `schema.DOCUMENT`), `sequences/`, `files/`
    (what became of every file) and `edges/`. `longcontext.json`, written last, is the summary. What an earlier call has
    finished is left alone; what this one does not ask for is removed.

    Args:
        engine: where the work runs.
        inputs: Parquet files, folders or URLs of corpora.
        output_folder: local path or URL.
        settings: see there.

    Returns:
        the summary: counts of repositories, files, sequences, tokens and edges, and by reason and language.

    Raises:
        InputError: an input can't be used, or the folder holds something else.
        ConservationError: a file of the input is in no sequence and was not dropped.
    """
    output = Store(output_folder)
    _check_output(output, inputs)
    measure_with(settings.tokenizer, settings.bytes_per_token)  # a tokenizer that can't be opened is said at once
    found = find_inputs(inputs)
    ranking = rank(found, settings)
    with output.lock():
        return _make(engine, output, (found, ranking), settings)


def _make(
    engine: Engine, output: Store, ranked: tuple[list[Input], Ranking], settings: LongContextSettings
) -> dict[str, Any]:
    found, ranking = ranked
    if output.exists(SUMMARY):
        output.delete(SUMMARY)
    output.write_json(BEGUN, {})
    for left in Path(output.base).rglob(".*.part") if output.local else ():
        left.unlink()  # by killed writers; nobody else writes now
    tasks = [_task(output, one, files, ranking, settings) for one, files in zip(found, ranking.files, strict=True)]
    names = [task["name"] for task in tasks]
    twice = next((task["input"]["path"] for task in tasks if names.count(task["name"]) > 1), None)
    if twice:
        raise InputError(f"corpus: expected each file once, got {twice} under two names")
    missing = [task for task in tasks if not output.exists(f"parts/{task['name']}.json")]
    list(engine.map("codemill.longcontext.part:make_part", missing, sum(task["input"]["bytes"] for task in missing)))
    _remove_others(output, set(names))
    summary = _summary(output, tasks, ranking, settings)
    output.write_json(SUMMARY, summary)
    return {**summary, "parts_made": len(missing)}


def _check_output(output: Store, inputs: Sequence[str]) -> None:
    """Raise where an output would overwrite what is none, or be read as its own input."""
    if output.local:
        place = Path(output.base).resolve()
        if place.is_file():
            raise InputError(f"out {output.root}: expected a folder, got a file")
        for one in (Path(path).resolve() for path in inputs if "://" not in path):
            if one == place or one in place.parents or place in one.parents:
                raise InputError(f"out {output.root}: expected a folder apart from the corpora, got {one}")
    if output.exists(SUMMARY) or output.exists(BEGUN):
        return
    visible = output.local and any(path.name[0] != "." for path in Path(output.base).glob("*"))
    if visible or output.files(""):
        raise InputError(f"out {output.root}: expected a new folder or one of long context, got other files")


def _task(output: Store, one: Input, files: int, ranking: Ranking, settings: LongContextSettings) -> Task:
    """The work on one input file; its name tells what goes in and how."""
    dropped = [[*key, reason] for key, reason in sorted(ranking.dropped.items())] if one.level == "repository" else []
    # What ranks repositories is in the name by whom it drops; a tokenizer by its content.
    how = settings.model_dump(exclude={"min_score", "drop_lowest", "score", "unscored"})
    if settings.tokenizer is not None:
        file = Path(settings.tokenizer)
        file = file / "tokenizer.json" if file.is_dir() else file
        how["tokenizer"] = blob_id(file.read_bytes()) if file.is_file() else settings.tokenizer
    key = digest((one.state, json.dumps(how, sort_keys=True), json.dumps(dropped), str(VERSION)))
    stem = one.path.rpartition("/")[2].rpartition(".")[0]
    return {
        "name": f"{stem}-{key}",
        "input": asdict(one),
        "output": output.root,
        "files": files,
        "dropped": dropped,
        "settings": settings.model_dump(),
    }


def _remove_others(output: Store, names: set[str]) -> None:
    """Delete parts of earlier calls that this one does not ask for: the note first, so that no half part counts."""
    for folder, suffix in (("parts", ".json"), *((name, ".parquet") for name in TABLES)):
        for file in output.files(folder, suffix):
            if file.removeprefix(f"{folder}/").removesuffix(suffix) not in names:
                output.delete(file)


def _summary(output: Store, tasks: list[Task], ranking: Ranking, settings: LongContextSettings) -> dict[str, Any]:
    """The counts of all parts together.

    Raises:
        ConservationError: they are not those of the inputs.
    """
    total: dict[str, Any] = {name: {} for name in (*NESTED, "imports")}
    for task in tasks:
        for name, value in output.read_json(f"parts/{task['name']}.json").items():
            if not isinstance(value, dict):
                total[name] = total.get(name, 0) + value
                continue
            table = total["imports"].setdefault(name[11:], {}) if name.startswith("imports of ") else total[name]
            for key, count in value.items():
                table[key] = table.get(key, 0) + count
    seen = sum(ranking.files)
    if total.get("kept", 0) + sum(total["dropped"].values()) != seen:
        raise ConservationError(f"out {output.root}: expected {seen} files kept or dropped, got other counts")
    return {
        "kind": "longcontext",
        "inputs": [task["input"]["path"] for task in tasks],
        "settings": settings.model_dump(),
        "files": seen,
        "score_limit": ranking.limit,
        **{name: total.get(name, 0) for name in ("kept", "sequences", "tokens", "bytes", "over_window")},
        **total,
    }
