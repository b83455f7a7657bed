"""What the tests of sources share: reading all rows of a source, and real repositories made with git itself."""

import os
import subprocess
from pathlib import Path

import pyarrow as pa

from codemill.recipe import IngestSettings
from codemill.schema import RAW
from codemill.sources import open_source
from codemill.sources.base import Unit, stamp

GIT_ENV = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "C",
    "GIT_COMMITTER_EMAIL": "c@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder: Path, *args: str, date: str = "2020-01-02T03:04:05Z", stdin: bytes | None = None) -> str:
    """Run git in a folder and give back what it printed."""
    env = {**os.environ, **GIT_ENV, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    done = subprocess.run(["git", *args], cwd=folder, env=env, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def make_repo(folder: Path, files: dict[str, bytes], date: str = "2020-01-02T03:04:05Z") -> str:
    """A repository with one commit of these files; gives the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    return commit(folder, files, date)


def commit(folder: Path, files: dict[str, bytes], date: str = "2020-01-02T03:04:05Z") -> str:
    """One more commit with these files written; gives its id."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "c", date=date)
    return git(folder, "rev-parse", "HEAD")


def units_of(source, settings=None) -> list[Unit]:
    return list(open_source(source).units(settings or IngestSettings()))


def rows_of(source, settings=None) -> list[dict]:
    """All rows of a source, read as ingestion reads them: planned by one reader, read by another."""
    settings = settings or IngestSettings()
    units = [Unit(**{**vars(unit), "state": stamp(unit.state, settings)}) for unit in units_of(source, settings)]
    reader = open_source(source)
    batches = [batch for unit in units for batch in reader.read(unit, settings)]
    return pa.Table.from_batches(batches, schema=RAW).to_pylist()


def by_path(rows: list[dict]) -> dict[str, dict]:
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row for row in rows}


def problems(rows: list[dict]) -> dict[str, str]:
    return {row["path"]: row["problem"] for row in rows if row["problem"]}
