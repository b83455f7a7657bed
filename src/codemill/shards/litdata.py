"""Shards for LitData: chunks and the index.json that describes them.

Written after what its own writer makes, without the library, which brings PyTorch along and puts the time into its
index. A chunk is: the number of items, their places (u32 each), then items: the sizes of all leaves (u32 each) and
their values.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from codemill.schema import digest
from codemill.shards.base import Ints, Writer, Written, writing
from codemill.shards.samples import TYPES, payload, pieces, table_of_offsets

# LitData's names of tensors of one axis, by type; whole numbers are Python's.
LEAVES = {"int32": "no_header_tensor:16", "uint8": "no_header_tensor:11", "int64": "int"}
LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}


class LitdataShards(Writer):
    """`litdata.StreamingDataset("FOLDER")`; tensors but for `length`."""

    default_bytes = 1 << 26

    def _row_bytes(self, batch: pa.RecordBatch) -> Ints:
        return np.asarray(payload(batch) + 4 + 4 * batch.num_columns)

    def _save(self, rows: pa.RecordBatch, name: str) -> list[Path]:
        items = []
        for values in pieces(rows, rows.schema.names):
            sizes = np.array([len(value) for value in values], "<u4")
            items.append(b"".join([sizes.tobytes(), *values]))
        path = self.folder / f"{name}.bin"
        with writing(path) as stream:
            stream.write(table_of_offsets([len(one) for one in items], 0))
            stream.writelines(items)
        return [path]

    @classmethod
    def _index(cls, folder: Path, parts: list[Written]) -> None:
        columns = next((part["columns"] for part in parts if part["columns"]), [])
        tree = {"type": "builtins.dict", "context": json.dumps(columns), "children_spec": [LEAF for _ in columns]}
        config = {
            "chunk_bytes": cls.default_bytes,
            "chunk_size": None,
            "compression": None,
            "data_format": [LEAVES[TYPES[name]] for name in columns],
            "data_spec": json.dumps([1, tree]),
            "encryption": None,
            "item_loader": "PyTreeLoader",
        }
        chunks = [
            {"chunk_bytes": file["bytes"], "chunk_size": file["sequences"], "dim": None, "filename": file["name"]}
            for part in parts
            for file in part["files"]
        ]
        # LitData asks the time of writing whether its cached copy is still good; content says it without a clock.
        changed = digest(str(file["crc32"]) for part in parts for file in part["files"])
        value = {"chunks": chunks, "config": config, "updated_at": changed}
        with writing(folder / "index.json") as stream:
            stream.write(json.dumps(value, sort_keys=True).encode())
