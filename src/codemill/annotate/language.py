"""Language of a file by go-enry, GitHub Linguist's rules in Go: from path and content, keyed by occurrence.

Most files are decided by their name alone. Where no other rule can apply (no modeline, no shebang, one language for the
name) the answer is looked up and no content crosses into Go; the rest goes to the library. Both ways give what the
library gives; a test compares them.
"""

import tomllib
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, ClassVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from codemill.annotate.base import Annotator, Key

UNKNOWN = "unknown"

# What the library gets to see. Linguist's own heuristics and classifier read 50 KiB; its modelines are looked for in
# the first and last five lines.
HEAD_BYTES = 50 * 1024
TAIL_BYTES = 1024

# The edges in which a modeline is looked for before the library is asked, and what every modeline must contain.
_EDGE_BYTES = 1024
_MODELINE = r"-\*-|(?:vi(?:m[<=>]?\d+|m)?|ex)\s*:\s*.*(?i:filetype|ft|syntax)\s*="
_MODELINE_LINES = 5
# go-enry takes a NUL this early as the sign of a binary file, which has no language.
_BINARY_SNIFF_BYTES = 8000


class LanguageAnnotator(Annotator):
    """Language, its type, and its place in the reference list.

    Fields: `language` is Linguist's name, or `unknown`, which is a value: rules may keep or drop it. `type` is
    Linguist's: programming, markup, data, prose, or unknown. `reference` says whether the language is one of the
    reference system's 89 (`data/languages.toml`), `reference_name` its name there, empty where it is none.
    """

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 2
    key: ClassVar[Key] = "occurrence"
    inputs: ClassVar[tuple[str, ...]] = ("path", "content")
    fields: ClassVar[pa.Schema] = pa.schema(
        [
            ("language", pa.string()),
            ("type", pa.string()),
            ("reference", pa.bool_()),
            ("reference_name", pa.string()),
        ]
    )

    def model(self) -> str:
        return f"enry-python {version('enry-python')}"

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        languages = detect(batch.column("path"), batch.column("content"))
        names = reference_names()
        references = [names.get(language, "") for language in languages]
        return pa.RecordBatch.from_pydict(
            {
                "language": languages,
                "type": [language_type(language) for language in languages],
                "reference": [bool(reference) for reference in references],
                "reference_name": references,
            },
            schema=self.fields,
        )


def detect(paths: pa.Array, contents: pa.Array) -> list[str]:
    """Linguist's name of every file's language, `unknown` where it has none.

    Args:
        paths: strings.
        contents: large_binary, as long as `paths`.
    """
    import enry

    names = paths.to_pylist()
    plain = _by_name_alone(contents).to_pylist()
    found: list[str] = []
    for index, (name, simple) in enumerate(zip(names, plain, strict=True)):
        language = _language_of_name(name.rpartition("/")[2]) if simple else None
        if language is None:
            language = enry.get_language(name, _excerpt(contents[index].as_buffer())) or UNKNOWN
        found.append(language)
    return found


def _by_name_alone(contents: pa.Array) -> pa.Array:
    """Which files hold nothing that outranks their name: no NUL, no shebang, no possible modeline. Errs towards no."""
    size = pc.binary_length(contents)
    head, tail = pc.binary_slice(contents, 0, _EDGE_BYTES), pc.binary_slice(contents, -_EDGE_BYTES)
    # A modeline counts in the first and last five lines; they lie within the edges if those hold so many line ends.
    # With fewer than ten line ends in all, go-enry looks at the whole file.
    first = pc.binary_slice(contents, 0, 2 * _EDGE_BYTES)
    enough = pc.or_(
        pc.greater_equal(size, 2 * _EDGE_BYTES),
        pc.greater_equal(pc.count_substring(first, "\n"), 2 * _MODELINE_LINES),
    )
    for edge in (head, tail):
        enough = pc.and_(enough, pc.greater_equal(pc.count_substring(edge, "\n"), _MODELINE_LINES))
    inside = pc.or_(pc.less_equal(size, _EDGE_BYTES), enough)
    modeline = pc.or_(pc.match_substring_regex(head, _MODELINE), pc.match_substring_regex(tail, _MODELINE))
    if not pc.all(inside).as_py():
        long_lines = pc.match_substring_regex(contents.filter(pc.invert(inside)), _MODELINE)
        modeline = pc.replace_with_mask(modeline, pc.invert(inside), long_lines)
    shebang = pc.starts_with(head, "#!")
    binary = pc.match_substring(pc.binary_slice(contents, 0, _BINARY_SNIFF_BYTES), "\0")
    return pc.invert(pc.or_(pc.or_(modeline, shebang), binary))


@lru_cache(maxsize=1 << 16)
def _language_of_name(name: str) -> str | None:
    """The language that go-enry gives every file of this name without modeline and shebang; None if content decides."""
    from enry._c_enry import ffi
    from enry.definitions import lib
    from enry.utils import go_str_slice_to_py

    # Filenames outrank extensions. The public binding of the latter does not tell how many languages share one.
    for strategy in (lib.GetLanguagesByFilename, lib.GetLanguagesByExtension):
        languages = cast("list[str]", go_str_slice_to_py(lib, strategy(name.encode(), b"", 0, ffi.NULL)))
        if languages:
            return languages[0] if len(languages) == 1 else None
    return None


def _excerpt(content: pa.Buffer) -> bytes:
    """What the library needs of a file: all of a small one, the head and the last lines of a big one."""
    if len(content) <= HEAD_BYTES + TAIL_BYTES:
        return cast("bytes", content.to_pybytes())
    tail = content.slice(len(content) - TAIL_BYTES).to_pybytes()
    return cast("bytes", content.slice(0, HEAD_BYTES).to_pybytes() + b"\n" + tail)


@lru_cache(maxsize=4096)
def language_type(language: str) -> str:
    """Linguist's type of a language: programming, markup, data or prose; `unknown` for what is no language of it."""
    import enry

    return str(enry.get_language_type(language)) or UNKNOWN


@cache
def _table() -> dict[str, Any]:
    text = files("codemill").joinpath("data/languages.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["reference"]  # type: ignore[no-any-return]


@cache
def reference_names() -> dict[str, str]:
    """Linguist's name -> the reference's name, for every language of the reference list."""
    return {linguist: name for name, entry in _table().items() for linguist in entry["linguist"]}


def reference_languages() -> dict[str, tuple[str, ...]]:
    """The 89 names of the reference list -> Linguist's names for them; empty where go-enry can't detect one."""
    return {name: tuple(entry["linguist"]) for name, entry in _table().items()}
