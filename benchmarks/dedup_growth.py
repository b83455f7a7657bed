"""Times near-dedup of a corpus grown by copies with changed content, and its peak memory.

    python benchmarks/dedup_growth.py FILES.parquet [--factors 1,2,4,8] [--workers 2] [--new 0.01]

FILES.parquet has columns repo, path and content. In copy k every name of at least two characters gets the suffix `_k`:
copies resemble each other nowhere (a 5-gram of code without any name is rare), while files of one copy resemble each
other as the originals do, so work and duplicates grow with the data as in a larger corpus of the same kind. Memory is
the largest sum of resident memory over all processes, shared pages counted in each. Last, the same with a share of new
files (one more changed copy of a sample) added to the smallest corpus: what an update costs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from near_dedup import adopt_orphans, codemill, processor_seconds, reap

NAME = r"([A-Za-z_]\w+)"


def renamed(source: Path, target: Path, number: int, share: float = 1.0) -> Path:
    """A copy of (a sample of) the files with every name suffixed; copy 0 is the original."""
    chosen = np.random.default_rng(number)
    with pq.ParquetWriter(target, pq.read_schema(source), compression="zstd") as writer:
        for batch in pq.ParquetFile(source).iter_batches(2000):
            table = pa.Table.from_batches([batch])
            if share < 1:
                table = table.filter(pa.array(chosen.random(table.num_rows) < share))
            if number:
                content = pc.replace_substring_regex(table["content"], NAME, rf"\1_{number}")
                repo = pc.binary_join_element_wise(table["repo"], str(number), "-")
                table = table.set_column(0, "repo", repo)
                table = table.set_column(table.column_names.index("content"), "content", content)
            writer.write_table(table.cast(writer.schema))
    return target


def resident(root: int) -> int:
    """Bytes of resident memory of a process and all below it."""
    parents, memory = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                pages = int((folder / "statm").read_text().split()[1])
            except OSError:  # it has ended
                continue
            parents[int(folder.name)], memory[int(folder.name)] = int(stat[1]), pages
    total = 0
    for process, pages in memory.items():
        line = process
        while line in parents and line != root:
            line = parents[line]
        total += pages if line == root else 0
    return total * os.sysconf("SC_PAGE_SIZE")


def measure(folder: Path, store: Path, workers: int) -> dict[str, float]:
    """Near-dedup of all files of a folder in a new process: seconds, processor seconds, peak bytes, files dropped."""
    command = [sys.executable, __file__, str(folder), "--inside", str(store), "--workers", str(workers)]
    start, before, peak = time.perf_counter(), processor_seconds(), 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.2):
            peak = max(peak, resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    reap()
    if process.returncode:
        sys.exit("failed")
    result = json.loads(output.splitlines()[-1])
    return {"wall": seconds, "processor": processor_seconds() - before, "peak": peak, **result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--factors", default="1,2,4,8")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--new", type=float, default=0.01, help="share of new files of the update")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        print(json.dumps(codemill(args.source, args.inside, args.workers)))
        return
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="dedup-growth-") as scratch:
        data, copies = Path(scratch) / "data", 0
        data.mkdir()
        print(f"{'corpus':>7} {'wall s':>8} {'cpu s':>8} {'peak MiB':>9} {'dropped':>8}  stages")
        factors = sorted(map(int, args.factors.split(",")))
        for factor in factors:
            while copies < factor:
                renamed(args.source, data / f"{copies}.parquet", copies)
                copies += 1
            store = Path(scratch) / str(factor)
            store.mkdir()
            report(f"{factor}x", measure(data, store, args.workers))
        for number in range(factors[0], copies):
            (data / f"{number}.parquet").unlink()
        renamed(args.source, data / "new.parquet", copies, args.new)
        report(f"+{args.new:.0%}", measure(data, Path(scratch) / str(factors[0]), args.workers))


def report(name: str, result: dict[str, float]) -> None:
    print(
        f"{name:>7} {result['wall']:8.1f} {result['processor']:8.1f} {result['peak'] / 2**20:9,.0f}",
        f"{result['dropped']:8,}  {result['seconds']}",
        flush=True,
    )


if __name__ == "__main__":
    main()
