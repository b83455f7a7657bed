"""The text of a listing in a page, to the byte: what a reader would copy, without line numbers and buttons.

Highlighters wrap listings in spans, one element a line, tables with line numbers, `<br>` for line breaks and no-break
spaces for blanks. What they mean is undone; what the author wrote is left alone.
"""

import re

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
SILENT = frozenset(["button", "script", "style", "svg", "select", "input", "template"])
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
    return len(numbers) > 1 and all(later - one == 1 for one, later in zip(numbers, numbers[1:], strict=False))


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
    """Collects the text of a listing that is made of elements."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.last = "\n"  # last character written; a fresh listing is at the beginning of a line
        self.broken = False  # a block ended: what comes next is on a new line
        self.line_ended = False  # an element that is a line ended, and nothing was written since
        self.numbered = False  # a line number was just left out

    def text(self, text: str) -> None:
        if not text:
            return
        if self.numbered:
            self.numbered = False
            # Doxygen puts a no-break space between number and line.
            text = text.removeprefix(NBSP)
            if not text:
                return
        if self.broken:
            # Blanks between blocks are how the page is written, no part of the listing.
            if not text.strip(" \t\r\n"):
                return
            self._break()
        self.parts.append(text)
        self.last = text[-1]
        self.line_ended = False

    def _break(self) -> None:
        if self.last != "\n":
            self.parts.append("\n")
            self.last = "\n"
        self.broken = False

    def line(self) -> None:
        """`<br>`"""
        if self.broken:
            self._break()
        self.parts.append("\n")
        self.last = "\n"
        self.line_ended = False

    def open_line(self) -> None:
        """An element that is a line begins: a new line, unless the line before has ended itself."""
        if self.line_ended and self.last != "\n":
            self.parts.append("\n")
            self.last = "\n"
        self.line_ended = False


def _walk(root: LexborNode) -> str:
    out = _Lines()
    stack: list[tuple[LexborNode, bool, int]] = []  # element, whether it is a line, parts before it
    node = root.first_child
    while True:
        if node is None:
            if not stack:
                return "".join(out.parts)
            element, is_line, before = stack.pop()
            if element.tag in BLOCKS:
                if is_line and len(out.parts) == before and out.broken:
                    out._break()
                if is_line and len(out.parts) == before:
                    out.parts.append("\n")
                out.broken = True
            elif is_line:
                if len(out.parts) == before:
                    out.parts.append("\n")
                    out.last = "\n"
                out.line_ended = True
            node = element.next
            continue
        tag = node.tag
        if tag == TEXT:
            out.text(node.text_content or "")
        elif tag == "br":
            out.line()
        elif tag not in SILENT and tag is not None and not tag.startswith("-"):
            names = words(node.attributes.get("class")) if node.attributes else frozenset()
            if _is_gutter(node, names):
                out.numbered = True
                node = node.next
                continue
            is_line = bool(names & TAGS.lines) or (tag == "code" and _is_row(node))
            if tag in BLOCKS:
                if out.parts:
                    out.broken = True
            elif is_line:
                out.open_line()
            if node.first_child is not None or is_line:
                stack.append((node, is_line, len(out.parts)))
                node = node.first_child
                continue
        node = node.next


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
    for side in (node.next, node.prev):
        if side is not None and side.tag == "code":
            return True
    return False
