"""Values against a plain walk of the tree; files that hang or kill a grammar cost themselves alone."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import enry
import pyarrow as pa
import pytest
import tree_sitter
import tree_sitter_language_pack
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.annotate import build
from codemill.annotate.base import annotate_safely
from codemill.annotate.syntax import grammar_of, grammars
from codemill.annotate.syntax_guard import Limits, ParserProcess
from codemill.errors import EngineError, RecipeError

# Real inputs that real grammars can't take, found by trying: the first overruns a fixed buffer in Markdown's scanner,
# the second takes a time that grows with the square of its length.
KILLER = ("Markdown", b">" * 100_000)
ENDLESS = ("Python", b"(" * 60_000)
FINE = ("Python", b"x = 1\n")

NO_GRAMMAR = (
    *("ANTLR", "Alloy", "AppleScript", "Augeas", "Awk", "Batchfile", "Bluespec", "CoffeeScript", "Idris", "Isabelle"),
    *("Java Server Pages", "Lean", "Literate Agda", "Literate CoffeeScript", "Literate Haskell", "Wolfram Language"),
    *("Prolog", "SAS", "Smalltalk", "Stan", "Standard ML", "Stata", "Tcsh", "Visual Basic .NET", "Yacc"),
)


@pytest.fixture(scope="module")
def syntax():
    annotator = build("syntax", {"timeout_seconds": 1})
    yield annotator
    annotator.process.close()


def annotate(annotator, *files, batches=1):
    languages, contents = [language for language, _ in files], [content for _, content in files]
    batch = pa.record_batch([pa.array(contents, pa.large_binary()), pa.array(languages)], ["content", "language"])
    size = -(-len(files) // batches)
    parts = [batch.slice(start, size) for start in range(0, len(files), size)]
    return [row for part in parts for row in annotate_safely(annotator, part).to_pylist()]


def statuses(rows):
    return [row["status"] for row in rows]


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", grammars())
def test_grammars_load_and_have_the_node_kinds_that_the_table_names(name):
    grammar = grammars()[name]
    language = tree_sitter_language_pack.get_language(name)
    kinds = {language.node_kind_for_id(kind) for kind in range(language.node_kind_count)}
    assert {*grammar.comments, *grammar.literals} <= kinds
    tree_sitter.Query(language, grammar.setting(parts=True)["query"])
    assert grammar.second == "" or grammar.second in grammars()
    for one in grammar.languages:
        assert enry.get_language_type(one) != "unknown", one
        assert grammar_of(one) is grammar


def test_languages_without_a_grammar_say_so(syntax):
    rows = annotate(syntax, *[(language, b"text") for language in [*NO_GRAMMAR, "unknown"]])
    assert all(enry.get_language_type(language) != "unknown" for language in NO_GRAMMAR)
    for row in rows:
        assert row.pop("status") == "no_grammar"
        assert set(row.values()) == {None}


# -- values ------------------------------------------------------------------------------------------------------------


def test_comments_docstrings_and_literals_are_told_apart(syntax):
    source = b'# one\n"""Doc."""\n\n\ndef f():\n    """Doc too."""\n    return f"a{"b"}"  # two\n'
    row = annotate(syntax, ("Python", source))[0]
    assert (row["error_share"], row["error_nodes"], row["missing_nodes"]) == (0, 0, 0)
    assert row["comment_bytes"] == len(b'# one"""Doc.""""""Doc too."""# two')
    assert row["literal_bytes"] == len(b'f"a{"b"}"')
    assert row["comment_share"] == row["comment_bytes"] / len(source)


@pytest.mark.parametrize(
    ("language", "source", "comment", "literal"),
    [
        ("C", b'/* a */ char *s = "xy"; // b\n', b"/* a */// b", b'"xy"'),
        ("JavaScript", b"// a\nconst s = `x${'y'}`, r = /q/;\n", b"// a", b"`x${'y'}`/q/"),
        ("Shell", b"# a\necho \"$b\" 'c'\n", b"# a", b"\"$b\"'c'"),
        ("Go", b"package p\n\n// a\nvar s = `x`\n", b"// a", b"`x`"),
        ("Rust", b"/// a\nfn f() { g(r\"x\", 'c'); }\n", b"/// a\n", b"r\"x\"'c'"),
        ("HTML", b"<p>a</p><!-- b -->", b"<!-- b -->", None),
        ("Agda", b"-- a\n", b"-- a", None),
        ("Markdown", b"# a\n", None, None),
    ],
)
def test_kinds_of_other_languages(syntax, language, source, comment, literal):
    row = annotate(syntax, (language, source))[0]
    assert (row["status"], row["error_nodes"]) == ("parsed", 0)
    assert row["comment_bytes"] == (comment and len(comment))
    assert row["literal_bytes"] == (literal and len(literal))


def test_the_second_grammar_counts_where_it_finds_less_wrong(syntax):
    interface = b"(* a *)\nval f : int -> string\n"
    header = b"template <typename T> class B : A<T> { public: int c() const; };\n"
    neither, plain = b"val val = = )\n", b"int operator = 2;\n"
    rows = annotate(syntax, ("OCaml", interface), ("C", header), ("OCaml", neither), ("C", plain))
    assert [row["error_nodes"] > 0 for row in rows] == [False, False, True, False]
    assert rows[0]["comment_bytes"] == 7
    bare = tree_sitter_language_pack.get_parser
    assert bare("ocaml").parse(interface).root_node.has_error
    assert bare("c").parse(header).root_node.has_error
    assert bare("cpp").parse(plain).root_node.has_error


def walk(node, inside=False):
    """(error nodes, missing nodes, outermost error spans) of a tree."""
    errors, missing, spans = int(node.is_error), int(node.is_missing), []
    if node.is_error and not inside and node.end_byte > node.start_byte:
        spans.append((node.start_byte, node.end_byte))
    for child in node.children:
        more = walk(child, inside or node.is_error)
        errors, missing, spans = errors + more[0], missing + more[1], spans + more[2]
    return errors, missing, spans


tokens = [
    "x",
    "=",
    "(",
    ")",
    "[",
    "]",
    ":",
    "def f",
    "\n",
    "\n    ",
    "'",
    '"',
    "# c\n",
    "return",
    "é",
    "$",
    "?",
    "if",
    "1",
    " ",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(tokens), max_size=40).map("".join), st.sampled_from(["Python", "C++", "JavaScript"]))
def test_errors_are_what_a_walk_of_the_tree_finds(syntax, text, language):
    content = text.encode()
    row = annotate(syntax, (language, content))[0]
    tree = tree_sitter_language_pack.get_parser(grammar_of(language).name).parse(content)
    errors, missing, spans = walk(tree.root_node)
    size = max(len(content), 1)
    total, first = sum(end - start for start, end in spans), spans[0][1] - spans[0][0] if spans else 0
    assert (row["error_nodes"], row["missing_nodes"], row["error_bytes"]) == (errors, missing, total)
    assert (row["error_share"], row["error_share_rest"]) == (total / size, (total - first) / size)
    assert row["nodes"] == tree.root_node.descendant_count
    assert 0 <= row["error_share_rest"] <= row["error_share"] <= 1
    assert 0 <= row["comment_share"] + row["literal_share"] <= 1


def test_batches_change_nothing_and_parts_can_be_left_out(syntax):
    files = [("Python", b"x = (\n" * count) for count in range(9)] + [("C", b"int x;"), ("unknown", b"")]
    rows = annotate(syntax, *files)
    assert rows == annotate(syntax, *files, batches=4)
    bare = build("syntax", {"parts": False})
    without = annotate(bare, *files)
    bare.process.close()
    nothing = dict.fromkeys(("comment_bytes", "comment_share", "literal_bytes", "literal_share"))
    assert without == [row | nothing for row in rows]


def test_many_files_and_large_ones_pass_the_pipe(syntax):
    counts = [40_000, *(number % 50 for number in range(2000))]
    rows = annotate(syntax, *[("Python", b"x = 1\n" * count) for count in counts])
    small = {count: annotate(syntax, ("Python", b"x = 1\n" * count))[0] for count in set(counts)}
    assert rows == [small[count] for count in counts]


# -- the guard ---------------------------------------------------------------------------------------------------------


def test_what_kills_or_hangs_a_grammar_costs_itself_alone(syntax):
    rows = annotate(syntax, FINE, KILLER, FINE, ENDLESS, ENDLESS, KILLER, FINE)
    assert statuses(rows) == ["parsed", "crashed", "parsed", "timeout", "timeout", "crashed", "parsed"]
    for row in (rows[1], rows[3]):
        assert {value for name, value in row.items() if name != "status"} == {None}
    assert rows[0] == rows[2] == rows[6]


def test_too_large_files_are_not_parsed():
    annotator = build("syntax", {"max_bytes": 10})
    rows = annotate(annotator, ("Python", b"x = 123456"), ("Python", b"x = 1234567"))
    annotator.process.close()
    assert statuses(rows) == ["parsed", "too_large"]


def guard(seconds=20.0, wall=60.0, memory=2_000_000_000):
    return ParserProcess({"python": {"query": "", "captures": [], "second": ""}}, Limits(seconds, wall, memory))


def test_a_process_that_others_kill_is_replaced_and_its_file_parsed_again():
    process = guard()
    files = [("python", b"x = 1\n")] * 3 + [("python", b"(" * 12_000)] + [("python", b"x = 1\n")] * 3
    process.start()
    first = process.pid
    killer = threading.Timer(0.15, os.kill, (first, signal.SIGKILL))
    killer.start()
    assert [answer.status for answer in process.parse(files)] == ["parsed"] * 7
    killer.join()
    assert [answer.status for answer in process.parse(files[:1])] == ["parsed"]
    assert process.pid != first
    process.close()


def test_a_process_that_stands_still_is_given_up():
    process = guard(wall=1.0)
    process.start()
    os.kill(process.pid, signal.SIGSTOP)
    start = time.monotonic()
    answers = process.parse([("python", b"x = 1\n")] * 3)
    process.close()
    assert [answer.status for answer in answers] == ["timeout", "parsed", "parsed"]
    assert time.monotonic() - start < 30


def test_memory_is_bounded():
    process = guard(memory=150_000_000)
    answers = process.parse([("python", b"[1, 2]\n"), ("python", b"[1, 2]\n" * 400_000), ("python", b"[1, 2]\n")])
    process.close()
    assert [answer.status for answer in answers] == ["parsed", "crashed", "parsed"]


def test_failures_of_the_worker_come_with_their_reason():
    process = guard()
    process.grammars = {"python": {"query": "(no_such_kind) @comment", "captures": ["comment"], "second": ""}}
    answer = process.parse([("python", b"x")])[0]
    process.close()
    assert answer.status == "failed"
    assert "no_such_kind" in answer.message


def test_a_worker_that_cannot_start_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EngineError, match="syntax: expected the parser process to start, got: it ended"):
        build("syntax").load()


def test_settings_are_checked():
    with pytest.raises(RecipeError, match=r"annotate\.syntax\.timeout_seconds: .*greater than 0, got 0"):
        build("syntax", {"timeout_seconds": 0})


SCRIPT = """
import sys, time
import pyarrow as pa
from codemill.annotate import build

print("main", flush=True)
annotator = build("syntax", {"timeout_seconds": 2})
annotator.load()
print(annotator.process.pid, flush=True)
content = pa.array([b"(" * int(sys.argv[1])], pa.large_binary())
annotator.annotate(pa.record_batch([content, pa.array(["Python"])], ["content", "language"]))
print("done", flush=True)
time.sleep(float(sys.argv[2]))
"""


def run_script(tmp_path, *arguments):
    """A user's script that annotates, without the guard of `if __name__ == "__main__"`; the parser's process id."""
    script = tmp_path / "user.py"
    script.write_text(textwrap.dedent(SCRIPT))
    process = subprocess.Popen([sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "main\n"
    return process, int(process.stdout.readline())


def alive(pid):
    try:
        state = re.search(r"^State:\s+(\S)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False
    return state is not None and state[1] != "Z"


def wait_for_end(pid, seconds):
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads process states from /proc")
@pytest.mark.parametrize("load", ["10", "100000"])
def test_the_parser_does_not_outlive_its_parent(tmp_path, load):
    process, parser = run_script(tmp_path, load, "60")
    if load == "10":
        assert process.stdout.readline() == "done\n"
    else:
        time.sleep(0.5)
    assert alive(parser)
    process.kill()
    process.wait()
    process.stdout.close()
    # One that parses ends with the file or with the file's two seconds of CPU time.
    assert wait_for_end(parser, 60)


def test_a_script_runs_once_and_ends_its_parser(tmp_path):
    process, parser = run_script(tmp_path, "10", "0")
    rest = process.communicate()[0]
    assert (rest, process.returncode) == ("done\n", 0)
    assert wait_for_end(parser, 10)
