"""Lines of text files that may be packed and may be remote, with their places; what tables and texts share."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from codemill.engine import open_url, plain_url

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
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(stream, read_across_frames=True)
        return io.BufferedReader(reader, 1 << 20)
    return stream


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
