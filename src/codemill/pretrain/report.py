"""Tells of a mixture: one HTML page, and the dataset card beside the shards."""

from typing import Any

from codemill import __version__
from codemill.pretrain.settings import PretrainRecipe
from codemill.pretrain.summary import PretrainSummary
from codemill.report.html import recipe_toml, render_page
from codemill.store import Store


def build_pretrain_report(store: Store, summary: PretrainSummary) -> str:
    """The report of a finished mixture as HTML."""
    recipe = PretrainRecipe.model_validate(summary.recipe)
    return render_page(
        "pretrain.html.j2",
        recipe=recipe,
        recipe_text=recipe_toml(recipe),
        summary=summary,
        planned=sum(stage["planned"] for stage in summary.phases),
        delivered=sum(stage["tokens"] for stage in summary.phases),
    )


# How each format is opened, for the card.
OPEN = {
    "parquet": '`datasets.load_dataset("parquet", data_files="{folder}/parquet/*.parquet")`',
    "megatron": "Megatron's `IndexedDataset` on the `.bin`/`.idx` pairs in `{folder}/megatron`",
    "mds": '`streaming.StreamingDataset(local="{folder}/mds")`',
    "litdata": '`litdata.StreamingDataset("{folder}/litdata")`',
    "nanogpt": "`numpy.memmap` on the `.bin` files in `{folder}/nanogpt`",
}


def dataset_card(recipe: PretrainRecipe, summary: PretrainSummary) -> str:
    """README.md of an output: what every stage holds, in Markdown."""
    lines = [
        *("---", "tags:", "- code", "- codemill", "---", "", f"# {recipe.name}", "", recipe.description, ""),
        f"Made by codemill {__version__} from the recipe `{recipe.name}`, fingerprint `{summary.fingerprint}`. "
        f"Token ids of `{recipe.tokenizer.path}`, a vocabulary of {summary.vocabulary:,}.",
        "",
    ]
    for stage in summary.phases:
        folder = f"{stage['phase']}/{stage['name']}"
        lines += [
            f"## {folder}",
            "",
            f"{stage['tokens']:,} tokens in {stage['sequences']:,} sequences of {stage['length']:,}, "
            f"{stage['padding']:,} tokens of padding, {stage['loss']:,} that bear the loss.",
            "",
            *_sources(stage),
            "",
            *(f"- {OPEN[name].format(folder=folder)}" for name in stage["formats"]),
            "",
        ]
    return "\n".join(lines)


def _sources(stage: dict[str, Any]) -> list[str]:
    rows = [
        f"| {name} | {one['documents']:,} | {one['planned']:,} | {one['tokens']:,} |"
        for name, one in stage["sources"].items()
    ]
    return ["| source | documents | tokens planned | tokens delivered |", "|---|---:|---:|---:|", *rows]
