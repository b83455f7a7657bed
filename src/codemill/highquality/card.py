"""The dataset card of high-quality sets: what they hold, how they grew, and what their figures mean."""

from collections.abc import Sequence

from codemill import __version__
from codemill.highquality.report import SourceView
from codemill.highquality.settings import HighQualityRecipe

ROUND_HEAD = (
    "| round | learned from (good, random, hard, bad) | recall | precision | AUC | recalled | set | new "
    "| mean score of the new | overlap | drift |",
    "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
)


def dataset_card(recipe: HighQualityRecipe, views: Sequence[SourceView]) -> str:
    """README.md of an output: YAML head with one configuration a source, then tables in Markdown."""
    lines = ["---", "configs:"]
    for view in views:
        if view.kept["files"]:
            lines += [f"- config_name: {view.name}", f'  data_files: "{view.name}/parquet/*.parquet"']
    lines += ["tags:", "- code", "- codemill", "---", "", f"# {recipe.name}", "", recipe.description, ""]
    lines += [f"Made by codemill {__version__} from the recipe `{recipe.name}` of kind `highquality`.", ""]
    for view in views:
        lines += _source(view)
    lines += [
        "Each row is a document of the input corpora with all its columns, `probability` by the last classifier that "
        "counts (null where there is none) and `round`, the first round that took it (0: the seed, positives by rule). "
        "`SOURCE/decisions.parquet` has a decision for every document of the inputs, `SOURCE/model.bin` is the "
        "classifier. Recall is of held-out seed documents, precision among them and held-out hard negatives as if both "
        "were as many: neither is a share of good documents in the set. The files keep the licences they came with.",
        "",
    ]
    return "\n".join(lines)


def _source(view: SourceView) -> list[str]:
    kept = view.kept
    return [
        f"## {view.name}",
        "",
        *([view.description, ""] if view.description else []),
        f"{kept['files']:,} documents, {kept['bytes']:,} bytes, in {kept['parts']:,} parts. "
        f"Of {view.pool['candidates']:,} candidates {view.pool['seed']:,} are the seed. Stopped: {view.stopped}.",
        "",
        *round_table(view),
        "",
        "| | documents |",
        "|---|---:|",
        *(f"| {name} | {count:,} |" for name, count in view.tally.items()),
        "",
    ]


def round_table(view: SourceView) -> list[str]:
    """The figures of every round as a Markdown table."""
    rows = []
    for one in view.rounds:
        drawn = ", ".join(f"{count:,}" for count in one.drawn.values())
        rows.append(
            f"| {one.number}{' (noise)' if one.noise else ''} | {drawn} | {_figure(one.recall)} "
            f"| {_figure(one.precision)} | {_figure(one.auc)} | {one.recalled:,} | {one.size:,} | {one.new:,} "
            f"| {_figure(one.new_score, 2)} | {_figure(one.overlap)} | {one.drift:.3f} |"
        )
    return [*ROUND_HEAD, *rows]


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
