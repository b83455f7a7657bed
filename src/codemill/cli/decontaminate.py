"""Commands of decontamination: an index of benchmarks, and tables without what shares n-grams with them."""

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from codemill.cli.common import Json, Workers, app, print_json
from codemill.errors import InputError


@app.command()
def benchmark_index(
    benchmarks: Annotated[
        list[str], typer.Argument(help="Files, or ids of datasets on the hub; NAME=FILE says which benchmark it is.")
    ],
    out: Annotated[Path, typer.Option(help="File to write.")],
    n: Annotated[int, typer.Option("--n", min=1, max=64, help="Words of an n-gram.")] = 10,
    field: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option(help="A field with text, of benchmarks that codemill does not know; may be repeated."),
    ] = None,
    id_: Annotated[str, typer.Option("--id", help="The field with a problem's id, of the same.")] = "",
    reference: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option(help="A corpus of ordinary code (columns `content` and `repo`) to find common idioms in."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build an index of the n-grams of benchmarks: hashes, no text."""
    from codemill.decontaminate.index import build_index
    from codemill.decontaminate.problems import open_benchmark
    from codemill.decontaminate.reference import count_repositories
    from codemill.store import Store

    opened = [open_benchmark(one, tuple(field or ()), id_) for one in benchmarks]
    index = build_index(opened, n)
    if reference:
        index = count_repositories(index, reference)
    with Store(out.parent).writing(out.name) as stream:
        index.write(stream)
    if as_json:
        print_json({"n": n, "grams": index.table.num_rows, "benchmarks": [vars(source) for source in index.sources]})
        return
    for source in index.sources:
        short = f", {source.short:,} with fewer than {n} words" if source.short else ""
        typer.echo(f"{source.name}: {source.problems:,} problems{short}, {source.grams:,} n-grams")
    typer.echo(f"wrote {out}: {index.table.num_rows:,} n-grams of {n} words")


@app.command()
def decontaminate(
    inputs: Annotated[list[str], typer.Argument(help="Parquet and JSON lines: files, folders, globs, URLs.")],
    out: Annotated[str, typer.Option(help="Folder for kept rows, the table of the others, and a summary.")],
    text: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option(help="A column with text, e.g. `content` or `messages.content`; may be repeated. Else all text."),
    ] = None,
    index: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option(help="An index; `default` is the one that ships. May be repeated."),
    ] = None,
    every: Annotated[bool, typer.Option("--every", help="Count every n-gram, common idioms too.")] = False,
    repositories: Annotated[
        Optional[int],  # noqa: UP045 - typer reads it
        typer.Option(help="N-grams that more repositories of the reference corpus have don't count."),
    ] = None,
    max_hits: Annotated[int, typer.Option(min=0, help="Drop rows with more n-grams of benchmarks.")] = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Drop the rows of tables that share n-grams with benchmarks; run again to go on."""
    from codemill.cli.console import following
    from codemill.decontaminate.index import DEFAULT
    from codemill.decontaminate.run import DecontaminateSettings, describe
    from codemill.decontaminate.run import decontaminate as work
    from codemill.engine import Engine
    from codemill.recipe import parse_settings

    if every and repositories is not None:
        raise InputError("--repositories: expected none with --every, which counts every n-gram")
    evidence: dict[str, Any] = {"every": every} | ({} if repositories is None else {"repositories": repositories})
    values = {
        "text": tuple(text or ()),
        "index": tuple(index or (DEFAULT,)),
        "evidence": evidence,
        "max_hits": max_hits,
    }
    settings = parse_settings(DecontaminateSettings, values, "decontaminate")
    with following(quiet=as_json) as follow:
        engine = Engine(workers=workers or 0, listener=lambda done, total: follow(done, total, f"{done}/{total} parts"))
        outcome = work(inputs, out, settings, engine)
    if as_json:
        print_json(outcome.to_json())
    else:
        typer.echo(describe(outcome))
        typer.echo(f"wrote {out}")
