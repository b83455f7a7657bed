"""Files that resemble each other by known design, and a store made of them."""

import random

import pyarrow as pa

from codemill.annotate.run import run_annotators
from codemill.dedup.minhash import MinHashAnnotator, MinHashParams
from codemill.engine import Engine
from codemill.recipe import DirectorySource, IngestSettings
from codemill.sources.ingest import ingest
from codemill.store import Store

INLINE = Engine(workers=1)


def program(chance: random.Random, lines: int) -> list[str]:
    """Lines of made-up code with names of its own."""
    names = [f"{chance.choice('abcdefgh')}{chance.randrange(10_000)}" for _ in range(30)]
    shapes = ["{} = {} + {}", "if {} < {}: {}()", "return {}({}, {})", "for {} in {}[{}]:", "{}.{}['{}'] -= 1"]
    return [chance.choice(shapes).format(*chance.choices(names, k=3)) for _ in range(lines)]


def families(seed: int, count: int, copies: int) -> dict[str, bytes]:
    """`count` programs and `copies` of each with from none to a quarter of the lines changed, by path."""
    chance = random.Random(seed)
    files = {}
    for family in range(count):
        lines = program(chance, chance.randrange(5, 120))
        for copy in range(copies + 1):
            share = chance.random() * 0.25 if copy else 0
            changed = [program(chance, 1)[0] if chance.random() < share else line for line in lines]
            files[f"f{family}/{copy}.py"] = "\n".join([*changed, f"# {family} {copy}"]).encode()
    return files


def make_store(root, files):
    """A store of these files, sketched: the store, the files of the annotation, and the blobs by path."""
    for path, content in files.items():
        (root / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "in" / path).write_bytes(content)
    store = Store(root / "store")
    store.create()
    source = DirectorySource(kind="directories", name="made", path=str(root / "in"))
    shards = ingest(store, INLINE, [source], IngestSettings(shard_bytes=60_000)).shards
    found = run_annotators(store, INLINE, shards, [MinHashAnnotator(MinHashParams())])["minhash"].files
    tables = [store.read(f"occurrences/{shard}.parquet") for shard in shards]
    table = pa.concat_tables(tables)
    places = [f"{repo}/{path}" for repo, path in zip(table["repo"].to_pylist(), table["path"].to_pylist(), strict=True)]
    return store, found, dict(zip(places, table["blob_id"].to_pylist(), strict=True))


def shingle_set(content: bytes) -> frozenset[int]:
    """The distinct shingles of a file."""
    from codemill.lexer import distinct_shingles

    return frozenset(distinct_shingles(pa.array([content], pa.large_binary()), 5).values.tolist())


def jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    return len(left & right) / len(left | right) if left | right else 0.0
