"""The command that makes long documents out of corpora."""

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from codemill.cli.common import Json, Runner, Workers, app, engine_settings, print_json


@app.command()
def longcontext(
    corpora: Annotated[
        list[str], typer.Argument(help="Corpora of repositories or files: folders, Parquet files, URLs.")
    ],
    out: Annotated[str, typer.Option(help="Folder for the documents.")],
    settings: Annotated[Optional[Path], typer.Option(help="TOML file with any of the settings.")] = None,  # noqa: UP045 - typer reads it
    window: Annotated[Optional[int], typer.Option(help="Most tokens of a sequence.")] = None,  # noqa: UP045 - typer reads it
    tokenizer: Annotated[Optional[str], typer.Option(help="tokenizer.json that counts tokens.")] = None,  # noqa: UP045 - typer reads it
    header: Annotated[Optional[str], typer.Option(help="What stands before each file, e.g. `comment`.")] = None,  # noqa: UP045 - typer reads it
    min_score: Annotated[Optional[float], typer.Option(help="Least mean score of a repository's files.")] = None,  # noqa: UP045 - typer reads it
    drop_lowest: Annotated[Optional[float], typer.Option(help="Share of repositories to drop, worst first.")] = None,  # noqa: UP045 - typer reads it
    min_document: Annotated[Optional[int], typer.Option(help="Least tokens of a file that is a document.")] = None,  # noqa: UP045 - typer reads it
    workers: Workers = None,
    runner: Runner = None,
    as_json: Json = False,
) -> None:
    """Make long documents: repositories in the order of their imports, cut to a window, and long files as they are."""
    from codemill.cli.console import following
    from codemill.engine import Engine
    from codemill.longcontext.run import make_documents
    from codemill.longcontext.settings import load_settings
    from codemill.recipe import EngineSettings

    given: dict[str, Any] = {
        "window": window,
        "tokenizer": tokenizer,
        "header": header,
        "min_score": min_score,
        "drop_lowest": drop_lowest,
        "min_document": min_document,
    }
    loaded = load_settings(settings, {name: value for name, value in given.items() if value is not None})
    where = engine_settings(EngineSettings(), workers, runner)
    with following(quiet=as_json) as follow:
        engine = Engine(where.runner, where.workers, where.address)
        engine.listener = lambda done, total: follow(done, total, f"{done} of {total} parts")
        summary = make_documents(engine, corpora, out, loaded)
    if as_json:
        print_json(summary)
        return
    for line in _lines(summary, out):
        typer.echo(line)


def _lines(summary: dict[str, Any], out: str) -> list[str]:
    """The summary for people."""
    lines = [
        f"{summary['sequences']:,} documents, {summary['tokens']:,} tokens, of {summary['kept']:,} of"
        f" {summary['files']:,} files: {out}"
    ]
    lines += [f"{count:,} files dropped: {reason}" for reason, count in summary["dropped"].items()]
    if summary["over_window"]:
        lines.append(f"{summary['over_window']:,} documents are single files longer than the window")
    for name, what in (("import_edges", "imports between files"), ("edges", "these and uses of names")):
        if summary.get(name):
            share = summary[f"{name}_inside"] / summary[name]
            lines.append(f"{what}: {share:.1%} of {summary[name]:,} lie inside one document")
    for language, count in sorted(summary["imports"].items()):
        if count["internal"]:
            share = count["resolved"] / count["internal"]
            lines.append(f"  {language}: {share:.1%} of {count['internal']:,} imports of the repository resolved")
    failed = {name: count for name, count in summary["parsed"].items() if not name.startswith(("parsed", "no_"))}
    lines += [f"{count:,} files not parsed: {name}" for name, count in failed.items()]
    return lines
