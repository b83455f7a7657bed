"""Gathers the values that rules look at into one wide table, in memory of a bounded number of rows.

An external sort with joins on the way: windows of occurrences get their values beside them, are sorted and cut at
splitters drawn from all rows, and every part is then put together out of its pieces. What is held for all rows at once
is the place of each joined row, and while one table is looked through, its keys as hashes.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.run import Annotation, Data
from codemill.engine import give_back
from codemill.errors import ConservationError, EngineError
from codemill.keys import KeyIndex, Keys, Mask, join_keys, keys_of
from codemill.lexer import Ints
from codemill.schema import KEYS, OCCURRENCE
from codemill.select.signals import BASE, DEPTH, LANGUAGE, TOKENS
from codemill.store import Store
from codemill.tables import AnyTable, StoredTable, part_rows, take_across

SCRATCH = "scratch/signals"
ORDER = ("source", "repo", "revision", "path", "occurrence_id")
DRAWN = 64  # rows drawn for each part, among which the splitters are chosen
PACKED = pa.ipc.IpcWriteOptions(compression="lz4")

Places = range | Ints  # rows of the joined files, one after the other; -1: none


@dataclass(frozen=True)
class Join:
    """Values of one annotation beside the occurrences.

    Attributes:
        files: where they lie.
        on: columns here -> columns there.
        columns: columns there -> names in the result.
        schema: types of the columns there, for files that are not there.
    """

    files: Sequence[str]
    on: Mapping[str, str]
    columns: Mapping[str, str]
    schema: pa.Schema


def gather(store: Store, data: Data, columns: Sequence[str], scratch: str = SCRATCH) -> AnyTable:
    """One row for every occurrence of the shards, sorted by source, repo, revision, path and id.

    Columns: those of `BASE`, each wanted `annotator.field`, and `annotator.error` of every annotator touched. The
    language and the token count are always there where their annotators ran.

    Args:
        store: where all of it lies.
        data: shards and annotations.
        columns: the wanted ones.
        scratch: folder for the result where it is more than a part; it is overwritten.

    Raises:
        ConservationError: there are more or fewer rows than occurrences were counted.
        EngineError: a joined table holds a key twice.
    """
    helpers = [column for column in (LANGUAGE, TOKENS) if column.split(".")[0] in data.annotations]
    wanted = list(dict.fromkeys([*columns, *helpers]))
    own = [column.split(".", 1)[1] for column in wanted if column.startswith("occurrence.") and column != DEPTH]
    base = list(dict.fromkeys([*BASE, *own]))
    fields: dict[str, dict[str, str]] = {"language": {}} if "language" in data.annotations else {}
    for column in wanted:
        name, field = column.split(".", 1)
        if name != "occurrence":
            fields.setdefault(name, {})[field] = column
    joins = [_join(name, data.annotations[name], chosen) for name, chosen in fields.items()]
    work = _Gathering(store, data.shards, (base, [one for one in wanted if one.startswith("occurrence.")]), joins)
    expected = sum(store.read_json(f"ingested/{shard}.json")["occurrences"] for shard in data.shards)
    if work.total != expected:
        raise ConservationError(f"signals: expected {expected} rows, one for every occurrence, got {work.total}")
    return work.run(scratch)


def _join(name: str, annotation: Annotation, chosen: Mapping[str, str]) -> Join:
    on = {key: LANGUAGE if key == "language" else key for key in KEYS[annotation.annotator.key]}
    picked = dict(chosen) | {"error": f"{name}.error"}
    schema = annotation.annotator.schema()
    return Join(annotation.files, {ours: theirs for theirs, ours in on.items()}, picked, schema)


class _Files:
    """Parquet files as one table, one after the other; nothing but row counts is held of them."""

    def __init__(self, store: Store, files: Sequence[str]) -> None:
        self.store, self.files = store, files
        sizes = [StoredTable(store, file).num_rows for file in files]
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(sizes, np.int64))])

    def read(self, window: range, columns: Sequence[str]) -> pa.Table:
        """These files, by number."""
        return pa.concat_tables([StoredTable(self.store, self.files[number]).read(columns) for number in window])

    def take(self, places: Places, columns: Sequence[str]) -> pa.Table:
        """These rows in this order; rows of nulls where the place is -1."""
        rows = np.arange(places.start, places.stop) if isinstance(places, range) else places
        known = rows >= 0
        if not known.any():
            schema = StoredTable(self.store, self.files[0]).schema
            return pa.table({name: pa.nulls(len(rows), schema.field(name).type) for name in columns})
        whole = take_across(
            self.starts, rows[known], lambda file, here: StoredTable(self.store, self.files[file]).take(here, columns)
        )
        if known.all():
            return whole
        back = np.cumsum(known) - 1
        return whole.combine_chunks().take(pa.array(back, mask=~known))


class _Gathering:
    """One gathering: shards in windows, windows in pieces, pieces in parts."""

    def __init__(
        self, store: Store, shards: Sequence[str], columns: tuple[list[str], list[str]], joins: list[Join]
    ) -> None:
        self.store, self.joins = store, joins
        self.base, self.own = columns
        self.left = _Files(store, [f"occurrences/{shard}.parquet" for shard in shards])
        self.right = [_Files(store, join.files) for join in joins]
        self.total = int(self.left.starts[-1])
        self.places: list[list[Places]] = []  # of each join so far: the joined rows of each window
        self.windows = _windows(np.diff(self.left.starts), part_rows(self.total))

    def run(self, scratch: str) -> AnyTable:
        for number in range(len(self.joins)):
            self.places.append(self._look_up(number))
            give_back()
        if len(self.windows) < 2:
            return _sorted(self._window(0)) if self.windows else self._none()
        splitters = self._splitters(-(-self.total // part_rows(self.total)))
        pieces = [f"{scratch}/pieces/{number}.arrow" for number in range(len(self.windows))]
        self.store.delete_folder(scratch)
        for number, piece in enumerate(pieces):
            self._cut(piece, _sorted(self._window(number)), splitters)
        self.places.clear()
        self._merge(f"{scratch}/rows.parquet", pieces, splitters.num_rows + 1)
        self.store.delete_folder(f"{scratch}/pieces")
        return StoredTable(self.store, f"{scratch}/rows.parquet")

    def _look_up(self, number: int) -> list[Places]:
        """For each window the joined row of every row. The index of the joined keys lives here alone."""
        join, files = self.joins[number], self.right[number]
        if not join.files:
            return []
        index = _index(files, list(join.on.values()))
        found: list[Places] = []
        for window in range(len(self.windows)):
            keys, known = _keys([self._key(window, name) for name in join.on])
            at = index.find(keys)
            at[~known] = -1
            steps = np.diff(at)
            whole = len(at) > 0 and at[0] >= 0 and bool((steps == 1).all())
            found.append(range(int(at[0]), int(at[-1]) + 1) if whole else at)
        return found

    def _key(self, window: int, name: str) -> pa.ChunkedArray:
        """A column of a window by which others are joined: of the occurrences, or the language joined first."""
        if name == LANGUAGE:
            return self.right[0].take(self.places[0][window], ["language"])["language"]
        return self.left.read(self.windows[window], [name])[name]

    def _window(self, number: int) -> pa.Table:
        """The rows of a window with all that is joined."""
        table = self.left.read(self.windows[number], self.base)
        for join, files, places in zip(self.joins, self.right, self.places, strict=True):
            if places:
                found = files.take(places[number], list(dict.fromkeys(join.columns)))
                for theirs, name in join.columns.items():
                    table = table.append_column(name, found[theirs])
        return self._complete(table)

    def _complete(self, table: pa.Table) -> pa.Table:
        """The columns that no file has: of annotations without one, and of the occurrences under their full names."""
        for join, places in zip(self.joins, self.places, strict=True):
            if not places:  # nothing has content, so nothing has a value
                for theirs, name in join.columns.items():
                    table = table.append_column(name, pa.nulls(table.num_rows, join.schema.field(theirs).type))
        for column in self.own:
            values = pc.count_substring(table["path"], "/") if column == DEPTH else table[column.split(".", 1)[1]]
            table = table.append_column(column, values)
        return table

    def _none(self) -> pa.Table:
        return self._complete(pa.schema([OCCURRENCE.field(name) for name in self.base]).empty_table())

    def _splitters(self, count: int) -> pa.Table:
        """Keys that cut all rows into so many parts of about the same size."""
        step = max(1, self.total // (count * DRAWN))
        drawn = []
        for number in range(len(self.left.files)):
            table = self.left.read(range(number, number + 1), ORDER)
            first = -int(self.left.starts[number]) % step
            drawn.append(table.take(pa.array(np.arange(first, table.num_rows, step))))
        table = _sorted(pa.concat_tables(drawn))
        cuts = np.arange(1, count) * table.num_rows // count
        return table.take(pa.array(cuts)).combine_chunks()

    def _cut(self, file: str, rows: pa.Table, splitters: pa.Table) -> None:
        """Write sorted rows as one batch for each part."""
        both = pa.concat_tables([splitters, rows.select(list(ORDER))]).combine_chunks()
        mine = np.append(np.zeros(splitters.num_rows, np.int8), np.ones(rows.num_rows, np.int8))
        order = pc.sort_indices(
            both.append_column("mine", pa.array(mine)), sort_keys=[*_order(), ("mine", "ascending")]
        )
        at = np.flatnonzero(mine[order.to_numpy()] == 0)
        cuts = [0, *(at - np.arange(len(at))).tolist(), rows.num_rows]
        with self.store.writing(file) as stream, pa.ipc.new_file(stream, rows.schema, options=PACKED) as writer:
            for start, stop in pairwise(cuts):
                piece = rows.slice(start, stop - start).combine_chunks()
                batches = piece.to_batches()
                writer.write_batch(batches[0] if batches else _no_rows(rows.schema))

    def _merge(self, file: str, pieces: Sequence[str], count: int) -> None:
        """Write every part, put together out of the pieces of all windows."""
        with contextlib.ExitStack() as stack:
            readers = []
            for piece in pieces:
                stream = stack.enter_context(self.store.fs.open_input_file(self.store.path(piece)))
                readers.append(stack.enter_context(pa.ipc.open_file(stream)))
            write = stack.enter_context(self.store.table_writer(file, readers[0].schema))
            for part in range(count):
                write(_sorted(pa.Table.from_batches([reader.get_batch(part) for reader in readers])))


def _windows(sizes: Ints, least: int) -> list[range]:
    """Neighbouring shards that hold at least so many rows together, by number."""
    windows, start, rows = [], 0, 0
    for number, size in enumerate(sizes.tolist()):
        rows += size
        if rows >= least or number == len(sizes) - 1:
            windows.append(range(start, number + 1))
            start, rows = number + 1, 0
    return windows


def _index(files: _Files, columns: list[str]) -> KeyIndex:
    """Where each key stands in these files.

    Raises:
        EngineError: one stands twice.
    """
    found, rows = [], []
    for number, start in enumerate(files.starts[:-1].tolist()):
        table = files.read(range(number, number + 1), columns)
        keys, known = _keys([table[name] for name in columns])
        found.append(keys.take(known))
        rows.append(np.flatnonzero(known) + start)
    whole = len(rows) and all(len(one) == size for one, size in zip(rows, np.diff(files.starts), strict=True))
    index = KeyIndex(join_keys(found), None if whole else np.concatenate(rows))
    if index.repeated:
        raise EngineError("join failed: expected each key once, got one twice")
    return index


def _keys(columns: Sequence[pa.ChunkedArray]) -> tuple[Keys, Mask]:
    """The keys of rows, and which rows have one: those with a value in each column."""
    known = np.ones(len(columns[0]), dtype=np.bool_)
    for column in columns:
        if column.null_count:
            known &= pc.is_valid(column).to_numpy()
    return keys_of(*columns), known


def _order() -> list[tuple[str, str]]:
    return [(name, "ascending") for name in ORDER]


def _sorted(table: pa.Table) -> pa.Table:
    """The table in the order of all tables of signals, a column at a time, so that it is not held twice."""
    places = pc.sort_indices(table, sort_keys=_order())
    columns: dict[str, pa.ChunkedArray] = {}
    for name in table.column_names:
        columns[name] = pa.chunked_array([table[name].combine_chunks().take(places)])
        table = table.drop_columns([name])
    return pa.table(columns)


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
