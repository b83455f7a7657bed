"""Pages as text: headings, paragraphs, lists and tables in plain Markdown, listings to the byte, furniture left out.

The HTML5 parser is Lexbor; pages that it would be slow on are refused by name.
"""

from selectolax.lexbor import LexborHTMLParser, LexborNode

from codemill.web.bounds import is_complex
from codemill.web.walk import Extraction, Walker


def extract(html: str) -> Extraction:
    """The text of an HTML page."""
    if is_complex(html):
        return Extraction(problem="too_complex")
    tree = LexborHTMLParser(html)
    found = Walker()
    root = tree.root
    page = found.page
    if root is not None:
        page.html_language = (root.attributes.get("lang") or root.attributes.get("xml:lang") or "")[:20].lower()
    title = tree.css_first("head > title")
    page.title = " ".join(title.text().split())[:500] if title is not None else ""
    body = tree.body
    if body is not None:
        main = _main(tree)
        found.walk(main or body)
        if main is not None and page.prose_chars < 200 and not page.listings:
            # The element that claims to be the page holds next to nothing of it.
            found = Walker()
            found.walk(body)
            found.page.title, found.page.html_language = page.title, page.html_language
            page = found.page
    return page


def _main(tree: LexborHTMLParser) -> LexborNode | None:
    """The element that says it is the page's content, if it is the only one."""
    for selector in ("main,[role=main]", "article"):
        nodes = tree.css(selector)
        if len(nodes) == 1:
            return nodes[0]
    return None
