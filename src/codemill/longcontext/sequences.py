"""One repository as sequences: its graph, the order of its files, and where it is cut."""

import hashlib
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numba
import numpy as np

from codemill.longcontext.cut import cut
from codemill.longcontext.extract import Extractor
from codemill.longcontext.grammars import import_grammar
from codemill.longcontext.graph import Bools, Graph, Ints, build_graph, count_imports
from codemill.longcontext.order import Order, order_files
from codemill.longcontext.resolve import resolve_links


@dataclass(frozen=True)
class Plan:
    """How n files of a repository lie in sequences.

    Attributes:
        sequences: file indexes, in order, of every sequence.
        number: of every file its sequence, shape (n,).
        component: of every file its strongly connected component; -1 where no graph orders it, shape (n,).
        graph: what needs what.
        imports: by language, see `count_imports`.
        parsed: status of the files' parses, see `Found`, -> files.
    """

    sequences: list[list[int]]
    number: Ints
    component: Ints
    graph: Graph
    imports: dict[str, Counter[str]] = field(default_factory=dict)
    parsed: Counter[str] = field(default_factory=Counter)

    @property
    def inside(self) -> Bools:
        """Of every edge whether both its files lie in one sequence."""
        return np.asarray(self.number[self.graph.users] == self.number[self.graph.targets], np.bool_)


@dataclass(frozen=True)
class Sources:
    """n files of a repository.

    Attributes:
        paths: sorted, relative to the repository.
        languages: as Linguist names them.
        texts: contents.
    """

    paths: Sequence[str]
    languages: Sequence[str | None]
    texts: Sequence[str]


@dataclass(frozen=True)
class Layout:
    """How files are laid into sequences.

    Attributes:
        window: most tokens of a sequence; a longer file has one of its own.
        seed: what the random order depends on beside the paths: the repository, and a setting.
        readme_first: whether the README opens the first sequence.
    """

    window: int
    seed: str
    readme_first: bool = True


def plan_repository(extractor: Extractor, sources: Sources, sizes: Ints, layout: Layout) -> Plan:
    """Lay n files into sequences: dependencies before their users, then files without a graph in random order.

    Args:
        extractor: finds imports.
        sources: the files.
        sizes: tokens of every file, header included.
        layout: how to lay them.
    """
    found = extractor.extract(sources.languages, sources.texts)
    links = list(resolve_links(sources.paths, sources.languages, sources.texts, found))
    graph = build_graph(len(sources.paths), links)
    ordered = [import_grammar(language) is not None for language in sources.languages]
    laid = lay_out(graph, sources.paths, ordered, sizes, layout)
    imports = count_imports(links, sources.languages)
    return Plan(*laid, graph, imports, Counter(one.status for one in found))


def lay_out(
    graph: Graph, paths: Sequence[str], ordered: Sequence[bool], sizes: Ints, layout: Layout
) -> tuple[list[list[int]], Ints, Ints]:
    """Sequences, each file's sequence, and each file's component, as in `Plan`.

    Args:
        graph: what needs what.
        paths: of the n files, sorted.
        ordered: whether a graph could be made of the file's language. Without a single edge nothing is ordered.
        sizes: tokens of every file.
        layout: how to lay them.
    """
    readme = find_readme(paths, ordered) if layout.readme_first else None
    with_graph = np.array(ordered, np.bool_) if len(graph) else np.zeros(graph.n, np.bool_)
    nodes = np.flatnonzero(with_graph)
    loose = [index for index in shuffled(paths, layout.seed) if not with_graph[index] and index != readme]
    part = _part(graph, nodes)
    order = order_files(part)
    number = np.full(graph.n, -1, np.int64)
    needs = sizes[nodes]
    hosted = readme is not None and _host(order, needs, int(sizes[readme]), layout.window)
    number[nodes] = _cut(part, order, needs, layout.window, [posixpath.dirname(paths[node]) for node in nodes.tolist()])
    first = [readme] if readme is not None else []
    if hosted:
        number[first] = number[nodes[order.files[0]]]
    rest = np.array([*([] if hosted else first), *loose], np.int64)
    rooms = _rooms(number, sizes, layout.window)
    number[rest] = _first_fit(sizes[rest], rooms, layout.window)
    component = np.full(graph.n, -1, np.int64)
    component[nodes] = order.component
    sequences: list[list[int]] = [[] for _ in range(int(number.max(initial=-1)) + 1)]
    for index in [*first, *nodes[order.files].tolist(), *loose]:
        sequences[number[index]].append(index)
    return sequences, number, component


def find_readme(paths: Sequence[str], ordered: Sequence[bool]) -> int | None:
    """The README that is nearest to the root, the shortest name first; no file whose language has a graph is one."""
    names = [posixpath.basename(path).lower() for path in paths]
    found = [index for index, name in enumerate(names) if name.startswith("readme") and not ordered[index]]
    return min(found, key=lambda index: (paths[index].count("/"), len(paths[index]), paths[index]), default=None)


def shuffled(paths: Sequence[str], seed: str) -> list[int]:
    """The indexes of paths in an order that looks random, of the seed alone, and that other files don't change."""

    def key(index: int) -> tuple[bytes, int]:
        return hashlib.sha256(f"{seed}\0{paths[index]}".encode("utf-8", "surrogateescape")).digest(), index

    return sorted(range(len(paths)), key=key)


def _part(graph: Graph, nodes: Ints) -> Graph:
    """The graph of some files, numbered anew."""
    place = np.full(graph.n, -1, np.int64)
    place[nodes] = np.arange(len(nodes))
    users, targets = place[graph.users], place[graph.targets]
    kept = (users >= 0) & (targets >= 0)
    return Graph(len(nodes), users[kept], targets[kept], graph.imports[kept])


def _host(order: Order, needs: Ints, size: int, window: int) -> bool:
    """Have the first file need the README's room too, if its component can; then both open the first sequence."""
    if not len(needs):
        return False
    first = order.files[0]
    fits = int(needs[order.component == order.component[first]].sum()) + size <= window
    if fits:
        needs[first] += size
    return fits


def _cut(graph: Graph, order: Order, sizes: Ints, window: int, folders: Sequence[str]) -> Ints:
    """Sequence numbers of the files with a graph: one where they fit the window."""
    if sizes.sum() <= window:
        return np.zeros(graph.n, np.int64)
    return cut(graph, order, sizes, window, folders)


def _rooms(number: Ints, sizes: Ints, window: int) -> Ints:
    """Tokens that are left in every sequence begun; none in one that a long file has to itself."""
    placed = number >= 0
    loads = np.bincount(number[placed], sizes[placed]).astype(np.int64)
    return np.asarray(window - loads, np.int64)


@numba.njit(cache=True)
def _first_fit(sizes: Ints, rooms: Ints, window: int) -> Ints:
    """The sequence of every file, in order: the first with room, else a new one."""
    count = len(rooms)
    room = np.empty(count + len(sizes), np.int64)
    room[:count] = rooms
    numbers = np.empty(len(sizes), np.int64)
    for index in range(len(sizes)):
        place = 0
        while place < count and room[place] < sizes[index]:
            place += 1
        if place == count:
            room[place] = window
            count += 1
        room[place] -= sizes[index]
        numbers[index] = place
    return numbers
