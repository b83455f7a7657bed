"""Says numbers, rules and foreign text in words that a report may show: short, exact, and safe to look at."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from codemill.recipe import Bounds, DedupRule, PresetRule, QuantileRule, Rule, SampleRule, ValueRule
from codemill.schema import REPOSITORY

# C0 controls, DEL, C1 controls, and the characters that reorder or hide text (Boucher and Anderson, *Trojan Source*,
# 2021): a reader must see them rather than be fooled by them.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLAIN = re.compile(r"[^\s,;:\"]+( [^\s,;:\"]+)*")  # text that needs no quotes to be seen as one
_SIGNS = {"min": "≥", "max": "≤", "equals": "=", "not_equals": "≠", "in_": "one of", "not_in": "none of"}


@dataclass(frozen=True)
class Units:
    """What a run's rows are called, one and many, what they are of, what makes one readable, the columns that say of
    what it is, and whether the first line of a content says more of it than its name, as that of a commit does."""

    one: str
    many: str
    group: str
    groups: str
    readable: str
    keys: tuple[str, ...] = REPOSITORY
    titled: bool = False

    def of(self, number: int) -> str:
        """So many rows: `1 file`, `1,234 files`."""
        return f"{count(number)} {self.one if number == 1 else self.many}"

    @property
    def key_names(self) -> str:
        """What a group is named by, as the title of a column."""
        return ", ".join(self.group if key == "repo" else key for key in self.keys)


FILES = Units(
    "file",
    "files",
    "repository",
    "repositories",
    "has text content: no link or special file, not empty, binary, undecodable, too large or unreadable",
)
PAGES = Units(
    "page",
    "pages",
    "host",
    "hosts",
    "has text: an HTML page that was served, not empty, too large, too complex or unreadable",
    ("source", "repo"),
)
COMMITS = Units(
    "commit",
    "commits",
    "repository",
    "repositories",
    "message and patch are text: all objects there, not binary, undecodable or too large",
    ("source", "repo"),
    titled=True,
)
_BY_KIND = {"web": PAGES, "commits": COMMITS}
_UNITS: ContextVar[Units] = ContextVar("units", default=FILES)


def units_of(kind: str) -> Units:
    """The words for the rows of runs of this kind."""
    return _BY_KIND.get(kind, FILES)


def units() -> Units:
    """The words for the rows of the run that is being told of."""
    return _UNITS.get()


@contextmanager
def speaking_of(words: Units) -> Iterator[None]:
    """Use these words for rows while a report is made."""
    token = _UNITS.set(words)
    try:
        yield
    finally:
        _UNITS.reset(token)


def count(value: float) -> str:
    """A whole number with thousands apart."""
    return f"{int(value):,}"


def share(part: float, whole: float) -> str:
    """`part` of `whole` in percent; a small share never reads as none, nor a large one as all."""
    if not whole:
        return "n/a"
    value = 100 * part / whole
    if 0 < value < 0.05:
        return "<0.1%"
    if 99.95 <= value < 100:
        return ">99.9%"
    return f"{value:.1f}%"


def size(value: float) -> str:
    """Bytes in decimal units, three digits."""
    return f"{_scaled(value)}B"


def short(value: float) -> str:
    """A number in decimal units, three digits: 1234567 is 1.23 M, 2000000 is 2.00 M."""
    return _scaled(value).strip()


def mark(value: float) -> str:
    """A round number on an axis: 2000 is 2 k, 0.5 is 0.5."""
    if abs(value) < 1000:
        return f"{value:g}"
    digits, _, unit = short(value).partition(" ")
    return f"{float(digits):g} {unit}"


def _scaled(value: float) -> str:
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * 0.9995:
            part = value / factor
            decimals = 2 if abs(part) < 9.995 else 1 if abs(part) < 99.95 else 0
            return f"{part:.{decimals}f} {unit}"
    return f"{value:.3g} " if value != int(value) else f"{int(value)} "


def number(value: float) -> str:
    """A value of a column, to four digits; whole numbers whole."""
    if not math.isfinite(value):
        return str(value)
    if (value == int(value) and abs(value) < 1e15) or 1000 <= abs(value) < 1e15:
        return f"{round(value):,}"
    digits, _, exponent = f"{value:.4g}".partition("e")
    return digits + (f"\u00d710{str(int(exponent)).translate(_RAISED)}" if exponent else "")


def plural(number: int, one: str, many: str = "") -> str:
    """So many things: `1 shard`, `1,234 shards`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def seconds(value: float) -> str:
    """A duration with a unit that suits it."""
    if value < 120:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def visible(text: str) -> str:
    """Foreign text in which every character that would be unseen or move others is spelled out; newlines go through.

    HTML escaping is left to the template.
    """
    return _HIDDEN.sub(lambda found: f"⟨{ord(found.group()):02X}⟩", text)


def breakable(text: str) -> Markup:
    """A name, escaped, that a narrow column may break after its dots, dashes, pluses, slashes, underscores."""
    return Markup(re.sub(r"([._/+-])", r"\1<wbr>", str(escape(visible(text)))))


def marked(text: str) -> Markup:
    """Text of our own, escaped, with what stands in backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def clip(text: str, limit: int) -> str:
    """Text of at most `limit` characters; an ellipsis says that more was there."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def condition(rule: Rule | None) -> str:
    """What a rule keeps or drops, as one line."""
    if rule is None:
        return units().readable
    if isinstance(rule, ValueRule):
        return _bounded(rule) + ("; without a value: kept" if rule.missing == "keep" else "")
    if isinstance(rule, QuantileRule):
        lowest = rule.drop_lowest is not None
        part = rule.drop_lowest if rule.drop_lowest is not None else rule.drop_highest
        within = "" if rule.within == "all" else f" in each {'value of ' if '.' in rule.within else ''}{rule.within}"
        side = "lowest" if lowest else "highest"
        return f"not in the {side} {100 * (part or 0):g}% (by {rule.by}) of {rule.column}{within}"
    if isinstance(rule, SampleRule):
        rates = ", ".join(f"{100 * rate:g}% of {_literal(name)}" for name, rate in rule.per.items())
        share = f"{100 * rule.sample:g}%"
        return f"at random {rates}, {share} of all others (by {rule.by})" if rates else f"at random {share}"
    if isinstance(rule, DedupRule):
        return _original(rule)
    if isinstance(rule, PresetRule):
        return f"preset {rule.preset}"
    raise TypeError(f"expected a rule of a recipe, got {type(rule).__name__}")


def _bounded(rule: ValueRule) -> str:
    """A rule's bounds, then those of groups, the groups of one bound together: a recipe may name dozens."""
    own = bounds(rule)
    if not rule.limits:
        return f"{rule.column} {own}"
    groups: dict[str, list[str]] = {}
    for name, limit in rule.limits.items():
        groups.setdefault(bounds(limit), []).append(_literal(name))
    listed = "; ".join(f"{bound} for {', '.join(names)}" for bound, names in groups.items())
    return f"{rule.column} {own}; by {rule.groups}: {listed}" if own else f"{rule.column} by {rule.groups}: {listed}"


def _original(rule: DedupRule) -> str:
    if rule.dedup == "exact":
        return f"no copy of a {units().one} that is kept (same {rule.on or 'content'})"
    what = f"near-duplicate of a {units().one}" if rule.dedup == "near" else "copy of a repository"
    return f"no {what} that is kept (Jaccard similarity ≥ {rule.threshold:g})"


def bounds(limits: Bounds) -> str:
    """Bounds as signs and values: `≥ 20 and ≤ 200,000`."""
    parts = []
    for name, sign in _SIGNS.items():
        value = getattr(limits, name)
        if value is not None:
            parts.append(f"{sign} {_literal(value)}")
    return " and ".join(parts)


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return clip(", ".join(_literal(one) for one in value), 120)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return number(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
