"""The commit table: its columns, and the pseudo-annotators under whose names rules and reports find them."""

from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import ClassVar

import pyarrow as pa
import pygit2

from codemill.annotate.base import BaseAnnotator, Key
from codemill.commits.settings import HistorySettings
from codemill.recipe import Strict
from codemill.schema import TIMESTAMP, digest

VERSION = 1  # raise it when the values change for the same commit

PATHS = pa.list_(
    pa.struct(
        [
            ("kind", pa.string()),
            ("path", pa.string()),
            ("old_path", pa.string()),
            ("similarity", pa.int16()),
            ("old_blob", pa.string()),
            ("new_blob", pa.string()),
            ("additions", pa.int64()),
            ("deletions", pa.int64()),
            ("binary", pa.bool_()),
            ("vendored", pa.bool_()),
            ("generated", pa.bool_()),
            ("language", pa.string()),
        ]
    )
)
TRAILERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))

FIELDS = pa.schema(
    [
        ("sha", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("parent_count", pa.int32()),
        ("merge", pa.bool_()),
        ("author", pa.string()),  # hash of the address; null where identities are dropped
        ("committer", pa.string()),
        ("author_time", TIMESTAMP),
        ("commit_time", TIMESTAMP),
        ("author_offset", pa.int32()),  # minutes east of UTC
        ("bot", pa.bool_()),
        ("subject", pa.string()),
        ("body", pa.string()),
        ("trailers", TRAILERS),
        ("subject_chars", pa.int64()),
        ("subject_words", pa.int64()),  # without conventional prefix and references
        ("message_chars", pa.int64()),
        ("message_words", pa.int64()),  # without references
        ("conventional", pa.string()),  # type of the prefix, `feat` of `feat(cli): …`
        ("punctuation_only", pa.bool_()),
        ("reference_only", pa.bool_()),
        ("template", pa.string()),  # of data/commit_messages.toml
        ("revert", pa.bool_()),
        ("reverts", pa.string()),
        ("cherry_picked", pa.string()),
        ("paths", PATHS),
        ("files", pa.int64()),
        ("added", pa.int64()),
        ("modified", pa.int64()),
        ("deleted", pa.int64()),
        ("renamed", pa.int64()),
        ("text_files", pa.int64()),
        ("binary_files", pa.int64()),
        ("submodules", pa.int64()),
        ("symlinks", pa.int64()),
        ("mode_changes", pa.int64()),
        ("insertions", pa.int64()),
        ("deletions", pa.int64()),
        ("changed_lines", pa.int64()),
        ("patch_bytes", pa.int64()),
        ("patch_tokens", pa.int64()),  # lexical
        ("patch_id", pa.string()),
        ("binary_share", pa.float64()),  # of files
        ("vendored_share", pa.float64()),  # of changed lines, as all below
        ("generated_share", pa.float64()),
        ("documentation_share", pa.float64()),
        ("test_share", pa.float64()),
        ("whitespace_share", pa.float64()),
        ("language", pa.string()),  # that most changed lines are in
        ("tokens", pa.int64()),  # lexical, of message and patch
    ]
)


@cache
def data_fingerprint(*names: str) -> str:
    """Identity of tables that ship with codemill: values change with them."""
    return digest((files("codemill.data") / name).read_text(encoding="utf-8") for name in names)


class CommitTable(BaseAnnotator):
    """What is known of a commit by itself. Written as histories are read, one row for every commit.

    Shares are of changed lines, `binary_share` of files. `template` names the pattern of `data/commit_messages.toml`
    that the subject matches. `whitespace_share`: changes that vanish when whitespace and line breaks do.
    """

    name: ClassVar[str] = "commit"
    version: ClassVar[int] = VERSION
    key: ClassVar[Key] = "occurrence"
    fields: ClassVar[pa.Schema] = FIELDS
    Params: ClassVar[type[Strict]] = HistorySettings

    def model(self) -> str:
        assert isinstance(self.params, HistorySettings)
        tables = data_fingerprint("commit_messages.toml", "commit_bots.toml")
        salt = digest(["salt", self.params.salt()]) if self.params.identities == "hash" else ""
        return f"{tables}{salt} enry-python {version('enry-python')} libgit2 {pygit2.LIBGIT2_VERSION}"


class RepositoryTable(BaseAnnotator):
    """What the whole history and the table of facts say of a commit's repository.

    `days`: from the first commit to the last. `contributors`: different author addresses.
    """

    name: ClassVar[str] = "repository"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "occurrence"
    fields: ClassVar[pa.Schema] = pa.schema(
        [
            ("commits", pa.int64()),
            ("days", pa.int64()),
            ("contributors", pa.int64()),
            ("stars", pa.int64()),
            ("forks", pa.int64()),
            ("created_at", TIMESTAMP),
            ("pushed_at", TIMESTAMP),
            ("declared_licence", pa.string()),
        ]
    )


class SampleTable(BaseAnnotator):
    """What became of a commit as a sample of one corpus: filled for the commits that all rules before had kept.

    `round_trip` is null and `error` says why where the sample did not give back what the commit made of its files.
    """

    name: ClassVar[str] = "sample"
    version: ClassVar[int] = 1
    key: ClassVar[Key] = "occurrence"
    fields: ClassVar[pa.Schema] = pa.schema(
        [
            ("round_trip", pa.bool_()),
            ("fits", pa.bool_()),  # message and change fit into their budgets
            ("clean", pa.bool_()),  # no special token occurs in message or change
            ("tokens", pa.int64()),
            ("target_tokens", pa.int64()),
            ("context_files", pa.int64()),
            ("context_hits", pa.int64()),  # n-grams of benchmarks in what is shown; null where nobody looked
            ("recall", pa.float64()),  # share of the changed files that the context shows
            ("coverage", pa.float64()),  # share of the old lines in the hunks that it shows
        ]
    )
