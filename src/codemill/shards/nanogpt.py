"""Shards as nanoGPT reads them: bare ids of 16 or 32 bits, with or without the header of llm.c."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from codemill.shards.base import Ints, Writer, flat, writing

# llm.c: magic number and version by the bytes of an id.
HEADER = {2: (20240520, 1), 4: (20240801, 7)}


def bare(batch: pa.RecordBatch, name: str, padding: bool) -> tuple[npt.NDArray[Any], Ints]:
    """The values of a column with one value a token, and where each row begins, with or without those of padding."""
    values, offsets = flat(batch, name)
    if padding:
        return values, offsets
    lengths = np.asarray(batch.column("length").to_numpy(), np.int64)
    kept = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets)) < np.repeat(lengths, np.diff(offsets))
    return values[kept], np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


class NanogptShards(Writer):
    """`np.memmap("FOLDER/00000-00000.bin", dtype=np.uint16)`; loss masks as `…_loss_mask.bin`, a byte a token."""

    @property
    def _type(self) -> Any:
        return np.uint16 if self.vocab_size <= 1 << 16 else np.uint32

    def _row_bytes(self, batch: pa.RecordBatch) -> Ints:
        tokens = self.written["size"] if self.settings.padding else batch.column("length").to_numpy()
        return np.asarray(np.zeros(batch.num_rows, np.int64) + tokens * self._type().itemsize)

    def _save(self, rows: pa.RecordBatch, name: str) -> list[Path]:
        paths = [self.folder / f"{name}.bin"]
        ids = bare(rows, "input_ids", self.settings.padding)[0].astype(self._type)
        with writing(paths[0]) as stream:
            if self.settings.header:
                head = np.zeros(256, np.int32)
                head[:3] = *HEADER[ids.itemsize], len(ids)
                stream.write(head.tobytes())
            stream.write(ids.tobytes())
        if "loss_mask" in rows.schema.names:
            paths.append(self.folder / f"{name}_loss_mask.bin")
            with writing(paths[1]) as stream:
                stream.write(bare(rows, "loss_mask", self.settings.padding)[0].astype(np.uint8).tobytes())
        return paths
