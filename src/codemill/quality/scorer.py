"""What every scorer is: contents in, one overall rating and four aspects out, a fingerprint that says which model."""

from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from codemill.errors import InputError
from codemill.quality.rubric import SCORES

# What `score` returns: one row a file, ratings 0..10.
SCHEMA = pa.schema([(name, pa.float32()) for name in SCORES])


class Scorer(Protocol):
    """Rates files by the rubric. A file's rating depends on nothing but its content and language."""

    @property
    def fingerprint(self) -> str:
        """Changes with anything that can change a rating."""
        ...

    def score(
        self,
        contents: Sequence[bytes | str] | pa.Array,
        languages: Sequence[str | None] | pa.Array | None = None,
        paths: Sequence[str | None] | pa.Array | None = None,
    ) -> pa.RecordBatch:
        """Ratings as `SCHEMA` says, a row a content, in order.

        Args:
            contents: bytes or texts; an Arrow array of either.
            languages: Linguist's names; where one is missing, go-enry is asked, with the path if there is one.
            paths: used for nothing but the language.

        Raises:
            InputError: the arguments differ in length, or a content is null.
        """
        ...


def as_list(values: Sequence[Any] | pa.Array | pa.ChunkedArray | None, what: str, length: int) -> list[Any]:
    """An argument of `score` as a list of that length; nulls where it is None.

    Raises:
        InputError: its length is another.
    """
    if values is None:
        return [None] * length
    listed = values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else list(values)
    if len(listed) != length:
        raise InputError(f"{what}: expected as many as contents ({length}), got {len(listed)}")
    return listed


def languages_of(contents: list[bytes | str], languages: list[str | None], paths: list[str | None]) -> list[str]:
    """Linguist's name of each file; an empty text where neither the caller nor go-enry knows one."""
    from codemill.quality.features import linguist_name

    missing = [i for i, language in enumerate(languages) if language is None]
    found = [linguist_name(language) for language in languages]
    if missing:
        import enry

        for i in missing:
            content = contents[i]
            shown = content[:51_200].encode() if isinstance(content, str) else bytes(content[:51_200])
            found[i] = linguist_name(enry.get_language(paths[i] or "", shown))
    return found
