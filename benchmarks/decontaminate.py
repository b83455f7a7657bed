"""Times decontamination of a Parquet file beside datatrove's n-gram filter and a plain Python loop, one process each.

    python benchmarks/decontaminate.py FILES.parquet BENCHMARK.jsonl… [--fraction 0.1] [--workers 2]
                                       [--environments FOLDER] [--tools codemill,python,datatrove]

FILES.parquet has a column content. All look for 10-grams of words of the same benchmarks; each in words of its own.
Wall time is that of a whole process, from the file on disk to the kept rows on disk; processor time adds up all its
processes and is the better measure on a machine that is shared. Indexes are built before and not timed.

codemill runs `codemill decontaminate --every`; its kernels are compiled before, as they are once for an installation.
python is a set of tuples of the words that a regular expression finds, in one process. datatrove runs
NGramsDecontFilter, one process a worker, in an environment of its own.
"""

import argparse
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from near_dedup import adopt_orphans, processor_seconds, reap, rows_in, sample, split

TOOLS = ("codemill", "python", "datatrove")
PACKAGES = ("datatrove[io,processing]==0.10.1", "spacy==3.8.18")  # spacy: its word tokenizer
N = 10
TOKEN = re.compile(r"[a-z0-9_]+")


def python_of(tool: str, environments: Path) -> str:
    """The interpreter that has the tool, installing it if need be."""
    if tool != "datatrove":
        return sys.executable
    folder = environments / tool
    if not (folder / "ready").exists():
        print(f"installing {', '.join(PACKAGES)}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES], check=True)
        (folder / "ready").touch()
    return str(folder / "bin" / "python")


# -- indexes, not timed ----------------------------------------------------------------------------------------------


def prepare(benchmarks: list[Path], folder: Path) -> None:
    """An index for codemill, and the problems as texts for the others."""
    from codemill.decontaminate.index import build_index
    from codemill.decontaminate.problems import open_benchmark

    opened = [open_benchmark(str(path)) for path in benchmarks]
    with (folder / "index").open("wb") as stream:
        build_index(opened, N).write(stream)
    texts = [text for benchmark in opened for problem in benchmark.problems() for text in problem.texts]
    (folder / "texts.json").write_text(json.dumps(texts))
    grams = {gram for text in texts for gram in grams_of(text)}
    (folder / "grams.pickle").write_bytes(pickle.dumps(grams))


def grams_of(text: str) -> set[tuple[str, ...]]:
    words = TOKEN.findall(text.lower())
    return set(zip(*(words[start:] for start in range(N)), strict=False))


# -- what is timed ---------------------------------------------------------------------------------------------------


def codemill(source: Path, folder: Path, workers: int) -> int:
    from codemill.decontaminate.index import Evidence
    from codemill.decontaminate.run import DecontaminateSettings, decontaminate
    from codemill.engine import Engine

    settings = DecontaminateSettings(
        text=("content",), index=(str(folder.parent / "index"),), evidence=Evidence(every=True)
    )
    return decontaminate([str(source)], str(folder / "out"), settings, Engine(workers=workers)).dropped


def python(source: Path, folder: Path, workers: int) -> int:
    import pyarrow.parquet as pq

    grams = pickle.loads((folder.parent / "grams.pickle").read_bytes())
    table = pq.ParquetFile(source)
    dropped = 0
    with pq.ParquetWriter(folder / "kept.parquet", table.schema_arrow, compression="zstd") as writer:
        for batch in table.iter_batches(1000):
            kept = [grams.isdisjoint(grams_of(text)) for text in batch.column("content").to_pylist()]
            dropped += kept.count(False)
            writer.write_batch(batch.filter(kept))
    return dropped


def datatrove(source: Path, folder: Path, workers: int) -> int:
    import numpy as np
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    NGramsDecontIndexer._requires_dependencies = ()  # lighteval, which would name tasks
    config = NGramsDecontConfig(n_grams=N, find_query_ngrams=True)
    indexer = NGramsDecontIndexer(str(folder / "unused"), config=config)
    index = folder / "index"
    index.mkdir()
    hashes = {
        value
        for text in json.loads((folder.parent / "texts.json").read_text())
        for value in indexer.compute_hashes(text)
    }
    np.array(sorted(hashes), "<u8").tofile(index / "benchmarks.index.hashes")
    steps = [
        ParquetReader(str(folder / "parts"), text_key="content", id_key="path"),
        NGramsDecontFilter(str(index), config),
        ParquetWriter(str(folder / "kept")),
    ]
    LocalPipelineExecutor(
        steps, tasks=workers, workers=workers, logging_dir=str(folder / "log"), start_method="fork"
    ).run()
    return rows_in(folder / "parts") - rows_in(folder / "kept")


INSIDE = {"codemill": codemill, "python": python, "datatrove": datatrove}


def measure(tool: str, interpreter: str, source: Path, scratch: Path, workers: int) -> tuple[float, float, int]:
    """Wall and processor seconds of a tool in a new process, and the rows that it dropped."""
    folder = Path(tempfile.mkdtemp(prefix=tool, dir=scratch))
    if tool == "datatrove":
        split(source, folder / "parts", workers)
    command = [interpreter, __file__, str(source), "--inside", tool, "--folder", str(folder), "--workers", str(workers)]
    start, before = time.perf_counter(), processor_seconds()
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    wall = time.perf_counter() - start
    reap()
    if done.returncode:
        sys.exit(f"{tool} failed:\n{done.stderr[-3000:]}")
    return wall, processor_seconds() - before, json.loads((folder / "result.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("benchmarks", type=Path, nargs="*")
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the rows to use")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--environments", type=Path, help="where datatrove is installed, kept for the next time")
    parser.add_argument("--inside", choices=TOOLS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        dropped = INSIDE[args.inside](args.source, args.folder, args.workers)
        (args.folder / "result.json").write_text(json.dumps(dropped))
        return
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="decontaminate-") as name:
        scratch = Path(name)
        tools = args.tools.split(",")
        pythons = {tool: python_of(tool, (args.environments or scratch).resolve()) for tool in tools}
        prepare(args.benchmarks, scratch)
        source = sample(args.source.resolve(), scratch / "sample.parquet", args.fraction)
        content = pq.read_table(source, columns=["content"])["content"]
        size = pc.sum(pc.binary_length(content)).as_py() / 1e6
        if "codemill" in tools:
            measure("codemill", pythons["codemill"], sample(source, scratch / "first.parquet", 0.01), scratch, 1)
        print(f"{len(content):,} files, {size:.1f} MB, {args.workers} workers")
        print(f"{'tool':10} {'wall s':>8} {'MB/s':>7} {'ratio':>7} {'cpu s':>8} {'ratio':>7} {'dropped':>8}")
        first: tuple[float, float] | None = None
        for tool in tools:
            wall, processor, dropped = measure(tool, pythons[tool], source, scratch, args.workers)
            first = first or (wall, processor)
            print(
                f"{tool:10} {wall:8.1f} {size / wall:7.1f} {wall / first[0]:6.1f}x {processor:8.1f} "
                f"{processor / first[1]:6.1f}x {dropped:8,}",
                flush=True,
            )


if __name__ == "__main__":
    main()
