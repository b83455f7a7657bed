"""The command that turns wanted shares of groups into rules: bounds and sampling rates from what there is."""

from typing import Annotated, Any, Optional

import typer

from codemill.cli.common import Json, RecipePath, Workers, app, print_json
from codemill.errors import InputError


@app.command()
def propose(
    recipe: RecipePath,
    target: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option("--target", help="Share of a group, e.g. `forum=0.2`; may be repeated, replaces the recipe's."),
    ] = None,
    keep: Annotated[
        Optional[float],  # noqa: UP045 - typer reads it
        typer.Option(help="Share of all tokens to keep, instead of as much as the scarcest named group allows."),
    ] = None,
    corpus: Annotated[Optional[str], typer.Option(help="A corpus of the recipe; else its first.")] = None,  # noqa: UP045 - typer reads it
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Propose a bound and a sampling rate for every group (category of pages) from the shares it shall have."""
    from dataclasses import asdict

    from codemill.cli.run import _pipeline
    from codemill.recipe import ProposeSettings, parse_settings
    from codemill.select.propose import propose as propose_shares
    from codemill.select.propose import supply_of

    with _pipeline(recipe, workers, None, as_json, kinds=("files", "web")) as pipeline, pipeline.store.lock():
        known = pipeline.recipe.propose or ProposeSettings()
        changes: dict[str, Any] = {"target": _shares(target)} if target else {}
        settings = parse_settings(
            ProposeSettings,
            {**known.model_dump(), **changes, **({"keep": keep} if keep is not None else {})},
            "propose",
        )
        if not settings.target:
            raise InputError("propose: expected --target name=share (or propose.target in the recipe), got none")
        chosen = corpus or next(iter(pipeline.recipe.corpus))
        supply = supply_of(pipeline.store, pipeline.engine, pipeline.recipe, pipeline.data(), chosen, settings)
    proposal = propose_shares(supply, settings)
    if as_json:
        print_json({"shares": [asdict(share) for share in proposal.shares], "toml": proposal.toml()})
        return
    for line in proposal.lines():
        typer.echo(f"# {line}")
    typer.echo(f"\n{proposal.toml()}")


def _shares(pairs: list[str]) -> dict[str, float]:
    shares = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            shares[name] = float(value)
        except ValueError as error:
            raise InputError(f"--target: expected name=share, got {pair!r}") from error
    return shares
