"""The text of a listing in a page, to the byte: what a reader would copy, without line numbers and buttons.

Highlighters wrap listings in spans, one element a line, tables with line numbers, `<br>` for line breaks and no-break
spaces for blanks. What they mean is undone; what the author wrote is left alone.
"""

import re
from itertools import pairwise

from selectolax.lexbor import LexborNode

from codemill.web.tags import TAGS, language_of, words

NBSP = "\xa0"
# Where none of these is inside, the text of the listing is just all its text.
PLAIN = (
    "br,div,p,li,tr,button,script,style,svg,code~code,[hidden],"
    + ",".join(f'[class~="{name}"]' for name in sorted(TAGS.gutters | TAGS.lines))
    + ',[class*="inenum" i],[class*="lineno" i],[data-line-number]'
)
BLOCKS = frozenset(
    ["div", "p", "li", "tr", "ol", "ul", "table", "tbody", "pre", "dl", "dt", "dd", "blockquote", "h1", "h2", "h3"]
)
STRUCTURE = frozenset(["table", "thead", "tbody", "tr", "ol", "ul", "dl"])
SILENT = frozenset(["button", "script", "style", "svg", "select", "input", "template"])
# Elements that may be one line each.
LINES = "div,p,li,code~code," + ",".join(f'[class~="{name}"]' for name in sorted(TAGS.lines))
LEAVES = frozenset(["div", "p", "li"])
TEXT = "-text"
NUMBERS = re.compile(r"\s*\d+(?:\s+\d+)+\s*\Z")
LEADING = re.compile(r"\A(?:[ \t\r\f\v]*\n)+")
ANCESTORS = 4


def listing_text(node: LexborNode) -> str:
    """The listing's text: `\\n` between lines, blank lines at both ends and blanks at its end left out."""
    text = _walk(node) if node.css_first(PLAIN) is not None else node.text_lexbor()
    return clean(text)


def clean(text: str) -> str:
    """Line ends as `\\n`, no-break spaces as the spaces they stand for, no blank lines at either end."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if NBSP in text:
        text = text.replace(NBSP, " ")
    return LEADING.sub("", text).rstrip()


def is_numbers(text: str) -> bool:
    """Whether the text is nothing but consecutive numbers, as a gutter's is."""
    if not NUMBERS.match(text):
        return False
    numbers = [int(word) for word in text.split()[:5000] if len(word) < 10]
    return len(numbers) > 1 and all(later - one == 1 for one, later in pairwise(numbers))


def is_paste(node: LexborNode) -> bool:
    """Whether a text area holds a paste rather than a reader's answer."""
    text = node.text_lexbor() or ""
    return text.count("\n") > 1


def hint(node: LexborNode) -> str | None:
    """The language that the listing, the elements around it or the code element in it name; None where none does."""
    inner = node.first_child
    while inner is not None and inner.tag == TEXT and not (inner.text_content or "").strip():
        inner = inner.next
    candidates = [(node, True)]
    if inner is not None and inner.tag == "code":
        candidates.insert(0, (inner, True))
    above = node.parent
    for _ in range(ANCESTORS):
        if above is None or above.tag in {"body", "html", "-document", "main", "article"}:
            break
        candidates.append((above, False))
        above = above.parent
    for one, bare in candidates:
        attributes = one.attributes
        for name in TAGS.attributes:
            value = (attributes.get(name) or "").lower()
            if value in TAGS.languages:
                return value
        found = language_of(attributes.get("class"), bare)
        if found:
            return found
    return None


class _Lines:
    """Collects the text of a listing that is made of elements.

    Args:
        by_elements: whether elements make the lines; otherwise the text has its own line breaks, and they only mark it.
    """

    def __init__(self, by_elements: bool) -> None:
        self.by_elements = by_elements
        self.parts: list[str] = []
        self.last = "\n"  # last character written; a fresh listing is at the beginning of a line
        self.ended = False  # a line has ended: what comes next is on a new one
        self.numbered = False  # a line number was just left out

    def text(self, text: str, between: bool) -> None:
        """Text; `between`: outside of any line, where blanks are how the page is written."""
        if self.numbered:
            # Doxygen puts a no-break space between number and line.
            text, self.numbered = text.removeprefix(NBSP), False
        if not text or (between and text.isspace()):
            return
        if self.ended and text[0] != "\n":
            self.close()
        self.ended = False
        self.write(text)

    def write(self, text: str) -> None:
        self.parts.append(text)
        self.last = text[-1]

    def close(self) -> None:
        """Be at the beginning of a line."""
        self.ended = False
        if self.last != "\n":
            self.write("\n")

    def leave(self, before: int) -> None:
        """The end of an element that makes a line; one that is empty is an empty line."""
        if len(self.parts) == before:
            self.close()
            self.write("\n")
        self.ended = True


def _walk(root: LexborNode) -> str:
    """The text of a listing with elements that are no mere marks."""
    breaks = (root.text_lexbor() or "").strip("\n").count("\n") + len(root.css("br"))
    by_elements = root.css_first("tr") is not None or breaks < len(root.css(LINES)) - 1
    out = _Lines(by_elements)
    stack: list[tuple[LexborNode, bool, int]] = []  # element, whether it makes a line, parts before it
    within = 0  # elements on the stack that make a line
    node = root.first_child
    while True:
        if node is None:
            if not stack:
                return "".join(out.parts)
            node, is_line, before = stack.pop()
            if is_line:
                within -= 1
                out.leave(before)
            node = node.next
            continue
        tag = node.tag or ""
        if tag == TEXT:
            parent = stack[-1][0].tag if stack else root.tag
            text = node.text_content or ""
            out.text(text, parent in STRUCTURE or (by_elements and not within and "\n" in text))
        elif tag == "br":
            if out.ended:
                out.close()
            out.write("\n")
        elif tag not in SILENT and not tag.startswith("-"):
            names = words(node.attributes.get("class"))
            if _is_gutter(node, names):
                out.numbered = True
            else:
                is_line = by_elements and _makes_line(node, tag, names)
                if by_elements and (is_line or tag in BLOCKS) and out.parts:
                    out.close()
                within += is_line
                stack.append((node, is_line, len(out.parts)))
                node = node.first_child
                continue
        node = node.next


def _makes_line(node: LexborNode, tag: str, names: frozenset[str]) -> bool:
    """Whether an element is one line: named so, a row, or a block with no blocks in it."""
    if names & TAGS.lines or tag == "tr":
        return True
    if tag == "code":
        return _is_row(node)
    return tag in LEAVES and len(node.css(LINES)) == 1  # searches count the element itself


def _is_gutter(node: LexborNode, names: frozenset[str]) -> bool:
    if names & TAGS.gutters:
        return True
    attributes = node.attributes
    if "hidden" in attributes:
        return True
    numbers = any("linenum" in name or "lineno" in name for name in names)
    return (numbers or "data-line-number" in attributes) and not (node.text_lexbor() or "").strip(" \t\n\xa00123456789")


def _is_row(node: LexborNode) -> bool:
    """Whether a code element is one of several side by side: each is a line then."""
    return any(side is not None and side.tag == "code" for side in (node.next, node.prev))
