"""Files are scored where they lie, and each that is not says why."""

import os

import pytest

from codemill.assess.files import score_files
from codemill.errors import InputError
from codemill.quality.backends import open_scorer

CODE = b"def area(width: int, height: int) -> int:\n    return width * height\n"


def test_every_file_is_scored_or_says_why_not_whatever_its_name(tmp_path):
    (tmp_path / "geometry.py").write_bytes(CODE)
    (tmp_path / "empty.py").touch()
    (tmp_path / os.fsdecode(b"ge\xf6metry.py")).write_bytes(CODE)
    rows = list(score_files(open_scorer("reference"), [tmp_path]))
    known = {row["path"].rpartition("/")[2]: row for row in rows}
    assert set(known) == {"geometry.py", "empty.py", "ge\ufffdmetry.py"}
    assert known["empty.py"]["problem"] == "empty"
    assert known["ge\ufffdmetry.py"]["overall"] == known["geometry.py"]["overall"]
    assert known["ge\ufffdmetry.py"]["language"] == "Python"


def test_a_folder_without_files_is_a_mistake(tmp_path):
    with pytest.raises(InputError, match="expected files, got an empty folder"):
        list(score_files(open_scorer("reference"), [tmp_path]))
