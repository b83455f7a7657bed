"""Categories of pages: the model that ships on pages of each kind, fits that learn, marks that hold."""

import itertools
from importlib.resources import files

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.errors import InputError
from codemill.web.category import CategoryModel, look, marks, open_category
from codemill.web.category_fit import confusion, cross_validate, fit_category
from codemill.web.category_table import CategoryAnnotator, CategoryParams

PAGES = {
    "question_and_answer": (
        "stackoverflow.com",
        "/questions/101/how-do-i-reverse-a-list",
        "12\nHow do I reverse a list in place?\n```\nxs = [1, 2]\n```\nShare\nImprove this question\n"
        "asked Jun 3, 2015 at 10:51\nAda\n4,31022 gold badges14 silver badges18 bronze badges\n## 2 Answers\n"
        "Call `xs.reverse()`.\nImprove this answer\nanswered Jun 3, 2015 at 11:02\nAdd a comment",
    ),
    "forum": (
        "forum.machines.org",
        "/viewtopic.php?t=77",
        "## Board does not boot\nAda\nPosts: 12\nJoined: Sun Dec 17, 2017 11:18 am\n### Board does not boot\n"
        "Hi,\nI tried the new image and nothing happens.\nBob\nPosts: 901\nJoined: Wed Feb 04, 2015\n"
        "### Re: Board does not boot\nAda wrote:\n> nothing happens\nTry another card.\nPost reply\n2 posts",
    ),
    "shop": (
        "www.chairs.com",
        "/products/swivel-chair",
        "# Swivel chair\n$129.00\nFree shipping\nAdd to cart\nIn stock\nSKU: 1234\n4.8 out of 5 stars, 212 reviews\n"
        "## Description\nA chair that turns.\n## You may also like\nDesk $249.00\nSale 20% off",
    ),
    "blog": (
        "ada.dev",
        "/blog/2024/05/why-i-left-make",
        "# Why I left make\nMay 3, 2024 · 6 min read\nBy Ada\nI've been using make for ten years. Last week I decided "
        "that I had enough of it. I wanted to know why my builds were slow, and I found that I was.\n"
        "Subscribe to my newsletter\nPrevious post\nNext post\nLeave a comment",
    ),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_model_that_ships_knows_plain_cases(name):
    found, chance = open_category().judge(*PAGES[name])
    assert found == name
    assert 0 < chance <= 1


@given(st.text(max_size=300), st.text(max_size=60), st.text(max_size=60))
def test_any_page_has_probabilities_that_sum_to_one(text, host, path):
    model = open_category()
    chances = model.probabilities(look(host, path, text))
    assert len(chances) == len(marks().categories)
    assert chances.sum() == pytest.approx(1)
    assert (chances >= 0).all()


def test_the_middle_of_a_long_page_is_not_looked_at():
    text = "word " * 10_000
    other = text[:20_000] + "add to cart " * 300 + text[23_600:]
    assert len(text) == len(other)
    one, two = (open_category().probabilities(look("a.org", "/x", content)) for content in (text, other))
    assert one.tolist() == two.tolist()


def test_what_ships_was_fitted_to_the_labels_that_ship():
    card = open_category().card
    with (files("codemill.web") / "models" / "labels.parquet").open("rb") as stream:
        labels = pq.read_table(stream)
    assert set(labels.column_names) & {"url", "title", "content", "host", "path"} == set()
    assert card["pages"] == labels.num_rows >= 500
    assert set(labels["category"].to_pylist()) == set(card["categories"]) == set(marks().categories)


def labelled(sites=8):
    rows = []
    for site, (name, (_, path, text)) in itertools.product(range(sites), PAGES.items()):
        row = {"host": f"s{site}.org", "path": path, "content": f"{text}\nnote {site}", "category": name}
        rows.append(row)
    return pa.Table.from_pylist(rows)


def test_a_fit_learns_and_is_judged_on_sites_it_has_not_seen(tmp_path):
    table = labelled()
    chances = cross_validate(table, folds=2)
    known = list(marks().categories)
    codes = np.array([known.index(name) for name in table["category"].to_pylist()])
    counts = confusion(codes, chances)
    assert counts.sum() == table.num_rows == np.trace(counts)
    card = fit_category(table, tmp_path)
    assert (card["pages"], card["groups"]) == (32, 8)
    model = CategoryModel.load(tmp_path)
    assert model.judge(*PAGES["shop"])[0] == "shop"
    assert fit_category(table, tmp_path)["fingerprint"] == card["fingerprint"]
    assert (
        CategoryAnnotator(CategoryParams(model=str(tmp_path))).fingerprint()
        != CategoryAnnotator(CategoryParams()).fingerprint()
    )


def test_wrong_labels_and_models_are_one_line(tmp_path):
    with pytest.raises(
        InputError, match=r"labels: expected columns host, path, content, category; category is missing"
    ):
        fit_category(labelled().drop_columns("category"), tmp_path)
    wrong = labelled().set_column(3, "category", pa.array(["wiki"] * 32))
    with pytest.raises(InputError, match=r"labels: category: expected one of question_and_answer, .* got 'wiki'"):
        fit_category(wrong, tmp_path)
    with pytest.raises(InputError, match="expected a fitted model"):
        CategoryModel.load(tmp_path / "nothing")
