"""Packs HTML files of archives and folders into a WARC file, as a crawler would have stored them.

For trying things out where no crawl is at hand, and for benchmarks: `python -m codemill.web.pack OUT INPUT…`.
"""

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType

from codemill.errors import InputError

PAGES = (".html", ".htm", ".xhtml")
# Archives hold no time of fetching; a fixed one makes the same file every time.
DATE = datetime(2026, 1, 1, tzinfo=UTC)


def pages(place: Path) -> Iterator[tuple[str, bytes]]:
    """The HTML files of a folder, wheel, zip or tar archive: path within, bytes.

    Raises:
        InputError: it is none of these.
    """
    if place.is_dir():
        for path in sorted(place.rglob("*")):
            if path.suffix.lower() in PAGES and path.is_file() and not path.is_symlink():
                yield path.relative_to(place).as_posix(), path.read_bytes()
    elif zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            for name in sorted(archive.namelist()):
                if name.lower().endswith(PAGES):
                    yield name, archive.read(name)
    elif place.is_file() and tarfile.is_tarfile(place):
        with tarfile.open(place) as tar:
            for member in tar:
                if member.isfile() and member.name.lower().endswith(PAGES):
                    stream = tar.extractfile(member)
                    if stream is not None:
                        yield member.name, stream.read()
    else:
        raise InputError(f"pack {place}: expected a folder, wheel, zip or tar archive, got none")


def pack(out: Path, places: list[Path]) -> int:
    """Write a compressed WARC of the pages of these places, each place a host; returns how many pages.

    Raises:
        InputError: a place is no folder and no archive.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    count = 0
    with part.open("wb") as stream:
        _write(stream, _information(out.name))
        for place in places:
            host = place.name.lower() if place.is_dir() else place.name.split("-")[0].lower()
            for path, content in pages(place):
                _write(stream, _response(f"https://{host.replace('_', '-')}.example/{path}", content))
                count += 1
    part.replace(out)
    return count


def _information(name: str) -> WarcRecord:
    record = WarcRecord()
    record.init_headers(WarcRecordType.warcinfo)
    record.record_date = DATE
    record.headers["WARC-Filename"] = name
    record.headers["Content-Type"] = "application/warc-fields"
    record.set_bytes_content(b"software: codemill\r\nformat: WARC File Format 1.1\r\n")
    return record


def _response(url: str, content: bytes) -> WarcRecord:
    record = WarcRecord()
    record.init_headers(WarcRecordType.response)
    record.record_date = DATE
    record.headers["WARC-Target-URI"] = url
    record.headers["Content-Type"] = "application/http; msgtype=response"
    record.is_http = True
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(content)
    record.set_bytes_content(head + content)
    return record


def _write(stream: io.BufferedWriter, record: WarcRecord) -> None:
    """One record as a gzip member of its own, so that readers can begin at any."""
    buffer = io.BytesIO()
    writer = GzipWriter(buffer, compression_level=6)
    record.write(writer)
    writer.close()
    stream.write(buffer.getvalue())


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m codemill.web.pack OUT.warc.gz FOLDER_OR_ARCHIVE…")
    try:
        written = pack(Path(sys.argv[1]), [Path(place) for place in sys.argv[2:]])
    except InputError as problem:
        sys.exit(f"codemill: {problem}")
    sys.stdout.write(f"{sys.argv[1]}: {written:,} pages\n")
