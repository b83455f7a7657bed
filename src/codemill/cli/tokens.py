"""Commands of tokens: train a tokenizer, and tell how well tokenizers do on a corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from codemill.cli.common import Json, app, print_json

if TYPE_CHECKING:
    from codemill.tokens.bpe import Fertility

Corpora = Annotated[
    list[str],
    typer.Argument(help="Parquet or JSON lines: files, folders, globs; column text or content, perhaps language."),
]


@app.command()
def train_tokenizer(
    corpora: Corpora,
    out: Annotated[Path, typer.Option(help="Where tokenizer.json goes: a folder, or a name that ends in .json.")],
    vocab_size: Annotated[int, typer.Option(help="Tokens in all, special ones and the 256 bytes among them.")] = 64_000,
    digits: Annotated[str, typer.Option(help="`single`, `triples` (up to three together) or `runs`.")] = "single",
    pattern: Annotated[
        str, typer.Option(help="What cuts text before BPE: `code`, `gpt2`, or a regular expression.")
    ] = "code",
    special: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Option(
            help="A special token, in the order of their ids; may be repeated. Else end, pad and three of FIM."
        ),
    ] = None,
    sample_mb: Annotated[int, typer.Option(help="Train on about so many megabytes, drawn over all corpora.")] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed, another sample.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a byte-level BPE tokenizer on corpora; prints bytes per token by language."""
    from codemill.recipe import parse_settings
    from codemill.tokens.bpe import train
    from codemill.tokens.settings import BpeSettings

    values = {
        "vocab_size": vocab_size,
        "digits": digits,
        "pattern": pattern,
        "sample_bytes": sample_mb * 1_000_000,
        "seed": seed,
        **({"special_tokens": tuple(special)} if special else {}),
    }
    result = train(corpora, out, parse_settings(BpeSettings, values, "train-tokenizer"))
    if as_json:
        print_json({**vars(result), "fertility": {name: vars(one) for name, one in result.fertility.items()}})
        return
    typer.echo(f"{result.path}: {result.vocab_size:,} tokens, fingerprint {result.fingerprint}")
    typer.echo(f"trained on {result.documents:,} documents, {result.bytes / 1e6:,.1f} MB")
    for reason, count in result.left_out.items():
        typer.echo(f"{count:,} rows left out: {reason}")
    typer.echo(f"measured on documents it was {'not ' if result.held_out else ''}trained on:")
    _print_fertility(result.fertility)


def _print_fertility(table: dict[str, "Fertility"]) -> None:
    width = max([8, *map(len, table)])
    typer.echo(f"{'language':{width}}  {'documents':>9}  {'MB':>9}  {'bytes per token':>15}")
    for name, one in table.items():
        typer.echo(
            f"{name:{width}}  {one.documents:9,}  {one.bytes / 1e6:9,.2f}  {one.bytes / max(1, one.tokens):15.2f}"
        )
