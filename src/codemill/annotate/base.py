"""What an annotator is: a name, a version, parameters, and a function from a batch to raw values. No thresholds.

Local annotators see one blob (or occurrence) at a time and know no engine and no store. Global ones see the set; their
fingerprint includes it. Either way the values land in a table keyed by what they depend on, in a folder named by the
fingerprint, so that a change of parameters makes a new folder and never touches the old one.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import pyarrow as pa

from codemill.recipe import Strict
from codemill.schema import KEYS, digest

Key = Literal["occurrence", "blob", "blob_language"]


class NoParams(Strict):
    """For annotators that have no parameters."""


class BaseAnnotator(ABC):
    """What local and global annotators share.

    Class attributes:
        name: names the table and the recipe's section.
        version: raise it when the values change for the same input.
        key: what the values depend on.
        fields: the value columns; the key columns and `error` are added.
        Params: settings, each with a default.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    key: ClassVar[Key]
    fields: ClassVar[pa.Schema]
    Params: ClassVar[type[Strict]] = NoParams

    def __init__(self, params: Strict) -> None:
        self.params = params

    def model(self) -> str:
        """Fingerprint of a model or list the values depend on beside version and parameters."""
        return ""

    def fingerprint(self) -> str:
        """Identity of the values: 12 hex digits over name, version, parameters and model."""
        values = json.dumps(self.params.model_dump(mode="json"), sort_keys=True)
        return digest((self.name, str(self.version), values, self.model()))

    @classmethod
    def schema(cls) -> pa.Schema:
        """Columns of the table: key, values, and `error`, which says why a row has none."""
        keys = [(name, pa.string()) for name in KEYS[cls.key]]
        return pa.schema([*keys, *cls.fields, ("error", pa.string())])


class Annotator(BaseAnnotator):
    """A local annotator.

    `inputs` names the columns `annotate` wants: `content` (large_binary), `path` and the occurrence columns (key
    `occurrence` only), `language` (key `blob_language` only). Rows without content never get here.
    """

    inputs: ClassVar[tuple[str, ...]] = ("content",)

    def load(self) -> None:
        """Called once in a worker process before the first batch: models, parsers, tables."""

    @abstractmethod
    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Values of every row, same order: columns `fields`, and `error` where a row could not be annotated.

        An exception costs the rows that cause it, not the run: the caller halves the batch until it has found them.
        """


class GlobalAnnotator(BaseAnnotator):
    """An annotator whose values depend on the whole set, from tables of `needs` (names of other annotators)."""

    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def annotate(self, occurrences: pa.Table, upstream: Callable[[str], pa.Table]) -> pa.Table:
        """The table (`schema()`), given all occurrences and a function from a needed annotator's name to its table."""


def annotate_safely(annotator: Annotator, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Annotate a batch; rows that raise get null values and the exception as `error`."""
    wanted = pa.schema([*annotator.fields, ("error", pa.string())])
    if not batch.num_rows:
        return pa.RecordBatch.from_pylist([], wanted)
    try:
        values = annotator.annotate(batch)
    except Exception as error:
        if batch.num_rows == 1:
            row: dict[str, Any] = dict.fromkeys(wanted.names)
            row["error"] = f"{type(error).__name__}: {error}"[:300]
            return pa.RecordBatch.from_pylist([row], wanted)
        half = batch.num_rows // 2
        parts = [annotate_safely(annotator, batch.slice(0, half)), annotate_safely(annotator, batch.slice(half))]
        return pa.concat_batches(parts)
    columns = [
        values.column(name) if name in values.schema.names else pa.nulls(values.num_rows, pa.string())
        for name in wanted.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)
