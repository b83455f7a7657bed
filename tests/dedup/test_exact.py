"""Exact dedup against a plain loop."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from codemill.dedup.exact import exact_duplicates
from codemill.schema import EVIDENCE

rows = st.lists(st.one_of(st.none(), st.sampled_from("abcd")), max_size=30).flatmap(
    lambda blobs: st.tuples(st.just(blobs), st.permutations(range(len(blobs))))
)


@given(rows)
def test_all_but_the_best_ranked_of_the_same_bytes_go(case) -> None:
    blobs, ranks = case
    table = pa.table(
        {
            "occurrence_id": pa.array([f"o{i}" for i in range(len(blobs))], pa.string()),
            "blob_id": pa.array(blobs, pa.string()),
            "rank": pa.array(ranks, pa.int64()),
            "path": pa.array(["x"] * len(blobs), pa.string()),
        }
    )
    best: dict[str, str] = {}
    expected = []
    for rank in range(len(blobs)):
        place = ranks.index(rank)
        if blobs[place] is None:
            continue
        if blobs[place] in best:
            expected.append({"dropped": f"o{place}", "kept": best[blobs[place]], "similarity": 1.0})
        else:
            best[blobs[place]] = f"o{place}"
    found = exact_duplicates(table)
    assert found.schema == EVIDENCE
    assert found.to_pylist() == expected
    halves = pa.concat_tables([table.slice(len(blobs) // 2), table.slice(0, len(blobs) // 2)])
    assert exact_duplicates(halves).equals(found)
