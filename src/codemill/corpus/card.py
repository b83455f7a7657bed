"""The dataset card: what the corpora hold and how they came about, in the form that `datasets` and the hub read."""

from collections.abc import Mapping, Sequence

from codemill import __version__
from codemill.recipe import Recipe
from codemill.select import Selection


def dataset_card(recipe: Recipe, selections: Sequence[Selection], counts: Mapping[str, Mapping[str, int]]) -> str:
    """README.md of an output: YAML head with one configuration for each corpus and format, then tables in Markdown."""
    lines = ["---", "configs:"]
    for name, corpus in recipe.corpus.items():
        for kind in corpus.formats:
            folder = kind.split(".")[0]
            config = name if folder == "parquet" or len(corpus.formats) == 1 else f"{name}-{folder}"
            lines += [f"- config_name: {config}", f'  data_files: "{name}/{folder}/*.{kind}"']
    lines += ["tags:", "- code", "- codemill", "---", "", f"# {recipe.name}", "", recipe.description, ""]
    lines += [
        f"Made by codemill {__version__} from the recipe `{recipe.name}`, fingerprint `{recipe.fingerprint()}`.",
        "",
    ]
    for selection in selections:
        count = counts[selection.corpus]
        lines += [
            f"## {selection.corpus}",
            "",
            f"{count['files']:,} files of {count['repositories']:,} repositories, {count['bytes']:,} bytes, "
            f"{count['tokens']:,} lexical tokens, in {count['parts']:,} parts.",
            "",
            f'`datasets.load_dataset(PATH, "{selection.corpus}")`',
            "",
            "| rule | seen | dropped | errored |",
            "|---|---:|---:|---:|",
        ]
        lines += [f"| {s.rule} | {s.seen:,} | {s.dropped:,} | {s.errored:,} |" for s in selection.steps]
        lines += [f"| kept | {count['files']:,} | | |", ""]
    lines += [
        "Every row carries `source`, `repo`, `revision`, `path` and the ids of its content (`blob_id`, SHA-256; "
        "`git_blob`, git's SHA-1). The files keep the licences they came with.",
        "",
    ]
    return "\n".join(lines)
