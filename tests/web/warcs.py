"""WARC records made for tests: real ones, written as crawlers write them."""

import gzip
import io

from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType


def response(url, body, status="200 OK", headers=("Content-Type: text/html",), extra=()):
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers]).encode("latin-1") + b"\r\n\r\n"
    return record(
        WarcRecordType.response, url, head + body, "application/http; msgtype=response", http=True, extra=extra
    )


def record(kind, url, content, content_type, *, http=False, extra=()):
    made = WarcRecord()
    made.init_headers(kind)
    if url:
        made.headers["WARC-Target-URI"] = url
    made.headers["WARC-Date"] = "2026-01-02T03:04:05Z"
    made.headers["Content-Type"] = content_type
    for name, value in extra:
        made.headers[name] = value
    made.is_http = http
    made.set_bytes_content(content)
    buffer = io.BytesIO()
    writer = GzipWriter(buffer)
    made.write(writer)
    writer.close()
    return buffer.getvalue()


def article(title, words, code="x = 1\ny = 2\n"):
    """A page of prose with a listing."""
    text = " ".join(f"{title} sentence {number} says something of its own." for number in range(words))
    return f"<html><head><title>{title}</title></head><body><p>{text}</p><pre>{code}</pre></body></html>".encode()


def members(data):
    """Where the gzip members of a file begin."""
    places, at = [], 0
    while at < len(data):
        places.append(at)
        stream = gzip.zlib.decompressobj(31)
        stream.decompress(data[at:])
        at = len(data) - len(stream.unused_data)
    return places
