"""Records of web archives as pages: what a WARC file holds, each record once, with content or with a reason.

FastWARC reads them. A file is read in ranges of bytes, since every record of a compressed WARC is a gzip member of its
own: a range holds the records that begin in it. Where a member is broken, reading goes on at the next whole one.
"""

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from fastwarc.stream_io import BrotliReader, ChunkedReader, GzipReader, ZstdReader
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.parse.encoding import detect_mime

MEMBER = b"\x1f\x8b\x08"
SEARCH = 1 << 16
HTML = frozenset({"text/html", "application/xhtml+xml"})


@dataclass(frozen=True)
class Record:
    """A page of an archive.

    Attributes:
        url, date: what was fetched when (ISO 8601); empty where the record does not say.
        offset: where the record begins in the file, or the row of a table.
        payload: HTML, or text where `is_text`; None where there is a problem.
        size: bytes of the payload, as far as known.
        status: HTTP's; None where there is none.
        mime, charset: as the server says, in lower case.
        truncated: why the crawler cut the payload off (`length`, `time` …); None where it didn't.
        problem: why there is no payload.
    """

    url: str
    date: str
    offset: int
    payload: bytes | None
    size: int = 0
    status: int | None = None
    mime: str = ""
    charset: str | None = None
    truncated: str | None = None
    problem: str | None = None
    is_text: bool = False


@dataclass
class Others:
    """How many records were met that are no pages (requests, metadata, information on the file), by type."""

    counts: dict[str, int]

    def add(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1


def read_records(stream: BinaryIO, start: int, stop: int | None, max_bytes: int, others: Others) -> Iterator[Record]:
    """The pages among the records that begin in a range of bytes.

    Args:
        stream: a WARC file, open for random access.
        start, stop: the range; None reads to the end.
        max_bytes: larger payloads are not read to their end.
        others: told of the records that are no pages.
    """
    here: int | None = next_member(stream, start) if start else start
    while here is not None and (stop is None or here < stop):
        stream.seek(here)
        at, done = here, False
        shift: int | None = None
        try:
            for record in ArchiveIterator(stream, parse_http=False, strict_mode=False):
                # Positions count from the beginning of the file or from where reading began, as the stream can tell.
                shift = here - int(record.stream_pos) if shift is None else shift
                at, done = int(record.stream_pos) + shift, False
                if stop is not None and at >= stop:
                    return
                yield from _read(record, at, max_bytes, others)
                done = True
            return
        except (OSError, ValueError, RuntimeError):
            end = _member_end(stream, at) if done else None
            broken = at if end is None else end
            if stop is not None and broken >= stop:
                return
            if not done or end is not None:
                yield Record("", "", broken, None, problem="corrupt_archive")
            here = next_member(stream, broken + 1)


def _member_end(stream: BinaryIO, start: int) -> int | None:
    """Where the gzip member that begins at `start` ends; None where it is broken itself."""
    stream.seek(start)
    member, read = zlib.decompressobj(31), 0
    while not member.eof:
        chunk = stream.read(SEARCH)
        if not chunk:
            return None
        read += len(chunk)
        try:
            while chunk and not member.eof:
                member.decompress(chunk, 1 << 20)
                chunk = member.unconsumed_tail
        except zlib.error:
            return None
    return start + read - len(member.unused_data)


def next_member(stream: BinaryIO, start: int) -> int | None:
    """Where the first gzip member at or after `start` begins that holds a WARC record; None where there is none."""
    stream.seek(start)
    base, window = start, b""
    while chunk := stream.read(SEARCH):
        window += chunk
        at = window.find(MEMBER)
        while at >= 0:
            if at + 4096 > len(window) and (more := stream.read(SEARCH)):
                window += more
            if _is_record(window[at : at + 4096]):
                return base + at
            at = window.find(MEMBER, at + 1)
        keep = len(MEMBER) - 1
        base, window = base + len(window) - keep, window[-keep:]
    return None


def _is_record(data: bytes) -> bool:
    try:
        return zlib.decompressobj(31).decompress(data, 8).startswith(b"WARC/")
    except zlib.error:
        return False


def _read(record: Any, at: int, max_bytes: int, others: Others) -> Iterator[Record]:
    kind, headers = record.record_type, record.headers
    url, date = headers.get("WARC-Target-URI") or "", headers.get("WARC-Date") or ""
    url = url.strip("<>")
    if kind == WarcRecordType.revisit:
        yield Record(url, date, at, None, problem="revisit")
    elif kind == WarcRecordType.conversion:
        yield _text(record, Record(url, date, at, None), max_bytes)
    elif kind in (WarcRecordType.response, WarcRecordType.resource):
        yield _page(record, Record(url, date, at, None), max_bytes)
    else:
        others.add(str(kind))


def _text(record: Any, known: Record, max_bytes: int) -> Record:
    """A record of a WET file: text that the crawl's own tools made of a page."""
    data = record.reader.read(max_bytes + 1)
    return _with(known, data, record, max_bytes, mime="text/plain", charset="utf-8", is_text=True)


def _page(record: Any, known: Record, max_bytes: int) -> Record:
    truncated = record.headers.get("WARC-Truncated")
    status: int | None = None
    kind = record.headers.get("Content-Type") or ""
    codings = ""
    if record.is_http:
        record.parse_http(auto_decode="none", quirks_mode=True, strict_mode=False)
        http = record.http_headers
        status = http.status_code if http is not None else None
        if http is not None:
            kind = http.get("Content-Type") or ""
            codings = f"{http.get('Content-Encoding') or ''},{http.get('Transfer-Encoding') or ''}".lower()
    mime, charset = _content_type(kind)
    size = int(record.content_length)
    facts = {"status": status, "mime": mime, "charset": charset, "truncated": truncated}
    if status is not None and status != 200:
        return _replace(known, size=size, problem="not_ok", **facts)
    if mime and mime not in HTML:
        return _replace(known, size=size, problem="not_html", **facts)
    if size > max_bytes:
        return _replace(known, size=size, problem="too_large", **facts)
    data = record.reader.read(max_bytes + 1)
    if len(data) < size:
        return _replace(known, size=len(data), problem="corrupt_archive", **facts)
    data = _decoded(data, codings, max_bytes)
    if not mime:
        facts["mime"] = mime = detect_mime(data[:4096])
        if mime not in HTML:
            return _replace(known, size=len(data), problem="not_html", **facts)
    return _with(known, data, record, max_bytes, **facts)


def _with(known: Record, data: bytes, record: Any, max_bytes: int, **facts: Any) -> Record:
    if len(data) > max_bytes:
        return _replace(known, size=max(len(data), int(record.content_length)), problem="too_large", **facts)
    return _replace(known, payload=data, size=len(data), **facts)


def _replace(known: Record, **facts: Any) -> Record:
    return Record(**{"url": known.url, "date": known.date, "offset": known.offset, "payload": None, **facts})


def _content_type(value: str) -> tuple[str, str | None]:
    """MIME type and charset of a Content-Type."""
    mime, _, rest = value.partition(";")
    charset = None
    for part in rest.split(";"):
        name, _, text = part.partition("=")
        if name.strip().lower() == "charset":
            charset = text.strip(" \t\"'") or None
    return mime.strip().lower(), charset


def _decoded(data: bytes, codings: str, max_bytes: int) -> bytes:
    """The payload without the codings that its headers name, as far as it has them: many crawlers store it bare."""
    if "chunked" in codings and data[:20].split(b"\r\n")[0].split(b";")[0].strip().isalnum():
        data = _through(ChunkedReader, data, max_bytes)
    if data.startswith(MEMBER):
        return _through(GzipReader, data, max_bytes)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return _through(ZstdReader, data, max_bytes)
    if "br" in codings.replace(" ", "").split(",") and data.lstrip()[:1] != b"<":
        return _through(BrotliReader, data, max_bytes)
    return data


def _through(reader: Any, data: bytes, max_bytes: int) -> bytes:
    """What a reader makes of the data, at most a byte more than allowed; the data itself where it can't read them."""
    try:
        unpacked = reader(io.BytesIO(data)).read(max_bytes + 1)
    except (OSError, ValueError, RuntimeError):
        return data
    return bytes(unpacked) or data
