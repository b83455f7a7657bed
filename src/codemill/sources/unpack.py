"""Members of tar and zip archives as a stream, under limits that count real bytes: no header is believed.

Nothing is written to disk. A fault costs what follows it in a tar (a stream can't be resumed) and one member in a zip.
"""

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

import zstandard

from codemill.recipe import ArchiveSource
from codemill.sources.base import link_problem
from codemill.sources.directories import SKIPPED_FOLDERS

# Padding and repetition shrink a lot without harm: the ratio is judged once this much came out.
RATIO_FLOOR = 10_000_000
CHUNK = 1 << 14
# Extended headers are read into memory as a whole; honest ones are a few hundred bytes.
HEADER_LIMIT = 1_000_000
EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# The window zstd itself accepts unless told otherwise.
ZSTD_WINDOW = 1 << 27
LINK_LIMIT = 4096

MAGIC = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
DRIVE = re.compile(r"[A-Za-z]:")


class LimitReached(Exception):
    """An archive gave more than its source allows."""


@dataclass
class Budget:
    """What one archive may give, and what it gave: files, bytes out, and bytes in (`packed`; of a zip, all)."""

    limits: ArchiveSource
    packed: int = 0
    unpacked: int = 0
    files: int = 0

    def member(self) -> None:
        self.files += 1
        if self.files > self.limits.max_files:
            raise LimitReached

    def spend(self, count: int) -> None:
        self.unpacked += count
        ratio_broken = self.unpacked > RATIO_FLOOR and self.unpacked > self.limits.max_ratio * self.packed
        if ratio_broken or self.unpacked > self.limits.max_total_bytes:
            raise LimitReached


@dataclass(frozen=True)
class Member:
    """One member that is no folder: its name with forward slashes, and its content or why there is none.

    A fault of the archive itself is a member too, with the name of the member it hit, or none.
    """

    name: str
    content: bytes | None
    size: int
    problem: str | None


def read_members(place: Path, limits: ArchiveSource, max_bytes: int | None) -> Iterator[Member]:
    """The members of an archive in its order. With `max_bytes` None no content is read, only names."""
    budget = Budget(limits)
    try:
        with place.open("rb") as stream:
            head = stream.read(8)
            stream.seek(0)
            kind = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "tar")
            if kind == "zip":
                budget.packed = place.stat().st_size
                yield from _zip_members(stream, budget, max_bytes)
            else:
                yield from _tar_members(stream, kind, budget, max_bytes)
    except OSError:
        yield Member("", None, 0, "unreadable")


def clean_name(name: str) -> str | None:
    """The path of a member below its archive, or None if it would lead out of it."""
    slashed = name.replace("\\", "/")
    if slashed.startswith("/") or DRIVE.match(slashed) or ".." in slashed.split("/") or "\0" in name:
        return None
    return "/".join(part for part in name.split("/") if part not in ("", ".")) or None


# -- tar ---------------------------------------------------------------------------------------------------------


class _Metered(io.RawIOBase):
    """What comes out of a decompressor, counted against a budget."""

    def __init__(self, packed: io.BufferedReader, kind: str, budget: Budget) -> None:
        self.packed, self.budget = packed, budget
        self.fault: Exception | None = None
        zstd = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        openers: dict[str, Callable[[], Any]] = {
            "gz": partial(gzip.GzipFile, fileobj=packed),
            "bz2": partial(bz2.BZ2File, packed),
            "xz": partial(lzma.LZMAFile, packed),
            "zst": partial(zstd.stream_reader, packed, read_across_frames=True),
            "tar": lambda: packed,
        }
        self.inner = openers[kind]()

    def read(self, size: int = -1) -> bytes:
        """What is there, up to `size`. After a fault the stream is at its end, so that what came before is used."""
        if self.fault is not None:
            return b""
        try:
            data: bytes = self.inner.read1(CHUNK if size < 0 else min(size, CHUNK))
            self.budget.packed = self.packed.tell()
            self.budget.spend(len(data))
        except Exception as error:  # broken streams make the decompressors raise about anything
            self.fault = error
            return b""
        return data


class _StrictTarInfo(tarfile.TarInfo):
    """Raises on what tarfile takes for the end of an archive (a broken or missing header) and on huge headers."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise ValueError(f"broken header: {error}") from error

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in EXTENDED and self.size > HEADER_LIMIT:
            raise ValueError("header too large")
        return super()._proc_member(tarfile_)  # type: ignore[misc,no-any-return]


def _tar_members(packed: io.BufferedReader, kind: str, budget: Budget, max_bytes: int | None) -> Iterator[Member]:
    name = ""
    stream = _Metered(packed, kind, budget)
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, tarinfo=_StrictTarInfo) as tar:
            for info in tar:
                name = info.name
                tar.members = []  # type: ignore[attr-defined] # otherwise every header of the archive stays in memory
                if info.isdir():
                    continue
                budget.member()
                member = _tar_member(tar, info, budget, max_bytes)
                if member is not None:
                    yield member
                name = ""
    except LimitReached:
        yield Member(name, None, 0, "archive_limit")
    except Exception:  # broken archives make the parser raise about anything
        limit = isinstance(stream.fault, LimitReached)
        yield Member(name, None, 0, "archive_limit" if limit else "corrupt_archive")


def _tar_member(tar: tarfile.TarFile, info: tarfile.TarInfo, budget: Budget, max_bytes: int | None) -> Member | None:
    name = clean_name(info.name)
    if name is None:
        return Member(info.name, None, info.size, "unsafe_path")
    if not SKIPPED_FOLDERS.isdisjoint(name.split("/")):
        return None
    if info.issym() or info.islnk():
        return Member(name, None, 0, link_problem(name if info.issym() else "", info.linkname))
    if not info.isreg():
        return Member(name, None, 0, "special_file")
    if max_bytes is None or info.size > max_bytes:
        return Member(name, None, info.size, "too_large")
    if info.issparse():
        budget.spend(info.size)  # its holes never pass through the stream
    stream = tar.extractfile(info)
    content = b"" if stream is None else stream.read()
    return Member(name, content, len(content), None)


# -- zip ---------------------------------------------------------------------------------------------------------


def _zip_members(stream: BinaryIO, budget: Budget, max_bytes: int | None) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(stream)
    except Exception:  # see above; without its directory, which stands at the end, a zip has no members
        yield Member("", None, 0, "corrupt_archive")
        return
    with archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            try:
                budget.member()
                member = _zip_member(archive, info, budget, max_bytes)
            except LimitReached:
                yield Member(info.filename, None, 0, "archive_limit")
                return
            if member is not None:
                yield member


def _zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget, max_bytes: int | None
) -> Member | None:
    # Zips made on Windows by careless tools separate folders by backslashes.
    name = clean_name(info.filename.replace("\\", "/"))
    if name is None:
        return Member(info.filename, None, info.file_size, "unsafe_path")
    if not SKIPPED_FOLDERS.isdisjoint(name.split("/")):
        return None
    kind = stat.S_IFMT(info.external_attr >> 16)
    content, problem = None, None
    if kind not in (0, stat.S_IFREG, stat.S_IFLNK):
        problem = "special_file"
    elif info.flag_bits & 0x1:
        problem = "encrypted"
    elif max_bytes is None or info.file_size > max_bytes:
        problem = "too_large"
    else:
        content, problem = _unzip(archive, info, budget)
    if kind == stat.S_IFLNK and problem in (None, "too_large"):
        content, problem = None, link_problem(name, os.fsdecode((content or b"")[:LINK_LIMIT]))
    return Member(name, content, info.file_size, problem)


def _unzip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> tuple[bytes | None, str | None]:
    """Content of a member, or why there is none.

    It can't be longer than its header says: zipfile stops there, and the checksum tells.
    """
    parts: list[bytes] = []
    try:
        with archive.open(info) as stream:
            while part := stream.read(CHUNK):
                budget.spend(len(part))
                parts.append(part)
    except LimitReached:
        raise
    except NotImplementedError:  # a method of compression that zipfile lacks
        return None, "unreadable"
    except Exception:  # see above
        return None, "corrupt_archive"
    return b"".join(parts), None
