"""Batches as annotators get them, from paths and contents."""

import pyarrow as pa

from codemill.annotate import build
from codemill.annotate.base import annotate_safely


def batch(files):
    """A record batch of (path, content) pairs."""
    contents = [content.encode() if isinstance(content, str) else content for _, content in files]
    return pa.RecordBatch.from_pydict(
        {"path": pa.array([path for path, _ in files], pa.string()), "content": pa.array(contents, pa.large_binary())}
    )


def annotate(name, files, params=None):
    """Rows of values, one for each (path, content) pair."""
    annotator = build(name, params)
    annotator.load()
    return annotate_safely(annotator, batch(files)).to_pylist()
