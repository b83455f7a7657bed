"""The command that grows high-quality sets out of curated corpora."""

from typing import Any

import typer

from codemill.cli.common import Json, RecipePath, Runner, Workers, app, engine_settings, print_json


@app.command()
def highquality(recipe: RecipePath, workers: Workers = None, runner: Runner = None, as_json: Json = False) -> None:
    """Grow high-quality sets out of corpora: a seed by rules, then a classifier in rounds."""
    from codemill.cli.console import showing
    from codemill.engine import Engine
    from codemill.highquality.pipeline import HighQuality
    from codemill.highquality.settings import load_highquality_recipe

    loaded = load_highquality_recipe(str(recipe))
    settings = engine_settings(loaded.engine, workers, runner)
    run: Any = HighQuality(loaded, Engine(settings.runner, settings.workers, settings.address))
    with showing(run, quiet=as_json) as pipeline:
        summary = pipeline.run()
    if as_json:
        print_json(summary["sources"])
        return
    for name, source in summary["sources"].items():
        typer.echo(f"{name}: {_line(source)}")
    typer.echo(f"sets and report.html are in {loaded.output}")


def _line(source: dict[str, Any]) -> str:
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in source["tally"].items() if reason != "kept")
    return (
        f"kept {source['files']:,} documents ({source['bytes'] / 1e6:,.1f} MB) after {source['used']} rounds; {dropped}"
    )
