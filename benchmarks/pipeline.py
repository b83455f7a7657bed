"""Times the whole code pipeline on a corpus: from nothing, again with nothing new, and with one percent of new files.

    python benchmarks/pipeline.py FILES.parquet [--workers N] [--keep FOLDER] [--without-quality]

FILES.parquet has columns repo, path and content, one file a row. The recipe is recipes/code.toml with this source.
"""

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent


def recipe(folder: Path, tables: list[Path], quality: bool = True) -> Path:
    """recipes/code.toml with other sources, and store and output below `folder`."""
    text = (ROOT / "recipes" / "code.toml").read_text()
    text = re.sub(r"(?m)^store = .*$", f'store = "{folder / "store"}"', text)
    text = re.sub(r"(?m)^output = .*$", f'output = "{folder / "corpus"}"', text)
    text = re.sub(r"(?ms)^\[\[source\]\].*?(?=^\[)", "", text)
    for number, table in enumerate(tables):
        text += f'\n[[source]]\nkind = "table"\nname = "files{number}"\npath = "{table}"\n'
    if not quality:
        text = re.sub(r"(?m)^\[annotate.quality\].*$", "", text)
        text = re.sub(r'(?ms)^\[\[rule\]\][^\n]*\nname = "quality".*?(?=^\[)', "", text)
        text = text.replace(', "quality"', "").replace(', "quality.overall"', "")
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def run(path: Path, workers: int) -> dict[str, object]:
    """One run in a process of its own: wall seconds, stages, peak memory of the largest process in MiB."""
    start = time.perf_counter()
    command = [str(Path(sys.executable).with_name("codemill")), "run", str(path), "--json", "--workers", str(workers)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=path.parent)
    if done.returncode:
        sys.exit(done.stderr)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mib": peak, **json.loads(done.stdout)}


def new_files(table: pa.Table, share: float) -> pa.Table:
    """Files that the corpus doesn't have: a sample whose identifiers are renamed."""
    rows = np.random.default_rng(1).choice(table.num_rows, int(table.num_rows * share), replace=False)
    sample = table.take(np.sort(rows))
    content = pc.replace_substring_regex(sample["content"], r"\b([a-z_]{4,})\b", r"\1_new")
    repos = pc.binary_join_element_wise("new", sample["repo"], "-")
    return pa.table({"repo": repos, "path": sample["path"], "content": content})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--without-quality", action="store_true", help="leave the scorer out")
    parser.add_argument("--keep", type=Path, help="work here and leave everything")
    args = parser.parse_args()
    folder = (args.keep or Path(tempfile.mkdtemp(prefix="codemill-bench-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table = pq.read_table(args.files, columns=["repo", "path", "content"])
    size = pc.sum(pc.binary_length(table["content"])).as_py() / 1e6
    print(f"{table.num_rows:,} files, {size:,.1f} MB")
    pq.write_table(new_files(table, 0.01), folder / "new.parquet")
    files, quality = args.files.resolve(), not args.without_quality
    results = {
        "from nothing": run(recipe(folder, [files], quality), args.workers),
        "nothing new": run(recipe(folder, [files], quality), args.workers),
        "1% new files": run(recipe(folder, [files, folder / "new.parquet"], quality), args.workers),
    }
    full = results["from nothing"]["seconds"]
    print(f"{'':<14}{'seconds':>9}{'share':>8}  stages")
    for name, result in results.items():
        stages = "  ".join(f"{stage['name']} {stage['seconds']:.1f}" for stage in result["stages"])
        print(f"{name:<14}{result['seconds']:>9.1f}{result['seconds'] / full:>8.1%}  {stages}")
    print(f"peak memory of the largest process {max(r['peak_mib'] for r in results.values()):,.0f} MiB")
    print(json.dumps({name: result["corpora"] for name, result in results.items()}))
    if not args.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
