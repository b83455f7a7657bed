"""What workers do to one part of the corpora: lines to learn from, probabilities, and the part's share of a set."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from codemill.engine import Task
from codemill.errors import ConservationError
from codemill.highquality.classifier import GOOD, OTHER, Classifier
from codemill.highquality.documents import Ints
from codemill.highquality.inputs import CONVERTED, as_text, chosen_batches, unpack_schema
from codemill.highquality.settings import ClassifierSettings
from codemill.highquality.words import spaced
from codemill.recipe import NotebookSettings
from codemill.store import COMPRESSION, Store

# Sorted by `order`, so that files merge into one that is shuffled as a whole.
LINES = pa.schema([("order", pa.uint64()), ("line", pa.large_string())])
PROBABILITIES = pa.schema([("place", pa.int64()), ("probability", pa.float32())])
CHOSEN = pa.schema([("place", pa.int64()), ("order", pa.uint64()), ("good", pa.bool_())])


def line_part(task: Task) -> Task:
    """Write the lines of the part's documents that a round learns from, in the order of the round."""
    store, chosen = Store(task["store"]), Store(task["store"]).read(task["listing"])
    settings = ClassifierSettings.model_validate(task["classifier"])
    places, good = chosen["place"].to_numpy(), chosen["good"].to_numpy()
    lines: list[str] = []
    for index, texts in _texts(task, places):
        words = spaced(texts, settings.max_bytes, settings.split_names)
        lines += [f"{GOOD if good[row] else OTHER} {line}" for row, line in zip(index, words, strict=True)]
    if len(lines) != len(places):
        raise ConservationError(f"{task['file']}: expected {len(places)} documents to learn from, got {len(lines)}")
    table = pa.table({"order": chosen["order"], "line": pa.array(lines, pa.large_string())}, schema=LINES)
    store.write(task["out"], table.sort_by("order"), row_group_size=256)
    return {"rows": table.num_rows}


_LOADED: dict[str, Classifier] = {}


def score_part(task: Task) -> Task:
    """Write the probability of every listed document of the part."""
    store = Store(task["store"])
    if task["model"] not in _LOADED:
        _LOADED.clear()  # a worker needs one model at a time
        _LOADED[task["model"]] = Classifier(store, task["model_file"])
    model, settings = _LOADED[task["model"]], ClassifierSettings.model_validate(task["classifier"])
    places = store.read(task["listing"])["place"].to_numpy()
    found = []
    for _, texts in _texts(task, places):
        found.append(pa.array(model.probabilities(spaced(texts, settings.max_bytes, settings.split_names))))
    chances = pa.chunked_array(found, pa.float32())
    store.write(task["out"], pa.table({"place": pa.array(places), "probability": chances}, schema=PROBABILITIES))
    return {"rows": len(chances)}


def _texts(task: Task, places: Ints) -> Iterator[tuple[Ints, pa.Array]]:
    """Index into `places` and texts of the documents there."""
    notebooks = NotebookSettings.model_validate(task["notebooks"])
    columns = ["content", "language", *([CONVERTED] if CONVERTED in task["present"] else [])]
    for index, table in chosen_batches(task["file"], places, columns):
        yield index, as_text(table, notebooks)[0]


def set_part(task: Task) -> Task:
    """Write the part's documents of a set: all their columns, notebooks as text, `probability` and `round`."""
    store, output, schema = Store(task["store"]), Store(task["output"]), unpack_schema(task["schema"])
    notebooks, listing = NotebookSettings.model_validate(task["notebooks"]), store.read(task["listing"])
    places = listing["place"].to_numpy()
    written = 0
    with output.writing(task["out"]) as stream, pq.ParquetWriter(stream, schema, **COMPRESSION) as writer:
        for index, table in chosen_batches(task["file"], places):
            extra = listing.take(pa.array(index))
            columns = {name: table[name] for name in table.column_names}
            columns["content"] = as_text(table, notebooks)[0]
            columns |= {"probability": extra["probability"], "round": extra["round"]}
            missing = pa.nulls(table.num_rows)
            rows = [columns.get(field.name, missing).cast(field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(rows, schema=schema).combine_chunks())
            written += table.num_rows
    if written != len(places):
        raise ConservationError(f"{task['out']}: expected {len(places)} documents written, got {written}")
    return {"rows": written}
