"""How many edges of real repositories' import graphs lie inside a sequence: codemill's cut, path order, random order.

    python benchmarks/long_context.py CORPUS… [--window 8192 --window 32768] [--seeds 5]

CORPUS is a repository-level corpus of `codemill run`. All ways lay the same files, with the same estimate of tokens,
into sequences of a window: `path` and `dependency order` fill them one after the other, `random` is the mean of some
shuffles. A repository counts where it has edges and is longer than the window. Edges are those of the graph that
codemill makes; `imports` leaves out names that were only seen.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from codemill.longcontext.cut import fill
from codemill.longcontext.extract import Extractor
from codemill.longcontext.grammars import import_grammar
from codemill.longcontext.graph import Graph, Ints
from codemill.longcontext.order import order_files
from codemill.longcontext.read import find_inputs, read_repositories
from codemill.longcontext.sequences import Layout, Sources, lay_out, plan_repository
from codemill.longcontext.text import measure_with, piece

WAYS = ("cut", "dependency order", "path", "random")


@dataclass(frozen=True)
class Laid:
    """One repository: which files a graph orders, sizes in tokens, graph, counts of imports, seconds for the graph."""

    name: str
    paths: list[str]
    ordered: list[bool]
    sizes: Ints
    bytes: int
    graph: Graph
    imports: dict[str, Counter[str]]
    seconds: float


def repositories(corpora: list[str]) -> Iterator[Laid]:
    """The repositories of corpora with their graphs."""
    measure, extractor = measure_with(None, 3.5), Extractor()
    for one in find_inputs(corpora):
        for repository in read_repositories(one, 512_000_000):
            rows = [row for row in repository.files.to_pylist() if row["content"]]
            paths, languages = [row["path"] for row in rows], [row["language"] for row in rows]
            texts = [row["content"] for row in rows]
            sizes = measure([piece("comment", "", *row) for row in zip(paths, languages, texts, strict=True)])
            start = time.perf_counter()
            whole = Layout(int(sizes.sum()) + 1, repository.key[1])
            plan = plan_repository(extractor, Sources(paths, languages, texts), sizes, whole)
            seconds = time.perf_counter() - start
            ordered = [import_grammar(language) is not None for language in languages]
            size = sum(len(text.encode("utf-8", "replace")) for text in texts)
            yield Laid(repository.key[1], paths, ordered, sizes, size, plan.graph, plan.imports, seconds)
    extractor.close()


def shares(one: Laid, window: int, seeds: int) -> tuple[dict[str, float], dict[str, float], dict[str, int]]:
    """For every way the share of edges, and of imports, inside a sequence, and how many sequences there are."""
    files = list(range(len(one.paths)))
    numbers: dict[str, list[Ints]] = {
        "cut": [lay_out(one.graph, one.paths, one.ordered, one.sizes, Layout(window, one.name))[1]],
        "dependency order": [fill(order_files(one.graph).files, one.sizes, window)],
        "path": [fill(files, one.sizes, window)],
        "random": [fill(random.Random(seed).sample(files, len(files)), one.sizes, window) for seed in range(seeds)],
    }
    graph = one.graph
    every = {way: [n[graph.users] == n[graph.targets] for n in made] for way, made in numbers.items()}
    edges = {way: float(np.mean([inside.mean() for inside in made])) for way, made in every.items()}
    imports = {
        way: float(np.mean([inside[graph.imports].mean() if graph.imports.any() else np.nan for inside in made]))
        for way, made in every.items()
    }
    return edges, imports, {way: int(made[0].max()) + 1 for way, made in numbers.items()}


def main() -> None:
    """Print a table for each window, and how imports resolved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--window", type=int, action="append")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    laid = list(repositories(arguments.corpus))
    size, seconds = sum(one.bytes for one in laid), sum(one.seconds for one in laid)
    print(
        f"{len(laid)} repositories, {size / 1e6:.1f} MB; graphs in {seconds:.1f} s, {size / 1e6 / seconds:.1f} MB/s\n"
    )
    for window in arguments.window or [8_192, 32_768, 65_536]:
        print(f"window {window}: share of edges (of imports) inside a sequence; sequences\n")
        print(f"| repository | files | edges | {' | '.join(WAYS)} | sequences |")
        print(f"|---|---:|---:|{'---:|' * len(WAYS)}---|")
        rows = [(one, *shares(one, window, arguments.seeds)) for one in laid if len(one.graph)]
        rows = [row for row in rows if row[0].sizes.sum() > window]
        for one, edges, imports, count in rows:
            cells = " | ".join(f"{edges[way]:.1%} ({imports[way]:.1%})" for way in WAYS)
            ways = ", ".join(str(count[way]) for way in WAYS)
            print(f"| {one.name[:30]} | {len(one.paths):,} | {len(one.graph):,} | {cells} | {ways} |")
        means = [(np.mean([r[1][way] for r in rows]), np.nanmean([r[2][way] for r in rows])) for way in WAYS]
        totals = ", ".join(str(sum(row[3][way] for row in rows)) for way in WAYS)
        cells = " | ".join(f"{edges:.1%} ({imports:.1%})" for edges, imports in means)
        print(f"| mean of {len(rows)} | | | {cells} | {totals} |\n")
    tally: dict[str, Counter[str]] = {}
    for one in laid:
        for language, found in one.imports.items():
            tally.setdefault(language, Counter()).update(found)
    print("| language | imports | plainly internal | resolved |\n|---|---:|---:|---:|")
    for language, found in sorted(tally.items()):
        share = f"{found['resolved'] / found['internal']:.1%}" if found["internal"] else "-"
        print(f"| {language} | {found['imports']:,} | {found['internal']:,} | {share} |")


if __name__ == "__main__":
    main()
