"""Languages: the reference list maps to names that go-enry gives, and the short way agrees with the library."""

import sys
from pathlib import Path

import enry
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.annotate.language import HEAD_BYTES, UNKNOWN, detect, language_type, reference_languages, reference_names
from tests.annotate.batches import annotate, batch


def languages(files):
    rows = batch(files)
    return detect(rows.column("path"), rows.column("content"))


def library(files):
    return [enry.get_language(path, content) or UNKNOWN for path, content in files]


def test_every_reference_language_is_one_that_enry_gives_or_is_known_not_to_be():
    table = reference_languages()
    assert len(table) == 89
    assert [name for name, linguist in table.items() if not linguist] == ["Maple"]
    for name in reference_names():
        assert language_type(name) != UNKNOWN, f"go-enry knows no {name}"


def test_no_linguist_name_stands_for_two_reference_languages():
    names = [name for linguist in reference_languages().values() for name in linguist]
    assert len(names) == len(set(names))


# Contents that decide where the extension does not.
DECIDED = [
    ("a.py", "import os\n", "Python", "Python"),
    ("a.h", "#include <stdio.h>\nint f(void);\n", "C", "C"),
    ("a.h", "#include <vector>\nclass A { public: std::vector<int> b; };\n", "C++", "C++"),
    ("a.h", "@interface A : NSObject\n@end\n", "Objective-C", ""),
    ("a.m", "function y = f(x)\n  y = x;\nend\n", "MATLAB", "MATLAB"),
    ("a.m", "#import <Foundation/Foundation.h>\n@implementation A\n@end\n", "Objective-C", ""),
    ("a.pl", "use strict;\nmy $x = 1;\n", "Perl", "Perl"),
    ("a.pl", "parent(X, Y) :- father(X, Y).\n", "Prolog", "Prolog"),
    ("a.v", "module m(input a); endmodule\n", "Verilog", "Verilog"),
    ("a.t", "use strict;\nuse Test::More;\n", "Perl", "Perl"),
    ("a.ts", "export const a: number = 1;\n", "TypeScript", "TypeScript"),
    ("a.ts", '<?xml version="1.0"?>\n<!DOCTYPE TS>\n<TS version="2.0"></TS>\n', "XML", ""),
    ("a.sql", "CREATE TABLE a (b INT);\n", "SQL", "SQL"),
    ("a.Rmd", "# A\n", "RMarkdown", "RMarkdown"),
    ("a.proto", 'syntax = "proto3";\n', "Protocol Buffer", "Protocol Buffer"),
    ("a.lean", "import Mathlib\n", "Lean 4", "Lean"),
    ("a.f90", "program a\nend program\n", "Fortran Free Form", "Fortran"),
    ("a.awk", "{ print }\n", "Awk", "AWK"),
    ("a.cu", "__global__ void k() {}\n", "Cuda", "CUDA"),
    ("a.jsp", "<%= 1 %>\n", "Java Server Pages", "Java Server Pages"),
    ("a.wl", "f[x_] := x\n", "Wolfram Language", "Mathematica"),
    ("a.vb", "Module A\nEnd Module\n", "Visual Basic .NET", "Visual Basic"),
    ("dir.d/Makefile", "all:\n\ttrue\n", "Makefile", "Makefile"),
    ("CMakeLists.txt", "project(a)\n", "CMake", "CMake"),
    ("script", "#!/usr/bin/env python3\nprint(1)\n", "Python", "Python"),
    ("script.sh", "#!/usr/bin/env ruby\nputs 1\n", "Ruby", "Ruby"),
    ("a.py", "# vim: set ft=ruby :\nputs 1\n", "Ruby", "Ruby"),
    ("a.c", "/* -*- mode: C++ -*- */\nint a;\n", "C++", "C++"),
    ("a.nothing", "words\n", UNKNOWN, ""),
    (".vimrc", "set nu\n", "Vim Script", ""),
]


@pytest.mark.parametrize(("path", "content", "language", "reference"), DECIDED)
def test_values(path, content, language, reference):
    (row,) = annotate("language", [(path, content)])
    assert (row["language"], row["reference_name"], row["reference"]) == (language, reference, bool(reference))
    assert row["error"] is None


def test_types_are_linguists():
    rows = annotate("language", [("a.py", ""), ("a.json", "{}"), ("a.md", "# A"), ("a.html", "<p>"), ("a.nothing", "")])
    assert [row["type"] for row in rows] == ["programming", "data", "prose", "markup", UNKNOWN]


def test_agrees_with_the_library_on_installed_packages():
    """Real files of many kinds: the standard library and what the tests themselves stand on."""
    roots = [Path(pa.__file__).parent, Path(pytest.__file__).parent.parent / "hypothesis", Path(sys.prefix) / "share"]
    paths = [path for root in roots for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".so"]
    files = [(str(path), path.read_bytes()) for path in paths[:4000] if path.stat().st_size < HEAD_BYTES]
    assert len({Path(path).suffix for path, _ in files}) > 5
    assert languages(files) == library(files)


LINES = st.sampled_from(
    [
        b"x = 1", b"# vim: ft=ruby", b"/* vim: set syntax=c ts=4: */", b"-*- ruby -*-", b"# -*- coding: utf-8 -*-",
        b"index: left=ruby", b"ex: filetype=perl", b"vi:", b"  ft=python :", b"#!/bin/sh", b"<?xml version='1.0'?>",
        b"y" * 300, b"z" * 3000, b"", b"\x00",
    ]
)  # fmt: skip


@given(
    st.sampled_from(["a.py", "b.h", "Makefile", "c.nothing", "d.ts", "e.min.js", "f.tsx", "README", "g.d.ts"]),
    st.lists(LINES, max_size=40),
    st.booleans(),
)
def test_agrees_with_the_library_on_modelines_anywhere(name, lines, ended):
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    files = [(name, content)]
    if len(content) <= HEAD_BYTES:
        assert languages(files) == library(files)


def test_big_files_keep_the_modeline_in_their_last_lines():
    content = b"x = 1\n" * 20_000 + b"# vim: ft=ruby\n"
    assert languages([("a.py", content)]) == ["Ruby"]


def test_batches_may_be_slices():
    rows = batch([("a.py", "a"), ("b.c", "int b;"), ("c.go", "package c"), ("d.h", "int d;\n")]).slice(1, 2)
    assert detect(rows.column("path"), rows.column("content")) == ["C", "Go"]
