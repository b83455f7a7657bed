"""What would make an HTML parser slow, found before it is asked to parse.

Lexbor, like every parser by the standard, looks through its open elements again and again: thousands of them, or of
attributes on one tag, cost time that grows with their square.
"""

import re
from collections import Counter

MAX_TAGS = 300_000
MAX_DEPTH = 1000
# Below this many tags no page is slow, however it is nested.
EASY_TAGS = 5000
LONG_TAG = re.compile(r"<[a-zA-Z][^<>]{8000,}")
MAX_WORDS_OF_TAG = 1500
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# Elements that never stay open over others of their kind.
SHALLOW = frozenset(
    [
        *(
            "area",
            "base",
            "br",
            "col",
            "embed",
            "hr",
            "img",
            "input",
            "link",
            "meta",
            "param",
            "source",
            "track",
            "wbr",
        ),
        *("p", "li", "dt", "dd", "tr", "td", "th", "option", "thead", "tbody"),
    ]
)


def is_complex(html: str) -> bool:
    """Whether parsing could take very long: too many tags, too many open elements, tags with thousands of words."""
    tags = html.count("<")
    if tags > MAX_TAGS:
        return True
    if any(len(found.group().split()) > MAX_WORDS_OF_TAG for found in LONG_TAG.finditer(html)):
        return True
    if tags <= EASY_TAGS:
        return False
    depth = 0
    opened: Counter[str] = Counter()
    for slash, spelling in TAG.findall(html):
        name = spelling.lower()
        if name in SHALLOW:
            continue
        if not slash:
            opened[name] += 1
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif opened[name]:
            opened[name] -= 1
            depth -= 1
    return False
