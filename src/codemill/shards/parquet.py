"""Shards for Hugging Face datasets: Parquet files, one row a sequence."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codemill.shards.base import Ints, Writer, flat, writing
from codemill.store import COMPRESSION

ROW_GROUP_BYTES = 32_000_000
# Marks of one bit repeat; a dictionary does nothing for ids, which are spread wide.
PACKED = ["loss_mask"]


class ParquetShards(Writer):
    """`load_dataset("parquet", data_files="FOLDER/*.parquet")`."""

    def _row_bytes(self, batch: pa.RecordBatch) -> Ints:
        ids = batch.column("input_ids").type.value_type.bit_width // 8
        each = self.written["size"] * (
            ids + ("loss_mask" in batch.schema.names) + 4 * ("position_ids" in batch.schema.names)
        )
        return np.asarray(each + 4 + 4 * np.diff(flat(batch, "document_starts")[1]), np.int64)

    def _save(self, rows: pa.RecordBatch, name: str) -> list[Path]:
        path = self.folder / f"{name}.parquet"
        group = max(1, ROW_GROUP_BYTES // max(1, rows.nbytes // rows.num_rows))
        with (
            writing(path) as stream,
            pq.ParquetWriter(stream, rows.schema, use_dictionary=PACKED, **COMPRESSION) as out,
        ):
            for start in range(0, rows.num_rows, group):
                out.write_table(pa.Table.from_batches([rows.slice(start, group)]), group)
        return [path]
