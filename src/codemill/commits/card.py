"""The dataset card of samples: what they hold, how they came about, and what the columns mean."""

from collections.abc import Mapping, Sequence

from codemill import __version__
from codemill.commits.settings import CommitRecipe
from codemill.corpus.card import card_head, rules_table
from codemill.select import Selection


def dataset_card(recipe: CommitRecipe, selections: Sequence[Selection], counts: Mapping[str, Mapping[str, int]]) -> str:
    """README.md of an output: YAML head with one configuration for each corpus, then tables in Markdown."""
    lines = [
        *card_head(recipe),
        f"Made by codemill {__version__} from the recipe `{recipe.name}`, fingerprint `{recipe.fingerprint()}`. "
        "Each row is one commit: given its message and what its repository held before, predict which paths change "
        "and how.",
        "",
    ]
    for selection in selections:
        count, corpus = counts[selection.corpus], recipe.corpus[selection.corpus]
        lines += [
            f"## {selection.corpus}",
            "",
            f"{count['files']:,} samples of {count['repositories']:,} repositories, {count['tokens']:,} tokens "
            f"({corpus.tokenizer}), {count['target_tokens']:,} of them to be predicted, in {count['parts']:,} parts. "
            f"Changes are written as `{corpus.format}`, template `{corpus.template}`.",
            "",
            f'`datasets.load_dataset(PATH, "{selection.corpus}")`',
            "",
            *rules_table(selection, count["files"]),
        ]
    lines += [
        "`text` is context and target; `spans` says which characters of it are which part, and with `target` which of "
        "them the loss is for; `target_start` is where the target begins. `recall` is the share of the changed files "
        "that the context shows. Rows carry `source`, `repo` and `revision` (the commit); contents keep the licences "
        "they came with.",
        "",
    ]
    return "\n".join(lines)
