"""The command line. Verbs match the folders; every user's mistake ends in one line on stderr and exit code 1."""

from codemill.cli import decontaminate, highquality, longcontext, propose, recall, run, scoring, tokens  # noqa: F401
from codemill.cli.common import app, main

__all__ = ["app", "main"]
