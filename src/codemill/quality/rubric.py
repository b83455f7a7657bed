"""The rubric as versioned data: what a rating means is read from a file, and every label names its version."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from codemill.errors import RecipeError
from codemill.recipe import Strict, parse_settings

ASPECTS = ("readability", "modularity", "clarity", "reusability")
SCORES = ("overall", *ASPECTS)
NO_ZERO = "none"  # what an answer says in the place of a zero reason


class Rubric(Strict):
    """One version of the rubric.

    Attributes:
        version: raised whenever the meaning of a rating changes; from 101 on of commits.
        subject: what is rated: a file, a commit or a page.
        stratum: what the prompt calls the group that a sample was drawn by; None: language, or kind of page.
        question, scale, closing: what is asked, what the numbers mean, what to mind.
        zero: reason -> when it holds; any that holds makes the overall rating 0.
        aspects: name -> what it means, each rated 0..10.
        notes: how to read the aspects in languages that are not mainly programs.
    """

    version: int
    subject: str = "file"
    stratum: str | None = None
    question: str
    scale: str
    closing: str
    zero: dict[str, str]
    aspects: dict[str, str]
    notes: dict[str, str]

    def text(self) -> str:
        """The rubric as it stands in the prompt."""
        zero = "\n".join(f"- {name}: {meaning.strip()}" for name, meaning in self.zero.items())
        aspects = "\n".join(f"- {name}: {meaning.strip()}" for name, meaning in self.aspects.items())
        return "\n\n".join(
            [
                self.question.strip(),
                f"First, the zero rule. The overall rating is 0 when any of these holds, and you say which:\n{zero}",
                f"Otherwise rate four aspects, each 0 to 10:\n{aspects}",
                "\n".join(note.strip() for note in self.notes.values()),
                f"Then the overall rating, 1 to 10:\n{self.scale.strip()}",
                self.closing.strip(),
            ]
        )

    def answer_schema(self, explanation_chars: int | None = None) -> dict[str, Any]:
        """JSON schema of an answer: explanation first, then the zero reason, the aspects, the overall rating.

        Keywords are those that hosted endpoints and grammar-based servers both take; numbers are therefore enumerated.

        Args:
            explanation_chars: longest explanation. For small models that don't stop; not every endpoint knows the
                keyword.
        """
        explanation: dict[str, Any] = {"type": "string"}
        if explanation_chars is not None:
            explanation["maxLength"] = explanation_chars
        score = {"type": "integer", "enum": list(range(11))}
        properties: dict[str, Any] = {
            "explanation": explanation,
            "zero": {"type": "string", "enum": [NO_ZERO, *self.zero]},
            **dict.fromkeys(self.aspects, score),
            "overall": score,
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


@cache
def load_rubric(version: int = 1) -> Rubric:
    """The rubric of this version, from the package.

    Raises:
        RecipeError: there is none.
    """
    folder = resources.files("codemill.quality").joinpath("rubrics")
    file = folder.joinpath(f"v{version}.toml")
    if not file.is_file():
        known = sorted(entry.name.removeprefix("v").removesuffix(".toml") for entry in folder.iterdir())
        raise RecipeError(f"rubric: expected one of {', '.join(known)}, got {version}")
    rubric = parse_settings(Rubric, tomllib.loads(file.read_text(encoding="utf-8")), f"rubric {version}")
    if tuple(rubric.aspects) != ASPECTS or rubric.version != version:
        raise RecipeError(f"rubric {version}: expected the aspects {', '.join(ASPECTS)} and its own version number")
    return rubric
