"""Messages of commits: subject, body and trailers apart, and raw values that say how much a message says."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import pygit2

TRAILER = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*:[ \t]*(.*)")
PICKED = re.compile(r"\(cherry picked from commit ([0-9a-f]{7,40})\)")
REVERTS = re.compile(r"\bThis reverts commit ([0-9a-f]{7,40})")
REFERENCE = re.compile(r"(?:[\w.-]+/[\w.-]+)?#\d+|\b[A-Z][A-Z0-9]+-\d+\b|\bgh-\d+\b|https?://\S+", re.IGNORECASE)
WORD = re.compile(r"[^\W_]+(?:['\u2019_-][^\W_]+)*")


@dataclass(frozen=True)
class Message:
    """A message taken apart: its first paragraph as one line, the rest, and trailers as (name, value)."""

    subject: str
    body: str
    trailers: list[tuple[str, str]]

    @property
    def text(self) -> str:
        """Subject and body as a person would read them."""
        return f"{self.subject}\n\n{self.body}" if self.body else self.subject


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads((files("codemill.data") / "commit_messages.toml").read_text(encoding="utf-8"))


@cache
def _templates() -> list[tuple[str, re.Pattern[str]]]:
    return [(name, re.compile(text, re.IGNORECASE)) for name, text in _data()["templates"].items()]


@cache
def _bots() -> re.Pattern[str]:
    patterns = tomllib.loads((files("codemill.data") / "commit_bots.toml").read_text(encoding="utf-8"))["patterns"]
    return re.compile("|".join(patterns), re.IGNORECASE)


@cache
def _conventional() -> re.Pattern[str]:
    return re.compile(rf"({'|'.join(_data()['conventional']['types'])})(\([^()\n]*\))?!?: ", re.IGNORECASE)


@cache
def stop_words() -> frozenset[str]:
    """Words that say nothing about where in a code base to look."""
    return frozenset(_data()["stop"]["words"].split())


def decode_message(commit: pygit2.Commit) -> str:
    """The message as text: in the encoding it declares, else UTF-8, else Latin-1, which decodes anything."""
    raw = bytes(commit.raw_message)
    for encoding in (commit.message_encoding, "utf-8"):
        try:
            return raw.decode(encoding or "utf-8").replace("\0", "")
        except (UnicodeDecodeError, LookupError):
            continue
    return raw.decode("latin-1").replace("\0", "")


def split_message(text: str) -> Message:
    """Take a message apart. Trailers are the last paragraph if all its lines look like trailers, as git has it, and
    at least one has a name that trailers have (with a hyphen, or a known one)."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")]
    end = next((index for index, line in enumerate(lines) if not line), len(lines))
    subject = " ".join(line.strip() for line in lines[:end])
    rest = "\n".join(lines[end:]).strip("\n")
    head, _, last = rest.rpartition("\n\n") if "\n\n" in rest else ("", "", rest)
    trailers = _trailers(last.split("\n")) if last else None
    return Message(subject, rest if trailers is None else head.rstrip(), trailers or [])


def _trailers(lines: list[str]) -> list[tuple[str, str]] | None:
    found: list[tuple[str, str]] = []
    certain = False
    for line in lines:
        picked, trailer = PICKED.fullmatch(line.strip()), TRAILER.fullmatch(line)
        if picked:
            found.append(("cherry-picked-from", picked[1]))
            certain = True
        elif trailer:
            found.append((trailer[1], trailer[2]))
            certain |= "-" in trailer[1] or trailer[1].lower() in _data()["trailers"]["plain"]
        elif found and line[:1].isspace():
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            return None
    return found if certain else None


def names_people(trailer: str) -> bool:
    """Whether a trailer's value is a person."""
    name = trailer.lower()
    return name.endswith("-by") or name in _data()["trailers"]["people"]


def is_bot(*identities: str) -> bool:
    """Whether one of these names or addresses is that of a machine."""
    return any(_bots().search(identity) for identity in identities)


def describe_message(message: Message, raw: str) -> dict[str, Any]:
    """Raw values of a message, by column of the commit table.

    Args:
        message: the message taken apart.
        raw: the whole text.
    """
    conventional = _conventional().match(message.subject)
    bare = message.subject[conventional.end() :] if conventional else message.subject
    bare = REFERENCE.sub("", bare).strip(" \t()[]:,;-")
    template = next((name for name, pattern in _templates() if pattern.fullmatch(bare or message.subject)), None)
    if template is None and conventional:
        template = next((name for name, pattern in _templates() if pattern.fullmatch(message.subject)), None)
    reverts = REVERTS.search(raw)
    return {
        "subject_chars": len(message.subject),
        "message_chars": len(message.text),
        "message_words": len(WORD.findall(REFERENCE.sub(" ", message.text))),
        "subject_words": len(WORD.findall(bare)),
        "conventional": conventional[1].lower() if conventional else None,
        "punctuation_only": not WORD.search(message.text),
        "reference_only": bool(message.text) and not WORD.search(REFERENCE.sub("", message.text)),
        "template": template,
        "revert": bool(reverts) or message.subject.lower().startswith('revert "'),
        "reverts": reverts[1] if reverts else None,
        "cherry_picked": next((value for name, value in message.trailers if name == "cherry-picked-from"), None),
    }
