"""Addresses of one page share a key, addresses of two pages don't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.web.urls import split_url, url_key

SAME = [
    ("http://www.Example.org:80/a/", "https://example.org/a"),
    ("https://example.org/a?utm_source=x&b=2&a=1#part", "https://example.org/a?a=1&b=2"),
    ("https://example.org/docs/index.html", "https://example.org/docs/"),
    ("https://example.org/a;jsessionid=12AB?x=1", "https://example.org/a?x=1"),
    ("https://example.org/%7Euser/%41", "https://example.org/~user/A"),
    ("https://user:pw@example.org/", "https://example.org"),
]
DIFFERENT = [
    ("https://example.org/a", "https://example.org/A"),
    ("https://example.org/a?id=1", "https://example.org/a?id=2"),
    ("https://example.org:8080/", "https://example.org/"),
    ("https://example.org/a%2Fb", "https://example.org/a/b"),
    ("https://docs.example.org/", "https://example.org/"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one, other):
    assert url_key(one) == url_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one, other):
    assert url_key(one) != url_key(other)


@given(st.text(max_size=40))
def test_any_text_has_a_key(text):
    assert isinstance(url_key(text), str)
    host, rest = split_url(text)
    assert not host or rest


def test_split():
    assert split_url("https://User@Example.org:81/a?b#c") == ("example.org", "/a?b")
    assert split_url("no url") == ("", "no url")
