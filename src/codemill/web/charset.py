"""Bytes of a page as text, by what the page's server and the page itself say, and by looking where they are wrong."""

import codecs
import re
from dataclasses import dataclass

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
META = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
XML = re.compile(rb"\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
HEAD = 1024  # bytes that the standard searches for a declaration
REPLACED = "\ufffd"


@dataclass(frozen=True)
class Decoded:
    """Text, the encoding it was read by, who named that (`bom`, `http`, `page`, `utf-8`, `detected`), and how many
    characters could not be read."""

    text: str
    encoding: str
    named_by: str
    replaced: int


def decode(data: bytes, http_charset: str | None) -> Decoded:
    """Decode a page.

    A byte order mark counts most, then the server's word, then the page's, each if the bytes allow it; then UTF-8 if
    they are valid, then what a detector says (uchardet), with characters replaced where even that fails.
    """
    for mark, encoding in BOMS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(encoding, "replace")
            return Decoded(text, encoding, "bom", text.count(REPLACED))
    for named_by, name in (("http", http_charset), ("page", declared(data))):
        claimed = canonical(name)
        found = _try(data, claimed) if claimed else None
        if claimed and found is not None:
            return Decoded(found, claimed, named_by, 0)
    found = _try(data, "utf-8")
    if found is not None:
        return Decoded(found, "utf-8", "utf-8", 0)
    encoding = detect_encoding(data) or "utf-8"
    try:
        text = data.decode(encoding, "replace")
    except LookupError:
        encoding, text = "utf-8", data.decode("utf-8", "replace")
    return Decoded(text, encoding, "detected", text.count(REPLACED))


def declared(data: bytes) -> str | None:
    """The encoding that the page names in its first kilobyte."""
    found = META.search(data, 0, HEAD) or XML.search(data, 0, HEAD)
    if found is None:
        return None
    name = found.group(1).decode("ascii")
    # A declaration that can be read as ASCII is no UTF-16 (as the standard has it).
    return "utf-8" if name.lower().startswith("utf-16") else name


def canonical(name: str | None) -> str | None:
    """The web's meaning of an encoding's name (`latin1` is windows-1252); None for names of none."""
    return map_encoding_to_html5(name.strip(" \t\"';"), fallback_utf8=False) if name else None


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
