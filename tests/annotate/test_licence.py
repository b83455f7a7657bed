"""Licences, from licence texts that installed packages bring along."""

from importlib.metadata import distribution

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.annotate import build
from codemill.annotate.licence import repo_name
from codemill.annotate.licence_text import licence_name, role
from codemill.annotate.packages import declared_in
from codemill.annotate.spdx import NOASSERTION, NONE, canonical, facts, is_permissive, join
from codemill.errors import RecipeError
from codemill.schema import OCCURRENCE
from tests.annotate.batches import annotate


def text_of(package, name):
    """The licence file of this name that an installed package has."""
    files = [file for file in distribution(package).files if file.name == name]
    return files[0].locate().read_text(encoding="utf-8")


APACHE, BSD = text_of("packaging", "LICENSE.APACHE"), text_of("packaging", "LICENSE.BSD")
EITHER = text_of("packaging", "LICENSE")
MIT, MPL = text_of("pytest", "LICENSE"), text_of("hypothesis", "LICENSE.txt")
OWN = "You may look at this but not touch it.\n"
CODE = "x = 1\n"


def licences(files, params=None, **facts_of_all):
    """`licence` rows by path, for (path, content) pairs of one repository; paths may begin with `repo:`."""
    split = [path.partition(":") if ":" in path else ("o/r", ":", path) for path, _ in files]
    texts = annotate("licence_text", [(path, content) for (_, _, path), (_, content) in zip(split, files, strict=True)])
    ids = [str(number) for number in range(len(files))]
    columns = {field.name: [facts_of_all.get(field.name)] * len(files) for field in OCCURRENCE}
    columns |= {"occurrence_id": ids, "source": ["s"] * len(files)}
    columns |= {"repo": [repo for repo, _, _ in split], "path": [path for _, _, path in split]}
    annotator = build("licence", params)
    upstream = build("licence_text").schema()
    rows = [{"occurrence_id": one, **row} for one, row in zip(ids, texts, strict=True)]
    tables = {"licence_text": pa.Table.from_pylist(rows[::-1], upstream)}
    found = annotator.annotate(pa.table(columns, schema=OCCURRENCE), tables.__getitem__)
    assert found.schema == annotator.schema()
    assert found["occurrence_id"].to_pylist() == ids
    return {path: row for (path, _), row in zip(files, found.to_pylist(), strict=True)}


def spdx(rows, path):
    return rows[path]["spdx"], rows[path]["source_of"]


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("LICENSE", ("license", ())),
        ("Licence.txt", ("licence", ())),
        ("LICENSE-MIT", ("license", ("mit",))),
        ("LICENSE.APACHE2.txt", ("license", ("apache2",))),
        ("MIT-LICENSE.md", ("license", ("mit",))),
        ("COPYING", ("copying", ())),
        ("COPYING.LESSER", ("copying", ("lesser",))),
        ("UNLICENSE", ("unlicense", ())),
        ("NUMPY_LICENSE", None),
        ("LICENSE-3RD-PARTY", None),
        ("license.py", None),
        ("license_helper.rb", None),
        ("README.md", None),
        ("", None),
    ],
)
def test_names_of_licence_files(name, known):
    assert licence_name(name) == known


def test_roles():
    paths = ["a/LICENSE", "LICENSES/MIT.txt", "LICENSES/notes.txt", "package.json", "a.cabal", "src/a.py"]
    assert [role(path) for path in paths] == ["licence", "licence", "", "metadata", "metadata", ""]


# -- expressions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("mit", "MIT"),
        ("MIT License", "MIT"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("mit or (apache-2.0 and isc)", "MIT OR (Apache-2.0 AND ISC)"),
        ("(MIT OR CC0-1.0)", "MIT OR CC0-1.0"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("GPL (>= 2)", "GPL-2.0-or-later"),
        ("BSD", "LicenseRef-BSD"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("other", None),
        ("see file", None),
        ("(" * 60 + "MIT" + ")" * 60, None),
        ("MIT OR", None),
        ("", None),
    ],
)
def test_canonical(text, expression):
    assert canonical(text) == expression


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", True),
        ("(MIT AND GPL-2.0-only) OR ISC", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0 OR MIT", True),
        ("Apache-1.1+", True),
        ("LicenseRef-Own", None),
        ("MIT OR LicenseRef-Own", True),
        ("MIT AND LicenseRef-Own", None),
        ("GPL-3.0-only AND LicenseRef-Own", False),
        ("LicenseRef-BSD", True),
        ("LicenseRef-GPL", False),
        (NOASSERTION, None),
        (NONE, None),
        ("MIT )", None),
        ("", None),
    ],
)
def test_permissive(expression, permissive):
    assert is_permissive(expression) is permissive


def test_more_licences_can_count_as_permissive():
    assert is_permissive("GPL-3.0-only AND MIT", frozenset({"GPL-3.0-only"}))


def test_the_tables_hold_spdx_expressions():
    names = [name for tier in facts()["permissive"].values() for name in tier]
    texts = [*names, *facts()["aliases"].values(), *(notice["spdx"] for notice in facts()["notice"])]
    assert [text for text in texts if canonical(text) != text] == []
    assert len(names) > 150


EXPRESSIONS = st.recursive(
    st.sampled_from(["MIT", "GPL-3.0-only", "LicenseRef-Own"]),
    lambda inner: st.tuples(st.lists(inner, min_size=1, max_size=3), st.sampled_from(["AND", "OR"])).map(
        lambda parts: join(parts[0], parts[1])
    ),
    max_leaves=6,
)
ORDER = {False: 0, None: 1, True: 2}


@given(EXPRESSIONS, EXPRESSIONS)
def test_a_choice_is_as_permissive_as_its_best_and_a_sum_as_its_worst(one, other):
    levels = [ORDER[is_permissive(one)], ORDER[is_permissive(other)]]
    assert ORDER[is_permissive(f"({one}) OR ({other})")] == max(levels)
    assert ORDER[is_permissive(f"({one}) AND ({other})")] == min(levels)


# -- single files ----------------------------------------------------------------------------------------------------

NOTICES = [
    ("# SPDX-License-Identifier: MIT\n", "MIT", "tag"),
    ("/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */\n", "GPL-2.0 WITH Linux-syscall-note", "tag"),
    ("<!-- SPDX-License-Identifier: mit or apache-2.0 -->\n", "MIT OR Apache-2.0", "tag"),
    ("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: ISC\n", "MIT AND ISC", "tag"),
    ("// SPDX-License-Identifier: Proprietary\n", "LicenseRef-Proprietary", "tag"),
    ("// SPDX-License-Identifier: Acme-1\n", NOASSERTION, "tag"),
    ('print("SPDX-License-Identifier: {}")\n', None, None),
    ('// Licensed under the Apache License,\n//  Version 2.0 (the "License");\n', "Apache-2.0", "notice"),
    ("x = 1  # the license server answers\n", None, None),
    ("x" * 5000 + "# SPDX-License-Identifier: MIT\n", None, None),
]


@pytest.mark.parametrize(("content", "header", "by"), NOTICES)
def test_heads(content, header, by):
    (row,) = annotate("licence_text", [("a.c", content)])
    assert (row["header"], row["header_by"]) == (header, by)
    assert row["error"] is None


@pytest.mark.parametrize(("text", "name"), [(MIT, "MIT"), (BSD, "BSD-2-Clause")])
@pytest.mark.parametrize("mark", ["# ", " * ", "// ", ";; ", "-- "])
def test_full_texts_as_comments_are_notices(text, name, mark):
    head = "".join(f"{mark}{line}\n" for line in text.splitlines())
    (row,) = annotate("licence_text", [("a.c", head + "int a;\n")])
    assert (row["header"], row["header_by"], row["texts"]) == (name, "notice", None)


def test_licence_files_have_texts_and_their_cover_but_no_header():
    rows = annotate("licence_text", [("LICENSE", MIT), ("COPYING", MIT + "\n" + APACHE), ("LICENCE", OWN)])
    assert [row["texts"] for row in rows] == [["MIT"], ["MIT", "Apache-2.0"], []]
    assert [row["cover"] > 0.9 for row in rows] == [True, True, False]
    assert [row["header"] for row in rows] == [None, None, None]


def test_words_around_the_texts_offer_a_choice():
    (one,) = annotate(
        "licence_text", [("LICENSE", "Use this under either of these, at your option.\n\n" + MIT + APACHE)]
    )
    (other,) = annotate("licence_text", [("LICENSE", MIT + APACHE)])
    assert (one["choice"], other["choice"]) == (True, False)


@pytest.mark.parametrize(
    ("path", "content", "stated"),
    [
        ("package.json", '{"license": "MIT"}', "MIT"),
        ("package.json", '{"license": {"type": "ISC"}}', "ISC"),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "Apache-2.0"}]}', "MIT OR Apache-2.0"),
        ("package.json", '{"license": "SEE LICENSE IN x"}', None),
        ("package.json", "{", None),
        ("package.json", "[" * 100_000, None),
        ("package.json", "[1]", None),
        ("composer.json", '{"license": ["GPL-2.0-only", "MIT"]}', "GPL-2.0-only OR MIT"),
        ("Cargo.toml", '[package]\nlicense = "MIT/Apache-2.0"\n', "MIT OR Apache-2.0"),
        ("Cargo.toml", '[workspace.package]\nlicense = "ISC"\n', "ISC"),
        ("Cargo.toml", "no TOML", None),
        ("pyproject.toml", '[project]\nlicense = "BSD-3-Clause"\n', "BSD-3-Clause"),
        ("pyproject.toml", '[project]\nlicense = { text = "MIT License" }\n', "MIT"),
        ("pyproject.toml", '[tool.poetry]\nlicense = "MIT"\n', "MIT"),
        ("PKG-INFO", "Name: a\nLicense-Expression: MIT OR ISC\nLicense: x\n", "MIT OR ISC"),
        ("METADATA", "Name: a\nClassifier: License :: OSI Approved :: MIT License\n\nText", "MIT"),
        ("METADATA", "Name: a\nLicense: GPLv3\n", "GPL-3.0"),
        ("DESCRIPTION", "Package: a\nLicense: MIT + file LICENSE\n", "MIT"),
        ("DESCRIPTION", "Package: a\nLicense: GPL-2 | GPL-3\n", "GPL-2.0 OR GPL-3.0"),
        ("DESCRIPTION", "Package: a\nLicense: file LICENSE\n", None),
        ("setup.cfg", "[metadata]\nlicense = Apache-2.0\n", "Apache-2.0"),
        ("a.cabal", "name: a\nlicense:  BSD3\n", "BSD-3-Clause"),
        ("a.gemspec", "  spec.license = 'MIT'\n", "MIT"),
    ],
)
def test_package_metadata(path, content, stated):
    assert declared_in(path, content.encode()) == stated


# -- the set ---------------------------------------------------------------------------------------------------------


def test_the_nearest_licence_file_counts():
    rows = licences(
        [
            ("LICENSE", MIT),
            ("a.py", CODE),
            ("lib/deep/er/b.py", CODE),
            ("third/COPYING", MPL),
            ("third/src/c.py", CODE),
            ("third-party/d.py", CODE),
            ("other/repo:e.py", CODE),
        ]
    )
    assert spdx(rows, "a.py") == spdx(rows, "lib/deep/er/b.py") == spdx(rows, "third-party/d.py") == ("MIT", "file")
    assert spdx(rows, "third/src/c.py") == spdx(rows, "third/COPYING") == ("MPL-2.0", "file")
    assert spdx(rows, "other/repo:e.py") == (NONE, "none")
    assert [rows[path]["permissive"] for path in ("a.py", "third/src/c.py", "other/repo:e.py")] == [True, False, None]
    assert [rows[path]["found_in"] for path in ("a.py", "third/src/c.py", "other/repo:e.py")] == ["", "third", None]


def test_revisions_and_sources_are_apart():
    annotator = build("licence")
    columns = {field.name: [None] * 3 for field in OCCURRENCE}
    columns |= {"occurrence_id": ["0", "1", "2"], "source": ["s", "s", "t"], "repo": ["r"] * 3}
    columns |= {"revision": ["1", "2", "1"], "path": ["LICENSE", "a.py", "a.py"]}
    rows = [{"occurrence_id": "0", "role": "licence", "texts": ["MIT"], "cover": 1.0, "choice": False}]
    texts = pa.Table.from_pylist(rows, build("licence_text").schema())
    found = annotator.annotate(pa.table(columns, schema=OCCURRENCE), lambda name: texts)
    assert found["spdx"].to_pylist() == ["MIT", NONE, NONE]


def test_order_of_sources():
    tagged = "# SPDX-License-Identifier: ISC\n"
    package = '{"license": "Apache-2.0"}'
    rows = licences([("LICENSE", MIT), ("package.json", package), ("a.py", CODE), ("b.py", tagged)])
    assert spdx(rows, "a.py") == ("MIT", "file")
    assert spdx(rows, "b.py") == ("ISC", "header")
    assert rows["b.py"]["found_in"] is None
    rows = licences([("web/package.json", package), ("web/a.js", CODE), ("b.js", CODE)], declared_licence="gpl-3.0")
    assert spdx(rows, "web/a.js") == ("Apache-2.0", "metadata")
    assert spdx(rows, "b.js") == ("GPL-3.0", "declared")
    assert rows["web/a.js"]["found_in"] == "web"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (None, (NONE, "none")),
        ("", (NONE, "none")),
        ("other", (NOASSERTION, "declared")),
        ("MIT License", ("MIT", "declared")),
    ],
)
def test_declared_licences(declared, expected):
    assert spdx(licences([("a.py", CODE)], declared_licence=declared), "a.py") == expected


def test_a_text_that_nobody_can_tell_is_a_value_of_its_own_and_yields_to_a_statement_as_near():
    assert spdx(licences([("LICENSE", OWN), ("a.py", CODE)]), "a.py") == (NOASSERTION, "file")
    rows = licences([("LICENSE", OWN), ("DESCRIPTION", "License: MIT + file LICENSE\n"), ("a.R", CODE)])
    assert spdx(rows, "a.R") == ("MIT", "metadata")
    rows = licences([("x/LICENSE", OWN), ("package.json", '{"license": "MIT"}'), ("x/a.js", CODE)])
    assert spdx(rows, "x/a.js") == (NOASSERTION, "file")
    rows = licences([("LICENSE", OWN), ("x/LICENSE", OWN), ("a.py", CODE), ("x/a.py", CODE)], declared_licence="mit")
    assert spdx(rows, "a.py") == ("MIT", "declared")
    assert spdx(rows, "x/a.py") == (NOASSERTION, "file")


def test_least_cover_is_a_parameter_of_the_decision():
    files = [("LICENSE", MIT + "Further terms apply. " * 40), ("a.py", CODE)]
    assert spdx(licences(files, {"min_cover": 0.3}), "a.py") == ("MIT", "file")
    assert spdx(licences(files, {"min_cover": 0.95}), "a.py") == (NOASSERTION, "file")


def test_several_licence_files():
    choice = licences([("LICENSE-APACHE", APACHE), ("LICENSE-MIT", MIT), ("a.rs", CODE)])
    assert spdx(choice, "a.rs") == ("Apache-2.0 OR MIT", "file")
    packaging = licences([("LICENSE", EITHER), ("LICENSE.APACHE", APACHE), ("LICENSE.BSD", BSD), ("a.py", CODE)])
    assert spdx(packaging, "a.py") == ("Apache-2.0 OR BSD-2-Clause", "file")
    total = licences([("LICENSE", MIT), ("COPYING", MPL), ("a.c", CODE)])
    assert spdx(total, "a.c") == ("MIT AND MPL-2.0", "file")
    assert total["a.c"]["permissive"] is False
    one = licences([("LICENSE", MIT + APACHE), ("a.c", CODE)])
    assert spdx(one, "a.c") == ("MIT AND Apache-2.0", "file")


def test_the_gpl_beside_the_lgpl_is_part_of_it():
    columns = {field.name: [None] * 2 for field in OCCURRENCE}
    columns |= {"occurrence_id": ["0", "1"], "repo": ["r"] * 2, "path": ["COPYING", "COPYING.LESSER"]}
    fields = {"role": "licence", "cover": 1.0, "choice": False}
    rows = [
        {"occurrence_id": "0", "texts": ["GPL-3.0"], **fields},
        {"occurrence_id": "1", "texts": ["LGPL-3.0"], **fields},
    ]
    texts = pa.Table.from_pylist(rows, build("licence_text").schema())
    found = build("licence").annotate(pa.table(columns, schema=OCCURRENCE), lambda name: texts)
    assert found["spdx"].to_pylist() == ["LGPL-3.0", "LGPL-3.0"]


def test_wheels_and_reuse_keep_their_licences_in_a_folder_that_speaks_for_the_whole():
    rows = licences([("pkg/a.py", CODE), ("pkg-1.0.dist-info/licenses/LICENSE", MIT)])
    assert spdx(rows, "pkg/a.py") == ("MIT", "file")
    rows = licences([("src/a.c", CODE), ("LICENSES/MPL-2.0.txt", MPL)])
    assert spdx(rows, "src/a.c") == ("MPL-2.0", "file")
    rows = licences([("src/a.c", CODE), ("LICENSE", MIT), ("LICENSES/MPL-2.0.txt", MPL)])
    assert spdx(rows, "src/a.c") == ("MIT", "file")


def test_files_without_content_have_a_licence_too():
    columns = {field.name: [None] for field in OCCURRENCE}
    columns |= {"occurrence_id": ["0"], "path": ["a.bin"], "declared_licence": ["mit"]}
    none = build("licence_text").schema().empty_table()
    (row,) = build("licence").annotate(pa.table(columns, schema=OCCURRENCE), lambda name: none).to_pylist()
    assert (row["spdx"], row["opted_out"]) == ("MIT", False)


def test_no_occurrences():
    none = build("licence_text").schema().empty_table()
    assert build("licence").annotate(OCCURRENCE.empty_table(), lambda name: none).num_rows == 0


PATHS = st.lists(st.sampled_from(["a", "b", "src"]), max_size=4)


@given(st.lists(st.tuples(PATHS, st.sampled_from([None, "MIT", "ISC", "Zlib"])), min_size=1, max_size=12))
def test_nearest_agrees_with_a_walk_up_the_folders(entries):
    paths, rows, texts = [], [], {}
    for number, (folders, name) in enumerate(entries):
        folder = "/".join(folders)
        if name and folder not in texts:
            texts[folder] = name
            fields = {"role": "licence", "texts": [name], "cover": 1.0, "choice": False}
            rows.append({"occurrence_id": str(number), **fields})
            paths.append("/".join([*folders, "LICENSE"]))
        else:
            paths.append("/".join([*folders, f"{number}.py"]))
    columns = {field.name: [None] * len(paths) for field in OCCURRENCE}
    columns |= {"occurrence_id": [str(number) for number in range(len(paths))], "path": paths}
    table = pa.Table.from_pylist(rows, build("licence_text").schema())
    found = build("licence").annotate(pa.table(columns, schema=OCCURRENCE), lambda name: table)
    for path, one in zip(paths, found["spdx"].to_pylist(), strict=True):
        folder = path.rpartition("/")[0]
        while folder and folder not in texts:
            folder = folder.rpartition("/")[0]
        assert one == texts.get(folder, NONE)


# -- opting out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Owner/Name", "owner/name"),
        ("https://host.example/Owner/Name.git", "owner/name"),
        ("git@host.example:owner/name.git", "owner/name"),
        ("host.example/owner/name", "owner/name"),
        ("owner", "owner"),
    ],
)
def test_repo_names(text, name):
    assert repo_name(text) == name


def test_opting_out_by_owner_repository_and_file(tmp_path):
    listing = tmp_path / "out.txt"
    listing.write_text("# asked in May\nthird/one # by mail\n\n")
    files = [("Owner/a:x.py", CODE), ("other/name:x.py", CODE), ("other/b:x.py", CODE), ("third/one:x.py", CODE)]
    rows = licences(files, {"opt_out": ["owner", "https://host.example/other/name"], "opt_out_file": str(listing)})
    assert [row["opted_out"] for row in rows.values()] == [True, True, False, True]


def test_fingerprint_covers_what_the_file_says(tmp_path):
    listing = tmp_path / "out.txt"
    listing.write_text("one\n")
    params = {"opt_out_file": str(listing)}
    before = build("licence", params).fingerprint()
    listing.write_text("one\ntwo\n")
    assert build("licence", params).fingerprint() != before


def test_a_missing_opt_out_file_is_one_clear_line(tmp_path):
    annotator = build("licence", {"opt_out_file": str(tmp_path / "none.txt")})
    with pytest.raises(RecipeError, match=r"^annotate\.licence\.opt_out_file: expected a readable text file, got .*$"):
        annotator.fingerprint()
