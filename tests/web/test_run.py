"""A whole run over real archives: every page is accounted for, runs go on where they ended."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fastwarc.warc import WarcRecordType

from codemill.engine import Engine
from codemill.errors import InputError, RecipeError
from codemill.store import Store
from codemill.web.pack import pack
from codemill.web.pipeline import run_web
from codemill.web.settings import load_web_recipe
from tests.web.warcs import article, record, response

RULES = """
kind = "web"
name = "test"
store = "{store}"
output = "{output}"
[annotate.minhash]
[annotate.host]
[[source]]
kind = "warc"
name = "crawl"
path = "{path}"
[[rule]]
name = "truncated"
column = "page.truncated"
equals = ""
missing = "keep"
[[rule]]
name = "short"
column = "page.words"
min = 10
[[rule]]
name = "no_code"
column = "page.code_marks"
min = 1
[[rule]]
name = "url"
dedup = "exact"
on = "page.url_key"
prefer = ["-page.date"]
[[rule]]
name = "exact"
dedup = "exact"
prefer = ["occurrence.path"]
[[rule]]
name = "near"
dedup = "near"
prefer = ["-page.words", "occurrence.path"]
[[rule]]
name = "host_cap"
column = "host.rank"
max = 6
[corpus.pages]
rules = ["truncated", "short", "no_code", "url", "exact", "near", "host_cap"]
columns = ["page.url", "page.code_blocks"]
formats = ["parquet", "jsonl.zst"]
"""


def words(seed, count=60):
    return " ".join(f"w{(seed * 7919 + number * 104729) % 100_003}" for number in range(count))


def page(seed, code="x = 1\ny = 2"):
    return f"<title>T{seed}</title><p>{words(seed)}<pre>{code} # {seed}</pre>".encode()


@pytest.fixture
def crawl(tmp_path):
    data = [
        record(WarcRecordType.warcinfo, None, b"x: y\r\n", "application/warc-fields"),
        *(response(f"https://a.example/{n}", page(n)) for n in range(8)),
        response("https://a.example/0?utm_source=x", page(0)),  # url
        response("https://b.example/copy", page(1)),  # exact
        response("https://b.example/near", page(2) + b"<p>more"),  # near, and longer: it stays
        response("https://b.example/short", b"<p>few words"),
        response("https://b.example/prose", f"<p>{words(50)}".encode()),
        response("https://b.example/cut", page(51), extra=[("WARC-Truncated", "length")]),
        response("https://b.example/404", b"gone", status="404 Not Found"),
        response("https://b.example/x.css", b"p {}", headers=["Content-Type: text/css"]),
        response("https://b.example/deep", b"<div>" * 50_000),
        response("https://b.example/empty", b"<html><nav>menu</nav></html>"),
        response("https://b.example/code", page(52)),
        record(WarcRecordType.conversion, "https://c.example/", words(53).encode(), "text/plain"),
    ]
    (tmp_path / "crawl.warc.gz").write_bytes(b"".join(data))
    return tmp_path


def recipe(place, **changes):
    path = place / "web.toml"
    text = RULES.format(store=place / "store", output=place / "out", path=place / "*.warc.gz")
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text)
    return load_web_recipe(path)


def decided(place, made):
    store = Store(place / "store")
    table = store.read(f"decisions/{made.fingerprint()}/pages.parquet")
    return {f"{row['repo']}{row['path']}": (row["status"], row["reason"]) for row in table.to_pylist()}


def test_every_page_is_accounted_for(crawl):
    made = recipe(crawl)
    said = []
    summary = run_web(made, Engine(workers=1), say=lambda *line: said.append(line))
    found = decided(crawl, made)
    assert summary.seen == len(found) == 20
    dropped = {name: reason for name, (status, reason) in found.items() if status == "dropped"}
    # Of the two spellings of one address either stays.
    spellings = [name for name, reason in dropped.items() if reason == "url"]
    assert spellings in (["a.example/0"], ["a.example/0?utm_source=x"])
    del dropped[spellings[0]]
    caps = [name for name, reason in dropped.items() if reason == "host_cap"]
    assert all(name.startswith("a.example") for name in caps)
    assert {name: reason for name, reason in dropped.items() if name not in caps} == {
        "b.example/copy": "exact",
        "a.example/2": "near",
        "b.example/short": "short",
        "b.example/prose": "no_code",
        "b.example/cut": "truncated",
        "b.example/404": "not_ok",
        "b.example/x.css": "not_html",
        "b.example/deep": "too_complex",
        "b.example/empty": "empty",
        "c.example/": "no_code",
    }
    kept = [name for name, (status, _) in found.items() if status == "kept"]
    assert len(kept) + len(dropped) + 1 == 20
    assert "1 warcinfo" in said[0][1]


def test_corpora_hold_the_code(crawl):
    run_web(recipe(crawl), Engine(workers=1))
    table = pa.concat_tables([pq.read_table(file) for file in sorted((crawl / "out/pages/parquet").glob("*.parquet"))])
    rows = {row["path"]: row for row in table.to_pylist()}
    assert "```\nx = 1\ny = 2 # 52\n```" in rows["/code"]["content"]
    assert rows["/code"]["page_url"] == "https://b.example/code"
    (packed,) = (crawl / "out/pages/jsonl").glob("*.zst")
    with zstandard.open(packed, "rt") as lines:
        assert {json.loads(line)["path"] for line in lines} == set(rows)
    assert "b.example" in (crawl / "out/report.html").read_text()
    assert (crawl / "out/README.md").exists()


def test_new_archives_alone_are_read(crawl):
    made = recipe(crawl)
    run_web(made, Engine(workers=1))
    before = {path: path.stat().st_mtime_ns for path in (crawl / "store/blobs").iterdir()}
    (crawl / "later.warc.gz").write_bytes(response("https://d.example/", page(90)))
    assert run_web(made, Engine(workers=1)).seen == 21
    after = {path: path.stat().st_mtime_ns for path in (crawl / "store/blobs").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    assert decided(crawl, made)["d.example/"] == ("kept", None)


def test_a_table_of_pages(tmp_path):
    html = [article("One", 20).decode(), None, "<p>short<pre>a\nb</pre>"]
    table = pa.table({"link": [f"https://e.example/{n}" for n in range(3)], "html": pa.array(html)})
    pq.write_table(table, tmp_path / "pages.parquet")
    made = recipe(tmp_path, **{'kind = "warc"': 'kind = "pages"\ncolumns = { url = "link" }', "*.warc.gz": "*.parquet"})
    run_web(made, Engine(workers=1))
    assert decided(tmp_path, made) == {
        "e.example/0": ("kept", None),
        "e.example/1": ("errored", "missing_object"),
        "e.example/2": ("dropped", "short"),
    }


def test_one_line_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="got none"):
        (tmp_path / "x.txt").write_text("")
        run_web(recipe(tmp_path, **{"*.warc.gz": "x.txt"}), Engine(workers=1))
    with pytest.raises(RecipeError, match="no_such"):
        run_web(recipe(tmp_path, **{"page.words": "page.no_such"}), Engine(workers=1))
    with pytest.raises(RecipeError, match="source"):
        recipe(tmp_path, **{'kind = "warc"': 'kind = "git"'})
    with pytest.raises(RecipeError, match="got one that has no place here"):
        run_web(recipe(tmp_path, **{"[annotate.host]": "[annotate.rules]"}), Engine(workers=1))
    table = pa.table({"address": ["x"]})
    pq.write_table(table, tmp_path / "pages.parquet")
    with pytest.raises(InputError, match=r"expected columns url and html or text"):
        run_web(recipe(tmp_path, **{'kind = "warc"': 'kind = "pages"', "*.warc.gz": "*.parquet"}), Engine(workers=1))


def test_packing_is_reproducible(tmp_path):
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.html").write_bytes(article("A", 5))
    (folder / "sub/b.htm").write_bytes(article("B", 5))
    (folder / "c.txt").write_text("no page")
    outs = [tmp_path / "1.warc.gz", tmp_path / "2.warc.gz"]
    assert [pack(out, [folder]) for out in outs] == [2, 2]
    with pytest.raises(InputError, match="expected a folder"):
        pack(outs[0], [folder / "c.txt"])
