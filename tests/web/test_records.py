"""Every record of an archive is a page, with content or a reason, or counted; broken members cost themselves alone."""

import gzip
import io
from itertools import pairwise

import pytest
from fastwarc.warc import WarcRecordType
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.web.records import Others, next_member, read_records
from tests.web.warcs import article, members, record, response

LIMIT = 100_000


def read(data, start=0, stop=None, limit=LIMIT):
    others = Others({})
    return list(read_records(io.BytesIO(data), start, stop, limit, others)), others.counts


def test_kinds_of_records():
    data = b"".join(
        [
            record(WarcRecordType.warcinfo, None, b"software: x\r\n", "application/warc-fields"),
            record(WarcRecordType.request, "http://a.example/", b"GET / HTTP/1.1\r\n\r\n", "application/http"),
            response("http://a.example/", b"<p>hello"),
            response("http://a.example/gone", b"<p>gone", status="404 Not Found"),
            response("http://a.example/i.png", b"\x89PNG", headers=["Content-Type: image/png"]),
            response("http://a.example/cut", b"<p>cut", extra=[("WARC-Truncated", "length")]),
            response("http://a.example/big", b"<p>" + b"x" * LIMIT),
            response("http://a.example/plain", b"\x00\x01\x02binary" * 100, headers=[]),
            response("http://a.example/guess", b"<!doctype html><html><p>guess", headers=[]),
            record(WarcRecordType.revisit, "http://a.example/", b"", "application/http"),
            record(WarcRecordType.conversion, "http://a.example/t", "Wörter".encode(), "text/plain"),
            record(WarcRecordType.metadata, "http://a.example/", b"fetchTimeMs: 1\r\n", "application/warc-fields"),
        ]
    )
    found, others = read(data)
    assert others == {"warcinfo": 1, "request": 1, "metadata": 1}
    by_url = {page.url.removeprefix("http://a.example/"): page for page in found}
    assert {name: page.problem for name, page in by_url.items() if name} == {
        "gone": "not_ok",
        "i.png": "not_html",
        "cut": None,
        "big": "too_large",
        "plain": "not_html",
        "guess": None,
        "t": None,
    }
    assert found[0].payload == b"<p>hello"
    assert (found[0].date, found[0].status, found[0].mime) == ("2026-01-02T03:04:05Z", 200, "text/html")
    assert [page.problem for page in found if page.url == "http://a.example/"] == [None, "revisit"]
    assert by_url["cut"].truncated == "length"
    assert by_url["t"].is_text
    assert by_url["t"].payload == "Wörter".encode()
    assert len(found) == 9


BODY = b"<p>" + b"coded " * 500


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Content-Encoding: gzip", gzip.compress(BODY)),
        ("Content-Encoding: gzip", BODY),  # unpacked by the crawler, header left
        ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
        ("Transfer-Encoding: chunked", BODY),
    ],
)
def test_codings_of_transfer(header, body):
    found, _ = read(response("http://a.example/", body, headers=["Content-Type: text/html; charset=UTF-8", header]))
    assert [(page.payload, page.charset) for page in found] == [(BODY, "UTF-8")]


def test_a_bomb_is_too_large():
    bomb = gzip.compress(b"<p>" + b"\0" * 50_000_000)
    found, _ = read(response("http://a.example/", bomb, headers=["Content-Type: text/html", "Content-Encoding: gzip"]))
    assert [(page.payload, page.problem) for page in found] == [(None, "too_large")]


def archive(count):
    return b"".join(
        response(f"http://a.example/{number}", article(f"P{number}", number % 7)) for number in range(count)
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12_000), max_size=6))
def test_ranges_hold_every_page_once(cuts):
    data = archive(40)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pages = [page for start, stop in pairwise(edges) for page in read(data, start, stop)[0]]
    assert [page.url for page in pages] == [f"http://a.example/{number}" for number in range(40)]
    assert [page.offset for page in pages] == members(data)


def test_next_member_finds_records_alone():
    data = archive(3)
    places = members(data)
    assert next_member(io.BytesIO(data), 1) == places[1]
    assert next_member(io.BytesIO(data), places[1]) == places[1]
    assert next_member(io.BytesIO(data), places[2] + 1) is None
    decoy = gzip.compress(b"no record")
    assert next_member(io.BytesIO(decoy + data), 0) == len(decoy)


def test_a_broken_member_costs_itself_alone():
    data = bytearray(archive(5))
    place = members(bytes(data))[2]
    data[place + 30 : place + 60] = b"\xff" * 30
    found, _ = read(bytes(data))
    assert [page.problem for page in found] == [None, None, "corrupt_archive", None, None]
    assert found[2].offset == place


def test_a_file_cut_off_says_so():
    data = archive(3)
    found, _ = read(data[:-40])
    assert [page.problem for page in found] == [None, None, "corrupt_archive"]
