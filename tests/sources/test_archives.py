"""Archive sources on real archives, honest, broken and hostile."""

import gzip
import io
import os
import random
import struct
import tarfile
import zipfile
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.errors import InputError
from codemill.recipe import ArchiveSource, IngestSettings
from codemill.sources import unpack
from codemill.sources.archives import shared_top
from codemill.sources.unpack import clean_name, read_members
from tests.sources.helpers import by_path, problems, rows_of, units_of


def source(path, **more):
    return ArchiveSource(kind="archives", name="a", path=str(path), **more)


FILES = {"README.md": b"# hi\n", "src/a.py": b"print(1)\n" * 50, "src/deep/b.c": b"int x;\n", "empty": b""}


def tar_bytes(files, prefix="", **more):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **more) as tar:
        for path, content in files.items():
            add(tar, prefix + path, content)
    return out.getvalue()


def add(tar, path, content=b"", kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(path)
    info.size, info.type, info.linkname = len(content), kind, target
    tar.addfile(info, io.BytesIO(content))


def zip_bytes(files, prefix=""):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(prefix + path, content)
    return out.getvalue()


def pack(kind, data):
    if kind == "zst":
        return zstandard.compress(data)
    if kind == "":
        return data
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{kind}") as tar:
        for info in (source_tar := tarfile.open(fileobj=io.BytesIO(data))):  # noqa: SIM115 - a buffer in memory
            tar.addfile(info, source_tar.extractfile(info))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz", "zst"])
def test_tars_of_every_compression_come_out_whole(tmp_path, kind):
    name = "pkg-1.0.tar" + (f".{kind}" if kind else "")
    (tmp_path / name).write_bytes(pack(kind, tar_bytes(FILES, "pkg-1.0/")))
    rows = by_path(rows_of(source(tmp_path)))
    assert {path: row["content"] for path, row in rows.items()} == FILES
    assert {(row["repo"], row["origin"]) for row in rows.values()} == {("pkg-1.0", name)}


@pytest.mark.parametrize("path", ["pkg.whl", "", "*.whl"])
def test_a_zip_a_folder_or_a_glob(tmp_path, path):
    (tmp_path / "pkg.whl").write_bytes(zip_bytes(FILES))
    rows = rows_of(source(tmp_path / path))
    assert {row["path"]: row["content"] for row in rows} == FILES
    assert {row["repo"] for row in rows} == {"pkg"}


@pytest.mark.parametrize("make", [tar_bytes, zip_bytes])
def test_the_top_folder_goes_only_if_all_share_it(tmp_path, make):
    (tmp_path / "a.zip").write_bytes(make({"t/x": b"x", "t/y": b"y"}))
    (tmp_path / "b.zip").write_bytes(make({"t/x": b"x", "u/y": b"y"}))
    (tmp_path / "c.zip").write_bytes(make({"t/x": b"x", "t": b"y"}))
    paths = {(row["repo"], row["path"]) for row in rows_of(source(tmp_path))}
    assert paths == {("a", "x"), ("a", "y"), ("b", "t/x"), ("b", "u/y"), ("c", "t/x"), ("c", "t")}
    assert "t/x" in {row["path"] for row in rows_of(source(tmp_path / "a.zip", strip_top=False))}


def test_folders_below_are_looked_into_and_other_files_are_rows(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.tgz").write_bytes(gzip.compress(tar_bytes({"a": b"a"})))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "link.tgz").symlink_to("sub/x.tgz")
    rows = {row["repo"]: (row["path"], row["problem"]) for row in rows_of(source(tmp_path))}
    assert rows == {"sub/x": ("a", None), "notes.txt": ("", "no_repository"), "link": ("", "symlink")}


def test_archives_of_one_name_stay_apart(tmp_path):
    (tmp_path / "x.tar").write_bytes(tar_bytes({"a": b"a"}))
    (tmp_path / "x.zip").write_bytes(zip_bytes({"a": b"a"}))
    rows = rows_of(source(tmp_path))
    assert sorted((row["repo"], row["origin"]) for row in rows) == [("x", "x.tar"), ("x", "x.zip")]


HOSTILE = {
    "../up": None,
    "/etc/passwd": None,
    "a/../../b": None,
    "C:\\boot.ini": None,
    "C:/x": None,
    "..\\up": None,
    "ok/../fine": None,
    "./a//b/./c": "a/b/c",
    "..a/b..": "..a/b..",
    "a b/ü": "a b/ü",
}


@pytest.mark.parametrize("make", [tar_bytes, zip_bytes])
def test_paths_that_lead_out_are_rows_without_content(tmp_path, make):
    (tmp_path / "x.zip").write_bytes(make(dict.fromkeys(HOSTILE, b"x")))
    rows = rows_of(source(tmp_path))
    assert len(rows) == len(HOSTILE)
    good = {row["path"] for row in rows if row["problem"] is None}
    assert good == {path for path in HOSTILE.values() if path}
    assert {row["problem"] for row in rows if row["content"] is None} == {"unsafe_path"}


@pytest.mark.parametrize(("name", "clean"), HOSTILE.items())
def test_clean_names(name, clean):
    assert clean_name(name) == clean


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b", "\\", "C:"]), max_size=6).map("/".join))
def test_no_name_leads_out(name):
    clean = clean_name(name)
    if clean is not None:
        assert not clean.startswith("/")
        assert ".." not in clean.replace("\\", "/").split("/")


def test_links_devices_and_pipes_in_tars(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        add(tar, "t/file", b"f")
        add(tar, "t", kind=tarfile.DIRTYPE)
        add(tar, "t/soft", kind=tarfile.SYMTYPE, target="file")
        add(tar, "t/out", kind=tarfile.SYMTYPE, target="../../etc/passwd")
        add(tar, "t/hard", kind=tarfile.LNKTYPE, target="t/file")
        add(tar, "t/hardout", kind=tarfile.LNKTYPE, target="../x")
        add(tar, "t/dev", kind=tarfile.CHRTYPE)
        add(tar, "t/pipe", kind=tarfile.FIFOTYPE)
        add(tar, "t/.git/config", b"secret")
    (tmp_path / "x.tar").write_bytes(out.getvalue())
    rows = rows_of(source(tmp_path))
    assert problems(rows) == {
        "soft": "symlink",
        "out": "symlink_outside",
        "hard": "symlink",
        "hardout": "symlink_outside",
        "dev": "special_file",
        "pipe": "special_file",
    }
    assert [row["path"] for row in rows if row["content"]] == ["file"]


def test_links_in_zips(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, target in {"in": "b", "out": "/etc/passwd"}.items():
            info = zipfile.ZipInfo(path)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, target)
        info = zipfile.ZipInfo("pipe")
        info.external_attr = 0o010644 << 16
        archive.writestr(info, "")
        archive.writestr("win\\dows.txt", "x")
    (tmp_path / "x.zip").write_bytes(out.getvalue())
    rows = rows_of(source(tmp_path))
    assert problems(rows) == {"in": "symlink", "out": "symlink_outside", "pipe": "special_file"}
    assert [row["path"] for row in rows if row["content"]] == ["win/dows.txt"]


def test_encrypted_members_are_rows(tmp_path):
    data = bytearray(zip_bytes({"a": b"a", "b": b"b"}))
    data[6] |= 1  # the flag of the first member, here and in the directory
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    assert problems(rows_of(source(tmp_path))) == {"a": "encrypted"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_come_twice_are_two_rows(tmp_path, kind):
    out = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=out, mode="w") as tar:
            for content in (b"1", b"1", b"2"):
                add(tar, "a", content)
    else:
        with zipfile.ZipFile(out, "w") as archive:
            for content in (b"1", b"1", b"2"):
                archive.writestr("a", content)
    (tmp_path / f"x.{kind}").write_bytes(out.getvalue())
    rows = rows_of(source(tmp_path))
    assert [(row["origin"], row["content"]) for row in rows] == [
        (f"x.{kind}", b"1"),
        (f"x.{kind}#2", b"1"),
        (f"x.{kind}#3", b"2"),
    ]


def noise(count):
    return random.Random(count).randbytes(count)


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz", "zst"])
def test_truncated_tars_keep_what_came_before(tmp_path, kind):
    files = {f"f{index}": noise(20_000 + index) for index in range(40)}
    data = pack(kind, tar_bytes(files))
    (tmp_path / "x.tar").write_bytes(data[: len(data) // 2])
    rows = rows_of(source(tmp_path))
    whole = [row for row in rows if row["problem"] is None]
    assert all(row["content"] == files[row["path"]] for row in whole)
    assert kind == "bz2" or len(whole) >= 3  # bzip2 packs all of it into one block
    assert [row["problem"] for row in rows[len(whole) :]] == ["corrupt_archive"]


def test_a_tar_cut_between_members_is_told(tmp_path):
    (tmp_path / "x.tar").write_bytes(tar_bytes({"a": b"a", "b": b"b"})[: 4 * 512])
    rows = rows_of(source(tmp_path))
    assert [(row["path"], row["problem"]) for row in rows] == [("a", None), ("b", None), ("", "corrupt_archive")]


def test_a_broken_header_is_no_end(tmp_path):
    data = bytearray(tar_bytes({"a": b"a", "b": b"b", "c": b"c"}))
    data[1024 + 150] ^= 0xFF  # checksum of the second header
    (tmp_path / "x.tar").write_bytes(data)
    assert [row["problem"] for row in rows_of(source(tmp_path))] == [None, "corrupt_archive"]


def test_a_broken_zip_member_costs_itself_alone(tmp_path):
    data = bytearray(zip_bytes({"a": noise(500), "b": b"b", "c": b"c"}))
    data[60] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(data)
    rows = rows_of(source(tmp_path))
    assert problems(rows) == {"a": "corrupt_archive"}
    assert len(rows) == 3


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.zst"])
@pytest.mark.parametrize("data", [b"", b"no archive at all" * 99, b"PK\3\4 and then nothing", b"\x1f\x8b\x08"])
def test_what_is_no_archive_is_one_row(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert [(row["path"], row["problem"]) for row in rows_of(source(tmp_path))] == [("", "corrupt_archive")]


def test_an_archive_that_is_gone_is_a_row(tmp_path):
    (tmp_path / "x.zip").write_bytes(zip_bytes(FILES))
    limits = source(tmp_path)
    assert [member.problem for member in read_members(tmp_path / "y.zip", limits, 100)] == ["unreadable"]


# -- bombs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def low_floor(monkeypatch):
    monkeypatch.setattr(unpack, "RATIO_FLOOR", 100_000)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_compressed_zeros_stop_at_the_ratio(tmp_path, kind, low_floor):
    out = {"first": b"kept\n", "zeros": b"\0" * 20_000_000, "after": b"a"}
    (tmp_path / "x.tar").write_bytes(pack(kind, tar_bytes(out)))
    rows = rows_of(source(tmp_path, max_ratio=50))
    assert [(row["path"], row["problem"]) for row in rows if row["problem"] != "too_large"] == [
        ("first", None),
        ("zeros", "archive_limit") if rows[1]["problem"] != "too_large" else ("", "archive_limit"),
    ]


def test_a_zip_whose_members_overlap_stops_at_the_ratio(tmp_path, low_floor):
    """Many directory entries share one member's data: headers claim nothing unusual of any single member."""
    content = b"\0" * 90_000
    packed = zlib.compress(content, 9)[2:-4]
    head = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, zlib.crc32(content), len(packed), len(content), 1, 0)
    local = head + b"a" + packed
    fields = (20, 20, 0, 8, 0, 0, zlib.crc32(content), len(packed), len(content), 1, 0, 0, 0, 0, 0, 0)
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *fields) + b"a"
    count = 60
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entry) * count, len(local), 0)
    (tmp_path / "x.zip").write_bytes(local + entry * count + end)
    rows = rows_of(source(tmp_path, max_ratio=100))
    assert rows[-1]["problem"] == "archive_limit"
    assert 1 < len(rows) < count


@pytest.mark.parametrize("make", [tar_bytes, zip_bytes])
def test_totals_and_counts_are_bounded(tmp_path, make):
    files = {f"f{index}": noise(10_000 + index) for index in range(20)}
    (tmp_path / "x.zip").write_bytes(make(files))
    for limit in ({"max_files": 5}, {"max_total_bytes": 60_000}):
        rows = rows_of(source(tmp_path, **limit))
        assert [row["problem"] for row in rows] == [None] * (len(rows) - 1) + ["archive_limit"]
        assert 4 <= len(rows) <= 7


def test_sparse_members_count_their_holes(tmp_path):
    def header(size):
        info = tarfile.TarInfo("sparse")
        info.size, info.type = 0, tarfile.GNUTYPE_SPARSE
        block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        block[483:495] = b"%011o\0" % size  # the real size; no data, one hole
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)

    (tmp_path / "x.tar").write_bytes(header(900_000) * 50 + bytes(1024))
    rows = rows_of(source(tmp_path, max_total_bytes=5_000_000))
    assert len(rows) < 8
    assert rows[-1]["problem"] == "archive_limit"


def test_huge_extended_headers_are_not_read_into_memory(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 33
    (tmp_path / "x.tar").write_bytes(tar_bytes({"a": b"a"})[:1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(5000))
    assert [row["problem"] for row in rows_of(source(tmp_path))] == [None, "corrupt_archive"]


def test_members_too_large_are_rows(tmp_path):
    for name, make in {"x.tar": tar_bytes, "x.zip": zip_bytes}.items():
        (tmp_path / name).write_bytes(make({"big": noise(5000), "small": b"s"}))
        rows = by_path(rows_of(source(tmp_path / name), IngestSettings(max_bytes=4000)))
        assert (rows["big"]["problem"], rows["big"]["bytes"]) == ("too_large", 5000)
        assert rows["small"]["content"] == b"s"


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_damage_anywhere_never_raises_and_never_invents(tmp_path_factory, data):
    make = data.draw(st.sampled_from([tar_bytes, zip_bytes]))
    packed = bytearray(make({f"f{index}": noise(300 + index) for index in range(4)}))
    if data.draw(st.booleans()):
        packed = bytearray(gzip.compress(packed))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "x.tar").write_bytes(packed)
    rows = rows_of(source(folder))
    assert rows
    assert all((row["content"] is None) == (row["problem"] is not None) for row in rows)


def test_units_follow_the_file_and_the_limits(tmp_path):
    (tmp_path / "x.zip").write_bytes(zip_bytes(FILES))
    key = units_of(source(tmp_path))[0].key("a")
    assert key == units_of(source(tmp_path))[0].key("a")
    assert key != units_of(source(tmp_path, max_files=3))[0].key("a")
    os.utime(tmp_path / "x.zip", (5, 5))
    assert key != units_of(source(tmp_path))[0].key("a")


def test_paths_that_lead_nowhere_are_one_line(tmp_path):
    with pytest.raises(InputError, match="got nothing"):
        units_of(source(tmp_path / "x.zip"))


@pytest.mark.parametrize(
    ("names", "top"), [([], ""), (["a/b", "a/c/d"], "a/"), (["a/b", "ab/c"], ""), (["a/b", "a"], ""), (["a"], "")]
)
def test_shared_top(names, top):
    assert shared_top(names) == top
