"""What people see in a terminal: progress while a run goes on, and its outcome as short tables."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from codemill.engine import Engine
from codemill.report.summary import RunSummary
from codemill.report.wording import speaking_of, units, units_of
from codemill.select import Selection
from codemill.select.result import read_selection
from codemill.stages import Say
from codemill.store import Store
from codemill.tables import parts

PLAIN_EVERY = 10.0  # seconds between lines where there is no terminal


class Shown(Protocol):
    """What pipelines of all kinds have in common for those who watch."""

    engine: Engine
    say: Say
    begin: Callable[[str], None]


P = TypeVar("P", bound=Shown)


@contextlib.contextmanager
def showing(pipeline: P, quiet: bool) -> Iterator[P]:
    """The pipeline with its progress shown on stderr: bars on a terminal, plain lines elsewhere, nothing if quiet."""
    if quiet:
        yield pipeline
        return
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)
        last = time.monotonic()

        def begin(stage: str) -> None:
            progress.reset(bar, description=stage, total=None)

        def done(count: int, total: int) -> None:
            nonlocal last
            progress.update(bar, completed=count, total=total)
            if not console.is_terminal and time.monotonic() - last > PLAIN_EVERY:
                last = time.monotonic()
                console.print(f"  {count} of {total} shards")

        def say(stage: str, detail: str, seconds: float) -> None:
            console.print(f"{stage:<9} {seconds:7.1f} s  {detail}", soft_wrap=True)

        pipeline.begin, pipeline.say, pipeline.engine.listener = begin, say, done
        yield pipeline


@contextlib.contextmanager
def following(quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A function that is told (done, all, line) again and again: a bar on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True, highlight=False)
    last = time.monotonic()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)

        def follow(done: int, total: int, line: str) -> None:
            nonlocal last
            progress.update(bar, completed=done, total=total, description=line)
            if not quiet and not console.is_terminal and time.monotonic() - last > PLAIN_EVERY:
                last = time.monotonic()
                console.print(line, soft_wrap=True)

        yield follow


def outcome(store: Store, summary: RunSummary, output: str) -> None:
    """What was kept and why the rest was not, after a run."""
    selections = [read_selection(store, summary.decisions, corpus) for corpus in summary.corpora]
    with speaking_of(units_of(summary.recipe.get("kind", "files"))):
        funnel(selections)
    console = Console(highlight=False)
    for alarm in summary.alarms:
        console.print(f"[bold]alarm[/bold] {alarm}", soft_wrap=True)
    console.print(f"corpora and report.html are in {output}", soft_wrap=True)


def mixture(store: Store, summary: Any, output: str) -> None:
    """What every stage of training got of every source, planned and delivered, after a run of kind `pretrain`."""
    console = Console(highlight=False)
    table = Table(title="mixture: planned and delivered", title_justify="left")
    for name in ("stage", "source"):
        table.add_column(name)
    for name in ("planned", "delivered", "share", "documents"):
        table.add_column(name, justify="right")
    for stage in summary.phases:
        for name, one in stage["sources"].items():
            share = one["tokens"] / max(stage["tokens"], 1)
            row = (f"{one['planned']:,}", f"{one['tokens']:,}", f"{share:.1%}", f"{one['documents']:,}")
            table.add_row(f"{stage['phase']}/{stage['name']}", name, *row)
        table.add_section()
    console.print(table)
    for alarm in summary.alarms:
        console.print(f"[bold]alarm[/bold] {alarm}", soft_wrap=True)
    console.print(f"shards and report.html are in {output}", soft_wrap=True)


def funnel(selections: Sequence[Selection]) -> None:
    """For every corpus: seen, dropped by each reason, errored, kept."""
    console = Console(highlight=False)
    for selection in selections:
        table = Table(title=f"{selection.corpus}: kept and dropped", title_justify="left")
        table.add_column("")
        for name in (units().many, "share", "MB", "tokens"):
            table.add_column(name, justify="right")
        rows = _sums(selection)
        total = selection.decisions.num_rows
        for row in sorted(rows, key=lambda row: row["status"] != "kept"):
            name = "kept" if row["status"] == "kept" else f"{row['status']}: {row['reason']}"
            table.add_row(name, *_figures(row, total), style="bold" if name == "kept" else None)
        table.add_section()
        sums = {key: sum(row[key] or 0 for row in rows) for key in ("count_all", "bytes_sum", "tokens_sum")}
        table.add_row("seen", *_figures(sums, total))
        console.print(table)


def _sums(selection: Selection) -> list[dict[str, Any]]:
    """Rows, bytes and tokens by status and reason, the most rows first."""
    keys = ["status", "reason"]
    counted = [
        part.group_by(keys, use_threads=False).aggregate([([], "count_all"), ("bytes", "sum"), ("tokens", "sum")])
        for _, part in parts(selection.decisions, [*keys, "bytes", "tokens"])
    ]
    if not counted:
        return []
    names = ("count_all", "bytes_sum", "tokens_sum")
    whole = pa.concat_tables(counted).group_by(keys, use_threads=False).aggregate([(name, "sum") for name in names])
    whole = whole.rename_columns(
        [name.removesuffix("_sum") if name not in names else name for name in whole.column_names]
    )
    return list(whole.sort_by([("count_all", "descending"), ("reason", "ascending")]).to_pylist())


def _figures(row: dict[str, Any], total: int) -> tuple[str, str, str, str]:
    count = row["count_all"]
    return (
        f"{count:,}",
        f"{count / max(total, 1):.1%}",
        f"{(row['bytes_sum'] or 0) / 1e6:,.1f}",
        f"{row['tokens_sum'] or 0:,}",
    )


def explanation(result: dict[str, Any]) -> None:
    """An explanation as text."""
    console = Console(highlight=False, soft_wrap=True)
    if result["matches"] > len(result["occurrences"]):
        console.print(f"{result['matches']} matches, the first {len(result['occurrences'])} shown")
    for row in result["occurrences"]:
        console.print(f"[bold]{row['repo']}/{row['path']}[/bold]", markup=True)
        for name in ("occurrence_id", "blob_id", "source", "revision", "bytes", "problem", "stars", "declared_licence"):
            if row[name] not in (None, ""):
                console.print(f"  {name:<16} {row[name]}", markup=False)
        for corpus, decision in row["decisions"].items():
            reason = f", {decision['reason']}" if decision["reason"] else ""
            console.print(f"  {corpus}: {decision['status']}{reason}", markup=False, style="bold")
            for failed in decision["failed"]:
                asked = f"; asked: {failed['asked']}" if failed["asked"] else ""
                cuts = f"; cut at {', '.join(f'{cut:.4g} ({group})' for group, cut in failed['cuts'].items())}"
                got = failed["got"] if failed["got"] is not None else "no value"
                console.print(
                    f"    failed {failed['rule']}: got {got}{asked}{cuts if failed['cuts'] else ''}", markup=False
                )
            for rule, count in decision["stands_for"].items():
                console.print(f"    kept in favour of {count} others by {rule}", markup=False)
        for name, values in row["annotations"].items():
            shown = ", ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
            )
            console.print(f"  {name:<16} {shown}", markup=False)
