"""Commands of the quality model: labels from an oracle, scorers fitted to them, evaluated, and at hand for any file."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from codemill.cli.common import Json, app, print_json
from codemill.errors import InputError

LEAST_REPOSITORIES = 5  # fitting holds out a fifth of them at a time

Model = Annotated[
    str, typer.Option(help="`reference` (files) or `commits`, which ship, or the folder of a fitted scorer.")
]
Contents = Annotated[Optional[Path], typer.Option(help="A table with the contents, where the labels have none.")]  # noqa: UP045 - typer reads it
Html = Annotated[Optional[Path], typer.Option("--html", help="Write a page too.")]  # noqa: UP045 - typer reads it


@app.command()
def label(
    settings: Annotated[Path, typer.Argument(help="Settings; `codemill init --kind label` writes some to start from.")],
    set_: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option("--set", help="Change a setting, e.g. `endpoint.model=big`; may be repeated."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Load the model here, through vLLM, and rate in batches.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Have an LLM rate a sample of files by the rubric; run again to go on."""
    from codemill.cli.console import following
    from codemill.label.offline import label_offline
    from codemill.label.oracle import label as label_online
    from codemill.label.settings import load_label_settings

    loaded = load_label_settings(settings, changes(set_ or []))
    with following(quiet=as_json) as follow:
        rate = label_offline if offline else label_online
        result = rate(loaded, on_progress=lambda progress: follow(progress.done, progress.total, progress.line()))
    if as_json:
        print_json(vars(result))
    else:
        typer.echo(f"{result.labelled:,} of {result.files:,} files labelled: {result.path}")
        for kind, count in result.errors.items():
            typer.echo(f"{count:,} errored: {kind}")
        if result.stopped:
            typer.echo(f"stopped: {result.stopped}")
    if result.failed:
        asked = result.files - result.cached
        raise InputError(
            f"label {settings}: expected a rating, got none for {asked:,} files, see `error` in {result.path}"
        )


def changes(pairs: list[str]) -> dict[str, Any]:
    """`a.b=value` as nested settings; values are JSON where they can be, else text."""
    changes: dict[str, Any] = {}
    for pair in pairs:
        name, mark, text = pair.partition("=")
        if not mark:
            raise InputError(f"--set: expected name=value, got {pair!r}")
        *parents, last = name.split(".")
        table = changes
        for parent in parents:
            table = table.setdefault(parent, {})
        try:
            table[last] = json.loads(text)
        except ValueError:
            table[last] = text
    return changes


@app.command()
def compare_labels(
    one: Annotated[Path, typer.Argument(help="Labels: a table, or the folder of `codemill label`.")],
    other: Annotated[Path, typer.Argument(help="Labels of the same files by someone else.")],
    html: Html = None,
    as_json: Json = False,
) -> None:
    """How far two oracles agree, and where they differ."""
    from codemill.assess.compare import compare_labels as compare

    _show(compare(one, other), html, as_json)


@app.command()
def fit(
    labels: Annotated[Path, typer.Argument(help="Labels: a table, or the folder of `codemill label`.")],
    out: Annotated[Path, typer.Option(help="Folder for the scorer.")],
    backend: Annotated[
        str, typer.Option(help="`reference` (files) and `commits`: CPU, small; `llama`: a language model with a head.")
    ] = "reference",
    checkpoint: Annotated[Optional[str], typer.Option(help="llama: name, folder or GGUF file to start from.")] = None,  # noqa: UP045 - typer reads it
    contents: Contents = None,
    set_: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option("--set", help="llama: change a setting, e.g. `epochs=2`; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a scorer to labels."""
    from codemill.cli.console import following

    with following(quiet=as_json) as follow:
        if backend == "llama":
            from codemill.quality.llama_fit import LlamaSettings, fit_llama
            from codemill.recipe import parse_settings

            if checkpoint is None:
                raise InputError("--checkpoint: expected a checkpoint of Llama structure to start from, got none")
            settings = parse_settings(LlamaSettings, changes(set_ or []), "set")
            metrics: dict[str, Any] = dict(
                fit_llama(
                    labels,
                    checkpoint,
                    out,
                    settings,
                    contents=contents,
                    on_step=lambda step, steps, loss: follow(step, steps, f"step {step}/{steps}, loss {loss:.4f}"),
                )
            )
        elif backend in {"reference", "commits"}:
            from codemill.quality.commits.train import fit_commits
            from codemill.quality.table import read_labels, with_contents
            from codemill.quality.train import fit_reference

            table, _ = with_contents(read_labels(labels)[0], labels, contents)
            column = next((name for name in ("group", "repo", "blob_id") if name in table.column_names), "")
            repositories = len(set(table[column].to_pylist())) if column else table.num_rows
            if repositories < LEAST_REPOSITORIES:
                raise InputError(
                    f"labels {labels}: expected rated files of at least {LEAST_REPOSITORIES} repositories, "
                    f"got those of {repositories}"
                )
            metrics = dict((fit_reference if backend == "reference" else fit_commits)(table, out))
        else:
            raise InputError(f"--backend: expected reference, commits or llama, got {backend!r}")
    if as_json:
        print_json(metrics)
        return
    typer.echo(f"wrote {out}")
    for name, value in metrics.items():
        typer.echo(f"  {name} {value:.4g}" if isinstance(value, float) else f"  {name} {value}")


@app.command()
def evaluate_scorer(
    labels: Annotated[Path, typer.Argument(help="Labels of files that the scorer has not learned from.")],
    model: Model = "reference",
    contents: Contents = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """How good a scorer is, beside baselines."""
    from codemill.assess.evaluate import evaluate_scorer as evaluate
    from codemill.quality.backends import open_scorer

    _show(evaluate(open_scorer(model), labels, contents, name=model), html, as_json)


def _show(result: Any, html: Path | None, as_json: bool) -> None:
    if html is not None:
        result.write_html(html)
    if as_json:
        print_json(result.to_json())
    else:
        typer.echo(result.text())
        if html is not None:
            typer.echo(f"wrote {html}")


@app.command()
def score(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    model: Model = "reference",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file on stdout.")] = False,
) -> None:
    """Rate files: overall and the four aspects, 0 to 10; the language is found by itself."""
    from codemill.assess.files import score_files
    from codemill.quality.backends import open_scorer

    seen = scored = 0
    for row in score_files(open_scorer(model), paths):
        seen += 1
        scored += "problem" not in row
        if "problem" in row:
            sys.stderr.write(f"codemill: {row['path']}: not scored, {row['problem']}\n")
        elif as_json:
            typer.echo(json.dumps(row))
        else:
            aspects = "  ".join(
                f"{name} {row[name]:4.1f}" for name in ("readability", "modularity", "clarity", "reusability")
            )
            typer.echo(f"{row['overall']:4.1f}  {aspects}  {row['language']:<16} {row['path']}")
    if not scored:
        raise InputError(f"score: expected a file that can be scored, got none among {seen:,}")
