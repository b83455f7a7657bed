"""Times near-dedup of one Parquet file of code against Data-Juicer and datatrove, each in its own process.

    python benchmarks/near_dedup.py FILES.parquet [--fraction 0.1] [--workers 2] [--environments FOLDER]
                                    [--tools codemill,data-juicer,datatrove]

FILES.parquet has columns repo, path and content. Wall time is that of a whole process, from the file on disk to the
result on disk; processor time adds up all its processes, and is the better measure on a machine that is shared.

codemill ingests, sketches, verifies every proposed pair by the Jaccard similarity of the whole sets of token 5-grams,
and writes the evidence; its kernels are compiled before, as they are once for an installation. Data-Juicer runs
`document_minhash_deduplicator` with 256 permutations over 5-grams split on spaces, threshold 0.7, unverified. datatrove
runs its four MinHash stages as they come (5-grams of words, 14 buckets of 8), unverified. The competitors live in
environments of their own, made here and left out of the times, since their dependencies exclude each other.
"""

import argparse
import contextlib
import ctypes
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

PACKAGES = {
    # Its base install lacks two modules that it imports.
    "data-juicer": ("py-data-juicer==1.6.1", "aiohttp==3.14.3", "scipy==1.17.1"),
    "datatrove": ("datatrove[io,processing]==0.10.1", "spacy==3.8.18"),  # spacy: its word tokenizer
}
PR_SET_CHILD_SUBREAPER = 36
TOOLS = ("codemill", *PACKAGES)
THRESHOLD, PERMUTATIONS, NGRAM = 0.7, 256, 5


def python_of(tool: str, environments: Path) -> str:
    """The interpreter that has the tool, installing it if need be."""
    if tool == "codemill":
        return sys.executable
    folder = environments / tool
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"installing {', '.join(PACKAGES[tool])}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[tool]], check=True)
        (folder / "ready").touch()
    return str(python)


def codemill(source: Path, folder: Path, workers: int) -> dict[str, object]:
    import numpy as np
    import pyarrow as pa

    from codemill.annotate.run import run_annotators
    from codemill.dedup.minhash import MinHashAnnotator, MinHashParams
    from codemill.dedup.near import Candidates, NearSettings, near_duplicates
    from codemill.engine import Engine
    from codemill.recipe import IngestSettings, TableSource
    from codemill.sources.ingest import ingest
    from codemill.store import Store

    clock = [time.perf_counter()]
    store, engine = Store(folder / "store"), Engine(workers=workers)
    store.create()
    table = TableSource(kind="table", name="files", path=str(source))
    done = ingest(store, engine, [table], IngestSettings())
    clock.append(time.perf_counter())
    sketches = MinHashParams(permutations=PERMUTATIONS, ngram=NGRAM, threshold=THRESHOLD)
    annotator = MinHashAnnotator(sketches)
    files = run_annotators(store, engine, done.shards, [annotator])["minhash"].files
    clock.append(time.perf_counter())
    ids = store.read_all(files, annotator.schema(), ["blob_id"])["blob_id"]
    ranked = pa.table({"blob_id": ids, "rank": np.arange(len(ids))})
    candidates = Candidates.of(ranked)
    found = near_duplicates(store, engine, candidates, files, sketches, NearSettings(THRESHOLD))
    store.write("evidence.parquet", found.evidence)
    clock.append(time.perf_counter())
    stages = dict(zip(("ingest", "sketch", "verify"), np.diff(clock).round(2).tolist(), strict=True))
    return {"dropped": done.occurrences - len(ids) + found.evidence.num_rows, "seconds": stages}


def data_juicer(source: Path, folder: Path, workers: int) -> dict[str, object]:
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=str(source), split="train", cache_dir=str(folder / "cache"))
    rows = NestedDataset(rows)
    operator = DocumentMinhashDeduplicator(
        tokenization="space",
        window_size=NGRAM,
        num_permutations=PERMUTATIONS,
        jaccard_threshold=THRESHOLD,
        text_key="content",
        num_proc=workers,
    )
    kept = operator.run(rows)
    kept.to_parquet(str(folder / "kept.parquet"))
    return {"dropped": len(rows) - len(kept)}


def datatrove(source: Path, folder: Path, workers: int) -> dict[str, object]:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    config = MinhashConfig(n_grams=NGRAM)
    place = {name: str(folder / name) for name in ("signatures", "buckets", "remove", "kept")}

    def read() -> object:
        # It spreads work over files, so its input is the same rows in as many files as there are workers.
        return ParquetReader(str(folder / "parts"), text_key="content", id_key="path")

    stages = (
        ([read(), MinhashDedupSignature(place["signatures"], config=config)], workers),
        ([MinhashDedupBuckets(place["signatures"], place["buckets"], config=config)], config.num_buckets),
        ([MinhashDedupCluster(place["buckets"], place["remove"], config=config)], 1),
        ([read(), MinhashDedupFilter(place["remove"]), ParquetWriter(place["kept"])], workers),
    )
    for number, (steps, tasks) in enumerate(stages):
        executor = LocalPipelineExecutor(steps, tasks=tasks, workers=workers, logging_dir=str(folder / f"log{number}"))
        executor.run()
    return {"dropped": rows_in(folder / "parts") - rows_in(folder / "kept")}


def rows_in(folder: Path) -> int:
    import pyarrow.parquet as pq

    return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.rglob("*.parquet"))


INSIDE = {"codemill": codemill, "data-juicer": data_juicer, "datatrove": datatrove}


def inside(tool: str, source: Path, folder: Path, workers: int) -> None:
    """What runs in the tool's own process: the work, then one line of JSON."""
    result = INSIDE[tool](source, folder, workers)
    # Not RUSAGE_SELF: that peak is inherited from the process that started this one.
    own = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])
    peak = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    (folder / "result.json").write_text(json.dumps({**result, "peak_mib": peak // 1024}))


def measure(tool: str, python: str, source: Path, workers: int) -> dict[str, object]:
    """Run a tool in a new process and an empty folder."""
    with tempfile.TemporaryDirectory(prefix=f"{tool}-") as folder:
        if tool == "datatrove":
            split(source, Path(folder) / "parts", workers)
        command = [python, __file__, str(source), "--inside", tool, "--folder", folder, "--workers", str(workers)]
        environment = {**os.environ, "HF_HOME": f"{folder}/hub", "HF_HUB_OFFLINE": "1"}
        start, before = time.perf_counter(), processor_seconds()
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        seconds = time.perf_counter() - start
        reap()
        if done.returncode:
            sys.exit(f"{tool} failed:\n{done.stderr[-3000:]}")
        spent = {"wall": seconds, "processor": processor_seconds() - before}
        return {**spent, **json.loads((Path(folder) / "result.json").read_text())}


def adopt_orphans() -> None:
    """Have processes that outlive their parent become ours, so that what they used is counted (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> None:
    """Wait for all adopted processes to end."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def processor_seconds() -> float:
    """What all children have used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def split(source: Path, folder: Path, parts: int) -> None:
    """The rows of a file in so many files."""
    import pyarrow.parquet as pq

    folder.mkdir()
    table = pq.read_table(source)
    size = -(-table.num_rows // parts)
    for number in range(parts):
        pq.write_table(table.slice(number * size, size), folder / f"{number}.parquet", compression="zstd")


def sample(source: Path, target: Path, fraction: float) -> Path:
    """A file with this share of the rows, evenly spread."""
    import numpy as np
    import pyarrow.parquet as pq

    table = pq.read_table(source)
    rows = np.linspace(0, table.num_rows - 1, max(2, int(table.num_rows * fraction))).astype(np.int64)
    pq.write_table(table.take(rows), target, compression="zstd", row_group_size=2000)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the rows to use")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--environments", type=Path, help="where the competitors are installed, kept for the next time")
    parser.add_argument("--inside", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        inside(args.inside, args.source, args.folder, args.workers)
        return
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="near-dedup-") as scratch:
        source = args.source.resolve()
        if args.fraction < 1:
            source = sample(source, Path(scratch) / "sample.parquet", args.fraction)
        tools = args.tools.split(",")
        environments = (args.environments or Path(scratch)).resolve()
        pythons = {tool: python_of(tool, environments) for tool in tools}
        if "codemill" in tools:
            measure("codemill", pythons["codemill"], sample(source, Path(scratch) / "first.parquet", 0.01), 1)
        print(
            f"{'tool':12} {'wall s':>8} {'ratio':>6} {'cpu s':>8} {'ratio':>6} {'dropped':>8} {'peak MiB':>9}  stages"
        )
        first: dict[str, float] = {}
        for tool in tools:
            result = measure(tool, pythons[tool], source, args.workers)
            cells = [f"{tool:12}"]
            for name in ("wall", "processor"):
                value = float(str(result[name]))
                cells.append(f"{value:8.1f} {value / first.setdefault(name, value):5.1f}x")
            cells.append(f"{result['dropped']:8,} {result['peak_mib']:9,}  {result.get('seconds', '')}")
            print(*cells, flush=True)


if __name__ == "__main__":
    main()
