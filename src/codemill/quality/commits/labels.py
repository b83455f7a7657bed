"""The ratings of commits that ship: ids and numbers, no text and no names."""

from importlib.resources import as_file, files

import pyarrow as pa
import pyarrow.parquet as pq

# `group` numbers the repositories in no telling order: folds need to know which commits belong together.
SHIPPED = pa.schema(
    [
        ("revision", pa.string()),  # the commit
        ("blob_id", pa.string()),  # of message and patch, as a store of a run over its repository has it
        ("group", pa.int16()),
        ("overall", pa.int8()),
        ("readability", pa.int8()),
        ("modularity", pa.int8()),
        ("clarity", pa.int8()),
        ("reusability", pa.int8()),
        ("zero", pa.string()),  # a reason of rubric 101; null where the rating is not 0
        ("rubric", pa.int32()),
    ]
)


def load_labels() -> pa.Table:
    """The rated commits that ship, as `SHIPPED` says."""
    with as_file(files("codemill.quality.commits").joinpath("labels.parquet")) as path:
        return pq.read_table(path)
