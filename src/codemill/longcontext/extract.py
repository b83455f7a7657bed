"""What files import and declare, by their grammars' queries, in a parser process that bad files cannot harm."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from codemill.annotate.syntax_guard import Answer, Limits, ParserProcess
from codemill.longcontext.grammars import import_grammar, import_grammars

Match = dict[str, str]

# A file's limits are those of the annotator `syntax`.
SECONDS = 5.0
WALL_SECONDS = 50.0
MEMORY = 2_000_000_000
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Found:
    """What one file told.

    Attributes:
        status: parsed | no_marks (nothing in it to find, so not parsed) | no_imports (a language without) | too_large |
            timeout | crashed | failed. Without matches unless parsed.
        matches: of the grammar's query, each {capture: text}, each once, sorted.
    """

    status: str
    matches: tuple[Match, ...] = ()


class Extractor:
    """Finds imports and declarations; holds one parser process, which `close` ends."""

    def __init__(self) -> None:
        known = {f"imports-{name}": {"grammar": name, "find": row.find} for name, row in import_grammars().items()}
        self.process = ParserProcess(known, Limits(SECONDS, WALL_SECONDS, MEMORY))

    def extract(self, languages: Sequence[str | None], texts: Sequence[str]) -> list[Found]:
        """What each of n files told, in order; a file that a grammar cannot take costs itself."""
        found: list[Found | None] = []
        todo: list[tuple[str, bytes]] = []
        for language, text in zip(languages, texts, strict=True):
            grammar = import_grammar(language)
            if grammar is None:
                found.append(Found("no_imports"))
            elif not grammar.parses(text):
                found.append(Found("no_marks"))
            elif len(content := text.encode("utf-8", "replace")) > MAX_BYTES:
                found.append(Found("too_large"))
            else:
                todo.append((f"imports-{grammar.name}", content))
                found.append(None)
        answers = iter(self.process.parse(todo)) if todo else iter(())
        return [one if one is not None else _found(next(answers)) for one in found]

    def close(self) -> None:
        """End the parser process."""
        self.process.close()


def _found(answer: Answer) -> Found:
    if answer.status != "parsed":
        return Found(answer.status)
    return Found("parsed", tuple(json.loads(answer.message or "[]")))
