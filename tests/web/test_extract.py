"""Pages as text: what readers would keep is kept, furniture goes, and hostile pages cost little."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.web.extract import extract

PAGE = """<!doctype html><html lang="en"><head><title> A
 page </title><style>p {}</style></head><body>
<nav><ul><li><a href="/">Home</a></ul></nav>
<div class="sidebar"><p>Buy this now</p></div>
<h1>Title<a class="headerlink" href="#t">¶</a></h1>
<p>Some <b>prose</b> with <code>inline(x)</code> and a
<a href="x">link</a>, 2<sup>32</sup><sup><a href="#n">[1]</a></sup>.<br>Next line.</p>
<ul><li>one<ul><li>nested</li></ul></li><li>two<pre>a
 b</pre>more</li></ul>
<ol start=3><li>three<li>four</ol>
<table><tr><th>A<th>B<tr><td>1 | 2<td><code>x</code></table>
<table><tr><td><h2>Laid out</h2><p>left</p><td>right</table>
<blockquote><p>Said.</p></blockquote>
<h2>More</h2><ul><li><a href=1>first</a><li><a href=2>second</a><li><a href=3>third</a><li><a href=4>fourth</a></ul>
<p style="display: none">hidden</p>
<footer>Copyright</footer><script>var x = "<p>no</p>"</script></body></html>"""

TEXT = """# Title

Some prose with `inline(x)` and a link, 2^32.
Next line.

- one
  - nested
- two

```
a
 b
```

  more

3. three
4. four

| A | B |
| --- | --- |
| 1 \\| 2 | `x` |

## Laid out

left

right

> Said."""


def test_a_page():
    found = extract(PAGE)
    assert found.text == TEXT
    assert (found.title, found.html_language) == ("A page", "en")
    assert (found.tables, found.headings, found.inline_codes, found.list_items) == (1, 3, 2, 9)
    assert found.dropped_chars > 0


def test_main_counts_and_an_empty_one_does_not():
    text = "Words of the page. " * 20
    assert extract(f"<div>Around</div><main><p>{text}</p></main>").text == text.strip()
    assert extract(f"<main></main><p>{text}</p>").text == text.strip()


def test_furniture_that_holds_code_or_the_heading_stays():
    assert "x = 1" in extract("<div class='sidebar'><pre>x = 1\ny</pre></div>").text
    assert extract("<div class='banner footer'><h1>Name</h1></div>").text == "# Name"


def test_links_that_are_sentences_stay():
    sentence = "What happened to the parser when the tree grew deeper than the stack allowed it to"
    assert extract("<ul>" + f"<li><a href=x>{sentence}</a>" * 5 + "</ul>").text.count(sentence) == 5


def test_a_note_set_as_a_table_is_text():
    page = "<table><tr><td><img src=x><th>Important</th></tr><tr><td><td>Mind <code>a|b</code>.</tr></table>"
    assert extract(page).text == "Important\n\nMind `a|b`."


def test_fences_hold_fences():
    found = extract("<pre>```\ncode\n```</pre>")
    assert found.text == "````\n```\ncode\n```\n````"


HOSTILE = {
    "deep": "<div>" * 200_000,
    "attributes": "<p " + " ".join(f"a{n}=1" for n in range(100_000)) + ">",
    "deep with false ends": "<div></b>" * 100_000,
    "lists": "<ul><li>" * 100_000,
    "formatting": "<b><p>" * 100_000,
    "fonts": "".join(f"<font size={n}>" for n in range(100_000)),
    "tables": "<table>x" * 30_000,
    "unclosed comment": "<!-- " + "x" * 2_000_000,
    "entities": "&amp;" * 400_000,
    "templates": "<template>" * 100_000,
    "pre": "<pre><div>" * 4000 + "x",
    "cells": "<table>" + "<tr><td>" * 100_000,
    "code": "<code>" * 50_000 + "x<br>y",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pages_cost_little(name):
    start = time.process_time()
    found = extract(HOSTILE[name])
    assert time.process_time() - start < 5
    assert found.problem in {None, "too_complex"}


TAGS = [
    "p",
    "div",
    "ul",
    "li",
    "table",
    "tr",
    "td",
    "pre",
    "code",
    "a",
    "b",
    "h1",
    "blockquote",
    "sup",
    "dl",
    "dd",
    "br",
    "textarea",
    "summary",
    "math",
    "caption",
]


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS] + ["word ", "\n", "1"]),
        max_size=40,
    )
)
def test_any_soup_is_a_page(parts):
    found = extract("".join(parts))
    assert found.problem is None
    assert found.text == found.text.strip("\n")
    for text, _ in found.listings:
        assert text in found.text
