"""All documents of a run as columns, and what a source says of them: candidate, seed, hard, held out.

What is here is narrow (ids, languages, values of rules), and has to fit into memory; texts stay in the corpora's files.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.errors import RecipeError
from codemill.highquality.inputs import Part
from codemill.highquality.settings import HighQualityRecipe, Rule, SourceSettings
from codemill.recipe import ValueRule
from codemill.select.rules import Mask, fails, to_mask
from codemill.tables import one_chunk

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Documents:
    """n documents in the order of the parts.

    Attributes:
        table: the values of all parts, see `values.py`.
        part: which part a document lies in; place: its row there.
        key: a hash of its content's id; group: one of its repository.
        duplicate: whether an earlier document has the same content.
    """

    parts: list[Part]
    table: pa.Table
    part: Ints
    place: Ints
    key: Hashes
    group: Hashes
    duplicate: Mask

    @staticmethod
    def of(parts: list[Part], tables: Sequence[pa.Table]) -> "Documents":
        """The documents out of the values of each part."""
        sizes = [table.num_rows for table in tables]
        table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
        part = np.repeat(np.arange(len(parts)), sizes)
        place = np.concatenate([np.zeros(0, np.int64), *(np.arange(size) for size in sizes)])
        key = hashes(table["blob_id"])
        first = np.unique(key, return_index=True)[1]
        duplicate = np.ones(len(key), np.bool_)
        duplicate[first] = False
        return Documents(parts, table, part, place, key, hashes(table["repo"]), duplicate)

    @property
    def count(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> pa.Array:
        return one_chunk(self.table[name])

    def floats(self, name: str) -> Floats:
        """A column of numbers; NaN where there is none.

        Raises:
            RecipeError: it holds no numbers.
        """
        column = self.column(name)
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise RecipeError(f"column {name}: expected numbers, got {column.type}")
        return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False), np.float64)


def hashes(column: pa.ChunkedArray) -> Hashes:
    """64 bits for each text of a column; equal texts have equal ones."""
    coded = one_chunk(column).dictionary_encode()
    values = [_hash(text) for text in coded.dictionary.to_pylist()]
    index = coded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    return np.asarray(np.array([*values, 0], np.uint64)[index], np.uint64)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


def shuffled(keys: Hashes, *salt: object) -> Hashes:
    """Keys in another order for another salt: SplitMix64's finaliser (Steele et al. 2014) over key and salt."""
    value = keys ^ np.uint64(_hash(repr(salt)))
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)), np.uint64)


@dataclass(frozen=True)
class Pool:
    """What a source says of every document (masks of n).

    Attributes:
        candidate: may be taken.
        seed: a positive by rule; hard: good marks, but not wanted (never a seed).
        take: fulfils what recalled documents must; bad: a negative once it is recalled (never both).
        held: never trained on.
        score: the score that rounds watch, NaN where there is none.
        failed: for each rule of `take`, the documents that break it.
    """

    candidate: Mask
    seed: Mask
    hard: Mask
    take: Mask
    bad: Mask
    held: Mask
    score: Floats
    failed: dict[str, Mask]


def pool(documents: Documents, recipe: HighQualityRecipe, name: str) -> Pool:
    """What the source `name` says of every document.

    Raises:
        RecipeError: a rule can't be applied to its column.
    """
    settings, rounds = recipe.source[name], recipe.rounds

    def fulfil(names: Sequence[str]) -> Mask:
        broken = np.zeros(documents.count, np.bool_)
        for rule in recipe.rules(names):
            broken |= breaks(documents, rule)
        return ~broken

    nothing = np.zeros(documents.count, np.bool_)
    candidate = _candidates(documents, settings) & fulfil(settings.candidates)
    seed = candidate & fulfil(settings.seed)
    hard = candidate & ~seed & fulfil(settings.hard) if settings.hard else nothing
    failed = {rule.name: breaks(documents, rule) for rule in recipe.rules(settings.take)}
    take = candidate & fulfil(settings.take)
    bad = candidate & ~take & ~seed & (fulfil(settings.bad) if settings.bad else ~take)
    keys = documents.group if rounds.held_out_by == "repository" else documents.key
    drawn = shuffled(keys, "held out", recipe.classifier.seed)
    held = drawn < np.uint64(int(rounds.held_out * 2**64))
    return Pool(candidate, seed, hard, take, bad, held, documents.floats(rounds.score), failed)


def _candidates(documents: Documents, settings: SourceSettings) -> Mask:
    usable = to_mask(pc.is_null(documents.table["problem"])) & ~documents.duplicate
    if not settings.languages:
        return usable
    return usable & to_mask(pc.is_in(documents.table["language"], value_set=pa.array(settings.languages, pa.string())))


def breaks(documents: Documents, rule: Rule) -> Mask:
    """Documents that break a rule.

    Raises:
        RecipeError: the rule can't be applied to its column.
    """
    column = documents.column(rule.column)
    if isinstance(rule, ValueRule):
        groups = "language" if rule.by is None or rule.by == "language.language" else rule.by
        return fails(rule, column, documents.column(groups))
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise RecipeError(f"rule {rule.name}: expected a column of text, got {column.type} in {rule.column}")
    missing = to_mask(pc.is_null(column))
    kept = ~missing
    if rule.any_of or rule.none_of:
        listed = pc.split_pattern(column.fill_null(""), ",")
        if rule.any_of:
            kept &= _holds(listed, rule.any_of)
        if rule.none_of:
            kept &= ~_holds(listed, rule.none_of)
    if rule.matches is not None:
        try:
            kept &= to_mask(pc.match_substring_regex(column, rule.matches))
        except pa.ArrowException as error:
            raise RecipeError(f"rule {rule.name}.matches: expected a regular expression (RE2), got {error}") from error
    return np.asarray(~kept, np.bool_)


def _holds(listed: Any, names: Sequence[str]) -> Mask:
    """Which lists hold one of the names."""
    rows = pc.list_parent_indices(listed).to_numpy()
    found = pc.is_in(pc.list_flatten(listed), value_set=pa.array(names, pa.string())).to_numpy(zero_copy_only=False)
    mask = np.zeros(len(listed), np.bool_)
    mask[rows[found]] = True
    return mask
