"""Shards for Hugging Face datasets: Parquet files as they are, one row a sequence."""

import pyarrow as pa
import pyarrow.parquet as pq

from codemill.shards.base import Writer, writing
from codemill.store import COMPRESSION

ROW_GROUP_BYTES = 32_000_000


class ParquetShards(Writer):
    """`load_dataset("parquet", data_files="FOLDER/*.parquet")`."""

    _rows: list[pa.RecordBatch]
    _bytes: int = 0

    def _append(self, batch: pa.RecordBatch) -> None:
        if not self._bytes:
            self._rows = []
        self._rows.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= self.settings.shard_bytes:
            self._roll()

    def _roll(self) -> None:
        if not self._bytes:
            return
        table = pa.Table.from_batches(self._rows)
        name = f"{self.part:05d}-{len(self.written['files']):05d}.parquet"
        rows = max(1, ROW_GROUP_BYTES * table.num_rows // self._bytes)
        with writing(self.folder / name) as stream:
            pq.write_table(table, stream, row_group_size=rows, **COMPRESSION)
        size = (self.folder / name).stat().st_size
        self.written["files"].append({"name": name, "bytes": size, "sequences": table.num_rows})
        self._bytes = 0
