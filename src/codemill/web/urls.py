"""URLs as keys: what two spellings of one address share, so that the same page fetched twice is met once."""

import re
import tomllib
import urllib.parse
from functools import cache
from importlib.resources import files

PORTS = {"http": "80", "https": "443"}
SESSION = re.compile(r";(?:jsessionid|phpsessid|sid)=[^/?#]*", re.IGNORECASE)
ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@cache
def _known() -> tuple[frozenset[str], tuple[str, ...], frozenset[str]]:
    values = tomllib.loads((files("codemill.data") / "web_urls.toml").read_text(encoding="utf-8"))
    names = values["parameters"]
    exact = frozenset(name for name in names if not name.endswith("*"))
    return exact, tuple(name[:-1] for name in names if name.endswith("*")), frozenset(values["indexes"])


def split_url(url: str) -> tuple[str, str]:
    """Host (lower case, no port, no user) and the rest of a URL (path and query) as given; empty where it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return "", url
    query = f"?{parts.query}" if parts.query else ""
    return host, f"{parts.path or '/'}{query}" if host else url


def url_key(url: str) -> str:
    """A URL without what does not change the page (RFC 3986, section 6, and then some).

    Left out: scheme, `www.`, default ports, user, fragment, session and tracking parameters, the name of a folder's
    index and the slash at the end. Parameters are sorted, escapes of plain characters undone. What is no URL is its
    own key.
    """
    try:
        parts = urllib.parse.urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return url
    if not host:
        return url
    exact, prefixes, indexes = _known()
    host = host.removeprefix("www.")
    if port is not None and str(port) != PORTS.get(parts.scheme.lower()):
        host = f"{host}:{port}"
    path = ESCAPE.sub(_plain, SESSION.sub("", parts.path))
    folder, _, name = path.rpartition("/")
    if name.lower() in indexes:
        path = folder
    pairs = sorted(
        (name, value)
        for name, value in urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        if name.lower() not in exact and not name.lower().startswith(prefixes)
    )
    query = f"?{urllib.parse.urlencode(pairs)}" if pairs else ""
    return f"{host}{path.rstrip('/')}{query}"


def _plain(found: re.Match[str]) -> str:
    character = chr(int(found.group()[1:], 16))
    return character if character in UNRESERVED else found.group().upper()
