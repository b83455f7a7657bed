"""One record as one page: its text, and the values that rules look at."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from resiliparse.parse.lang import detect_fast

from codemill.web.charset import decode
from codemill.web.extract import extract
from codemill.web.records import Record
from codemill.web.tags import TAGS
from codemill.web.urls import split_url, url_key
from codemill.web.walk import Extraction

LANGUAGE_CHARS = 3000  # of prose that the detector sees


@dataclass(frozen=True)
class Page:
    """A page as it is stored.

    Attributes:
        text: UTF-8; None where there is none.
        problem: why there is none.
        values: columns of the page table but `tokens`.
    """

    text: bytes | None
    problem: str | None
    values: dict[str, Any]


def read_page(record: Record) -> Page:
    """Decode and extract a record."""
    host, _ = split_url(record.url)
    values: dict[str, Any] = {
        "url": record.url,
        "url_key": url_key(record.url),
        "host": host,
        "date": record.date,
        "status": record.status,
        "mime": record.mime,
        "truncated": record.truncated,
        "html_bytes": record.size,
    }
    if record.payload is None:
        return Page(None, record.problem, values)
    decoded = decode(record.payload, record.charset)
    # A NUL is no character of a text; parsers replace it, plain text has it.
    html = decoded.text.replace("\0", "\ufffd")
    found = Extraction(text=html, prose=html[:LANGUAGE_CHARS], chars=len(html)) if record.is_text else extract(html)
    values |= {
        "charset": decoded.encoding,
        "charset_by": decoded.named_by,
        "replaced_share": decoded.replaced / max(len(html), 1),
    }
    if found.problem:
        return Page(None, found.problem, values)
    text = found.text.encode("utf-8", "replace")
    values |= _values(found)
    if not text.strip():
        return Page(None, "empty", values)
    return Page(text, None, values)


def _values(found: Extraction) -> dict[str, Any]:
    text = found.text
    code = sum(len(listing) for listing, _ in found.listings)
    prose = found.prose
    language, distance = detect_fast(prose[:LANGUAGE_CHARS]) if prose else ("unknown", 0)
    languages = Counter(TAGS.languages[name] for _, name in found.listings if name)
    words = len(text.split())
    return {
        "title": found.title,
        "html_language": found.html_language,
        "language": language,
        "language_distance": distance,
        "words": words,
        "prose_words": words - sum(len(listing.split()) for listing, _ in found.listings),
        "chars": len(text),
        "code_marks": len(found.listings) + found.inline_codes,
        "code_blocks": len(found.listings),
        "code_chars": code,
        "code_share": code / len(text) if text else 0.0,
        "code_language": languages.most_common(1)[0][0] if languages else None,
        "inline_codes": found.inline_codes,
        "links": found.links,
        "link_density": found.link_chars / found.chars if found.chars else 0.0,
        "headings": found.headings,
        "tables": found.tables,
        "list_items": found.list_items,
        "furniture_share": found.dropped_chars / found.chars if found.chars else 0.0,
    }
