"""Commands of the pipeline: a recipe as a whole, its stages one by one, and questions about what came out."""

import contextlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from codemill.cli.common import (
    LAST_RUN,
    Json,
    RecipePath,
    Runner,
    StorePath,
    Workers,
    app,
    engine_settings,
    print_json,
    write_file,
)
from codemill.cli.kinds import KINDS
from codemill.errors import InputError, RecipeError
from codemill.recipe import recipe_kind


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("recipe.toml"),
    kind: Annotated[
        str,
        typer.Option(
            help="What it is about: files, commits, web, pretrain, highquality; or label: settings of `codemill label`."
        ),
    ] = "files",
) -> None:
    """Write a commented recipe to start from."""
    from importlib.resources import files

    kinds = (*KINDS, "highquality", "label")
    if kind not in kinds:
        raise InputError(f"--kind: expected one of {', '.join(kinds)}, got {kind!r}")
    if path.exists():
        raise InputError(f"init {path}: expected a new file, got one that exists")
    write_file(path, (files("codemill.data") / "init" / f"{kind}.toml").read_bytes())
    typer.echo(f"wrote {path}")


@app.command()
def run(recipe: RecipePath, workers: Workers = None, runner: Runner = None, as_json: Json = False) -> None:
    """Run a whole recipe: ingest, annotate, select, assemble, report."""
    with _pipeline(recipe, workers, runner, as_json, kinds=tuple(KINDS)) as pipeline:
        summary = pipeline.run()
    _remember(pipeline.recipe.store, pipeline.recipe.output)
    if as_json:
        print_json(summary.to_json())
    else:
        KINDS[recipe_kind(recipe)].part("outcome")(pipeline.store, summary, pipeline.recipe.output)


@app.command()
def ingest(recipe: RecipePath, workers: Workers = None, runner: Runner = None, as_json: Json = False) -> None:
    """Bring a recipe's sources into its store."""
    with _pipeline(recipe, workers, runner, as_json) as pipeline, pipeline.store.lock():
        done = pipeline.ingest()
    if as_json:
        print_json(
            {"occurrences": done.occurrences, "blobs": done.blobs, "bytes": done.bytes, "shards": len(done.shards)}
        )


@app.command()
def annotate(
    name: Annotated[str, typer.Argument(help="An annotator, e.g. syntax.")],
    recipe: RecipePath,
    workers: Workers = None,
    runner: Runner = None,
    as_json: Json = False,
) -> None:
    """Compute one annotator's values (and those it needs) for a recipe's data."""
    with _pipeline(recipe, workers, runner, as_json) as pipeline, pipeline.store.lock():
        only = pipeline.with_needs(name)
        data = pipeline.annotate(pipeline.ingest(), only)
    if as_json:
        tables = {key: {"folder": one.folder, "computed": one.computed} for key, one in data.annotations.items()}
        print_json(tables)
    else:
        typer.echo(f"{name}: {pipeline.store.path(data.annotations[name].folder)}")


@app.command()
def dedup(recipe: RecipePath, workers: Workers = None, runner: Runner = None, as_json: Json = False) -> None:
    """Show what a recipe's dedup rules drop, and in favour of what, without writing corpora."""
    from codemill.recipe import DedupRule

    with _pipeline(recipe, workers, runner, as_json) as pipeline, pipeline.store.lock():
        selections = pipeline.select(pipeline.annotate(pipeline.ingest()))
    steps = {
        selection.corpus: {
            step.rule: {
                "seen": step.seen,
                "dropped": step.dropped,
                "evidence": f"{selection.corpus}.evidence.{step.rule}.parquet",
            }
            for step in selection.steps
            if isinstance(step.setting, DedupRule)
        }
        for selection in selections
    }
    if as_json:
        print_json({"folder": pipeline.store.path(pipeline.decisions), "corpora": steps})
        return
    for corpus, rules in steps.items():
        for rule, step in rules.items():
            typer.echo(f"{corpus}: {rule} dropped {step['dropped']:,} of {step['seen']:,}; {step['evidence']}")
    typer.echo(f"evidence in {pipeline.store.path(pipeline.decisions)}")


@app.command()
def dedup_recall(
    path: Annotated[str, typer.Argument(help="A store, or a folder of files.")],
    sample: Annotated[int, typer.Option(min=0, help="Files to compare; 0: all.")] = 5000,
    threshold: Annotated[float, typer.Option(help="Least Jaccard similarity of a near-duplicate.")] = 0.7,
    as_json: Json = False,
) -> None:
    """Precision and recall of near-dedup against all pairs compared exactly."""
    from dataclasses import asdict

    from codemill.dedup.minhash import MinHashParams
    from codemill.dedup.near import NearSettings
    from codemill.dedup.recall import measure_path
    from codemill.engine import Engine
    from codemill.recipe import parse_settings

    params = parse_settings(MinHashParams, {"threshold": threshold}, "dedup-recall")
    found = measure_path(path, Engine(), sample, params, NearSettings(threshold=threshold))
    if as_json:
        print_json(asdict(found))
        return
    for line in found.lines():
        typer.echo(line)


@app.command()
def select(recipe: RecipePath, workers: Workers = None, runner: Runner = None, as_json: Json = False) -> None:
    """Decide again, e.g. after a threshold was changed; nothing else is recomputed."""
    from codemill.cli.console import funnel

    with _pipeline(recipe, workers, runner, as_json) as pipeline, pipeline.store.lock():
        selections = pipeline.select(pipeline.annotate(pipeline.ingest()))
    if as_json:
        print_json(
            {
                s.corpus: [
                    {"rule": t.rule, "seen": t.seen, "dropped": t.dropped, "errored": t.errored} for t in s.steps
                ]
                for s in selections
            }
        )
    else:
        funnel(selections)


@app.command()
def assemble(recipe: RecipePath, workers: Workers = None, runner: Runner = None, as_json: Json = False) -> None:
    """Write a recipe's corpora from its decisions."""
    with _pipeline(recipe, workers, runner, as_json) as pipeline, pipeline.store.lock():
        data = pipeline.annotate(pipeline.ingest())
        counts = pipeline.assemble(data, pipeline.select(data))
    if as_json:
        print_json(counts)


@app.command()
def explain(
    query: Annotated[str, typer.Argument(help="Blob id, git blob id, occurrence id, path, or repo/path.")],
    store: StorePath = None,
    as_json: Json = False,
) -> None:
    """Everything known of a file, and why it was kept or dropped."""
    from codemill.cli.console import explanation
    from codemill.explain import explain as explain_query
    from codemill.store import Store

    result = explain_query(Store(store or _last("store")), query)
    if as_json:
        print_json(result)
    else:
        explanation(result)


@app.command()
def report(
    out: Annotated[Path, typer.Argument(help="HTML file to write.")] = Path("report.html"), store: StorePath = None
) -> None:
    """Write the last run's report again."""
    from codemill.report.summary import last_kind
    from codemill.store import Store

    opened = Store(store or _last("store"))
    kind = KINDS[last_kind(opened)]
    write_file(out, kind.part("report")(opened, kind.part("summary").read(opened)).encode())
    typer.echo(f"wrote {out}")


def _pipeline(
    recipe: Path, workers: int | None, runner: str | None, as_json: bool, kinds: tuple[str, ...] = ("files",)
) -> Any:
    """A context manager that gives the recipe's pipeline, with progress shown on stderr.

    Raises:
        RecipeError: the recipe is wrong, or of a kind that the command has no use for.
    """
    from codemill.cli.console import showing
    from codemill.engine import Engine

    kind = recipe_kind(recipe)
    if kind not in kinds:
        known = " or ".join(kinds) if kind != "highquality" else "another (`codemill highquality` runs these)"
        raise RecipeError(f"recipe {recipe}: kind: expected {known} for this command, got {kind!r}")
    loaded = KINDS[kind].part("load")(recipe)
    settings = engine_settings(loaded.engine, workers, runner)
    runs_on = Engine(settings.runner, settings.workers, settings.address)
    return showing(KINDS[kind].part("pipeline")(loaded.model_copy(update={"engine": settings}), runs_on), quiet=as_json)


def _remember(store: str, output: str) -> None:
    places = {
        key: value if "://" in value else str(Path(value).absolute())
        for key, value in (("store", store), ("output", output))
    }
    # A folder that can't be written to costs the convenience, not the run.
    with contextlib.suppress(OSError):
        LAST_RUN.parent.mkdir(exist_ok=True)
        LAST_RUN.write_text(json.dumps(places), encoding="utf-8")


def _last(key: str) -> str:
    if not LAST_RUN.exists():
        raise InputError(f"--{key}: expected a store, got none and no run was made in this folder")
    try:
        return str(json.loads(LAST_RUN.read_text(encoding="utf-8"))[key])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{LAST_RUN}: expected the places of the last run, got no such JSON (name --{key})") from error
