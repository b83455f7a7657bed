"""Commits per second and peak memory: codemill against a plain PyDriller loop, and the price of context beside it.

    python benchmarks/commits.py REPO [--pydriller PYTHON] [--limit N]

Both extract the message, the changed paths with their kinds and the patches of every commit of HEAD's history; what
they extract is hashed commit by commit and compared. PyDriller may live in an environment of its own: PYTHON is that
environment's interpreter. Each measurement is a process of its own, so that peak memory (resident, in MB, of the
largest process) and processor time (of all processes) are its own too. `read` and `samples` are the stages of
`codemill run` with the rules of recipes/commits.toml.
"""

import argparse
import hashlib
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

File = tuple[str, str | None, str | None, str]
Found = dict[str, tuple[str, Any]]  # sha -> hash, and files or how many

RECIPE = Path(__file__).parent.parent / "recipes" / "commits.toml"


def digest(message: str, files: list[File]) -> str:
    """Hash of what both extract: message, and (kind, old path, new path, hunks) of every file."""
    sha = hashlib.sha256(message.strip().encode("utf-8", "replace"))
    for file in sorted(files, key=repr):
        sha.update(repr(file).encode("utf-8", "replace"))
    return sha.hexdigest()


# What git writes behind a hunk's place to tell where it is; libgit2 cuts it one byte later.
PLACE = re.compile(r"^(@@ -[0-9,]+ \+[0-9,]+ @@).*$", re.MULTILINE)


def entry(kind: str, old: str | None, new: str | None, hunks: str) -> File:
    """A file as it is compared. PyDriller gives empty files that come or go both names, and modes that change none."""
    kind = "MODIFY" if kind == "UNKNOWN" else kind
    hunks = hunks if hunks.startswith("@@") else ""  # what is said of binary files
    old, new = (None if kind == "ADD" else old), (None if kind == "DELETE" else new)
    return kind, old, new, PLACE.sub(r"\1", hunks.rstrip("\n"))


def pydriller(repo: str, limit: int, dump: bool) -> Found:
    """The straightforward loop."""
    from pydriller import Repository

    found = {}
    for count, commit in enumerate(Repository(repo).traverse_commits()):
        if limit and count >= limit:
            break
        files = [entry(one.change_type.name, one.old_path, one.new_path, one.diff) for one in commit.modified_files]
        found[commit.hash] = (digest(commit.msg, files), files if dump else len(files))
    return found


KINDS = {"add": "ADD", "modify": "MODIFY", "delete": "DELETE", "rename": "RENAME", "copy": "COPY", "retype": "MODIFY"}


def extract(repo: str, limit: int, dump: bool, workers: int = 1) -> Found:
    """The same by codemill's reader."""
    from codemill.commits.history import walk
    from codemill.sources.git import open_repository

    repository = open_repository(repo)
    shas = [str(oid) for oid in walk(repository, str(repository.head.target))][: limit or None]
    if workers == 1:
        return extract_some(repo, shas, dump)
    ranges = [shas[start : start + 500] for start in range(0, len(shas), 500)]
    with ProcessPoolExecutor(workers) as pool:
        parts = pool.map(extract_some, repeat(repo), ranges, repeat(dump))
        return {sha: one for part in parts for sha, one in part.items()}


def extract_some(repo: str, shas: list[str], dump: bool) -> Found:
    """These commits of a repository."""
    from codemill.commits.message import decode_message
    from codemill.commits.patch import read_changes
    from codemill.commits.settings import HistorySettings
    from codemill.sources.git import open_repository

    repository = open_repository(repo)
    settings = HistorySettings(max_paths=1_000_000, max_bytes=10**12)
    found = {}
    for sha in shas:
        commit = repository[sha]
        changes = read_changes(repository, commit, settings).files if len(commit.parent_ids) < 2 else []
        files = []
        for one in changes:
            at = one.patch.find(b"\n@@ ")
            hunks = "" if at < 0 else one.patch[at + 1 :].decode("utf-8", "ignore")
            files.append(entry(KINDS[one.kind], one.old_path or one.path, one.path, hunks))
        found[sha] = (digest(decode_message(commit), files), files if dump else len(files))
    return found


def stages(repo: str, workers: int, samples: bool) -> dict[str, Any]:
    """Seconds of the stages of a run."""
    from codemill.commits.pipeline import CommitPipeline
    from codemill.commits.settings import CommitRecipe, load_commit_recipe
    from codemill.engine import Engine

    with tempfile.TemporaryDirectory() as folder:
        values = load_commit_recipe(RECIPE).model_dump(mode="json", by_alias=True)
        values |= {"store": f"{folder}/store", "output": f"{folder}/out"}
        values["source"][0] |= {"path": repo, "layout": "single"}
        spent = {}
        told = []
        pipeline = CommitPipeline(
            CommitRecipe.model_validate(values),
            Engine(workers=workers),
            say=lambda stage, line, seconds: (spent.update({stage: seconds}), told.append(line)),
        )
        if samples:
            summary = pipeline.run()
            return {"seconds": spent["sample samples"], "commits": summary.corpora["samples"]["files"]}
        shards = pipeline.read()
        return {"seconds": spent["list"] + spent["read"], "commits": sum(shard.rows for shard in shards)}


def measure(kind: str, repo: str, limit: int, dump: bool) -> dict[str, Any]:
    """One measurement, in this process."""
    start = time.perf_counter()
    name, _, workers = kind.partition("-")
    if name in ("pydriller", "extract"):
        found = pydriller(repo, limit, dump) if name == "pydriller" else extract(repo, limit, dump, int(workers))
        result = {"seconds": time.perf_counter() - start, "commits": len(found), "found": found}
    else:
        result = stages(repo, int(workers), name == "samples")
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in usage)
    return result | {"megabytes": max(one.ru_maxrss for one in usage) / 1024, "cpu": cpu}


def run(python: str, *arguments: str) -> dict[str, Any]:
    """A measurement in a process of its own."""
    done = subprocess.run([python, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def compare(ours: Found, theirs: Found) -> None:
    """How many commits both extract alike, and the first that differ."""
    shared = ours.keys() & theirs.keys()
    other = sorted(sha for sha in shared if ours[sha][0] != theirs[sha][0])
    print(f"\n{len(shared):,} commits in both, {len(shared) - len(other):,} alike; differing: {other[:10]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repo", help="a git repository with a long history")
    parser.add_argument("--pydriller", default=sys.executable, help="interpreter that has PyDriller")
    parser.add_argument("--limit", type=int, default=0, help="only the first so many commits, 0: all")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--dump", action="store_true", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.one:
        print(json.dumps(measure(settings.one, settings.repo, settings.limit, settings.dump)))
        return
    common = (settings.repo, "--limit", str(settings.limit), "--one")
    rows = {
        "PyDriller loop": run(settings.pydriller, *common, "pydriller"),
        "codemill, same output, 1 process": run(sys.executable, *common, "extract-1"),
        f"codemill, same output, {settings.workers} processes": run(
            sys.executable, *common, f"extract-{settings.workers}"
        ),
    }
    if not settings.limit:
        rows[f"codemill read (all values, stored), {settings.workers} processes"] = run(
            sys.executable, *common, f"read-{settings.workers}"
        )
        rows[f"codemill samples (context, of kept commits), {settings.workers} processes"] = run(
            sys.executable, *common, f"samples-{settings.workers}"
        )
    base = rows["PyDriller loop"]
    print(f"{'':64} {'commits':>8} {'seconds':>8} {'/s':>8} {'times':>6} {'CPU s':>7} {'MB':>6}")
    for name, row in rows.items():
        pace = row["commits"] / row["seconds"]
        times = pace / (base["commits"] / base["seconds"])
        figures = f"{row['commits']:8,} {row['seconds']:8.1f} {pace:8,.0f} {times:6.1f}"
        print(f"{name:64} {figures} {row['cpu']:7.1f} {row['megabytes']:6,.0f}")
    compare(rows["codemill, same output, 1 process"]["found"], base["found"])


if __name__ == "__main__":
    main()
