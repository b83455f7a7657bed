"""Tokens a second: codemill against datatrove's DocumentTokenizer, from Parquet on disk to token ids on disk.

    python benchmarks/tokens.py FILES.parquet TOKENIZER.json [--megabytes 100] [--workers 2] [--work FOLDER]

FILES.parquet has a column `content` or `text`; TOKENIZER.json is any byte-level BPE tokenizer with a token
`<|endoftext|>` (`codemill train-tokenizer` makes one). Both tools get the same files, one a worker, and end every
document with that token; datatrove gets an environment of its own, does not shuffle, and is otherwise as it comes. Wall
and CPU seconds are those of whole processes. Then the ids are compared, all of them. Documents that hold the text of a
special token are left out beforehand (datatrove makes special tokens of them, codemill does not), and empty ones, which
datatrove skips.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

THEIRS = """
import sys
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.tokens import DocumentTokenizer
folder, tokenizer, out, workers = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
if __name__ == "__main__":
    steps = [
        ParquetReader(folder, text_key="text", id_key="document_id"),
        DocumentTokenizer(out, tokenizer, eos_token="<|endoftext|>", shuffle_documents=False),
    ]
    # Spawned, since the processes of a fork server leave no trace of the CPU they used.
    LocalPipelineExecutor(
        steps, tasks=workers, workers=workers, logging_dir=out + "/logs", start_method="spawn"
    ).run()
"""
OURS = """
import sys
import numpy as np
import pyarrow.parquet as pq
from codemill.tokens.encode import encode_documents
from codemill.tokens.tokenizer import open_tokenizer
path, name, out, threads, plain = sys.argv[1:]
tokenizer = open_tokenizer(name, threads=int(threads))
if plain == "plain":
    tokenizer._fast = None
kind = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
with open(out, "wb") as ids, open(out + ".index", "wb") as ends, pq.ParquetFile(path) as file:
    place = 0
    for batch in file.iter_batches(1024):
        encoded = encode_documents(batch, tokenizer)
        ids.write(encoded.ids.astype(kind).tobytes())
        ends.write((encoded.offsets[1:] + place).tobytes())
        place += int(encoded.offsets[-1])
"""


def prepare(source: Path, tokenizer: Path, folder: Path, megabytes: int, workers: int) -> tuple[int, int]:
    """Documents as one file a worker; returns how many there are, and their bytes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    marks = [one["content"] for one in json.loads(tokenizer.read_text())["added_tokens"]]
    tables, left, documents = [], megabytes * 1_000_000, 0
    with pq.ParquetFile(source) as file:
        column = next(name for name in ("text", "content") if name in file.schema_arrow.names)
        for batch in file.iter_batches(1024, columns=[column]):
            text = batch.column(0).cast(pa.large_string()).drop_null()
            text = text.filter(pc.greater(pc.binary_length(text), 0))
            for mark in marks:
                text = text.filter(pc.invert(pc.match_substring(text, mark)))
            names = pa.array([f"{documents + row}" for row in range(len(text))])
            documents += len(text)
            left -= pc.sum(pc.binary_length(text)).as_py() or 0
            nothing = pa.nulls(len(text), pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64())])))
            tables.append(pa.table({"document_id": names, "text": text, "targets": nothing}))
            if left <= 0:
                break
    table = pa.concat_tables(tables)
    ends = [table.num_rows * part // workers for part in range(workers + 1)]
    for part in range(workers):
        rows = table.slice(ends[part], ends[part + 1] - ends[part])
        pq.write_table(rows, folder / f"{part:02d}.parquet", row_group_size=2048, compression="zstd")
    return table.num_rows, pc.sum(pc.binary_length(table["text"])).as_py()


def timed(commands: list[list[str]]) -> tuple[float, float]:
    """Wall and CPU seconds of processes beside each other."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    codes = [one.wait() for one in running]
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if any(codes):
        sys.exit(f"failed: {' '.join(commands[0])[:200]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def datatrove(work: Path) -> str:
    """The interpreter of an environment with datatrove, made once."""
    python = work / "venv/bin/python"
    if not python.exists():
        venv.create(work / "venv", with_pip=True)
        packages = ["datatrove[io,processing]==0.10.1", "tokenizers", "orjson"]
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return str(python)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1, help="the best of so many counts")
    parser.add_argument("--work", type=Path, default=Path("bench-tokens"))
    options = parser.parse_args()
    work, workers = options.work.absolute(), options.workers
    python = datatrove(work)
    documents, size = prepare(options.files, options.tokenizer, work / "in", options.megabytes, workers)
    (work / "theirs.py").write_text(THEIRS)
    (work / "ours.py").write_text(OURS)
    tokenizer = str(options.tokenizer.absolute())

    def ours(kind: str) -> list[list[str]]:
        (work / kind).mkdir(exist_ok=True)
        inputs = sorted((work / "in").glob("*.parquet"))
        script, threads = str(work / "ours.py"), "1" if workers > 1 else "0"
        return [
            [sys.executable, script, str(one), tokenizer, str(work / kind / f"{one.stem}.bin"), threads, kind]
            for one in inputs
        ]

    def theirs() -> list[list[str]]:
        shutil.rmtree(work / "datatrove", ignore_errors=True)
        return [[python, str(work / "theirs.py"), str(work / "in"), tokenizer, str(work / "datatrove"), str(workers)]]

    timed(ours("fast"))  # kernels are compiled once for an installation
    tools = {
        "codemill": lambda: ours("fast"),
        "codemill without fastokens": lambda: ours("plain"),
        "datatrove": theirs,
    }
    best = {name: min(timed(commands()) for _ in range(options.rounds)) for name, commands in tools.items()}
    report(work, best, documents, size)


def report(work: Path, best: dict[str, tuple[float, float]], documents: int, size: int) -> None:
    """Print the table, and compare the ids."""
    outputs = [
        b"".join(path.read_bytes() for path in sorted((work / folder).glob(pattern)))
        for folder, pattern in (("fast", "*.bin"), ("plain", "*.bin"), ("datatrove", "*.ds"))
    ]
    tokens = sum(int(np.fromfile(path, np.int64)[-1]) for path in (work / "fast").glob("*.index"))
    print(f"{documents:,} documents, {size / 1e6:.1f} MB, {tokens:,} tokens, {tokens and size / tokens:.2f} bytes each")
    print(f"{'tool':28}  wall s  ratio    cpu s  ratio  M tokens/s    MB/s")
    wall, cpu = best["codemill"]
    for name, (seconds, used) in best.items():
        print(
            f"{name:28}  {seconds:6.1f}  {seconds / wall:4.1f}x  {used:7.1f}  {used / cpu:4.1f}x"
            f"  {tokens / seconds / 1e6:10.2f}  {size / seconds / 1e6:6.1f}"
        )
    print("ids: " + ("the same in all" if len(set(outputs)) == 1 else "DIFFERENT"))


if __name__ == "__main__":
    main()
