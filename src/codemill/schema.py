"""The tables of the data model as Arrow schemas, and the identifiers that join them.

Content is immutable and named by its hash; everything known about it lives beside it, in tables joined by key.
`docs/data-format.md` describes every column.
"""

import hashlib
from collections.abc import Iterable

import pyarrow as pa

TIMESTAMP = pa.timestamp("s", tz="UTC")
REPOSITORY = ("source", "repo", "revision")  # columns that say of which repository an occurrence is

# What a source hands over, before hashing. `problem` says why `content` is absent.
RAW = pa.schema(
    [
        ("repo", pa.string()),
        ("revision", pa.string()),
        ("path", pa.string()),
        (
            "origin",
            pa.string(),
        ),  # where in the source: file#row for tables, empty where repo, revision and path suffice
        ("content", pa.large_binary()),
        ("bytes", pa.int64()),
        ("problem", pa.string()),
        ("stars", pa.int64()),
        ("forks", pa.int64()),
        ("created_at", TIMESTAMP),
        ("pushed_at", TIMESTAMP),
        ("declared_licence", pa.string()),
    ]
)

BLOB = pa.schema(
    [
        ("blob_id", pa.string()),  # SHA-256 of the bytes, hex
        ("git_blob", pa.string()),  # git's SHA-1 of the same bytes, hex
        ("content", pa.large_binary()),  # null where `problem` is set
        ("bytes", pa.int64()),
        ("problem", pa.string()),
    ]
)

OCCURRENCE = pa.schema(
    [
        ("occurrence_id", pa.string()),
        ("source", pa.string()),
        ("repo", pa.string()),
        ("revision", pa.string()),
        ("path", pa.string()),
        ("origin", pa.string()),
        ("blob_id", pa.string()),  # null where the bytes could not be read
        ("bytes", pa.int64()),
        ("problem", pa.string()),
        ("stars", pa.int64()),
        ("forks", pa.int64()),
        ("created_at", TIMESTAMP),
        ("pushed_at", TIMESTAMP),
        ("declared_licence", pa.string()),
    ]
)

FACTS = ("stars", "forks", "created_at", "pushed_at", "declared_licence")

# Why a file has no content. Content that is no text: dropped with this as the reason.
CONTENT_PROBLEMS = ("empty", "binary", "undecodable", "too_large")
# No content by nature: dropped, as content problems are.
ENTRY_PROBLEMS = (
    "symlink",  # a link (symbolic, or hard in an archive); its target is a file of its own
    "symlink_outside",  # a link that points out of its repository
    "submodule",  # git: a commit of another repository
    "special_file",  # device, socket, pipe
    "not_ok",  # pages: the server answered with another status than 200
    "not_html",  # pages: some other kind of document
    "revisit",  # pages: an archive's note that nothing had changed
    "too_complex",  # pages: HTML made to exhaust parsers
)
# Content there should have been: errored.
READ_PROBLEMS = (
    "unreadable",  # the system or the format refused
    "missing_object",  # the content is known of but is not there: partial clones, null cells
    "no_repository",  # lies where repositories are expected and is none
    "no_revision",  # git: a repository without the revision asked for, empty ones among them
    "too_many_files",  # git: a tree that holds more than the source allows; nothing of it was read
    "archive_limit",  # the archive broke a limit; what follows in it was not read
    "corrupt_archive",
    "encrypted",
    "unsafe_path",  # a member that would leave the folder it is unpacked into
    "invalid_row",  # a line that is no JSON object, a cell of the wrong type
)

DECISION = pa.schema(
    [
        ("occurrence_id", pa.string()),
        ("blob_id", pa.string()),
        ("source", pa.string()),
        ("repo", pa.string()),
        ("revision", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("bytes", pa.int64()),
        ("tokens", pa.int64()),
        ("status", pa.string()),  # kept | dropped | errored
        ("reason", pa.string()),  # first failed rule, or the error; null where kept
        ("reasons", pa.list_(pa.string())),  # all failed rules, in the order of the recipe
        ("evidence", pa.string()),  # JSON: rule -> what it looked at, for the rules that failed
    ]
)

# What training reads as one piece: a file, a page, a sample, the files of a repository one after the other.
DOCUMENT = pa.schema(
    [
        ("document_id", pa.string()),  # unique and stable: seeds all that is drawn at random for the document
        ("language", pa.string()),
        ("text", pa.large_string()),
        # spans in characters that bear the loss; null: all of it
        ("targets", pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64())]))),
    ]
)

# Evidence of near-duplicates: a dropped blob and the kept blob it truly resembles.
EVIDENCE = pa.schema([("dropped", pa.string()), ("kept", pa.string()), ("similarity", pa.float64())])

KEYS = {"occurrence": ("occurrence_id",), "blob": ("blob_id",), "blob_language": ("blob_id", "language")}


def blob_id(content: bytes) -> str:
    """SHA-256 of the bytes as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def git_blob(content: bytes) -> str:
    """Git's object id of a blob with these bytes (SHA-1), 40 hex digits."""
    digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()


def occurrence_id(*place: str) -> str:
    """128 bits of a hash over source, repo, revision, path, origin and blob id (empty if unread), as 32 hex digits."""
    text = "\0".join(place)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def digest(parts: Iterable[str]) -> str:
    """A short, order-sensitive fingerprint (12 hex digits) of strings."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        sha.update(len(data).to_bytes(8, "big"))
        sha.update(data)
    return sha.hexdigest()[:12]
