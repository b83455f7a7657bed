"""Files that a grammar cannot take cost themselves; files with nothing to find are not parsed."""

import pytest

from codemill.annotate.syntax_guard import Limits, ParserProcess
from codemill.longcontext import extract
from codemill.longcontext.extract import Extractor
from codemill.longcontext.grammars import import_grammars


@pytest.fixture
def extractor():
    made = Extractor()
    yield made
    made.close()


def test_only_what_can_import_is_parsed(extractor):
    found = extractor.extract(
        ["Python", "Python", "Markdown", None, "Java"],
        ["import a\n", "print(1)\n", "import a\n", "import a\n", "class A {}\n"],
    )
    assert [one.status for one in found] == ["parsed", "no_marks", "no_imports", "no_imports", "parsed"]
    assert found[0].matches == ({"module": "a"},)
    assert found[4].matches == ({"declared": "A"},)


def test_nothing_to_parse_starts_no_process(extractor):
    assert [one.status for one in extractor.extract(["SQL"], ["select 1"])] == ["no_imports"]
    assert extractor.process.pid is None


def test_broken_files_tell_what_they_can(extractor):
    found = extractor.extract(["Python"], ["import a\ndef (:\n  ]]\nimport b\n\0\ud800"])
    assert found[0].status == "parsed"
    assert {"module": "a"} in found[0].matches


def test_large_files_are_left_alone(extractor, monkeypatch):
    monkeypatch.setattr(extract, "MAX_BYTES", 100)
    found = extractor.extract(["Python", "Python"], ["import a\n" * 20, "import a\n"])
    assert [one.status for one in found] == ["too_large", "parsed"]


def test_a_file_that_takes_too_long_costs_itself(extractor):
    """A real grammar on nesting without end, under a limit that it passes."""
    row = import_grammars()["python"]
    known = {"imports-python": {"grammar": "python", "find": row.find}}
    extractor.process = ParserProcess(known, Limits(0.05, 20.0, 2_000_000_000))
    hostile = "import a\n" + "(" * 400_000
    found = extractor.extract(["Python"] * 3, ["import a\n", hostile, "import b\n"])
    assert found[0].matches == ({"module": "a"},)
    assert found[1].status in ("timeout", "crashed") and not found[1].matches
    assert found[2].matches == ({"module": "b"},)


def test_every_query_fits_its_grammar(extractor):
    for row in import_grammars().values():
        text = " ".join(row.marks)
        assert extractor.extract([row.languages[0]], [text])[0].status == "parsed", row.name
