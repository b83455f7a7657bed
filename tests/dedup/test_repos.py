"""Repository dedup: forks and renamed copies meet, small and empty repositories are treated sensibly."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.dedup.repos import REPOSITORY_EVIDENCE, repository_duplicates
from codemill.recipe import DedupRule
from codemill.schema import blob_id

RULE = DedupRule(name="forks", dedup="repository")


def occurrences(*repos: tuple[str, dict[str, str | None]]) -> pa.Table:
    """Rows of repositories (name, or name@revision; path -> content), ranked as listed."""
    rows = []
    for name, files in repos:
        repo, _, revision = name.partition("@")
        for path, content in files.items():
            blob = None if content is None else blob_id(content.encode())
            row = {"source": "s", "repo": repo, "revision": revision, "path": path, "blob_id": blob, "rank": len(rows)}
            rows.append(row)
    schema = pa.schema([(name, pa.string()) for name in ("source", "repo", "revision", "path", "blob_id")])
    return pa.Table.from_pylist(rows, schema.append(pa.field("rank", pa.int64())))


def verdicts(table: pa.Table, rule: DedupRule = RULE) -> dict[str, tuple[str, str, float]]:
    """Dropped repository -> (kept, kind, similarity)."""
    found = repository_duplicates(table, rule)
    assert found.schema == REPOSITORY_EVIDENCE
    names = {row["dropped"]: row for row in found.to_pylist()}
    return {
        key.split("\0", 1)[1].replace("\0", "@").rstrip("@"): (
            row["kept"].split("\0", 1)[1].replace("\0", "@").rstrip("@"),
            row["kind"],
            round(row["similarity"], 4),
        )
        for key, row in names.items()
    }


def numbered(*numbers: int, folder: str = "") -> dict[str, str | None]:
    return {f"{folder}{number}.py": f"content {number}" for number in numbers}


def test_forks_renamed_copies_and_near_copies_meet_their_original() -> None:
    found = verdicts(
        occurrences(
            ("original", numbered(*range(10))),
            ("fork", numbered(*range(10))),
            ("moved", numbered(*range(10), folder="src/") | {"again.py": "content 3"}),
            ("grown", numbered(*range(11))),
            ("other", numbered(*range(50, 60))),
            ("half", numbered(*range(5), *range(20, 25))),
        )
    )
    assert found == {
        "fork": ("original", "identical", 1.0),
        "moved": ("original", "same_files", 1.0),
        "grown": ("original", "similar", 0.9091),
    }


def test_a_copy_of_a_dropped_copy_names_the_one_that_is_kept() -> None:
    found = verdicts(
        occurrences(
            ("best", numbered(*range(10))),
            ("near", numbered(*range(9), folder="x/")),
            ("near_fork", numbered(*range(9), folder="x/")),
            ("near_moved", numbered(*range(9))),
        )
    )
    assert found == dict.fromkeys(("near", "near_fork", "near_moved"), ("best", "similar", 0.9))


def test_nothing_goes_through_a_chain() -> None:
    chain = [(f"r{i}", numbered(*range(i, i + 10))) for i in range(8)]
    found = verdicts(occurrences(*chain), RULE.model_copy(update={"threshold": 0.8}))
    assert {name: kept for name, (kept, _, _) in found.items()} == {"r1": "r0", "r3": "r2", "r5": "r4", "r7": "r6"}


def test_revisions_of_one_repository_are_compared_like_any_two() -> None:
    found = verdicts(occurrences(("r@new", numbered(*range(10))), ("r@old", numbered(*range(9)))))
    assert found == {"r@old": ("r@new", "similar", 0.9)}


def test_small_repositories_drop_only_for_all_they_hold() -> None:
    licence: dict[str, str | None] = {"LICENSE": "MIT"}
    found = verdicts(
        occurrences(
            ("big", numbered(*range(10)) | licence),
            ("bare", licence),
            ("bare_too", {"COPYING": "MIT"}),
            ("pair", licence | {"a.py": "a"}),
        )
    )
    assert found == {"bare_too": ("bare", "same_files", 1.0)}


def test_unread_files_and_empty_repositories_play_no_part() -> None:
    table = occurrences(
        ("whole", numbered(1, 2)),
        ("holes", numbered(1, 2) | {"x": None}),
        ("void", {"x": None}),
        ("void2", {"x": None}),
    )
    assert verdicts(table) == {"holes": ("whole", "identical", 1.0)}
    assert verdicts(table.slice(0, 0)) == {}


def test_the_best_ranked_occurrence_ranks_its_repository() -> None:
    table = occurrences(("first", numbered(1, 2, 3)), ("second", numbered(1, 2, 3)))
    assert verdicts(table) == {"second": ("first", "identical", 1.0)}
    ranks = pa.array([3, 4, 5, 9, 10, 0], pa.int64())
    assert verdicts(table.set_column(5, "rank", ranks)) == {"first": ("second", "identical", 1.0)}


@given(st.lists(st.frozensets(st.integers(0, 12), min_size=1), min_size=1, max_size=12), st.integers(0, 99))
@settings(deadline=None)
def test_any_sets_of_files(repos: list[frozenset[int]], seed: int) -> None:
    table = occurrences(*((f"r{i:02}", numbered(*sorted(files))) for i, files in enumerate(repos)))
    found = verdicts(table)
    for name, (kept, kind, similarity) in found.items():
        left, right = repos[int(name[1:])], repos[int(kept[1:])]
        assert kept not in found
        assert kept < name
        assert similarity == pytest.approx(len(left & right) / len(left | right), abs=1e-4)
        assert similarity >= 0.7
        assert (kind == "identical") == (left == right)
    for index, files in enumerate(repos):
        assert (f"r{index:02}" in found) or files not in repos[:index]
    shuffled = table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))
    assert verdicts(shuffled) == found
