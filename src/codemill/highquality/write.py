"""Writes what came out of a source: its set, a decision for every document, and the models that decided."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.engine import Engine, Task
from codemill.errors import ConservationError
from codemill.highquality.documents import Documents, Pool
from codemill.highquality.inputs import pack_schema, schema_of
from codemill.highquality.rounds import Outcome, by_part
from codemill.highquality.settings import HighQualityRecipe
from codemill.schema import digest
from codemill.store import Store

DECISION = pa.schema(
    [
        ("input", pa.string()),
        ("blob_id", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("bytes", pa.int64()),
        ("status", pa.string()),  # kept | dropped | errored
        ("reason", pa.string()),  # null where kept
        ("round", pa.int32()),  # the round that took it, 0: the seed
        ("probability", pa.float32()),  # of the last round that counts; null where not a candidate
    ]
)
VERSION = "1"  # raise it when the files' layout changes


def decide(documents: Documents, pool: Pool, outcome: Outcome) -> pa.Table:
    """One decision for every document, in the order of the documents."""
    reason = np.full(documents.count, None, object)
    rest = ~outcome.taken
    problems = np.array([one.split(":")[0] if one else None for one in documents.column("problem").to_pylist()], object)
    errored = rest & (problems != None)  # noqa: E711 - an array of objects
    reason[errored] = problems[errored]
    rest &= ~errored
    for mask, name in (
        (documents.duplicate, "duplicate"),
        (~pool.candidate, "not_a_candidate"),
        (~outcome.state.recalled, "below_threshold" if outcome.used else "not_in_seed"),
        *((broken, f"take: {rule}") for rule, broken in pool.failed.items()),
    ):
        reason[rest & mask] = name
        rest &= ~mask
    if rest.any():
        raise ConservationError(
            f"source {outcome.name}: expected a reason for every drop, got {int(rest.sum())} without"
        )
    status = np.where(outcome.taken, "kept", np.where(errored, "errored", "dropped"))
    probability, taken_in = outcome.state.probability, outcome.taken_in
    inputs = np.array([part.input for part in documents.parts], object)
    columns = {
        "input": pa.array(inputs[documents.part], pa.string()),
        **{name: documents.column(name) for name in ("blob_id", "repo", "path", "language", "bytes")},
        "status": pa.array(status.tolist(), pa.string()),
        "reason": pa.array(reason.tolist(), pa.string()),
        "round": pa.array(taken_in, pa.int32(), mask=taken_in < 0),
        "probability": pa.array(probability.astype(np.float32), mask=np.isnan(probability)),
    }
    return pa.table(columns, schema=DECISION)


def tally(decisions: pa.Table) -> dict[str, int]:
    """Documents by `kept`, `dropped: REASON`, `errored: REASON`, the most first.

    Raises:
        ConservationError: they don't add up.
    """
    pairs = zip(decisions["status"].to_pylist(), decisions["reason"].to_pylist(), strict=True)
    counts = Counter(status if status == "kept" else f"{status}: {reason}" for status, reason in pairs)
    if sum(counts.values()) != decisions.num_rows or any(name.endswith(": None") for name in counts):
        raise ConservationError(f"expected {decisions.num_rows} decisions with a reason, got {dict(counts)}")
    return {"kept": counts.pop("kept", 0), **dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))}


def write_source(
    places: tuple[Store, Store],
    engine: Engine,
    recipe: HighQualityRecipe,
    documents: Documents,
    results: tuple[Pool, Outcome],
) -> tuple[pa.Table, dict[str, int]]:
    """Write set, decisions and models of a source; returns the decisions and what the set holds.

    Args:
        places: store and output.
        engine, recipe, documents: of the run.
        results: what the source says of the documents, and what came out of its rounds.

    Raises:
        ConservationError: what was written is not what was kept.
    """
    (store, output), (pool, outcome) = places, results
    decisions = decide(documents, pool, outcome)
    counts = tally(decisions)
    rows = np.flatnonzero(outcome.taken)
    if len(rows) != counts["kept"]:
        raise ConservationError(f"source {outcome.name}: expected {len(rows)} documents kept, got {counts['kept']}")
    plan = _plan(places, recipe, documents, outcome)
    todo = [task for task in plan if not output.exists(task["out"])]
    weight = int(documents.column("bytes").fill_null(0).to_numpy(zero_copy_only=False)[rows].sum()) // 10
    list(engine.map("codemill.highquality.parts:set_part", todo, weight))
    wanted = {task["out"] for task in plan}
    for file in output.files(f"{outcome.name}/parquet"):
        if file not in wanted:
            output.delete(file)
    written = sum(task["rows"] for task in plan)
    if written != len(rows):
        raise ConservationError(f"source {outcome.name}: expected {len(rows)} documents in the set, got {written}")
    output.write(f"{outcome.name}/decisions.parquet", decisions)
    kept = {
        "files": len(rows),
        "bytes": int(pc.sum(documents.table["bytes"].filter(pa.array(outcome.taken))).as_py() or 0),
        "parts": len(plan),
    }
    store.delete_folder(f"highquality/scratch/{outcome.name}")
    return decisions, kept


def _plan(places: tuple[Store, Store], recipe: HighQualityRecipe, documents: Documents, outcome: Outcome) -> list[Task]:
    """One task for each file of the set; a file is named by what it holds."""
    store, output = places
    schema = schema_of(documents.parts)
    for field in (pa.field("probability", pa.float32()), pa.field("round", pa.int32())):
        at = schema.get_field_index(field.name)
        schema = schema.remove(at).append(field) if at >= 0 else schema.append(field)
    rows = np.flatnonzero(outcome.taken)
    tasks = []
    for number, here in by_part(documents, rows):
        part, mine = documents.parts[number], rows[here]
        chance = outcome.state.probability[mine].astype(np.float32)
        listing = pa.table(
            {
                "place": documents.place[mine],
                "probability": pa.array(chance, mask=np.isnan(chance)),
                "round": pa.array(outcome.taken_in[mine], pa.int32()),
            }
        )
        values = [
            recipe.notebooks.model_dump_json(),
            VERSION,
            str(schema),
            part.name,
            *map(str, listing.to_pydict().values()),
        ]
        file = f"{outcome.name}/parquet/{part.name}-{digest(values)}.parquet"
        task: Task = {
            "store": store.root,
            "output": output.root,
            "file": part.file,
            "out": file,
            "listing": f"highquality/scratch/{outcome.name}/{part.name}.parquet",
            "schema": pack_schema(schema),
            "notebooks": recipe.notebooks.model_dump(),
            "rows": listing.num_rows,
        }
        if not output.exists(file):
            store.write(task["listing"], listing)
        tasks.append(task)
    return tasks
