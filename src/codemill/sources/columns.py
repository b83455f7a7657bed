"""From foreign columns to ours: which column means what, and how its values become rows of the schema `RAW`."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.errors import InputError
from codemill.recipe import TableSource
from codemill.schema import FACTS, RAW
from codemill.sources.base import clean_text

MAPPABLE = ("repo", "revision", "path", "content", *FACTS)
PRESETS = "table_presets.toml"


@dataclass(frozen=True)
class Mapping:
    """Which column of a table holds what.

    Attributes:
        paths: our name -> their column, as the parts between its dots.
        nest: the list of structs that a row is unfolded by; empty where a row is a file.
    """

    paths: dict[str, tuple[str, ...]]
    nest: tuple[str, ...]

    def tops(self) -> list[str]:
        """The top-level columns to read."""
        return list(dict.fromkeys(path[0] for path in self.paths.values()))


@dataclass(frozen=True)
class Layouts:
    """The mappings that a source allows: those of its preset, with the user's own columns over them."""

    name: str
    options: tuple[dict[str, str], ...]
    given: frozenset[str]
    missing: str

    def choose(self, has: Callable[[tuple[str, ...]], bool], file: str) -> dict[str, tuple[str, ...]]:
        """The first layout whose content column the table `has`, less the columns that it lacks.

        Raises:
            InputError: no content column, or no column that the user named.
        """
        for option in self.options:
            paths = {ours: tuple(theirs.split(".")) for ours, theirs in option.items()}
            if has(paths["content"]):
                for ours in self.given:
                    if not has(paths[ours]):
                        raise InputError(
                            f"source {self.name}: columns.{ours}: expected a column {option[ours]} in {file}, got none"
                        )
                return {ours: path for ours, path in paths.items() if has(path)}
        expected = " or ".join(option["content"] for option in self.options)
        hint = f" ({self.missing})" if self.missing else ""
        raise InputError(f"source {self.name}: columns.content: expected a column {expected} in {file}, got none{hint}")


def load_layouts(settings: TableSource) -> Layouts:
    """The layouts of a source's preset and columns.

    Raises:
        InputError: a column is mapped that we have no use for.
    """
    for ours in settings.columns:
        if ours not in MAPPABLE:
            raise InputError(f"source {settings.name}: columns: expected any of {', '.join(MAPPABLE)}, got {ours}")
    preset: dict[str, Any] = {}
    if settings.preset:
        text = files("codemill").joinpath("data", PRESETS).read_text(encoding="utf-8")
        preset = tomllib.loads(text)[settings.preset]
    # Without a preset, columns that are called what we call them are taken for what they say.
    bases = preset.get("layout", [{name: name for name in MAPPABLE}])
    options = tuple({**base, **settings.columns} for base in bases)
    return Layouts(settings.name, options, frozenset(settings.columns), preset.get("missing", ""))


# -- Arrow schemas -----------------------------------------------------------------------------------------------


def is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def find_type(schema: pa.Schema, path: tuple[str, ...]) -> tuple[pa.DataType | None, tuple[str, ...]]:
    """Type of a column (None where there is none) and the list of structs passed on the way to it."""
    index = schema.get_field_index(path[0])
    kind: pa.DataType | None = schema.field(index).type if index >= 0 else None
    nest: tuple[str, ...] = ()
    for depth, part in enumerate(path[1:], 1):
        if kind is not None and is_list(kind) and not nest:
            nest, kind = path[:depth], kind.value_type
        if kind is None or not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            return None, ()
        kind = kind.field(part).type
    return kind, nest


def map_schema(layouts: Layouts, schema: pa.Schema, file: str) -> Mapping:
    """The mapping for a table of this schema.

    Raises:
        InputError: a column is missing, or of a type that can't be meant.
    """
    paths = layouts.choose(lambda path: find_type(schema, path)[0] is not None, file)
    found = {ours: find_type(schema, path) for ours, path in paths.items()}
    kind = found["content"][0]
    while kind is not None and pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not _is_text(kind):
        raise InputError(
            f"source {layouts.name}: columns.content: expected text or bytes in {'.'.join(paths['content'])} "
            f"of {file}, got {found['content'][0]}"
        )
    nests = {nest for _, nest in found.values() if nest}
    if len(nests) > 1:
        lists = " and ".join(".".join(nest) for nest in sorted(nests))
        raise InputError(f"source {layouts.name}: columns: expected one list that rows unfold by, got {lists}")
    return Mapping(paths, nests.pop() if nests else ())


def _is_text(kind: pa.DataType | None) -> bool:
    checks = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
    return kind is not None and any(getattr(pa.types, f"is_{name}")(kind) for name in checks)


# -- rows --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where rows come from: the table's file as origins name it, and the file's name as a repository's."""

    source: str
    file: str
    repo: str


def unfold(batch: pa.RecordBatch, mapping: Mapping, place: Place, first: int, max_bytes: int) -> pa.RecordBatch:
    """Rows of schema `RAW` for a batch of a table whose first row is number `first`. No row of the batch is lost."""
    rows = np.arange(first, first + batch.num_rows)
    origins = np.char.add(f"{place.file}#", rows.astype(str)) if len(rows) else np.array([], str)
    if not mapping.nest:
        columns = {ours: _walk(batch, path) for ours, path in mapping.paths.items()}
        return finish(columns, pa.array(origins, pa.string()), place, max_bytes)
    nested = _walk(batch, mapping.nest)
    parents = pc.list_parent_indices(nested).to_numpy(zero_copy_only=False).astype(np.int64)
    inner = np.arange(len(parents)) - np.searchsorted(parents, parents)
    flat, depth = pc.list_flatten(nested), len(mapping.nest)
    columns = {}
    for ours, path in mapping.paths.items():
        if path[:depth] == mapping.nest:
            columns[ours] = _fields(flat, path[depth:])
        else:
            columns[ours] = _walk(batch, path).take(pa.array(parents))
    where = np.char.add(np.char.add(origins[parents], "."), inner.astype(str)) if len(parents) else origins[:0]
    whole = finish(columns, pa.array(where, pa.string()), place, max_bytes)
    absent = pc.is_null(nested)
    if not absent.true_count:
        return whole
    # A row without its list says that there are files, and not which.
    outer = {
        ours: _walk(batch, path).filter(absent) for ours, path in mapping.paths.items() if path[0] != mapping.nest[0]
    }
    outer["content"] = pa.nulls(absent.true_count, pa.large_binary())
    lost = finish(outer, pa.array(origins, pa.string()).filter(absent), place, max_bytes)
    return pa.Table.from_batches([whole, lost]).combine_chunks().to_batches()[0]


def _walk(batch: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    return _fields(batch.column(path[0]), path[1:])


def _fields(array: pa.Array, path: tuple[str, ...]) -> pa.Array:
    for part in path:
        array = pc.struct_field(array, part)
    return array


def finish(
    columns: dict[str, pa.Array],
    origins: pa.Array,
    place: Place,
    max_bytes: int,
    problems: pa.Array | None = None,
) -> pa.RecordBatch:
    """Rows of schema `RAW` from our columns in their types; missing contents and long ones get their problem."""
    count = len(origins)
    content = columns["content"]
    if pa.types.is_dictionary(content.type):
        content = content.dictionary_decode()
    if not pa.types.is_large_binary(content.type):
        content = content.cast(pa.large_string() if "string" in str(content.type) else pa.large_binary())
        content = content.cast(pa.large_binary())
    size = pc.fill_null(pc.binary_length(content).cast(pa.int64()), 0)
    long = pc.greater(size, max_bytes)
    problem = pc.if_else(long, "too_large", pc.if_else(pc.is_null(content), "missing_object", None)).cast(pa.string())
    if problems is not None:
        problem = pc.coalesce(problems, problem)
    done = {
        "repo": _text(columns.get("repo"), place.repo, count),
        "revision": _text(columns.get("revision"), "", count),
        "path": _text(columns.get("path"), "", count),
        "origin": origins,
        "content": pc.if_else(pc.is_valid(problem), pa.scalar(None, pa.large_binary()), content),
        "bytes": size,
        "problem": problem,
    }
    for name in FACTS:
        done[name] = _fact(columns[name], name, place) if name in columns else pa.nulls(count, RAW.field(name).type)
    return pa.RecordBatch.from_arrays([done[name] for name in RAW.names], schema=RAW)


def _text(array: pa.Array | None, default: str, count: int) -> pa.Array:
    """Text with a default for nulls and for a column that is not there."""
    if array is None:
        return pa.repeat(pa.scalar(default, pa.string()), count)
    return pc.fill_null(_utf8(array), default)


def _utf8(array: pa.Array) -> pa.Array:
    """Any column as text that is valid UTF-8: Parquet files may hold any bytes as text."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        text = array.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowInvalid:
        raw = array.cast(pa.large_binary()).to_pylist()
        return pa.array([None if value is None else value.decode("utf-8", "replace") for value in raw], pa.string())
    return text


def _fact(array: pa.Array, name: str, place: Place) -> pa.Array:
    """A column of facts in its type. Several licences of one file all hold: they become an SPDX `AND`."""
    kind = RAW.field(name).type
    try:
        if is_list(array.type):
            array = pc.binary_join(pc.cast(array, pa.list_(pa.string())), " AND ")
            array = pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)
        if pa.types.is_timestamp(kind):
            return _instants(array).cast(kind, safe=False)
        return _utf8(array) if pa.types.is_string(kind) else array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"source {place.source}: columns.{name}: expected {kind} in {place.file}, got {str(error).splitlines()[0]}"
        ) from error


def _instants(array: pa.Array) -> pa.Array:
    """Points in time, in UTC where nothing else is said; numbers are seconds since 1970."""
    if pa.types.is_integer(array.type):
        return array.cast(pa.timestamp("s", "UTC"))
    try:
        return array.cast(pa.timestamp("us", "UTC"), safe=False)
    except pa.ArrowInvalid:
        return array.cast(pa.timestamp("us"), safe=False).cast(pa.timestamp("us", "UTC"))


# -- JSON --------------------------------------------------------------------------------------------------------


def json_rows(value: Any, layouts: Layouts) -> list[dict[str, Any]]:
    """The files of one JSON object as {our name: value}; one without a content if it holds none."""
    paths = None
    for option in layouts.options:
        candidate = {ours: tuple(theirs.split(".")) for ours, theirs in option.items()}
        if _reach(value, candidate["content"])[0]:
            paths = candidate
            break
    if paths is None:
        paths = {ours: tuple(theirs.split(".")) for ours, theirs in layouts.options[0].items()}
        return [{ours: _reach(value, path)[1] for ours, path in paths.items() if ours != "content"} | {"content": None}]
    nest = _nest(value, paths["content"])
    if nest is None:
        return [{ours: _reach(value, path)[1] for ours, path in paths.items()}]
    depth = len(nest)
    return [
        {
            ours: _reach(element, path[depth:])[1] if path[:depth] == nest else _reach(value, path)[1]
            for ours, path in paths.items()
        }
        for element in _reach(value, nest)[1]
    ]


def _nest(value: Any, path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The part of a path that leads to a list with more of the path to go."""
    return next(
        (path[:depth] for depth in range(1, len(path)) if isinstance(_reach(value, path[:depth])[1], list)), None
    )


def _reach(value: Any, path: tuple[str, ...]) -> tuple[bool, Any]:
    """Whether a path leads anywhere in an object, and to what. Lists on the way count as there."""
    for part in path:
        if isinstance(value, list):
            return True, value
        if not isinstance(value, dict) or part not in value:
            return False, None
        value = value[part]
    return True, value


def json_columns(rows: list[dict[str, Any]], place: Place) -> tuple[dict[str, pa.Array], pa.Array]:
    """Our columns, and the problems, of files found in JSON."""
    contents, problems = zip(*(_json_content(row["content"]) for row in rows), strict=True)
    columns = {"content": pa.array(contents, pa.large_binary())}
    for name in {name for row in rows for name in row if name != "content"}:
        values = [row.get(name) for row in rows]
        if name not in FACTS:
            columns[name] = pa.array(
                [None if value is None else clean_text(str(value)) for value in values], pa.string()
            )
            continue
        try:
            found = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InputError(
                f"source {place.source}: columns.{name}: expected one type in {place.file}, got {error}"
            ) from error
        columns[name] = found.cast(RAW.field(name).type) if pa.types.is_null(found.type) else found
    return columns, pa.array(problems, pa.string())


def _json_content(value: Any) -> tuple[bytes | None, str | None]:
    if value is None:
        return None, None
    if not isinstance(value, str):
        return None, "invalid_row"
    try:
        return value.encode("utf-8"), None
    except UnicodeEncodeError:  # lone surrogates stand for no character
        return None, "undecodable"
