"""Lines come out of packed files whole and in order, and a file that is cut off says so."""

import gzip
import io

import pytest
import zstandard

from codemill.sources.lines import BROKEN, lines, unpacked

TEXT = b"".join(b'{"number": %d, "square": %d}\n' % (number, number**2) for number in range(20_000))


def frames(text, pieces):
    size = -(-len(text) // pieces)
    return b"".join(zstandard.compress(text[at : at + size]) for at in range(0, len(text), size))


def read(packed, name):
    found = []
    try:
        with unpacked(io.BytesIO(packed), name) as stream:
            found.extend(line for _, line in lines(stream, 0, None))
    except BROKEN as error:
        return found, error
    return found, None


SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00data"


@pytest.mark.parametrize(
    "packed", [frames(TEXT, 1), frames(TEXT, 7), SKIPPABLE + frames(TEXT, 3) + SKIPPABLE, zstandard.compress(TEXT, 19)]
)
def test_all_frames_are_read(packed):
    found, error = read(packed, "x.jsonl.zst")
    assert (b"".join(found), error) == (TEXT, None)


def test_an_empty_file_has_no_lines():
    assert read(b"", "x.zst") == ([], None)
    assert read(zstandard.compress(b""), "x.zst") == ([], None)


@pytest.mark.parametrize(("name", "packed"), [("x.zst", frames(TEXT, 1)), ("x.zst", frames(TEXT, 5)), ("x.gz", None)])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_broken(name, packed, share):
    packed = packed or gzip.compress(TEXT, mtime=0)
    found, error = read(packed[: int(len(packed) * share)], name)
    assert isinstance(error, EOFError)
    assert TEXT.startswith(b"".join(found))


def test_a_bomb_is_unpacked_in_pieces():
    with unpacked(io.BytesIO(zstandard.compress(bytes(300_000_000))), "x.zst") as stream:
        assert len(stream.read(10)) == 10
        assert len(stream.raw.ready) < 200_000_000
