"""Language of a file by go-enry, GitHub Linguist's rules in Go: from path and content, keyed by occurrence."""

from typing import ClassVar

import pyarrow as pa

from codemill.annotate.base import Annotator, Key

UNKNOWN = "unknown"


class LanguageAnnotator(Annotator):
    """`language` is Linguist's name, or `unknown`, which is a value: rules may keep or drop it."""

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "occurrence"
    inputs: ClassVar[tuple[str, ...]] = ("path", "content")
    fields: ClassVar[pa.Schema] = pa.schema([("language", pa.string())])

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import enry

        paths, contents = batch.column("path").to_pylist(), batch.column("content").to_pylist()
        languages = [enry.get_language(path, content) or UNKNOWN for path, content in zip(paths, contents, strict=True)]
        return pa.RecordBatch.from_pydict({"language": languages})
