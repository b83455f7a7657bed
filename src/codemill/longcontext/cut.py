"""Cuts a repository into sequences of a window's size, so that files stay with what they need.

Components that fit the window are never cut. Units are merged along their heaviest edges for their size, as multilevel
graph partitioners coarsen (Holtgrewe, Sanders and Schulz, IPDPS 2010), clusters are packed into windows, and single
units are then moved or swapped wherever that keeps more edges together (Fiduccia and Mattheyses, DAC 1982; Kernighan
and Lin, Bell Syst. Tech. J. 1970).
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
LEAST = 1e-9  # gains below are rounding


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
    total = np.asarray(np.bincount(places, np.concatenate([weights, weights]), minlength=len(names)), np.float64)
    return names // max(count, 1), names % max(count, 1), total


def _merge(sizes: Ints, edges: tuple[Ints, Ints, Floats], window: int) -> Ints:
    """The cluster of every unit: pairs with much weight for their size are merged first, while they fit the window."""
    near: list[dict[int, float]] = [{} for _ in sizes]
    for one, two, weight in zip(*(column.tolist() for column in edges), strict=True):
        near[one][two] = weight
    size = np.maximum(sizes, 1).tolist()
    parent = list(range(len(size)))
    heap: list[tuple[float, int, int]] = []

    def offer(one: int) -> None:
        """The best neighbour of a cluster to the heap; neighbours that can't fit any more are forgotten."""
        best, most = -1, 0.0
        for two, weight in list(near[one].items()):
            if size[one] + size[two] > window:
                del near[one][two], near[two][one]
                continue
            rating = weight * weight / size[two]
            if rating > most or (rating == most and two < best):
                best, most = two, rating
        if best >= 0:
            heapq.heappush(heap, (-most / size[one], one, best))

    for unit in range(len(size)):
        offer(unit)
    while heap:
        rating, one, two = heapq.heappop(heap)
        if parent[one] != one:
            continue
        weight = near[one].get(two, 0.0)
        if parent[two] != two or -rating != weight * weight / size[two] / size[one] or size[one] + size[two] > window:
            offer(one)  # one of both has changed since
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
        offer(one)
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
    """Bins after moves and swaps that keep more weight together."""
    if not len(bins):
        return bins
    offsets = offsets_of(len(bins), edges[0])
    return np.asarray(_improve((bins.copy(), sizes, offsets, edges[1], edges[2]), window))


# What the kernels pass on: the bin of each unit, its size, and its edges (where they begin, targets, weights).
State = tuple[Ints, Ints, Ints, Ints, Floats]


@numba.njit(cache=True)
def _improve(state: State, window: int) -> Ints:
    """Move a unit to the bin that it shares most weight with, or swap it with one there, while something is gained."""
    bins, sizes, offsets, targets, weights = state
    loads = np.zeros(bins.max() + 1, np.int64)
    members = [[0] for _ in loads]
    for own in members:
        own.pop()
    for unit in range(len(bins)):
        loads[bins[unit]] += sizes[unit]
        members[bins[unit]].append(unit)
    pulls = np.zeros(len(loads))
    for _ in range(PASSES):
        changed = False
        for unit in range(len(bins)):
            here = bins[unit]
            for edge in range(offsets[unit], offsets[unit + 1]):
                pulls[bins[targets[edge]]] += weights[edge]
            best, partner = _best(unit, state, pulls, loads, members, window)
            for edge in range(offsets[unit], offsets[unit + 1]):
                pulls[bins[targets[edge]]] = 0.0
            if best != here:
                changed = True
                _put(unit, best, bins, sizes, loads, members)
                if partner >= 0:
                    _put(partner, here, bins, sizes, loads, members)
        if not changed:
            break
    return bins


@numba.njit(cache=True)
def _best(  # noqa: PLR0917 - a kernel takes its arrays one by one
    unit: int, state: State, pulls: Floats, loads: Ints, members: list[list[int]], window: int
) -> tuple[int, int]:
    """The bin where a unit gains most, and the unit to swap it with, or -1; its own bin where it gains nowhere."""
    bins, sizes, offsets, targets, _ = state
    here = bins[unit]
    best, most, partner = here, LEAST, -1
    for edge in range(offsets[unit], offsets[unit + 1]):
        place = bins[targets[edge]]
        gain = pulls[place] - pulls[here]
        if place == here or gain <= most:
            continue
        if loads[place] + sizes[unit] <= window:
            best, most, partner = place, gain, -1
            continue
        for other in members[place]:
            grown = loads[here] - sizes[unit] + sizes[other]
            if grown <= window and loads[place] - sizes[other] + sizes[unit] <= window:
                both = gain + _gain_of(other, unit, here, state)
                if both > most:
                    best, most, partner = place, both, other
    return best, partner


@numba.njit(cache=True)
def _gain_of(unit: int, other: int, place: int, state: State) -> float:
    """What a unit gains in a bin that `other` leaves for the unit's own."""
    bins, _, offsets, targets, weights = state
    gain = 0.0
    for edge in range(offsets[unit], offsets[unit + 1]):
        target = targets[edge]
        if target == other:
            gain -= 2 * weights[edge]
        if bins[target] == place:
            gain += weights[edge]
        elif bins[target] == bins[unit]:
            gain -= weights[edge]
    return gain


@numba.njit(cache=True)
def _put(  # noqa: PLR0917 - as above
    unit: int, place: int, bins: Ints, sizes: Ints, loads: Ints, members: list[list[int]]
) -> None:
    members[bins[unit]].remove(unit)
    members[place].append(unit)
    loads[bins[unit]] -= sizes[unit]
    loads[place] += sizes[unit]
    bins[unit] = place
