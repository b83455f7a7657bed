"""What a file is by its path, and for generated code by its content: go-enry's answers, raw, keyed by occurrence.

They follow Linguist's tables, with Linguist's meaning: `configuration`, say, is every JSON, YAML, TOML, INI, XML or SQL
file. Recipes decide which of them matter.
"""

from importlib.metadata import version
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.base import Annotator, Key

# Linguist's mark of minified code: more bytes a line than this on average, in these kinds of files.
_MINIFIED_MEAN_LINE_BYTES = 110
_MINIFIABLE = r"(?i)\.(?:js|css|mjs|cjs)$"

_BY_PATH = {
    "vendored": "is_vendor",
    "test": "is_test",
    "documentation": "is_documentation",
    "configuration": "is_configuration",
    "dot_file": "is_dot_file",
    "image": "is_image",
}


class FlagsAnnotator(Annotator):
    """Flags of a file.

    Fields: `generated` (path or content says so; includes what Linguist takes as minified, source maps, lock files),
    `vendored`, `test`, `documentation`, `configuration`, `dot_file`, `image` (path alone), and `minified`: a .js, .css,
    .mjs or .cjs file whose lines are longer than 110 bytes on average (Linguist's rule, for .js and .css).
    """

    name: ClassVar[str] = "flags"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "occurrence"
    inputs: ClassVar[tuple[str, ...]] = ("path", "content")
    fields: ClassVar[pa.Schema] = pa.schema([(name, pa.bool_()) for name in ("generated", *_BY_PATH, "minified")])

    def model(self) -> str:
        return f"enry-python {version('enry-python')}"

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import enry

        paths, contents = batch.column("path").to_pylist(), batch.column("content").to_pylist()
        columns = {"generated": [enry.is_generated(path, text) for path, text in zip(paths, contents, strict=True)]}
        for name, function in _BY_PATH.items():
            columns[name] = list(map(getattr(enry, function), paths))
        columns["minified"] = minified(batch.column("path"), batch.column("content"))
        return pa.RecordBatch.from_pydict(columns, schema=self.fields)


def minified(paths: pa.Array, contents: pa.Array) -> pa.Array:
    """Which script and style files have lines so long on average that they are minified."""
    ends = pc.count_substring(contents, "\n")
    unended = pc.and_(pc.greater(pc.binary_length(contents), 0), pc.invert(pc.ends_with(contents, "\n")))
    lines = pc.max_element_wise(pc.add(ends, pc.cast(unended, ends.type)), 1)
    mean = pc.divide(pc.subtract(pc.binary_length(contents), ends), lines)
    return pc.and_(pc.match_substring_regex(paths, _MINIFIABLE), pc.greater(mean, _MINIFIED_MEAN_LINE_BYTES))
