"""The walk over a page's tree that writes its text: without recursion, so that deep pages cost no stack.

What is left out: elements that hold no text, elements named as navigation and the like (`data/web_tags.toml`), hidden
ones, and lists or tables that are nearly all links (Kohlschütter et al., *Boilerplate detection using shallow text
features*, WSDM 2010).
"""

import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborNode

from codemill.web.listing import clean, hint, is_numbers, is_paste, listing_text
from codemill.web.tags import TAGS, words

TEXT = "-text"
HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
BLOCKS = frozenset(
    [
        *("div", "p", "section", "article", "main", "header", "aside", "address", "figure", "figcaption", "details"),
        *("summary", "fieldset", "legend", "center", "dl", "dt", "dd", "form", "hgroup", "search", "tbody", "thead"),
        *("tfoot", "tr", "td", "th", "caption", "colgroup", "noframes", "hr"),
    ]
)
LISTS = frozenset(["ul", "ol", "menu", "dir"])
INLINE_CODE = frozenset(["code", "tt", "kbd", "samp"])
# Elements whose class or id is worth a look.
NAMED = frozenset([*BLOCKS, *LISTS, "table", "a", "span"]) - {"tr", "tbody", "thead", "hr", "legend", "dt", "dd"}
JUDGED = frozenset([*LISTS, "table", "div", "section", "dl", "aside", "header", "form"])
LAYOUT = "pre,textarea,h1,h2,h3,h4,ul,ol,dl,blockquote,hr,form"
LINE = "\x1f"  # a <br> among inline text
HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)

LINKS_SHARE = {"ul": 0.8, "ol": 0.8, "menu": 0.8, "dir": 0.8, "table": 0.85, "dl": 0.9}
LINKS_LEAST = 4
PROSE_CHARS = 4000


@dataclass
class Extraction:
    """What a page gave.

    Attributes:
        text: the page as text.
        title: of its head, blanks collapsed.
        html_language: what the page says its language is.
        listings: the listings in `text` in order, each with the language the page names.
        prose: the first paragraphs outside listings.
        problem: why there is no text: `too_complex`; None where all went well.
        chars, link_chars: visible characters of the whole page, and those of them in links.
        dropped_chars: visible characters left out as furniture.
        prose_chars: characters of `text` outside listings.
        links, headings, tables, list_items, inline_codes: counts in what was kept.
    """

    text: str = ""
    title: str = ""
    html_language: str = ""
    listings: list[tuple[str, str | None]] = field(default_factory=list)
    prose: str = ""
    problem: str | None = None
    chars: int = 0
    link_chars: int = 0
    dropped_chars: int = 0
    prose_chars: int = 0
    links: int = 0
    headings: int = 0
    tables: int = 0
    list_items: int = 0
    inline_codes: int = 0


@dataclass(slots=True)
class _Open:
    """An element on the way down: what the page held when it began."""

    node: LexborNode
    tag: str
    out: int = 0
    chars: int = 0
    link_chars: int = 0
    links: int = 0
    listings: int = 0
    inline: int = 0


class Walker:
    """The walk and what it has collected. `out` holds (kind, text); kinds of the same sort stand close together."""

    def __init__(self) -> None:
        self.page = Extraction()
        self.out: list[tuple[str, str]] = []
        self.inline: list[str] = []
        self.kept_chars = 0  # visible characters that are not dropped, and those of them in links
        self.kept_links = 0
        self.in_link = 0
        self.in_code = 0
        self.heading = ""
        self.lists: list[int | None] = []  # next number of an ordered list, None for bullets
        self.marker = ""  # of the list item that has no text yet
        self.quotes = 0
        self.cells: list[list[str]] | None = None  # rows of the data table at hand
        self.head_row = False

    # -- the walk ------------------------------------------------------------------------------------------------

    def walk(self, root: LexborNode) -> None:
        stack: list[_Open] = []
        inline, skipped = self.inline, TAGS.skipped
        node = root.first_child
        while True:
            if node is None:
                if not stack:
                    break
                done = stack.pop()
                self._leave(done)
                node = done.node.next
                continue
            tag = node.tag
            if tag == TEXT:
                text = node.text_content
                if text:
                    inline.append(text)
                    if not text.isspace():
                        self.kept_chars += len(text)
                        if self.in_link:
                            self.kept_links += len(text)
                node = node.next
                continue
            if tag is None or tag in skipped or tag[0] == "-":
                node = node.next
                continue
            opened = self._enter(node, tag)
            if opened is not None:
                stack.append(opened)
                child = node.first_child
                if child is not None:
                    node = child
                    continue
                stack.pop()
                self._leave(opened)
            node = node.next
        self.flush()
        self._finish()

    def _enter(self, node: LexborNode, tag: str) -> _Open | None:
        """Begin an element; None where its inside is dealt with or left out."""
        if tag in NAMED and self._is_furniture(node, tag):
            return None
        if tag in TAGS.code:
            self._listing(node, tag)
            return None
        if tag == "br":
            self.inline.append(LINE)
            return None
        if tag in {"math", "img", "sup"}:
            return self._special(node, tag)
        if tag in BLOCKS or tag in HEADINGS or tag in LISTS or tag in {"li", "table", "blockquote"}:
            return self._enter_block(node, tag)
        opened = _Open(node, tag, inline=len(self.inline))
        if tag in INLINE_CODE:
            self.in_code += 1
        elif tag == "a":
            self.in_link += 1
            opened.chars = self.kept_chars
        return opened

    def _enter_block(self, node: LexborNode, tag: str) -> _Open | None:
        page = self.page
        if self.cells is not None:
            return self._enter_cell(node, tag)
        if tag != "summary":
            self.flush()
        opened = _Open(
            node, tag, len(self.out), self.kept_chars, self.kept_links, page.links, len(page.listings), len(self.inline)
        )
        if tag in HEADINGS:
            self.heading = HEADINGS[tag]
        elif tag in LISTS:
            start = node.attributes.get("start") if tag == "ol" else None
            number = int(start) if start and start.isdigit() and len(start) < 7 else 1
            self.lists.append(number if tag == "ol" else None)
        elif tag == "li":
            self._item()
        elif tag == "blockquote":
            self.quotes += 1
        elif tag == "table" and _is_data(node):
            self.cells = []
            self.head_row = False
        return opened

    def _enter_cell(self, node: LexborNode, tag: str) -> _Open:
        """Inside a data table: rows and cells are collected, other blocks are inline there."""
        assert self.cells is not None
        if tag == "tr":
            self.cells.append([])
        elif tag in {"td", "th"}:
            self.inline.clear()
            if tag == "th" and len(self.cells) == 1:
                self.head_row = True
        else:
            self.inline.append(" ")
        return _Open(node, f"in-{tag}")

    def _leave(self, done: _Open) -> None:
        tag = done.tag
        if tag in INLINE_CODE:
            self.in_code -= 1
            if not self.in_code and len(self.inline) >= done.inline:
                self._inline_code(done)
        elif tag == "a":
            self._leave_link(done)
        elif tag == "sup":
            text = "".join(self.inline[done.inline :]).strip()
            self.inline[done.inline :] = [f"^{text}"] if text else []
        elif tag.startswith("in-"):
            self._leave_cell(tag)
        elif tag in HEADINGS:
            self.flush()
            self.heading = ""
        elif tag in BLOCKS or tag in LISTS or tag in {"li", "table", "blockquote"}:
            self._leave_block(done)

    def _leave_block(self, done: _Open) -> None:
        tag = done.tag
        if tag == "summary":
            return
        if tag == "table" and self.cells is not None:
            self._table()
        self.flush()
        if tag in LISTS:
            self.lists.pop()
        elif tag == "li":
            self.marker = ""
        elif tag == "blockquote":
            self.quotes -= 1
        if tag in JUDGED and self.page.links - done.links >= LINKS_LEAST:
            self._judge(done)

    # -- inline --------------------------------------------------------------------------------------------------

    def _inline_code(self, done: _Open) -> None:
        raw = "".join(self.inline[done.inline :])
        del self.inline[done.inline :]
        if LINE in raw and self.cells is None:
            # Line breaks make it a listing: outside of <pre> they are all that a page can break code with.
            text = clean("\n".join(line.strip("\n") for line in raw.split(LINE)))
            if "\n" in text:
                self.flush()
                self._emit_listing(text, hint(done.node))
                return
        text = " ".join(raw.replace(LINE, " ").split())
        if not text:
            self.inline.append(raw)
            return
        self.page.inline_codes += 1
        before, after = raw[0].isspace() * " ", raw[-1].isspace() * " "
        self.inline.append(f"{before}`{text}`{after}" if "`" not in text else f"{before}`` {text} ``{after}")

    def _leave_link(self, done: _Open) -> None:
        self.in_link -= 1
        self.page.links += 1
        if len(self.inline) - done.inline == 1:
            text = self.inline[-1].strip()
            if text.lower() in TAGS.marks:
                self.inline.pop()
                self.page.links -= 1

    def _special(self, node: LexborNode, tag: str) -> _Open | None:
        if tag == "img":
            return None
        if tag == "sup":
            # Raised links are notes; raised text is a power.
            return None if node.css_first("a") is not None else _Open(node, tag, inline=len(self.inline))
        source = node.css_first('annotation[encoding="application/x-tex"]')
        tex = node.attributes.get("alttext") or (source.text() if source is not None else "") or node.text_lexbor()
        tex = " ".join((tex or "").split())
        if tex:
            self.inline.append(f"${tex}$")
            self.kept_chars += len(tex)
        return None

    # -- blocks --------------------------------------------------------------------------------------------------

    def _item(self) -> None:
        self.page.list_items += 1
        number = self.lists[-1] if self.lists else None
        self.marker = "- " if number is None else f"{number}. "
        if number is not None:
            self.lists[-1] = number + 1

    def flush(self) -> None:
        """End the paragraph at hand."""
        inline = self.inline
        if not inline:
            return
        raw = "".join(inline)
        inline.clear()
        if LINE in raw:
            rows = [" ".join(row.split()) for row in raw.split(LINE)]
            text = re.sub(r"\n{3,}", "\n\n", "\n".join(rows)).strip("\n")
        else:
            text = " ".join(raw.split())
        if not text:
            return
        if self.heading:
            self.page.headings += 1
            self._put("heading", self.heading + text.replace("\n", " "))
            return
        if not self.lists:
            self._put("p", text)
            return
        indent = "  " * (len(self.lists) - 1)
        lead, kind = (indent + self.marker, "item") if self.marker else (indent + "  ", "p")
        self.marker = ""
        self._put(kind, lead + text.replace("\n", f"\n{indent}  "))

    def _put(self, kind: str, text: str) -> None:
        if self.quotes:
            mark = "> " * min(self.quotes, 5)
            text = mark + text.replace("\n", f"\n{mark}")
            kind = f"{kind}>"
        self.page.prose_chars += len(text)
        self.out.append((kind, text))

    def _listing(self, node: LexborNode, tag: str) -> None:
        if tag == "textarea" and not is_paste(node):
            return
        text = listing_text(node)
        if not text or is_numbers(text):
            return
        if self.cells is not None:
            # Cannot be: data tables have none, but hostile trees are trees too.
            self.inline.append(f" `{text}` ")
            return
        self.flush()
        self._emit_listing(text, hint(node))
        self.kept_chars += len(text)

    def _emit_listing(self, text: str, language: str | None) -> None:
        fence = "```"
        while fence in text:
            fence += "`"
        if self.marker:  # an item that begins with a listing
            self.out.append(("item", "  " * (len(self.lists) - 1) + self.marker.rstrip()))
            self.marker = ""
        self.page.listings.append((text, language))
        self.out.append(("listing", f"{fence}{language or ''}\n{text}\n{fence}"))

    def _leave_cell(self, tag: str) -> None:
        if tag in {"in-td", "in-th"} and self.cells is not None:
            raw = "".join(self.inline).replace(LINE, " ")
            self.inline.clear()
            if not self.cells:
                self.cells.append([])
            self.cells[-1].append(" ".join(raw.split()).replace("|", "\\|"))
        elif tag == "in-caption":
            self._flush_caption()
        else:
            self.inline.append(" ")

    def _flush_caption(self) -> None:
        text = " ".join("".join(self.inline).split())
        self.inline.clear()
        if text:
            self._put("p", text)

    def _table(self) -> None:
        rows = [row for row in self.cells or [] if any(row)]
        self.cells = None
        self.inline.clear()
        if not rows:
            return
        if all(sum(map(bool, row)) == 1 for row in rows):
            # A picture beside its text, as old styles set notes.
            for row in rows:
                self._put("p", "".join(row).replace("\\|", "|"))
            return
        self.page.tables += 1
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        if self.head_row and len(lines) > 1:
            lines.insert(1, "|" + " --- |" * len(rows[0]))
        self._put("table", "\n".join(lines))

    # -- furniture -----------------------------------------------------------------------------------------------

    def _is_furniture(self, node: LexborNode, tag: str) -> bool:
        attributes = node.attributes
        if not attributes:
            return False
        names = words(attributes.get("class")) | words(attributes.get("id"))
        if tag in {"div", "table", "td"} and names & TAGS.containers and node.css_first("pre,textarea") is None:
            text = listing_text(node)
            if text and self.cells is None:
                self.flush()
                self._emit_listing(text, hint(node))
                return True
        if names & TAGS.boilerplate or attributes.get("role") in TAGS.roles:
            return self._drop(node, tag)
        hidden = "hidden" in attributes or HIDDEN.search(attributes.get("style") or "")
        return self._drop(node, tag) if hidden else False

    def _drop(self, node: LexborNode, tag: str) -> bool:
        """Leave an element out, unless it holds what furniture does not: the page's heading, or listings."""
        if tag not in {"a", "span", "td"} and node.css_first("h1,pre") is not None:
            return False
        if tag == "a" and self.in_code:
            return False
        self.page.dropped_chars += len(node.text_lexbor() or "")
        return True

    def _judge(self, done: _Open) -> None:
        """Take back a block that is nearly all links, with a heading that has nothing else under it."""
        chars, linked = self.kept_chars - done.chars, self.kept_links - done.link_chars
        share = LINKS_SHARE.get(done.tag, 0.9)
        if not chars or linked < share * chars or len(self.page.listings) > done.listings or len(self.out) == done.out:
            return
        links = self.page.links - done.links
        if linked / links > 60:  # links this long are sentences: news, abstracts, questions
            return
        taken = self.out[done.out :]
        del self.out[done.out :]
        self.page.prose_chars -= sum(len(text) for _, text in taken)
        self.page.links = done.links
        self.page.dropped_chars += chars
        self.kept_chars, self.kept_links = done.chars, done.link_chars
        if self.out and self.out[-1][0] == "heading":
            self.page.prose_chars -= len(self.out.pop()[1])

    def _finish(self) -> None:
        page = self.page
        page.chars, page.link_chars = self.kept_chars + page.dropped_chars, self.kept_links
        parts: list[str] = []
        before = ""
        for kind, text in self.out:
            if parts:
                parts.append("\n" if kind == before and kind.startswith("item") else "\n\n")
            parts.append(text)
            before = kind
        page.text = "".join(parts)
        page.prose = "\n".join([text for kind, text in self.out[:40] if kind != "listing"])[:PROSE_CHARS]


def _is_data(table: LexborNode) -> bool:
    """Whether a table's cells are values in columns, rather than the page laid out."""
    if table.css_first(LAYOUT) is not None or table.css_first("tr > * + *") is None:
        return False
    return len(table.css("table")) == 1  # searches count the element itself
