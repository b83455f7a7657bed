"""The page as a browser gets it: loads nothing, runs nothing foreign, says what the decisions say, always the same."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pyarrow.compute as pc
import pytest

from codemill.recipe import ValueRule
from codemill.report import contents, sections
from codemill.report.frame import Frame
from codemill.report.html import build_report, recipe_toml
from codemill.report.sections import corpus_view, samples_each
from codemill.report.summary import RunSummary
from codemill.select.result import read_selection
from codemill.store import Store
from tests.report.conftest import HOSTILE, held, select_rows, shuffled

VOID = {"meta", "br", "wbr", "rect", "line"}
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "cite", "xlink:href", "ping"}


class Page(HTMLParser):
    """All tags, attributes and texts, and a complaint where tags don't nest."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts, self.open, self.crossed = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.crossed.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def html(finished):
    return build_report(*finished)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_tags_nest(page):
    assert not page.crossed
    assert not page.open


def test_loads_nothing(html, page):
    assert not {"link", "img", "iframe", "object", "embed", "audio", "video", "base", "form", "image", "use"} & {
        *page.tags
    }
    assert not [one for one in page.attributes if one[1] in LOADING]
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL).group(1)
    assert not re.search(r"fetch|XMLHttpRequest|import\(|innerHTML|https?:", script)


def test_policy_allows_this_script_alone(html, page):
    policy = next(
        value for tag, name, value in page.attributes if tag == "meta" and (value or "").startswith("default-src")
    )
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_hostile_names_and_contents_are_text(html, page):
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert not [one for one in page.attributes if one[1].startswith("on")]
    text = "".join(page.texts)
    assert HOSTILE in text  # in the description and in an excerpt, to be read
    assert f"# {HOSTILE}" in text
    assert "</pre></style>" in text
    for sign in ("\x1b", "\u202e", "\x01", "\0"):
        assert sign not in html
    assert "⟨1B⟩[31m⟨202E⟩" in text


def test_same_decisions_same_page(finished, html):
    assert build_report(*finished) == html


def test_what_is_read_back_has_the_recipes_order(finished, tmp_path):
    store = Store(tmp_path / "store")
    store.create()
    _, summary = finished
    turned = replace(summary, corpora=dict(reversed(summary.corpora.items())))
    turned.write(store)
    assert list(RunSummary.read(store).corpora) == ["repositories", "files"]


def test_order_of_rows_does_not_matter(finished):
    store, summary = finished
    for corpus in summary.corpora:
        selection = held(read_selection(store, summary.decisions, corpus))
        one, other = (corpus_view(Frame(rows), "file", 4) for rows in (selection, shuffled(selection)))
        assert one == other


def test_sum_is_in_the_page(finished, page):
    store, summary = finished
    text = re.sub(r"\s+", " ", "".join(page.texts))
    for corpus in summary.corpora:
        status = read_selection(store, summary.decisions, corpus).decisions["status"]
        assert f"{pc.sum(pc.equal(status, 'kept')).as_py():,}" in text
    assert text.count("✓ adds up") == len(summary.corpora)
    assert "special_file · " in text
    assert "junk/pipe" not in text.split("Kept, at random")[-1]


def test_says_when_it_does_not_add_up(finished):
    store, summary = finished
    selection = held(read_selection(store, summary.decisions, "files"))
    lost = type(selection)(
        **{**vars(selection), "decisions": selection.decisions.slice(1), "signals": selection.signals.slice(1)}
    )
    view = corpus_view(Frame(lost), "file", 4)
    assert not view.overview.adds_up


def test_alarms_come_first(finished):
    store, summary = finished
    alarmed = type(summary)(**{**vars(summary), "alarms": ["files: language C lost <all> to deduplication"]})
    html = build_report(store, alarmed)
    assert html.index("lost &lt;all&gt; to deduplication") < html.index('class="tabs"')
    assert "no alarms" not in html


def test_recipe_can_be_run_again(finished):
    import tomllib

    from codemill.recipe import Recipe

    _, summary = finished
    recipe = summary.load_recipe()
    assert Recipe.model_validate(tomllib.loads(recipe_toml(recipe))) == recipe


def test_many_rules_stay_small():
    """Samples are shared out among the rules, so that a page's size has a bound whatever the recipe."""
    rules = [ValueRule(name=f"rule_{number}", column="x.value", min=number / 40, max=99) for number in range(40)]
    values = [number % 997 / 997 for number in range(3000)]
    frame = Frame(select_rows({"x.value": values}, rules))
    each = samples_each([frame, frame])
    view = corpus_view(frame, "file", each)
    assert each == 1
    assert 40 < len(view.samples()) <= sections.MOST_SAMPLES / 2


def test_reads_only_the_row_groups_it_needs(finished, monkeypatch):
    store, summary = finished
    selection = held(read_selection(store, summary.decisions, "files"))
    wanted = selection.decisions.filter(pc.equal(selection.decisions["status"], "kept"))["blob_id"].to_pylist()[:3]
    read = []
    original = contents.pq.ParquetFile.iter_batches

    def watched(self, *args, **kwargs):
        read.append(kwargs["row_groups"])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(contents.pq.ParquetFile, "iter_batches", watched)
    heads = contents.read_heads(store, summary.shards, wanted)
    assert set(heads) == set(wanted)
    assert len(read) <= len(wanted)
    assert all(len(groups) == 1 for groups in read)
    for key, head in heads.items():
        assert hashlib.sha256(head.text.encode()).hexdigest() == key
