"""E-mail and IP addresses in bytes: where they are, and whether they are somebody's or a stand-in.

Own code, since detectors of personal data for prose are slow on code and take decorators, matrix products, remotes and
version numbers for addresses. Every step looks at a bounded neighbourhood of its anchor (an `@`, four dotted numbers,
two colons), so time grows with the size of the input whatever it holds.
"""

import ipaddress
import re
import tomllib
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple


class Span(NamedTuple):
    """A half-open range of bytes and what lies in it; `confidence` only where the detector has levels."""

    kind: str
    start: int
    end: int
    rule: str
    confidence: str | None = None


_LOCAL = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
_MAX_LOCAL = 64
_DOMAIN = re.compile(rb"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24})(?![A-Za-z0-9_-])")
_USERINFO = re.compile(rb"://[^\s/@\"'<>]*$")
_IPV4 = re.compile(rb"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\d|[-+_][A-Za-z])")
# An anchor that begins with a literal byte keeps the scan fast; what stands left of it is looked up afterwards.
_IPV6 = re.compile(rb":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*")
# Before what is no address: decimals that follow each other without a blank, as in the paths of pictures (`1.08.58
# 1.23.82.72 1.21`), and the name of a package in that of an archive (`ninja-1.11.1.1.tar.gz`).
_NO_ADDRESS = re.compile(rb"(?:(?<![\d.])\d*\.\d+(?:\.\d+)?[ ,-]|[A-Za-z]-)$")
_SMALL = 32
_HEX = b"0123456789abcdefABCDEF"
_MAX_IPV6 = 45
_WORD = re.compile(rb"\w")

# What a blob must hold to be searched for addresses: RE2, for Arrow, which is much faster than Python's expressions.
IPV4_HINT = r"\d\.\d{1,3}\.\d{1,3}\.\d"
IPV6_HINT = r"[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]"


@cache
def _facts() -> dict[str, Any]:
    return tomllib.loads(files("codemill").joinpath("data/personal.toml").read_text(encoding="utf-8"))


@cache
def _names(table: str, key: str) -> frozenset[str]:
    return frozenset(_facts()[table][key])


# -- e-mail ----------------------------------------------------------------------------------------------------------


def emails(content: bytes) -> Iterator[Span]:
    """Addresses as `email`, or `email_placeholder` where the domain or the name is nobody's (RFC 2606 and the like)."""
    for match in _DOMAIN.finditer(content):
        at = match.start()
        window = content[max(0, at - _MAX_LOCAL - 1) : at]
        start = at - (len(window) - len(window.rstrip(_LOCAL)))
        local = content[start:at].lstrip(b".%+-_")
        start = at - len(local)
        if not local or len(local) > _MAX_LOCAL or local.endswith(b".") or b".." in local:
            continue
        kind = _email_kind(local.decode().lower(), match.group(1).decode().lower())
        if kind and not _is_no_email(content, start, match.end(), local):
            yield Span(kind, start, match.end(), "email")


@lru_cache(maxsize=1 << 14)
def _email_kind(local: str, domain: str) -> str | None:
    labels = domain.split(".")
    if labels[-1] in _names("email", "placeholder_tlds"):
        return "email_placeholder"
    # Pictures for dense screens are named `icon@2x.png`; not every such extension is no domain.
    if labels[-1] not in _names("domain", "top_level") or re.fullmatch(r"\d+x", labels[0]):
        return None
    if any(label.endswith("-") for label in labels):
        return None
    placeholder = (
        ".".join(labels[-2:]) in _names("email", "placeholder_domains")
        or local in _names("email", "placeholder_locals")
        or "noreply" in labels
    )
    return "email_placeholder" if placeholder else "email"


def _is_no_email(content: bytes, start: int, end: int, local: bytes) -> bool:
    """Whether the surroundings say that this is a remote, a login in a URL, or an expression."""
    after = content[end : end + 2]
    if after[:1] == b"(":  # a call on an attribute: x@weights.dot(y)
        return True
    if after[:1] == b":" and _WORD.match(after[1:]) and not after[1:].isdigit():  # user@host:path
        return True
    if local.decode() in _names("email", "remote_users") and after[:1] in (b":", b"/"):
        return True
    return bool(_USERINFO.search(content[max(0, start - 80) : start]))


# -- IP --------------------------------------------------------------------------------------------------------------


def ipv4(content: bytes) -> Iterator[Span]:
    """Addresses as `ip`, or `ip_special`: private, loopback, link-local, documentation, masks, networks, resolvers."""
    for match in _IPV4.finditer(content):
        kind = _ip_kind(match.group())
        if kind and not _is_version(content, match.start(), match.end()):
            yield Span(kind, match.start(), match.end(), "ipv4")


def ipv6(content: bytes) -> Iterator[Span]:
    """Addresses as `ip` or `ip_special`, as above."""
    for match in _IPV6.finditer(content):
        if len(match.group()) > _MAX_IPV6:
            continue
        window = content[max(0, match.start() - 5) : match.start()]
        start = match.start() - (len(window) - len(window.rstrip(_HEX)))
        text = content[start : match.end()].rstrip(b".")
        if text.endswith(b":") and not text.endswith(b"::"):
            text = text[:-1]
        end = start + len(text)
        if _WORD.match(content[start - 1 : start]) or _WORD.match(content[end : end + 1]):
            continue
        groups = [group for group in text.split(b":") if group]
        # Scopes (a::b), times and hardware addresses parse as IPv6 too; real addresses have longer groups and digits.
        if len(groups) < 2 or max(map(len, groups)) < 3 or not any(byte in b"0123456789" for byte in text):
            continue
        if len(groups) == 2 and not re.match(rb"(?i)fe80|f[cd][0-9a-f]{2}|[23][0-9a-f]{3}", groups[0]):
            continue
        kind = _ip_kind(text)
        if kind:
            yield Span(kind, start, end, "ipv6")


@lru_cache(maxsize=1 << 14)
def _ip_kind(text: bytes) -> str | None:
    try:
        address = ipaddress.ip_address(text.decode())
    except ValueError:
        return None
    if str(address) in _names("ip", "public") or not address.is_global or address.is_multicast or address.is_reserved:
        return "ip_special"
    # No host has a last byte of 0 or 255 in the usual networks: these are networks, masks, or four-part versions.
    return "ip_special" if address.version == 4 and address.packed[-1] in (0, 255) else "ip"


@cache
def _version_pattern() -> re.Pattern[bytes]:
    words = "|".join(re.escape(word) for word in _facts()["ip"]["version_words"])
    return re.compile(rf"(?i)(?:(?:{words})s?[^A-Za-z0-9]{{0,8}}|[=~<>^!]=)$".encode())


def _is_version(content: bytes, start: int, end: int) -> bool:
    """Whether four dotted numbers are a version, a heading or decimals by themselves and by what stands around them."""
    before, after = content[max(0, start - 24) : start], content[end : end + 4]
    if _version_pattern().search(before) or _NO_ADDRESS.search(before):
        return True
    # Small numbers only: about one public address in four thousand is so, but nearly all versions and headings are.
    # Only 0 and 10 begin ranges that people use and that are small throughout.
    text = content[start:end].decode()
    parts = [int(part) for part in text.split(".")]
    small = max(parts) < _SMALL and parts[0] not in (0, 10) and text not in _names("ip", "public")
    return small and not (before.endswith((b"//", b"@")) or re.match(rb"[:/]\d", after))
