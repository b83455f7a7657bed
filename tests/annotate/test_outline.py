"""The outline of a file: what it defines, what of that is documented, what it imports; on any bytes."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.annotate import build
from codemill.annotate.outline import families

CASES = {
    "Python": (
        b"import os, numpy as np\nfrom a.b import c\nfrom . import d\n\n\n"
        b'def one(x: int,\n        y):\n    """Doc."""\n\n\n'
        b'class Two:\n    x = 1\n\n    async def three(self):  # why\n        r"""Doc."""\n',
        (3, 2, "a,numpy,os"),
    ),
    "Java": (
        b"import java.util.List;\nimport static org.junit.Assert.*;\n"
        b"/** Doc. */\n@Override\npublic int one(int a) {\n}\n"
        b"  private void two() {}\nclass Three {}\n",
        (3, 1, "java.util,org.junit"),
    ),
    "Rust": (b"use crate::a;\nuse serde::X;\n/// Doc.\n#[inline]\npub fn one() {}\nfn two() {}\n", (2, 1, "serde")),
    "Go": (
        b'import (\n\t"fmt"\n\tx "github.com/a/b/c"\n)\n// One does.\nfunc One() {}\nfunc (b) Two() {}\n',
        (2, 1, "fmt,github.com/a/b"),
    ),
    "C": (
        b'#include <stdio.h>\n#include "own.h"\n'
        b"/* Doc. */\nint main(int a)\n{\n  return f(x);\n}\nint two(void) {\n}\nint three(void);\n",
        (2, 1, "own.h,stdio.h"),
    ),
    "TypeScript": (
        b"import a from '@x/y/z';\nconst b = require('./own'); import \"fs\";\n/** Doc. */\nexport function one() {}\n"
        b"const two = (x) => x;\n",
        (2, 1, "@x/y,fs"),
    ),
    "Ruby": (b"require 'json'\n# Doc.\ndef one\nend\nclass Two\nend\n", (2, 1, "json")),
}


def rows(contents, languages):
    columns = [pa.array(contents, pa.large_binary()), pa.array(languages, pa.string())]
    return build("outline").annotate(pa.RecordBatch.from_arrays(columns, names=["content", "language"])).to_pylist()


@pytest.mark.parametrize("language", CASES)
def test_languages(language):
    content, expected = CASES[language]
    row = rows([content], [language])[0]
    assert (row["definitions"], row["documented"], row["packages"]) == expected
    assert row["documented_share"] == expected[1] / expected[0]


def test_unknown_languages_and_empty_outlines():
    unknown, empty = rows([b"x", b"x = 1\n"], ["Brainfuck", "Python"])
    assert set(unknown.values()) == {None}
    assert (empty["definitions"], empty["documented_share"], empty["packages"]) == (0, None, "")


@given(st.binary(max_size=300), st.sampled_from(sorted(families())))
def test_any_bytes_will_do(content, language):
    row = rows([content], [language])[0]
    assert 0 <= row["documented"] <= row["definitions"]
    assert row["packages"].count(",") == max(row["package_count"] - 1, 0) or row["package_count"] == 0
