"""Cuts a repository into sequences of a window's size, so that files stay with what they need.

Components that fit the window are never cut. Units are merged along their heaviest edges for their size, as multilevel
graph partitioners coarsen (Holtgrewe, Sanders and Schulz, IPDPS 2010), clusters are packed into windows, and single
units are then moved wherever that keeps more edges together (Fiduccia and Mattheyses, DAC 1982).
"""

import heapq
from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

from codemill.longcontext.graph import Graph, Ints
from codemill.longcontext.order import IMPORT_WEIGHT, USE_WEIGHT, Order, offsets_of

Floats = npt.NDArray[np.float64]
# Neighbours in a folder are drawn together where no edge says otherwise.
FOLDER_WEIGHT = 0.05
PASSES = 20


def fill(files: Sequence[int] | Ints, sizes: Ints, window: int) -> Ints:
    """Sequence numbers when files are laid one after the other and a new window begins where one doesn't fit.

    Args:
        files: an order of n files.
        sizes: of the n files, in tokens.
        window: tokens of a sequence; a longer file has one of its own.

    Returns:
        of every file, by its index, the number of its sequence.
    """
    numbers = np.zeros(len(sizes), np.int64)
    number, room = -1, -1
    for file in files:
        if sizes[file] > room:
            number, room = number + 1, window
        numbers[file] = number
        room -= sizes[file]
    return numbers


def cut(graph: Graph, order: Order, sizes: Ints, window: int, folders: Sequence[str]) -> Ints:
    """Sequence numbers of n files such that many edges lie inside sequences, none of which is over the window.

    A file that is longer than the window has a sequence of its own. The numbers follow the order of the files.

    Args:
        graph: edges between the files.
        order: the files in the order of their dependencies.
        sizes: tokens of every file.
        window: most tokens of a sequence.
        folders: of every file; files are numbered in the order of their paths.
    """
    units = _units(graph, order, sizes, window)
    unit_sizes = np.bincount(units, sizes).astype(np.int64)
    edges = _unit_edges(graph, units, folders)
    clusters = _merge(unit_sizes, edges, window)
    bins = _pack(clusters, unit_sizes, edges, window)
    refined = _refined(bins, unit_sizes, edges, window)
    return renumbered(refined[units], order.files)


def renumbered(numbers: Ints, files: Ints) -> Ints:
    """The same sequences, numbered by their first file in an order."""
    _, first = np.unique(numbers[files], return_index=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    names = np.unique(numbers)
    return rank[np.searchsorted(names, numbers)]


def _units(graph: Graph, order: Order, sizes: Ints, window: int) -> Ints:
    """What is moved as one: components that fit the window, else single files; numbered from 0."""
    whole = np.bincount(order.component, sizes) <= window if graph.n else np.zeros(0, np.bool_)
    key = np.where(whole[order.component], order.component, graph.n + np.arange(graph.n))
    return np.unique(key, return_inverse=True)[1].astype(np.int64)


def _unit_edges(graph: Graph, units: Ints, folders: Sequence[str]) -> tuple[Ints, Ints, Floats]:
    """Edges between different units in both directions, sorted, with their weights."""
    beside = np.array([i for i in range(1, graph.n) if folders[i] == folders[i - 1]], np.int64)
    ones = np.concatenate([units[graph.users], units[beside]])
    twos = np.concatenate([units[graph.targets], units[beside - 1]])
    weights = np.concatenate(
        [np.where(graph.imports, float(IMPORT_WEIGHT), float(USE_WEIGHT)), np.full(len(beside), FOLDER_WEIGHT)]
    )
    apart = ones != twos
    ones, twos, weights = ones[apart], twos[apart], weights[apart]
    count = int(units.max()) + 1 if len(units) else 0
    keys = np.concatenate([ones * count + twos, twos * count + ones])
    names, places = np.unique(keys, return_inverse=True)
    total = np.bincount(places, np.concatenate([weights, weights]), minlength=len(names))
    return names // max(count, 1), names % max(count, 1), total


def _merge(sizes: Ints, edges: tuple[Ints, Ints, Floats], window: int) -> Ints:
    """The cluster of every unit: pairs with much weight for their size are merged first, while they fit the window."""
    near: list[dict[int, float]] = [{} for _ in sizes]
    for one, two, weight in zip(*(column.tolist() for column in edges), strict=True):
        near[one][two] = weight
    size = sizes.tolist()
    parent = list(range(len(size)))
    heap: list[tuple[float, int, int, float]] = []

    def offer(one: int, two: int, weight: float) -> None:
        if size[one] + size[two] <= window:
            low, high = min(one, two), max(one, two)
            heapq.heappush(heap, (-weight * weight / (max(size[one], 1) * max(size[two], 1)), low, high, weight))

    for one, table in enumerate(near):
        for two, weight in table.items():
            if one < two:
                offer(one, two, weight)
    while heap:
        _, one, two, weight = heapq.heappop(heap)
        if parent[one] != one or parent[two] != two or near[one].get(two) != weight:
            continue
        if size[one] + size[two] > window:
            continue
        if len(near[one]) < len(near[two]):
            one, two = two, one
        parent[two] = one
        size[one] += size[two]
        del near[one][two]
        for other, more in near[two].items():
            if other != one:
                del near[other][two]
                near[one][other] = near[other][one] = near[one].get(other, 0.0) + more
        near[two] = {}
        for other in sorted(near[one]):
            offer(one, other, near[one][other])
    return np.array([_root(parent, unit) for unit in range(len(size))], np.int64)


def _root(parent: list[int], unit: int) -> int:
    while parent[unit] != unit:
        parent[unit] = parent[parent[unit]]
        unit = parent[unit]
    return unit


def _pack(clusters: Ints, sizes: Ints, edges: tuple[Ints, Ints, Floats], window: int) -> Ints:
    """The window of every unit: large clusters first, each where it has most edges among the windows with room, else in
    the fullest that has room."""
    names, which = np.unique(clusters, return_inverse=True)
    weight = np.bincount(which, sizes).astype(np.int64)
    near: list[dict[int, float]] = [{} for _ in names]
    for one, two, much in zip(which[edges[0]].tolist(), which[edges[1]].tolist(), edges[2].tolist(), strict=True):
        if one != two:
            near[one][two] = near[one].get(two, 0.0) + much
    home = np.full(len(names), -1, np.int64)
    rooms: list[int] = []
    for cluster in np.lexsort((np.arange(len(names)), -weight)).tolist():
        need = int(weight[cluster])
        pull: dict[int, float] = {}
        for other, much in near[cluster].items():
            if home[other] >= 0 and rooms[home[other]] >= need:
                pull[int(home[other])] = pull.get(int(home[other]), 0.0) + much
        if pull:
            best = max(pull, key=lambda place: (pull[place], -place))
        else:
            fits = [(room, place) for place, room in enumerate(rooms) if room >= need]
            best = min(fits)[1] if fits else len(rooms)
        if best == len(rooms):
            rooms.append(max(window, need))
        home[cluster] = best
        rooms[best] -= need
    return home[which]


def _refined(bins: Ints, sizes: Ints, edges: tuple[Ints, Ints, Floats], window: int) -> Ints:
    """Bins after moves that keep more weight together."""
    if not len(bins):
        return bins
    offsets = offsets_of(len(bins), edges[0])
    return np.asarray(_move(bins.copy(), sizes, offsets, edges[1], edges[2], window))


@numba.njit(cache=True)
def _move(  # noqa: PLR0917 - a kernel takes its arrays one by one
    bins: Ints, sizes: Ints, offsets: Ints, targets: Ints, weights: Floats, window: int
) -> Ints:
    """Move single units to the bin with which they share most weight, while one gains."""
    count = bins.max() + 1
    load = np.zeros(count, np.int64)
    for unit in range(len(bins)):
        load[bins[unit]] += sizes[unit]
    pull = np.zeros(count)
    touched = np.empty(len(bins), np.int64)
    for _ in range(PASSES):
        moved = False
        for unit in range(len(bins)):
            here = bins[unit]
            seen = 0
            for edge in range(offsets[unit], offsets[unit + 1]):
                place = bins[targets[edge]]
                if pull[place] == 0.0:
                    touched[seen] = place
                    seen += 1
                pull[place] += weights[edge]
            best, most = here, pull[here] + 1e-9
            for index in range(seen):
                place = touched[index]
                if pull[place] > most and load[place] + sizes[unit] <= window:
                    best, most = place, pull[place]
            for index in range(seen):
                pull[touched[index]] = 0.0
            if best != here:
                load[here] -= sizes[unit]
                load[best] += sizes[unit]
                bins[unit] = best
                moved = True
        if not moved:
            break
    return bins
