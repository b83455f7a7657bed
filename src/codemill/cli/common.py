"""What all commands share: the application, options that several have, and how results and mistakes are told."""

import errno
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from codemill.errors import CodemillError, InputError

if TYPE_CHECKING:
    from codemill.recipe import EngineSettings

app = typer.Typer(
    name="codemill",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Raw code in, training data for code models out.",
)

INTERRUPTED = 130  # what typer makes of Ctrl-C; no command ends with it otherwise
LAST_RUN = Path(".codemill/last-run.json")  # where the last run in this folder left its store and output

RecipePath = Annotated[Path, typer.Argument(help="A recipe, see `codemill init`.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for machines.")]
Workers = Annotated[
    Optional[int],  # noqa: UP045 - typer reads it
    typer.Option(min=0, help="Worker processes instead of the recipe's; 0: one per core."),
]
Runner = Annotated[Optional[str], typer.Option(help="`native` or `ray` instead of the recipe's.")]  # noqa: UP045 - typer reads it
StorePath = Annotated[Optional[str], typer.Option("--store", help="A store; else that of the last run here.")]  # noqa: UP045 - typer reads it


def engine_settings(settings: "EngineSettings", workers: int | None, runner: str | None) -> "EngineSettings":
    """A recipe's engine with what the command line says instead.

    Raises:
        RecipeError: there is no such runner, or fewer workers than none.
    """
    from codemill.recipe import EngineSettings, parse_settings

    changed = {name: value for name, value in (("workers", workers), ("runner", runner)) if value is not None}
    return parse_settings(EngineSettings, {**settings.model_dump(), **changed}, "engine")


def main() -> None:
    """Entry point: turns every mistake of a user into one line and exit code 1."""
    try:
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:
            _leave()
        sys.exit(code)
    except CodemillError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or ('output' if error.errno == errno.ENOSPC else 'input')}: {error.strerror or error}")
    except (KeyboardInterrupt, typer.Abort):
        _leave()
    except UnicodeEncodeError as error:  # Arrow's file systems and tables know no other names
        _fail(f"{error.object!r}: expected a name in UTF-8, got one with other bytes")
    except Exception as error:
        # Options that don't exist, arguments that are missing: these errors say themselves in one line.
        if not hasattr(error, "format_message"):
            raise
        _fail(f"{(error.format_message() or 'expected a command').rstrip('.')}, see --help")


def _leave() -> None:
    """End after Ctrl-C at once: threads of the engine may still be at work, and Python would abort on them."""
    sys.stderr.write("codemill: interrupted; what was finished is kept, run the same command to go on\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _fail(message: str) -> None:
    sys.stderr.write(f"codemill: {' '.join(message.split())}\n")
    sys.exit(1)


def print_json(value: object) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(value, indent=1, default=str))


def write_file(path: Path, data: bytes) -> None:
    """A file for people, whole or not at all; its folder has to be there.

    Raises:
        InputError: it can't be written.
    """
    from codemill.store import Store

    if not path.parent.is_dir():
        raise InputError(f"{path}: expected a folder to write to, got none at {path.parent}")
    if path.is_dir():
        raise InputError(f"{path}: expected a file to write, got a folder")
    Store(path.parent).write_bytes(path.name, data)
