"""The licence of every occurrence, from what `licence_text` read: the statement that is nearest to a file counts."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from codemill.annotate.base import GlobalAnnotator, Key
from codemill.annotate.licence_text import licence_name
from codemill.annotate.spdx import NOASSERTION, NONE, canonical, facts, is_permissive, join
from codemill.errors import RecipeError
from codemill.recipe import Strict
from codemill.schema import REPOSITORY


class LicenceParams(Strict):
    """Parameters of `licence`."""

    min_cover: float = Field(
        0.5, ge=0, le=1, description="least share of a licence file that recognised texts cover, else NOASSERTION"
    )
    permissive: tuple[str, ...] = Field((), description="SPDX identifiers to take as permissive beside the table's")
    opt_out: tuple[str, ...] = Field((), description="owners (`owner`) and repositories (`owner/name`) that opted out")
    opt_out_file: str | None = Field(None, description="a file with one such entry a line; # begins a comment")


class LicenceAnnotator(GlobalAnnotator):
    """The licence of every occurrence, and whether its owner opted out.

    The first of these that says something counts: the file's own head; the nearest licence file up the folders of the
    same source, repository and revision; the nearest package metadata up the folders; what is declared of the
    repository. A licence file in whose text no licence is recognised yields to metadata that is as near, and at the
    root to what is declared.

    Fields: `spdx`, an expression, `NOASSERTION` where there is a statement that can't be told, or `NONE`; `source_of`
    (header, file, metadata, declared, none); `found_in`, the folder whose file decided (empty: the root; null: no
    file did); `permissive` by the table in `data/licences.toml`, null where unknown; `opted_out`.
    """

    name: ClassVar[str] = "licence"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "occurrence"
    needs: ClassVar[tuple[str, ...]] = ("licence_text",)
    Params: ClassVar[type[Strict]] = LicenceParams
    params: LicenceParams
    fields: ClassVar[pa.Schema] = pa.schema(
        [
            ("spdx", pa.string()),
            ("source_of", pa.string()),
            ("found_in", pa.string()),
            ("permissive", pa.bool_()),
            ("opted_out", pa.bool_()),
        ]
    )

    def model(self) -> str:
        return hashlib.sha256("\n".join(sorted(self._opt_outs())).encode()).hexdigest()

    def annotate(self, occurrences: pa.Table, upstream: Callable[[str], pa.Table]) -> pa.Table:
        texts = upstream("licence_text").combine_chunks()
        occurrences = occurrences.combine_chunks()
        row = pc.index_in(occurrences["occurrence_id"], value_set=texts["occurrence_id"].combine_chunks())
        row = row.combine_chunks()
        trees = _Trees(occurrences)
        files = trees.nearest(trees.statements(texts, row, "licence"), self._of_files)
        metadata = trees.nearest(trees.statements(texts, row, "metadata"), _of_metadata)
        header = texts["header"].combine_chunks().take(row)
        declared = _per_value(occurrences["declared_licence"], _of_field)
        # Which licence files yield, see above.
        untold = pc.equal(files.spdx, NOASSERTION)
        to_metadata = pc.greater_equal(pc.utf8_length(metadata.folder), pc.utf8_length(files.folder))
        at_root = pc.and_(pc.equal(files.folder, ""), pc.not_equal(declared, NOASSERTION))
        to_metadata = pc.fill_null(to_metadata, False)
        yields = pc.fill_null(pc.and_(untold, pc.or_(to_metadata, pc.fill_null(at_root, False))), False)
        files = files.without(yields)
        metadata = metadata.without(pc.and_(yields, pc.invert(to_metadata)))
        found = {"header": header, "file": files.spdx, "metadata": metadata.spdx, "declared": declared}
        named = [pc.if_else(pc.is_valid(values), kind, pa.scalar(None, pa.string())) for kind, values in found.items()]
        folder = pc.coalesce(files.folder, metadata.folder)
        spdx = pc.coalesce(*found.values(), NONE)
        also = frozenset(self.params.permissive)
        columns = {
            "occurrence_id": occurrences["occurrence_id"],
            "spdx": spdx,
            "source_of": pc.coalesce(*named, "none"),
            "found_in": pc.if_else(pc.is_valid(header), pa.scalar(None, pa.string()), folder),
            "permissive": _per_value(spdx, lambda one: is_permissive(one, also), pa.bool_()),
            "opted_out": self._opted_out(occurrences["repo"]),
            "error": pa.nulls(occurrences.num_rows, pa.string()),
        }
        return pa.table(columns, schema=self.schema())

    def _of_files(self, rows: Sequence[dict[str, Any]]) -> str | None:
        """What the licence files of one folder say together.

        Several texts in one file are a sum unless the words around them offer a choice; files that each name their
        licence (LICENSE-MIT, LICENSE-APACHE) are a choice, other files are a sum.
        """
        told = [row for row in rows if row["texts"] and row["cover"] >= self.params.min_cover]
        if not told:
            weak = facts()["files"]["weak_stems"]
            strong = [row for row in rows if _stem(row)[0] not in weak]
            return NOASSERTION if strong else None
        # An additional permission (LICENSE-exception) adds no licence.
        told = [row for row in told if "exception" not in _stem(row)[1]] or told
        names = {name for row in told for name in row["texts"]}
        if len(told) > 1 and all(name.startswith(("LGPL-", "GPL-")) for name in names):
            # The LGPL is written as additions to the GPL, so its users ship both texts.
            told = [row for row in told if any(name.startswith("LGPL-") for name in row["texts"])] or told
        variants = [row for row in told if _stem(row)[1]]
        offered = {name for row in variants for name in row["texts"]}
        if len(variants) > 1 and names == offered:
            told, operator = variants, "OR"
        else:
            operator = "AND"
        return join((join(row["texts"], "OR" if row["choice"] else "AND") for row in told), operator)

    def _opt_outs(self) -> frozenset[str]:
        """The entries of the list and the file, normalised.

        Raises:
            RecipeError: the file can't be read.
        """
        entries = list(self.params.opt_out)
        if self.params.opt_out_file is not None:
            try:
                text = Path(self.params.opt_out_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise RecipeError(
                    f"annotate.licence.opt_out_file: expected a readable text file, got {error}"
                ) from error
            entries += [line.partition("#")[0] for line in text.splitlines()]
        return frozenset(repo_name(entry) for entry in entries if entry.strip())

    def _opted_out(self, repos: pa.ChunkedArray) -> pa.Array:
        entries = self._opt_outs()

        def matches(repo: str) -> bool:
            name = repo_name(repo)
            return name in entries or name.partition("/")[0] in entries

        return pc.fill_null(_per_value(repos, matches, pa.bool_()), False)


def repo_name(text: str) -> str:
    """`owner/name` in lower case out of that, a URL or an SSH remote; the text itself where it has no owner."""
    name = text.strip().lower().removesuffix("/").removesuffix(".git")
    remote = "://" in name or name.startswith("git@")
    parts = (
        name.partition("://")[2].split("/")
        if "://" in name
        else name.replace("git@", "", 1).replace(":", "/").split("/")
    )
    if remote or (len(parts) > 2 and "." in parts[0]):
        parts = parts[1:]
    return "/".join(parts[:2])


def _stem(row: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    return licence_name(row["name"]) or ("license", (row["name"].lower(),))


def _of_metadata(rows: Sequence[dict[str, Any]]) -> str | None:
    """What the metadata files of one folder say; of several, the first by name."""
    stated = [row["stated"] for row in sorted(rows, key=lambda row: row["name"]) if row["stated"]]
    return stated[0] if stated else None


def _of_field(text: str) -> str | None:
    """A declared licence: hosts say `other` or `NOASSERTION` where they could not tell, and nothing where none is."""
    if not text.strip() or text.strip().upper() == NONE:
        return None
    return canonical(text) or NOASSERTION


def _per_value(
    column: pa.ChunkedArray | pa.Array, function: Callable[[str], Any], kind: pa.DataType | None = None
) -> pa.Array:
    """A function of every valid value, called once for each different value; null stays null."""
    kind = kind or pa.string()
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = array.dictionary_encode()
    return pa.array([function(one) for one in encoded.dictionary.to_pylist()], kind).take(encoded.indices)


@dataclass(frozen=True)
class _Found:
    """For every occurrence: an expression and the folder it comes from, both null where there is none."""

    spdx: pa.Array
    folder: pa.Array

    def without(self, rows: pa.Array) -> "_Found":
        null = pa.scalar(None, pa.string())
        return _Found(pc.if_else(rows, null, self.spdx), pc.if_else(rows, null, self.folder))


class _Trees:
    """The folders of all repositories. A place is the number of a tree followed by a folder: `12/src/lib`."""

    def __init__(self, occurrences: pa.Table) -> None:
        whole = [pc.fill_null(occurrences[name], "") for name in REPOSITORY]
        tree = pc.binary_join_element_wise(*whole, "\0").combine_chunks().dictionary_encode().indices
        self.paths = occurrences["path"].combine_chunks()
        folder = pc.replace_substring_regex(pc.binary_join_element_wise("", self.paths, "/"), "/[^/]*$", "")
        self.places = pc.binary_join_element_wise(pc.cast(tree, pa.string()), folder, "")

    def statements(self, texts: pa.Table, row: pa.Array, role: str) -> dict[str, list[dict[str, Any]]]:
        """The rows of `texts` of this role by the place that they speak for.

        That is their folder, or the folder around it where it is a container (`licenses/`, `x.dist-info/`); a
        container's files count only where the folder itself has none.
        """
        here = pc.indices_nonzero(pc.fill_null(pc.equal(texts["role"].combine_chunks().take(row), role), False))
        rows = texts.select(["texts", "cover", "choice", "stated"]).take(row.take(here)).to_pylist()
        container = facts()["files"]["containers"]
        raised: dict[str, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        places, paths = self.places.take(here).to_pylist(), self.paths.take(here).to_pylist()
        for inside, path, found in zip(places, paths, rows, strict=True):
            place, steps = inside, 0
            while re.search(container, place):
                place, steps = place.rpartition("/")[0], steps + 1
            raised[place][steps].append({"name": path.rpartition("/")[2], **found})
        return {place: by_steps[min(by_steps)] for place, by_steps in raised.items()}

    def nearest(
        self,
        statements: dict[str, list[dict[str, Any]]],
        decide: Callable[[Sequence[dict[str, Any]]], str | None],
    ) -> _Found:
        """The decision of the nearest place up the folders from every occurrence."""
        decided = {place: spdx for place, rows in statements.items() if (spdx := decide(rows)) is not None}
        known = pa.array(list(decided), pa.string())
        values = pa.array(list(decided.values()), pa.string())
        encoded = self.places.dictionary_encode()
        current = encoded.dictionary
        found = pc.index_in(current, value_set=known)
        while len(known):
            rising = pc.and_(pc.is_null(found), pc.match_substring(current, "/"))
            if not pc.any(rising).as_py():
                break
            above = pc.replace_substring_regex(current.filter(rising), "/[^/]*$", "")
            current = pc.replace_with_mask(current, rising, above)
            found = pc.replace_with_mask(found, rising, pc.index_in(above, value_set=known))
        index = found.take(encoded.indices)
        folders = pc.replace_substring_regex(known, "^[0-9]+/?", "")
        return _Found(values.take(index), folders.take(index))
