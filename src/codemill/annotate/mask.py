"""Masking, an output option: bytes with the spans of `secrets` replaced. The blob itself never changes."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

# What a recipe's `mask` names -> the kind of span, and what is written instead. In order of weight: where spans of
# several kinds overlap, the first one's placeholder stands for all.
_KINDS = {"keys": ("key", b"<KEY>"), "emails": ("email", b"<EMAIL>"), "ips": ("ip", b"<IP>")}


def mask(content: bytes, spans: Iterable[Mapping[str, Any]], kinds: Collection[str]) -> bytes:
    """Replace the spans of these kinds by placeholders.

    Args:
        content: the bytes that the spans were found in.
        spans: `kind`, `start`, `end` in bytes, half-open, in any order; spans that overlap become one placeholder.
        kinds: of `keys`, `emails`, `ips`. Placeholder addresses and special ranges are never masked.

    Raises:
        ValueError: a kind is unknown, or a span lies outside the bytes.
    """
    unknown = sorted(set(kinds) - set(_KINDS))
    if unknown:
        raise ValueError(f"mask: expected some of {', '.join(_KINDS)}, got {unknown[0]!r}")
    weights = {_KINDS[name][0]: weight for weight, name in enumerate(_KINDS) if name in kinds}
    places = sorted((span["start"], span["end"], weights[span["kind"]]) for span in spans if span["kind"] in weights)
    merged: list[tuple[int, int, int]] = []
    for start, end, weight in places:
        if not 0 <= start < end <= len(content):
            raise ValueError(f"mask: expected a span within 0..{len(content)}, got {start}..{end}")
        before = merged[-1] if merged else (0, 0, 0)
        if start < before[1]:
            merged[-1] = (before[0], max(end, before[1]), min(weight, before[2]))
        else:
            merged.append((start, end, weight))
    placeholders = [placeholder for _, placeholder in _KINDS.values()]
    pieces, at = [], 0
    for start, end, weight in merged:
        pieces += [content[at:start], placeholders[weight]]
        at = end
    return b"".join([*pieces, content[at:]])
