"""Listings come out as their authors wrote them, whatever highlighters make of them."""

import inspect
import json
import textwrap
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from codemill.web.extract import extract
from codemill.web.listing import clean

SOURCES = [inspect.getsource(module).rstrip() for module in (json.decoder, textwrap, inspect)]
WAYS = {
    "plain": {},
    "table": {"linenos": "table"},
    "inline": {"linenos": "inline"},
    "inline with anchors": {"linenos": "inline", "lineanchors": "line", "anchorlinenos": True},
    "table with anchors": {"linenos": "table", "lineanchors": "line", "anchorlinenos": True},
    "spans": {"linespans": "line"},
    "marked": {"hl_lines": [1, 3, 4]},
    "styles": {"noclasses": True},
    "code": {"wrapcode": True},
}


def listings(html):
    return [text for text, _ in extract(f"<body><p>Before.</p>{html}<p>After.</p></body>").listings]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", SOURCES, ids=["decoder", "textwrap", "inspect"])
def test_what_a_real_highlighter_made_comes_back(way, source):
    page = highlight(source, PythonLexer(stripnl=False, ensurenl=False), HtmlFormatter(**WAYS[way]))
    assert listings(page) == [source.expandtabs(8) if "\t" not in source else source]


LINES = ["def f(x):", "", "    # a comment", "    return x < 1 && y", "\tz = 'tab'", "end"]
CODE = "\n".join(LINES)
E = [escape(line) for line in LINES]
SHAPES = {
    "br": "<pre>" + "<br>".join(E) + "</pre>",
    "crlf": "<pre>\r\n" + "\r\n".join(E) + "\r\n</pre>",
    "no-break spaces": "<pre>" + "\n".join(line.replace("    ", "&nbsp;" * 4) for line in E) + "</pre>",
    "a div for each line": "<pre>" + "".join(f"<div class='line'>{line}</div>" for line in E) + "</pre>",
    "a div for each line, newlines between": "<pre>" + "\n".join(f"<div class='line'>{x}</div>" for x in E) + "</pre>",
    "lines without newlines": "<pre><code>"
    + "".join(f"<span class='line'>{line}</span>" for line in E)
    + "</code></pre>",
    "lines with newlines": "<pre><code>"
    + "\n".join(f"<span class='line'>{line}</span>" for line in E)
    + "</code></pre>",
    "newlines inside": "<pre>"
    + "".join(f"<span class='line'><span class='cl'>{x}\n</span></span>" for x in E)
    + "</pre>",
    "a code for each line": "<pre>" + "".join(f"<code>{line}</code>" for line in E) + "</pre>",
    "numbers in a table": "<table class='rouge-table'><tr><td class='gutter gl'>"
    "<pre class='lineno'>1\n2\n3\n4\n5\n6\n</pre></td>"
    "<td class='code'><pre>" + "\n".join(E) + "</pre></td></tr></table>",
    "a row for each line": "<pre><code><table class='hljs-ln'>"
    + "".join(
        f"<tr>\n<td class='hljs-ln-numbers' data-line-number='{n}'></td>\n<td class='hljs-ln-code'>{line}</td>\n</tr>"
        for n, line in enumerate(E)
    )
    + "</table></code></pre>",
    "doxygen": "<pre>"
    + "".join(
        f"<div class='line'><a id='l{n}'></a><span class='lineno'>    {n}</span>&#160;{line}</div>\n"
        for n, line in enumerate(E, 1)
    )
    + "</pre>",
    "a button": "<pre><button>Copy</button><code>" + "\n".join(E) + "</code></pre>",
    "text area": "<textarea readonly>" + "\n".join(E) + "</textarea>",
    "syntaxhighlighter": "<div class='syntaxhighlighter python'><table><tbody><tr>\n<td class='gutter'>"
    + "".join(f"<div class='line number{n}'>{n}</div>" for n in range(1, 7))
    + "</td>\n<td class='code'><div class='container'>\n"
    + "\n".join(f"<div class='line number{n}'>{line or '&nbsp;'}</div>" for n, line in enumerate(E, 1))
    + "\n</div></td></tr></tbody></table></div>",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_listings(shape):
    found = listings(SHAPES[shape])
    assert [[line.rstrip() for line in text.split("\n")] for text in found] == [LINES]


def test_code_broken_by_br_outside_of_pre():
    assert listings("<p><code>a&nbsp;=&nbsp;1<br>\nb = 2</code></p>") == ["a = 1\nb = 2"]


def test_blocks_inside_keep_blank_lines_and_indentation():
    page = (
        "<pre>import x\n\n\n<div class='viewcode'>def f():\n    <a href=y>pass</a></div>\n\n\n<div>    g()</div></pre>"
    )
    assert listings(page) == ["import x\n\n\ndef f():\n    pass\n\n\n    g()"]


def test_numbers_alone_are_no_listing():
    assert listings("<pre>1\n2\n3</pre>") == []
    assert listings("<pre>3\n1\n2</pre>") == ["3\n1\n2"]


@given(
    st.text(
        st.characters(codec="utf-8", exclude_characters="\r\0\x0c", exclude_categories=["Cs", "Cc"]) | st.just("\n")
    )
)
def test_any_text_comes_back(text):
    found = listings(f"<pre><code>{escape(text)}</code></pre>")
    wanted = clean(text)
    assert found == ([wanted] if wanted and not wanted.replace("\n", " ").split()[0].isdigit() else found)
    if wanted and not wanted[0].isdigit():
        assert found == [wanted]


HINTS = {
    "<pre><code class='language-python'>a\nb</code></pre>": "python",
    "<pre class='lang-js prettyprint'>a\nb</pre>": "js",
    "<div class='highlight-python3 notranslate'><div class='highlight'><pre>a\nb</pre></div></div>": "python3",
    "<div class='highlight highlight-source-c++'><pre>a\nb</pre></div>": "c++",
    "<pre class='brush: java; toolbar: false'>a\nb</pre>": "java",
    "<pre class='sourceCode haskell'><code>a\nb</code></pre>": "haskell",
    "<pre class='src src-emacs-lisp'>a\nb</pre>": "emacs-lisp",
    "<pre data-lang='rust'>a\nb</pre>": "rust",
    "<div class='highlight-none'><pre>a\nb</pre></div>": None,
    "<div class='go home'><pre>a\nb</pre></div>": None,
    "<pre>a\nb</pre>": None,
}


@pytest.mark.parametrize("page", HINTS)
def test_languages_that_pages_name(page):
    assert extract(page).listings == [("a\nb", HINTS[page])]
