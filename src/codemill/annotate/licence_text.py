"""What single files say of licences: a tag or notice in a head, the texts in a licence file, package metadata.

Keyed by occurrence although it reads content, since only the path tells that a file is a licence file; the classifier
would be far too slow for all content. `annotate/licence.py` makes the licence of every occurrence out of this.
"""

import re
from functools import lru_cache
from importlib.metadata import version
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.base import Annotator, Key
from codemill.annotate.packages import declared_in, is_metadata
from codemill.annotate.spdx import NOASSERTION, canonical, facts, join

# Tags and notices stand in the head of a file; what comes later is the file's own matter.
HEAD_BYTES = 4096
_MAX_TAGS = 5
_MAX_CHOICE = 3
_TAG = re.compile(rb"SPDX-License-Identifier:[ \t]*([^\r\n]{1,200})")
_EXPRESSION = re.compile(r"[A-Za-z0-9.+ ()-]+")
_NOTICE_HINT = r"(?i)licen[cs]e|redistribution and use|permission (is|to)|public domain"


class LicenceTextAnnotator(Annotator):
    """What single files say of licences, keyed by occurrence.

    Fields: `header`, an SPDX expression from the first 4 KiB of a file; `header_by`, which is `tag` (SPDX tags,
    several are a sum) or `notice` (the usual wording above a source file). `role`: `licence` or `metadata` by the
    file's name, else empty. For licence files `texts`, the SPDX identifiers of the texts in them in order, the share
    of the characters that those texts `cover`, and whether the words around them offer a `choice`. For package
    metadata `stated`, its statement as an expression.
    """

    name: ClassVar[str] = "licence_text"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "occurrence"
    inputs: ClassVar[tuple[str, ...]] = ("path", "content")
    fields: ClassVar[pa.Schema] = pa.schema(
        [
            ("header", pa.string()),
            ("header_by", pa.string()),
            ("role", pa.string()),
            ("texts", pa.list_(pa.string())),
            ("cover", pa.float64()),
            ("choice", pa.bool_()),
            ("stated", pa.string()),
        ]
    )

    def model(self) -> str:
        return f"licenseclassifier {version('licenseclassifier')}, packaging {version('packaging')}"

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        paths, contents = batch.column("path"), batch.column("content")
        values: dict[str, list[Any]] = {name: [None] * batch.num_rows for name in self.fields.names}
        values["role"] = [role(path) for path in paths.to_pylist()]
        _read_headers(contents, values)
        for index, kind in enumerate(values["role"]):
            if kind == "licence":
                text = contents[index].as_py()
                values["texts"][index], values["cover"][index], values["choice"][index] = classify(text)
            elif kind == "metadata":
                values["stated"][index] = declared_in(paths[index].as_py(), contents[index].as_py())
        return pa.RecordBatch.from_pydict(values, schema=self.fields)


def role(path: str) -> str:
    """`licence` for the path of a licence file, `metadata` for package metadata, else empty."""
    folder, _, name = path.rpartition("/")
    if licence_name(name) is not None or _is_reuse_text(folder, name):
        return "licence"
    return "metadata" if is_metadata(name) else ""


@lru_cache(maxsize=1 << 14)
def licence_name(name: str) -> tuple[str, tuple[str, ...]] | None:
    """A licence file's stem and the words beside it that name a licence; None for other names.

    `LICENSE` -> ("license", ()), `MIT-LICENSE.txt` -> ("license", ("mit",)), `COPYING.LESSER` -> ("copying",
    ("lesser",)). `NUMPY_LICENSE` and `LICENSE-3RD-PARTY` are None: they speak for a component.
    """
    table = facts()["files"]
    parts = [part for part in re.split(r"[-_.\s]+", name.lower()) if part]
    stems = [part for part in parts if part in table["stems"]]
    if len(stems) != 1:
        return None
    others = [part for part in parts if part not in table["stems"]]
    if others and others[-1] in table["formats"]:
        others.pop()
    if any(part not in table["words"] and not part.isdigit() for part in others):
        return None
    return stems[0], tuple(others)


def _is_reuse_text(folder: str, name: str) -> bool:
    """REUSE keeps a project's licence texts as LICENSES/<SPDX identifier>.txt."""
    return folder.rpartition("/")[2] == "LICENSES" and name.endswith(".txt") and bool(canonical(name[:-4]))


def _read_headers(contents: pa.Array, values: dict[str, list[Any]]) -> None:
    """Fill `header` and `header_by` of the rows that have no role: a licence file's own notices are no statement."""
    heads = pc.binary_slice(contents, 0, HEAD_BYTES)
    plain = pc.equal(pa.array(values["role"], pa.string()), "")
    rows = pc.indices_nonzero(pc.and_(plain, pc.match_substring_regex(heads, _NOTICE_HINT)))
    for row, head in zip(rows.to_pylist(), heads.take(rows).to_pylist(), strict=True):
        tag = _tagged(head) if b"SPDX-License-Identifier" in head else None
        found = tag or _notice(head)
        if found:
            values["header"][row], values["header_by"][row] = found, "tag" if tag else "notice"


def _tagged(head: bytes) -> str | None:
    """The sum of the SPDX tags in a head; unreadable ones count as `NOASSERTION` if they look like an expression."""
    found = []
    for match in list(_TAG.finditer(head))[:_MAX_TAGS]:
        text = match.group(1).decode("utf-8", "replace")
        text = re.split(r"\*/|-->|\*\)|-\}|#}|[\"'`,;<>|]|\\n", text)[0].strip(" \t*#/-")
        expression = canonical(text)
        if expression is None and _EXPRESSION.fullmatch(text) and text[:1].isupper():
            expression = NOASSERTION
        if expression:
            found.append(expression)
    return join(found, "AND") if found else None


@lru_cache(maxsize=1)
def _notices() -> list[tuple[str, list[re.Pattern[bytes]]]]:
    """The notices of the table as patterns over words that are joined by single blanks."""
    table = []
    for notice in facts()["notice"]:
        table.append((notice["spdx"], [re.compile(words.lower().encode()) for words in notice["all"]]))
    return table


def _notice(head: bytes) -> str | None:
    """The licence whose notice a head holds. Heads repeat within a project, so answers are kept by their words."""
    return _notice_of(b" ".join(re.findall(rb"[a-z0-9]+", head.lower())))


@lru_cache(maxsize=4096)
def _notice_of(words: bytes) -> str | None:
    for spdx, patterns in _notices():
        if all(pattern.search(words) for pattern in patterns):
            return str(spdx)
    return None


def classify(content: bytes) -> tuple[list[str], float, bool]:
    """SPDX identifiers of the licence texts in a licence file, the share of characters they cover, and `choice`."""
    return _classify(content.decode("utf-8", "replace")[:1_000_000])


@lru_cache(maxsize=1024)
def _classify(text: str) -> tuple[list[str], float, bool]:
    from licenseclassifier import identify_license

    # No threshold here: coverage is a value, and the global step decides what it takes.
    matches = identify_license(text, 0)
    covered = sum(match.end - match.start for match in matches)
    ends = [0, *(match.end for match in matches)]
    starts = [*(match.start for match in matches), len(text)]
    around = " ".join(text[end:start] for end, start in zip(ends, starts, strict=True))
    identifiers = list(dict.fromkeys(match.id for match in matches))
    # The notice at the end of the GPL's text says "or later" of a program it is applied to, not of this one.
    identifiers = [
        name for name in identifiers if name.removesuffix("-or-later") not in identifiers or "-or-" not in name
    ]
    # A bundle of many texts has such words somewhere; they don't speak of all of it.
    choice = len(identifiers) <= _MAX_CHOICE and bool(re.search(facts()["files"]["choice"], around))
    return identifiers, covered / max(1, len(text)), choice
