"""Lines of text files that may be packed and may be remote, with their places; what tables and texts share."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from codemill.engine import open_url, plain_url

ZSTD_BYTES = 1 << 12  # packed bytes unpacked at a time: one may stand for tens of thousands
LINE_LIMIT = 1 << 28  # a longer line is no row of code
# What reading a broken file raises.
BROKEN = (OSError, EOFError, zstandard.ZstdError)


def open_location(location: str) -> BinaryIO:
    """A local or remote file for reading."""
    return open_url(location) if "://" in location else Path(location).open("rb")


def unpacked(stream: BinaryIO, location: str) -> BinaryIO:
    """The stream, or what is packed in it, as the file's name tells (.gz, .zst)."""
    name = plain_url(location)[0].lower()
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    if name.endswith(".zst"):
        return io.BufferedReader(_Zstd(stream), 1 << 20)
    return stream


class _Zstd(io.RawIOBase):
    """The content of frames in turn. A last frame that is cut off raises: zstandard's own reader hides it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.packed = b""
        self.frame: Any = None
        self.ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.ready and (self.packed or self._more()):
            if self.frame is None:
                self.frame = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
            self.ready = memoryview(self.frame.decompress(self.packed))
            self.packed = self.frame.unused_data
            if self.frame.eof:
                self.frame = None
        count = min(len(buffer), len(self.ready))
        buffer[:count] = self.ready[:count]
        self.ready = self.ready[count:]
        return count

    def _more(self) -> bool:
        self.packed = self.stream.read(ZSTD_BYTES)
        if not self.packed and self.frame is not None:
            raise EOFError("the file ends within a frame of zstd")
        return bool(self.packed)


def lines(stream: BinaryIO, start: int, stop: int | None) -> Iterator[tuple[int, bytes]]:
    """The lines that begin in a range of bytes, each with its place; blank lines are no rows."""
    offset = start
    if start:
        stream.seek(start - 1)
        offset = start - 1 + len(stream.readline())
    while stop is None or offset < stop:
        line = stream.readline(LINE_LIMIT)
        if not line:
            return
        here, offset = offset, offset + len(line)
        if len(line) == LINE_LIMIT and not line.endswith(b"\n"):
            while (rest := stream.readline(LINE_LIMIT)) and not rest.endswith(b"\n"):
                offset += len(rest)
            offset += len(rest)
        if line.strip(b" \t\r\n\xef\xbb\xbf"):
            yield here, line.removeprefix(b"\xef\xbb\xbf")
