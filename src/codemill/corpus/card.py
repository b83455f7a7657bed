"""The dataset card: what the corpora hold and how they came about, in the form that `datasets` and the hub read."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from codemill import __version__
from codemill.recipe import Recipe
from codemill.select import Selection


class AnyRecipe(Protocol):
    """What a card asks of a recipe of any kind."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def corpus(self) -> Mapping[str, Any]: ...


def _glob(corpus: str, kind: str) -> str:
    return f"{corpus}/{kind.split('.', maxsplit=1)[0]}/*.{kind}"


def _how_to_load(corpus: str, formats: Sequence[str], main: str) -> list[str]:
    lines = []
    for kind in formats:
        if kind == main:
            lines.append(f'`datasets.load_dataset(PATH, "{corpus}")`')
        else:
            lines.append(f'`datasets.load_dataset("json", data_files=PATH + "/{_glob(corpus, kind)}")`')
    return lines


def card_head(recipe: AnyRecipe) -> list[str]:
    """The YAML head, one configuration for each corpus that the head's format has, then title and description."""
    main = main_format(recipe)
    lines = ["---", "configs:"]
    for name, corpus in recipe.corpus.items():
        if main in corpus.formats:
            lines += [f"- config_name: {name}", f'  data_files: "{_glob(name, main)}"']
    return [*lines, "tags:", "- code", "- codemill", "---", "", f"# {recipe.name}", "", recipe.description, ""]


def main_format(recipe: AnyRecipe) -> str:
    """`datasets` reads all configurations of a folder with one builder: Parquet where there is any."""
    return "parquet" if any("parquet" in corpus.formats for corpus in recipe.corpus.values()) else "jsonl.zst"


def rules_table(selection: Selection, kept: int) -> list[str]:
    """What each rule of a corpus took, as a Markdown table."""
    steps = [f"| {step.rule} | {step.seen:,} | {step.dropped:,} | {step.errored:,} |" for step in selection.steps]
    head = ["| rule | seen | dropped | errored |", "|---|---:|---:|---:|"]
    return [*head, *steps, f"| kept | {kept:,} | | |", ""]


def dataset_card(recipe: Recipe, selections: Sequence[Selection], counts: Mapping[str, Mapping[str, int]]) -> str:
    """README.md of an output: YAML head with one configuration for each corpus and format, then tables in Markdown."""
    main, lines = main_format(recipe), card_head(recipe)
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
            *_how_to_load(selection.corpus, recipe.corpus[selection.corpus].formats, main),
            "",
            *rules_table(selection, count["files"]),
        ]
    lines += [
        "Every row carries `source`, `repo`, `revision`, `path` and the ids of its content (`blob_id`, SHA-256; "
        "`git_blob`, git's SHA-1). The files keep the licences they came with.",
        "",
    ]
    return "\n".join(lines)
