"""Imports of every language lead to the files that have what they name, and to no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.longcontext.extract import Extractor
from codemill.longcontext.grammars import import_grammars
from codemill.longcontext.graph import build_graph, count_imports
from codemill.longcontext.resolve import resolve_links
from codemill.longcontext.resolve.rust import use_paths
from tests.longcontext.repositories import REPOSITORIES


@pytest.fixture(scope="module")
def extractor():
    made = Extractor()
    yield made
    made.close()


def links_of(extractor, files):
    paths = sorted(files)
    languages = [files[path][0] for path in paths]
    texts = [files[path][1] for path in paths]
    found = extractor.extract(languages, texts)
    assert {one.status for one in found} <= {"parsed", "no_marks", "no_imports"}
    return paths, languages, list(resolve_links(paths, languages, texts, found))


def edges_of(extractor, files):
    paths, _, links = links_of(extractor, files)
    graph = build_graph(len(paths), links)
    edges = {}
    for user, target, imports in zip(graph.users, graph.targets, graph.imports, strict=True):
        edges.setdefault(paths[user], set()).add(("" if imports else "~") + paths[target])
    return edges


@pytest.mark.parametrize("name", REPOSITORIES)
def test_edges(extractor, name):
    files, expected = REPOSITORIES[name]
    assert edges_of(extractor, files) == {user: set(targets) for user, targets in expected.items()}


def test_all_repositories_in_one_do_not_mix(extractor):
    """Below folders of their own, with nothing between them: the same edges."""
    files, expected = {}, {}
    for number, (here, edges) in enumerate(REPOSITORIES.values()):
        under = f"part{number}"
        files |= {f"{under}/{path}": content for path, content in here.items()}
        for user, targets in edges.items():
            moved = {target.replace("~", "") for target in targets}
            expected[f"{under}/{user}"] = {f"{under}/{target}" for target in moved}
    found = {
        user: {target.removeprefix("~") for target in targets} for user, targets in edges_of(extractor, files).items()
    }
    # Load paths of Ruby, crates, modules of Go and roots of Python are the repository's: those of a part are found too.
    assert found == expected


def test_every_grammar_is_exercised():
    used = {language for files, _ in REPOSITORIES.values() for language, _ in files.values()}
    assert {language for row in import_grammars().values() for language in row.languages} <= used


def test_misses_are_counted_where_an_import_means_the_repository(extractor):
    files = {
        "pack/__init__.py": ("Python", ""),
        "pack/one.py": ("Python", "import os\nfrom . import gone\nfrom pack.two import x\n"),
        "pack/two.py": ("Python", "from ..... import above\n"),
    }
    _, languages, links = links_of(extractor, files)
    # `gone` may be a name of the package itself, which is there; what lies above the repository is a miss.
    assert count_imports(links, languages)["Python"] == {"imports": 4, "internal": 3, "resolved": 2}


def test_go_modules_are_named_by_go_mod(extractor):
    files = {
        "go.mod": ("Go Module", "module example.org/one\n"),
        "a/a.go": ("Go", 'package a\nimport "example.org/one/b"\nimport "example.org/two/b"\nvar X = b.Y\n'),
        "b/b.go": ("Go", "package b\nvar Y = 1\n"),
    }
    _, _, links = links_of(extractor, files)
    assert [(link.name, link.targets, link.internal) for link in links if link.kind == "import"] == [
        ("example.org/one/b", (1,), True),
        ("example.org/two/b", (), False),
    ]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("a", ["a"]),
        ("a::b as c", ["a::b"]),
        ("a::{self, b, c::{d, e as f}}", ["a", "a::b", "a::c::d", "a::c::e"]),
        ("{a, b::*}", ["a", "b::*"]),
        ("super::*", ["super::*"]),
        ("self", ["self"]),
    ],
)
def test_use_trees(text, paths):
    assert ["::".join(path) for path in use_paths(text)] == paths


@given(st.text("ab:{},* \n", max_size=60))
def test_use_trees_take_anything(text):
    assert all(path and all(path) for path in use_paths(text))


NAMES = st.sampled_from(
    ["a.py", "b/__init__.py", "b/c.py", "d.h", "e/d.h", "f.rs", "src/lib.rs", "g.ts", "h.go", "i.rb"]
)
LANGUAGES = {"py": "Python", "h": "C", "rs": "Rust", "ts": "TypeScript", "go": "Go", "rb": "Ruby"}
LINES = st.sampled_from(
    [
        "import a", "from . import c", "from .. import x", "from b import *", '#include "d.h"', '#include "../../d.h"',
        "mod f;", "use crate::f::x;", "use super::super::super::y;", 'import "./g"', 'import "../../../g"',
        'package h\nimport "x.y/e"', 'require_relative "../../i"', 'require "i"', 'require ""', '#include ""',
        'import ""',
    ]
)  # fmt: skip


@given(st.dictionaries(NAMES, st.lists(LINES, max_size=4)))
def test_links_stay_in_the_repository_whatever_is_imported(extractor, chosen):
    files = {path: (LANGUAGES[path.rpartition(".")[2]], "\n".join(lines) + "\n") for path, lines in chosen.items()}
    paths, _, links = links_of(extractor, files)
    for link in links:
        assert 0 <= link.user < len(paths)
        assert all(0 <= target < len(paths) for target in link.targets)
        assert link.kind in ("import", "use")
