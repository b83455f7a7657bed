"""Notebooks of every format come out as text; what is none says why; on the way out of a corpus, blobs stay."""

import ast
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.annotate import build
from codemill.annotate.notebook import NotebookError, read_notebook
from codemill.corpus.notebook import notebook_text, render
from codemill.engine import Engine
from codemill.pipeline import Pipeline
from codemill.recipe import NotebookSettings, Recipe
from codemill.store import Store
from tests.conftest import write

MARKDOWN, PERCENT = NotebookSettings(), NotebookSettings(style="percent")
PICTURE = "iVBORw0KGgo" * 40


def code(source, outputs=()):
    return {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": source, "outputs": list(outputs)}


def text(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def notebook(*cells, language="python", **more):
    meta = {"kernelspec": {"language": language, "name": language}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": meta, "cells": list(cells), **more}).encode()


OUTPUTS = [
    {"output_type": "stream", "name": "stdout", "text": ["\x1b[31mred\x1b[0m\n", "second\n"]},
    {"output_type": "display_data", "data": {"image/png": PICTURE, "text/plain": ["<Figure>"]}, "metadata": {}},
    {"output_type": "execute_result", "data": {"text/html": "<b>1</b>", "text/plain": "1"}, "metadata": {}},
    {"output_type": "error", "ename": "KeyError", "evalue": "'a'", "traceback": ["long", "longer"]},
]


def test_text_and_code_in_turn():
    content = notebook(text(["# Title\n", "\n", "Why."]), code("x = 1\nx + 1", OUTPUTS), code(""), text("End."))
    assert notebook_text(content, MARKDOWN) == "# Title\n\nWhy.\n\n```python\nx = 1\nx + 1\n```\n\nEnd.\n"
    assert (
        notebook_text(content, PERCENT)
        == "# %% [markdown]\n# # Title\n#\n# Why.\n\n# %%\nx = 1\nx + 1\n\n# %% [markdown]\n# End.\n"
    )


def test_outputs_are_text_and_bounded():
    content = notebook(code("x", OUTPUTS))
    shown = notebook_text(content, NotebookSettings(outputs="text"))
    assert shown == "```python\nx\n```\n\n```output\nred\nsecond\n<Figure>\n1\nKeyError: 'a'\n```\n"
    short = notebook_text(content, NotebookSettings(outputs="text", output_chars=5))
    assert short.endswith("```output\nred\ns\n…\n```\n")
    assert "# Output:\n# red\n" in notebook_text(content, NotebookSettings(outputs="text", style="percent"))


@pytest.mark.parametrize(
    "source",
    [
        f"before ![a chart](data:image/png;base64,{PICTURE}) after",
        "before ![a chart](attachment:chart.png) after",
        f'before <img alt="x" src="data:image/png;base64,{PICTURE}" width=3> after',
        f"before data:image/svg+xml;base64,{PICTURE} after",
    ],
)
def test_pictures_are_out(source):
    shown = notebook_text(notebook(text(source)), MARKDOWN)
    assert "iVBOR" not in shown
    assert "attachment" not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after\n")
    linked = "![a chart](https://example.org/chart.png)"
    assert linked in notebook_text(notebook(text(linked)), MARKDOWN)


def test_older_formats():
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["Part"]},
        {
            "cell_type": "code",
            "language": "julia",
            "input": ["f(x) = 2x\n", "f(2)"],
            "outputs": [{"output_type": "pyout", "text": ["4"]}],
        },
    ]
    content = json.dumps({"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}).encode()
    assert read_notebook(content).version == 3
    shown = notebook_text(content, NotebookSettings(outputs="text"))
    assert shown == "## Part\n\n```julia\nf(x) = 2x\nf(2)\n```\n\n```output\n4\n```\n"


def test_other_kernels_and_magics():
    assert "```r\nx <- 1\n```" in notebook_text(notebook(code("x <- 1"), language="R"), MARKDOWN)
    assert notebook_text(notebook(text("Why."), code("int x;"), language="C++17"), PERCENT).startswith(
        "// %% [markdown]\n// Why.\n\n// %%\nint x;"
    )
    assert read_notebook(notebook(language="C++17")).kernel.language == "C++"
    assert read_notebook(notebook(language="Forth 2012")).kernel.language == "Forth2012"
    content = notebook(code("%%bash\nls"), code("%matplotlib inline\n!pip install x\nx = 5 % 3"))
    assert notebook_text(content, MARKDOWN).startswith("```bash\n%%bash\nls\n```")
    script = notebook_text(content, PERCENT)
    assert "# %matplotlib inline\n# !pip install x\nx = 5 % 3" in script
    ast.parse(script)


def test_fences_hold():
    shown = notebook_text(notebook(text("```\nopen"), code('s = """\n```\n"""')), MARKDOWN)
    assert shown == '```\nopen\n```\n\n````python\ns = """\n```\n"""\n````\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"cells": [', "no JSON"),
        (b"[]", "expected a JSON object, got list"),
        (b"{}", "expected cells or worksheets"),
        (b'{"cells": ["x"]}', "cell 0: expected an object"),
        (b"", "no JSON"),
        (b"[" * 5000, "no JSON"),
    ],
)
def test_what_is_no_notebook_says_why(content, reason):
    with pytest.raises(NotebookError, match="^" + reason):
        read_notebook(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["cells", "worksheets", "cell_type", "source", "input", "outputs", "data", "metadata", "text", "level"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_text_or_a_reason(value):
    try:
        found = read_notebook(json.dumps(value).encode())
    except NotebookError as error:
        assert str(error)
        return
    for settings in (MARKDOWN, PERCENT, NotebookSettings(outputs="text")):
        shown = render(found, settings)
        assert shown == "" or shown.endswith("\n")
        shown.encode()


@given(st.lists(st.tuples(st.booleans(), st.text("ab#`~\n %!", max_size=20)), max_size=6))
def test_nothing_but_blank_lines_is_lost(cells):
    content = notebook(*(code(source) if is_code else text(source) for is_code, source in cells))
    shown = notebook_text(content, MARKDOWN)
    place = 0
    for _, source in cells:
        for line in source.split("\n"):
            if line.strip():
                found = shown.find(line.rstrip(), place)
                assert found >= 0
                place = found


def test_what_is_known_of_notebooks():
    contents = [notebook(text("Why."), code("x = 1", OUTPUTS)), b"{}", b"x = 1"]
    annotator = build("notebook")
    languages = ["Jupyter Notebook", "Jupyter Notebook", "Python"]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(contents, pa.large_binary()), pa.array(languages)], names=["content", "language"]
    )
    one, two, three = annotator.annotate(batch).to_pylist()
    assert (one["readable"], one["kernel"], one["cells"], one["code_cells"]) == (True, "Python", 2, 1)
    assert (one["text_bytes"], one["code_bytes"]) == (4, 5)
    assert one["output_bytes"] > len(PICTURE)
    assert (two["readable"], two["problem"]) == (False, "expected cells or worksheets, got neither")
    assert set(three.values()) == {None}


def test_notebooks_leave_a_corpus_as_text(tmp_path):
    good, bad = notebook(text("Why."), code("x = 1", OUTPUTS)), b'{"cells": [1], "nbformat": 4}'
    write(tmp_path / "src", "one/a.ipynb", good)
    write(tmp_path / "src", "one/b.ipynb", bad)
    write(tmp_path / "src", "one/c.py", "def one():\n    return 1\n")
    recipe = Recipe.model_validate(
        {
            "name": "notebooks",
            "store": str(tmp_path / "store"),
            "output": str(tmp_path / "out"),
            "source": [{"kind": "directories", "name": "here", "path": str(tmp_path / "src")}],
            "annotate": {"language": {}, "rules": {}},
            "corpus": {"all": {"rules": [], "notebooks": {"outputs": "text"}}},
        }
    )
    Pipeline(recipe, Engine(workers=1)).run()
    rows = {row["path"]: row for row in pq.read_table(tmp_path / "out/all/parquet").to_pylist()}
    assert rows["a.ipynb"]["content"].startswith("Why.\n\n```python\nx = 1\n```\n\n```output\nred")
    assert rows["a.ipynb"]["notebook_problem"] is None
    assert (rows["b.ipynb"]["content"], rows["b.ipynb"]["notebook_problem"]) == (
        bad.decode(),
        "cell 0: expected an object, got int",
    )
    assert rows["c.py"]["content"] == "def one():\n    return 1\n"
    store = Store(recipe.store)
    blobs = [row["content"] for file in store.files("blobs") for row in store.read(file).to_pylist()]
    assert good in blobs
