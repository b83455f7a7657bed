"""Measures of a commit as text (message, `---`, patch): form, kind, and how far the message leads to the change.

Only the first `READ` characters are looked at, so that time is bounded for any commit.
"""

import re
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from tomllib import loads
from typing import Any

READ = 12_000  # characters
BITS = 12  # of hashed words
VERSION = 1  # raise it with any change of what a value means: a model fits one version only
_SEPARATOR = "\n\n---\n"
_WORD = re.compile(r"[A-Za-z]+|\d+")
_SPLIT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_FILE = re.compile(r"^diff --git a/(.+) b/(.+)$")
_DIGITS = re.compile(r"[0-9a-f]{7,}|\d+")
_VERSION = re.compile(r"\bv?\d+\.\d+(?:\.\d+)?\b|@\d")
_REFERENCE = re.compile(r"#\d+|https?://|\bgh-\d+", re.IGNORECASE)
_NAME = re.compile(r"`|\w\(\)|\b[a-z]+[A-Z]\w*|\w+_\w+|(?:^|\s)--?[a-z][\w-]+|\w\.\w+\b")
_COMMENT = re.compile(r"^\s*(?:#|//|/\*|\*|--|<!--|;|%|\"\"\")")


@cache
def _tables() -> dict[str, Any]:
    return loads((files("codemill.quality.commits") / "words.toml").read_text(encoding="utf-8"))


@cache
def _groups() -> list[tuple[str, re.Pattern[str]]]:
    return [(name, re.compile(rf"\b(?:{text})\b", re.IGNORECASE)) for name, text in _tables()["message"].items()]


@cache
def _kinds() -> list[tuple[str, re.Pattern[str]]]:
    return [(name, re.compile(text, re.IGNORECASE)) for name, text in _tables()["paths"].items()]


@dataclass(frozen=True)
class Parts:
    """A commit taken apart: subject, body, paths, and the added, removed and context lines of its patch."""

    subject: str
    body: str
    paths: list[str]
    added: list[str]
    removed: list[str]
    context: int
    hunks: int
    created: int
    deleted: int
    renamed: int


def take_apart(text: str) -> Parts:
    """The parts of a commit's text."""
    message, _, patch = text.partition(_SEPARATOR)
    subject, _, body = message.partition("\n")
    paths: list[str] = []
    sides: dict[str, list[str]] = {"+": [], "-": []}
    counts = {"@@": 0, " ": 0, "new file": 0, "deleted file": 0, "rename from": 0}
    for line in patch.split("\n"):
        found = _FILE.match(line)
        if found:
            paths.append(found[2])
        elif line.startswith(("+++ ", "--- ")):
            continue
        elif line[:1] in sides:
            sides[line[0]].append(line[1:])
        else:
            mark = next((mark for mark in counts if line.startswith(mark)), None)
            if mark:
                counts[mark] += 1
    return Parts(
        subject,
        body.strip(),
        paths,
        sides["+"],
        sides["-"],
        context=counts[" "],
        hunks=counts["@@"],
        created=counts["new file"],
        deleted=counts["deleted file"],
        renamed=counts["rename from"],
    )


def names(text: str) -> list[str]:
    """Lower-case words, identifiers split into theirs."""
    return [part.lower() for word in re.findall(r"[A-Za-z0-9]+", text) for part in _SPLIT.findall(word)]


def measure(text: str) -> dict[str, float]:
    """The measures of a commit by name, always the same ones in the same order."""
    parts = take_apart(text[:READ])
    return {**_message(parts), **_patch(parts, text), **_together(parts)}


def _message(parts: Parts) -> dict[str, float]:
    message = f"{parts.subject}\n{parts.body}"
    words = _WORD.findall(message)
    out: dict[str, float] = {
        "subject_chars": len(parts.subject),
        "subject_words": len(_WORD.findall(parts.subject)),
        "body_chars": min(len(parts.body), 2000),
        "body_lines": min(parts.body.count("\n") + bool(parts.body), 40),
        "body_prose": max((len(line.split()) for line in parts.body.split("\n")), default=0),
        "words": min(len(words), 300),
        "word_length": sum(map(len, words)) / max(len(words), 1),
        "capital": parts.subject[:1].isupper(),
        "stop": parts.subject.endswith("."),
        "sentences": len(re.findall(r"[.!?](?:\s|$)", message)),
        "prefix": bool(re.match(r"[\w/.*()\[\] -]{2,24}:\s", parts.subject)),
        "names": min(len(_NAME.findall(message)), 20),
        "references": min(len(_REFERENCE.findall(message)), 5),
        "versions": min(len(_VERSION.findall(message)), 5),
        "past": bool(re.match(r"(?:\W*\w+: )?\w+(?:ed|ing)\b", parts.subject)),
        "joined": len(re.findall(r"\band\b|,|;| & |\n[*-] ", message)),
    }
    for name, pattern in _groups():
        out[f"says_{name}"] = min(len(pattern.findall(message)), 5)
        out[f"opens_{name}"] = bool(pattern.search(" ".join(parts.subject.split()[:3])))
    return out


def _patch(parts: Parts, text: str) -> dict[str, float]:
    added, removed = parts.added, parts.removed
    changed = added + removed
    total = max(len(changed), 1)
    bare = [_DIGITS.sub("0", line).strip() for line in removed]
    pool = set(bare)
    renumbered = sum(bool(line.strip()) and _DIGITS.sub("0", line).strip() in pool for line in added)
    moved = len(set(map(str.strip, added)) & set(map(str.strip, removed)) - {""})
    letters = "".join(changed)
    out: dict[str, float] = {
        "files": len(parts.paths),
        "hunks": parts.hunks,
        "added": len(added),
        "removed": len(removed),
        "context": parts.context,
        "size": len(text),
        "balance": len(added) / total,
        "created": parts.created,
        "deleted": parts.deleted,
        "renamed": parts.renamed,
        "folders": len({path.rpartition("/")[0] for path in parts.paths}),
        "depth": max((path.count("/") for path in parts.paths), default=0),
        "renumbered": renumbered / max(len(added), 1),
        "moved": moved / max(len(added), 1),
        "blank": sum(not line.strip() for line in changed) / total,
        "comments": sum(bool(_COMMENT.match(line)) for line in changed) / total,
        "prose": sum(len(line.split()) > 7 and line.rstrip()[-1:] not in ";{})" for line in changed) / total,
        "line_length": len(letters) / total,
        "longest": min(max(map(len, changed), default=0), 1000),
        "punctuation": sum(not one.isalnum() and not one.isspace() for one in letters) / max(len(letters), 1),
        "digits": sum(one.isdigit() for one in letters) / max(len(letters), 1),
        "foreign": sum(one > "\x7f" for one in letters) / max(len(letters), 1),
        "todo": sum("todo" in line.lower() or "fixme" in line.lower() for line in added),
        "assertions": sum("assert" in line or "expect" in line or "should" in line for line in added) / total,
        "control": sum(bool(re.search(r"\b(?:if|else|for|while|return|raise|throw|try|match|case)\b", line))
                       for line in changed) / total,
        "definitions": sum(bool(re.search(r"\b(?:def|class|func|fn|function|struct|interface|void|public)\b", line))
                           for line in added) / total,
        "packed": len(zlib.compress(letters.encode("utf-8", "replace"), 1)) / max(len(letters), 1),
        "distinct": len(set(names(letters))) / max(len(names(letters)), 1),
        "links": sum("http" in line for line in changed) / total,
    }  # fmt: skip
    for name, pattern in _kinds():
        hits = sum(bool(pattern.search(path)) for path in parts.paths)
        out[f"any_{name}"], out[f"share_{name}"] = min(hits, 5), hits / max(len(parts.paths), 1)
    return out


def _together(parts: Parts) -> dict[str, float]:
    """How far the message leads to the change: which of its words stand in paths and in changed lines."""
    plain = set(_tables()["plain"]["words"].split())
    said = set(names(f"{parts.subject} {parts.body}")) - plain
    subject = set(names(parts.subject)) - plain
    paths, new, old = (set(names(" ".join(part))) for part in (parts.paths, parts.added, parts.removed))
    count = max(len(said), 1)
    changed = (new - old) | (old - new)
    return {
        "said": min(len(said), 100),
        "in_paths": len(said & paths) / count,
        "in_changed": len(said & (new | old)) / count,
        "in_difference": len(said & changed) / count,
        "subject_found": len(subject & (paths | new | old)) / max(len(subject), 1),
        "subject_rest": len(subject - paths - new - old),
        "unsaid": len(changed - said) / max(len(changed), 1),
        "new_words": min(len(new - old), 300),
    }


def hashed_words(text: str) -> dict[int, float]:
    """Words and pairs of the message, words of paths and of changed lines, hashed: bucket -> how often."""
    parts = take_apart(text[:READ])
    message = names(f"{parts.subject} {parts.body}")[:200]
    keys = [f"m {word}" for word in message]
    keys += [f"2 {one} {other}" for one, other in pairwise(message)]
    keys += [f"1 {word}" for word in message[:1]]
    keys += [f"p {word}" for word in names(" ".join(parts.paths))[:200]]
    for mark, lines in (("+", parts.added), ("-", parts.removed)):
        keys += [f"{mark} {word}" for word in names(" ".join(lines))[:400]]
    out: dict[int, float] = {}
    for key in keys:
        bucket = zlib.crc32(key.encode("utf-8", "replace")) & ((1 << BITS) - 1)
        out[bucket] = out.get(bucket, 0.0) + 1.0
    return out
