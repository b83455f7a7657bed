"""Bytes become the text that was meant."""

import pytest

from codemill.web.charset import decode

TEXT = "<p>Grüße, żółw, привет и ещё много слов по-русски для уверенности"


@pytest.mark.parametrize(
    ("data", "http", "text", "named_by"),
    [
        ("<p>Grüße".encode(), None, "<p>Grüße", "utf-8"),
        ("<p>Grüße".encode("latin-1"), "ISO-8859-1", "<p>Grüße", "http"),
        ("<p>“x”".encode("cp1252"), "latin1", "<p>“x”", "http"),  # the web's latin1
        ("<meta charset=koi8-r><p>привет".encode("koi8-r"), None, "<meta charset=koi8-r><p>привет", "page"),
        ("<p>Grüße".encode(), "us-ascii-no-such", "<p>Grüße", "utf-8"),
        ("\ufeff<p>ü".encode(), "latin1", "<p>ü", "bom"),
        ("\ufeff<p>ü".encode("utf-16-le"), None, "<p>ü", "bom"),
        ("<meta charset=utf-16><p>ü".encode(), None, "<meta charset=utf-16><p>ü", "page"),
        (TEXT.replace("Grüße, żółw, ", "").encode("cp1251") * 5, "utf-8", None, "detected"),
    ],
)
def test_decode(data, http, text, named_by):
    found = decode(data, http)
    assert found.named_by == named_by
    assert found.replaced == 0
    assert found.text == (text or TEXT.replace("Grüße, żółw, ", "") * 5)


def test_what_can_not_be_read_is_counted():
    found = decode(b"<p>\xff\xfe\xfd ok \x81" + "ż".encode(), "utf-8")
    assert found.replaced >= 0
    assert "ok" in found.text
