"""Quality of pages: what teaches is rated above what does not, by text alone; rules by category decide and say why."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from codemill.cli import app
from codemill.cli.common import LAST_RUN
from codemill.engine import Engine
from codemill.errors import RecipeError
from codemill.label.oracle import label
from codemill.label.prompt import render
from codemill.label.settings import LabelSettings
from codemill.quality.rubric import load_rubric
from codemill.select.judged import NO_GROUP
from codemill.store import Store
from codemill.web.pipeline import run_web
from codemill.web.quality import PageQualityAnnotator, PageQualityParams, open_page_scorer
from codemill.web.settings import load_web_recipe
from tests.llm_server import Reply, as_json, serve
from tests.web.test_category import PAGES
from tests.web.warcs import response

LESSON = """# Reading files line by line in Python

In this tutorial you will learn how to read a file without holding all of it in memory.

## A generator

A function with `yield` gives one value after the other. The file is closed when the loop ends, because `with` says so.

```python
from pathlib import Path


def lines(path):
    with Path(path).open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            yield number, line.rstrip()
```

Call it in a loop. If the file does not exist, `open` raises `FileNotFoundError`, so catch that where you can act on it:

```python
try:
    for number, line in lines("notes.txt"):
        print(number, line)
except FileNotFoundError as error:
    print("no such file:", error.filename)
```
"""
RECIPE = """
# Soup of the day

Chop the onions, fry them until they are golden, and add the carrots. Season with salt. Serve hot with fresh bread.
Sign up for our newsletter to get more recipes like this every week! Share on Facebook. Share on Pinterest.
"""


def rate(*texts):
    annotator = PageQualityAnnotator(PageQualityParams())
    batch = pa.RecordBatch.from_pydict({"content": pa.array([text.encode() for text in texts], pa.large_binary())})
    return annotator.annotate(batch).to_pylist()


def test_a_lesson_with_code_is_worth_more_than_a_recipe_of_the_kitchen():
    lesson, soup, empty = rate(LESSON, RECIPE, "# Not found")
    assert lesson["overall"] > 5
    assert soup["overall"] < 2
    assert empty["overall"] < 2
    assert lesson["clarity"] > soup["clarity"]
    assert all(0 <= value <= 10 for row in (lesson, soup, empty) for value in row.values())


def test_a_page_is_rated_the_same_in_any_company():
    alone = rate(LESSON)[0]
    assert rate(RECIPE, LESSON, "x")[1] == alone


def test_the_scorer_of_files_is_refused():
    with pytest.raises(RecipeError, match=r"annotate.page_quality.model: expected `shipped` or a folder"):
        PageQualityAnnotator(PageQualityParams(model="reference")).load()
    assert open_page_scorer().fingerprint.startswith("reference-")


def test_the_prompt_of_pages_names_their_kind():
    prompt = render(load_rubric(201), "question_and_answer", "text", cut=True, structured=True)
    assert "Kind of page: question and answer" in prompt
    assert "forum" in prompt and "The page is longer" in prompt
    assert "Language: Python" in render(load_rubric(), "Python", "text", cut=False, structured=True)


WEB = """
kind = "web"
name = "kinds"
store = "{place}/store"
output = "{place}/out"
[annotate.category]
[annotate.page_quality]
[[source]]
kind = "warc"
name = "crawl"
path = "{place}/*.warc.gz"
[[rule]]
name = "worth"
column = "page_quality.overall"
min = 9.9
by = "category.name"
per = {{ forum = {{ min = 0 }}, blog = {{ min = 0 }}, tutorial = {{ min = 4 }}, documentation = {{ min = 4 }} }}
[[rule]]
name = "rates"
sample = 1.0
by = "category.name"
per = {{ blog = 0.0 }}
[propose]
target = {{ tutorial = 0.5, forum = 0.5 }}
floor = 0.0
[corpus.pages]
rules = ["worth", "rates"]
columns = ["category.name", "page_quality.overall"]
"""


@pytest.fixture
def crawl(tmp_path):
    def html(text):
        head, _, body = text.partition("\n")
        return f"<h1>{head.lstrip('# ')}</h1><pre>{body}</pre>".encode()

    data = [response(f"https://{host}{path}", html(text)) for host, path, text in PAGES.values()]
    data += [response(f"https://lessons{n}.org/tutorials/{n}", html(f"{LESSON}\n{n}")) for n in range(4)]
    data.append(response("https://broken.org/", b"<nav>x</nav>"))
    (tmp_path / "crawl.warc.gz").write_bytes(b"".join(data))
    (tmp_path / "web.toml").write_text(WEB.format(place=tmp_path))
    return tmp_path


def test_bounds_and_rates_go_by_category_and_say_so(crawl):
    recipe = load_web_recipe(crawl / "web.toml")
    summary = run_web(recipe, Engine(workers=1))
    decisions = Store(crawl / "store").read(f"decisions/{recipe.fingerprint()}/pages.parquet").to_pylist()
    signals = Store(crawl / "store").read(f"decisions/{recipe.fingerprint()}/pages.signals.parquet").to_pylist()
    assert summary.seen == len(decisions) == 9
    kinds = {row["occurrence_id"]: row["category.name"] for row in signals}
    by_host = {row["repo"]: (kinds[row["occurrence_id"]], row) for row in decisions}
    kind, blog = by_host["ada.dev"]
    assert (kind, blog["status"], blog["reason"]) == ("blog", "dropped", "rates")
    assert json.loads(blog["evidence"])["rates"]["rate"] == 0
    kind, shop = by_host["www.chairs.com"]
    assert (kind, shop["reason"]) == ("shop", "worth")
    assert by_host["forum.machines.org"][1]["status"] == "kept"
    assert by_host["broken.org"][1]["reason"] == "empty"
    report = (crawl / "out" / "report.html").read_text()
    assert "Shares by category.name" in report and "By host" in report and "pages seen" in report
    assert "files seen" not in report and NO_GROUP not in report.split("Shares by")[1].split("By language")[0]


def test_an_oracle_rates_pages_of_a_store_by_category(crawl):
    run_web(load_web_recipe(crawl / "web.toml"), Engine(workers=1))
    prompts = []

    def script(body, number):
        prompts.append(body["messages"][-1]["content"])
        return Reply(as_json(overall=4, clarity=7))

    with serve(script) as server:
        settings = {
            "output": str(crawl / "labels"),
            "rubric": 201,
            "sample": {"source": str(crawl / "store"), "by": "category", "per_language": 1},
            "endpoint": {"base_url": server.url, "model": "m", "answer": "json_schema"},
        }
        result = label(LabelSettings.model_validate(settings), Engine(workers=1))
    labels = pq.read_table(result.path).to_pylist()
    assert result.labelled == len(labels) == len(prompts) >= 4
    assert {row["language"] for row in labels} >= {"forum", "shop", "blog", "question_and_answer"}
    assert {(row["overall"], row["clarity"], row["rubric"]) for row in labels} == {(4, 7, 201)}
    assert sum("Kind of page: question and answer" in prompt for prompt in prompts) == 1


def test_propose_prints_rules_that_a_recipe_takes(crawl, monkeypatch):
    monkeypatch.chdir(crawl)
    result = CliRunner().invoke(app, ["propose", str(crawl / "web.toml"), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout[result.stdout.index("{") :])
    text = (crawl / "web.toml").read_text()
    start, end = text.index("[[rule]]"), text.index("[propose]")
    (crawl / "web.toml").write_text(text[:start] + found["toml"] + text[end:])
    recipe = load_web_recipe(crawl / "web.toml")
    summary = run_web(recipe, Engine(workers=1))
    # Equal shares of forum and tutorial: the one thread is scarce, so the lessons are sampled.
    rates = {share["group"]: share["rate"] for share in found["shares"]}
    assert rates["forum"] == 1 and rates["shop"] == 0 and rates["blog"] == 0
    assert summary.corpora["pages"]["files"] >= 1
    assert not LAST_RUN.exists()
