"""Command of the recall model: fitted anew to ratings of pages."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from codemill.cli.common import Json, app, print_json
from codemill.cli.scoring import Contents, changes


@app.command()
def fit_recall(
    labels: Annotated[Path, typer.Argument(help="Ratings of pages: a table, or the folder of `codemill label`.")],
    out: Annotated[Path, typer.Option(help="Folder for the model; a recipe takes it as `annotate.recall.model`.")],
    contents: Contents = None,
    set_: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option("--set", help="Change a setting, e.g. `recall=0.95`; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit the model that finds pages about code without code tags, and choose its threshold on other sites."""
    from codemill.recipe import parse_settings
    from codemill.web.recall_fit import RecallSettings
    from codemill.web.recall_fit import fit_recall as fit

    card = fit(labels, out, contents, parse_settings(RecallSettings, changes(set_ or []), "set"))
    if as_json:
        print_json(card)
        return
    found = card["validation"]
    typer.echo(f"{card['train']['pages']:,} pages to learn from, {card['train']['relevant']:,} relevant: {out}")
    typer.echo(
        f"{found['pages']:,} pages of other sites, {found['relevant']:,} relevant: a score of {found['threshold']:.4g}"
        f" or more finds {found['recall']:.1%} of them with a precision of {found['precision']:.1%}"
        f" and keeps {found['kept_share']:.1%} of the pages"
    )
