"""Shards for MosaicML Streaming: MDS files and the index.json that names them.

Written after the format's documentation rather than with its library, which brings PyTorch along. A file is: the
number of samples, their places (u32 each), the columns as JSON, then samples: the sizes of the columns that have no
fixed one (u32 each) and all values, columns in order of their names.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from codemill.shards.base import Ints, Writer, Written, writing
from codemill.shards.samples import TYPES, payload, pieces, table_of_offsets


class MdsShards(Writer):
    """`streaming.StreamingDataset(local="FOLDER")`; arrays but for `length`."""

    default_bytes = 1 << 26

    def _row_bytes(self, batch: pa.RecordBatch) -> Ints:
        return payload(batch) + 4 + 4 + 9

    def _save(self, rows: pa.RecordBatch, name: str) -> list[Path]:
        config = _config(self.written)
        head = json.dumps(config, sort_keys=True).encode()
        samples = []
        for values in pieces(rows, config["column_names"]):
            data = dict(zip(config["column_names"], values, strict=True))
            starts = _array(len(data["document_starts"]) // 4) + bytes(data["document_starts"])
            whole = [starts if key == "document_starts" else value for key, value in data.items()]
            samples.append(b"".join([np.uint32(len(starts)).tobytes(), *whole]))
        path = self.folder / f"{name}.mds"
        with writing(path) as stream:
            stream.write(table_of_offsets([len(one) for one in samples], len(head)))
            stream.write(head)
            stream.writelines(samples)
        return [path]

    @classmethod
    def _index(cls, folder: Path, parts: list[Written]) -> None:
        shards = [
            {
                **_config(part),
                "samples": file["sequences"],
                "raw_data": {"basename": file["name"], "bytes": file["bytes"], "hashes": {}},
                "zip_data": None,
            }
            for part in parts
            for file in part["files"]
        ]
        with writing(folder / "index.json") as stream:
            stream.write(json.dumps({"version": 2, "shards": shards}, sort_keys=True).encode())


def _array(count: int) -> bytes:
    """How an array of one axis begins whose length is not fixed: axes and the width of their lengths, then those."""
    code = 0 if count < 1 << 8 else 1 if count < 1 << 16 else 2
    return bytes([1 << 2 | code]) + count.to_bytes(1 << code, "little")


def _config(written: Written) -> dict[str, Any]:
    names = sorted(written["columns"])
    encodings: list[str] = []
    sizes: list[int | None] = []
    for name in names:
        kind = np.dtype(TYPES[name])
        if name == "length":
            encodings.append("int")
            sizes.append(kind.itemsize)
        elif name == "document_starts":
            encodings.append(f"ndarray:{kind.name}")
            sizes.append(None)
        else:
            encodings.append(f"ndarray:{kind.name}:{written['size']}")
            sizes.append(written["size"] * kind.itemsize)
    return {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": [],
        "size_limit": None,
        "column_names": names,
        "column_encodings": encodings,
        "column_sizes": sizes,
    }
