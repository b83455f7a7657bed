"""Shards for Megatron-LM: `.bin` with the ids and `.idx` with what its IndexedDataset wants to know of them.

The index is: nine bytes of magic, version 1 (u64), a code for the type of ids (u8), the numbers of sequences and of
document borders (u64 each), tokens of every sequence (i32), its place in bytes (i64), and which sequences begin
documents (i64). Here a packed sequence is a sequence and a document of its own, since Megatron shuffles documents:
anything smaller would tear packed sequences apart.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from codemill.shards.base import Ints, Writer, writing
from codemill.shards.nanogpt import bare

MAGIC = b"MMIDIDX\x00\x00"
CODES = {"uint8": 1, "int32": 4, "uint16": 8}
SMALL = 65_500  # Megatron takes 16 bits for vocabularies below this


class MegatronShards(Writer):
    """`IndexedDataset("FOLDER/00000-00000")`; loss masks as `…_loss_mask`, sequence by sequence."""

    @property
    def _type(self) -> Any:
        return np.uint16 if self.vocab_size < SMALL else np.int32

    def _row_bytes(self, batch: pa.RecordBatch) -> Ints:
        tokens = self.written["size"] if self.settings.padding else batch.column("length").to_numpy()
        return np.asarray(np.zeros(batch.num_rows, np.int64) + tokens * self._type().itemsize)

    def _save(self, rows: pa.RecordBatch, name: str) -> list[Path]:
        ids, offsets = bare(rows, "input_ids", self.settings.padding)
        paths = self._pair(name, ids.astype(self._type), offsets)
        if "loss_mask" in rows.schema.names:
            mask, offsets = bare(rows, "loss_mask", self.settings.padding)
            paths += self._pair(f"{name}_loss_mask", mask.astype(np.uint8), offsets)
        return paths

    def _pair(self, name: str, values: npt.NDArray[Any], offsets: Ints) -> list[Path]:
        paths = [self.folder / f"{name}.bin", self.folder / f"{name}.idx"]
        count = len(offsets) - 1
        with writing(paths[0]) as stream:
            stream.write(values.tobytes())
        with writing(paths[1]) as stream:
            stream.write(MAGIC)
            stream.write(struct.pack("<QBQQ", 1, CODES[values.dtype.name], count, count + 1))
            stream.write(np.diff(offsets).astype("<i4").tobytes())
            stream.write((offsets[:-1] * values.itemsize).astype("<i8").tobytes())
            stream.write(np.arange(count + 1, dtype="<i8").tobytes())
        return paths
