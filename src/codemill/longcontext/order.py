"""Puts files in the order of their dependencies: what is needed first, cycles together, the same order every time."""

import heapq
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from codemill.longcontext.graph import Graph, Ints

IMPORT_WEIGHT = 2  # an import weighs more than a name that was only seen
USE_WEIGHT = 1


@dataclass(frozen=True)
class Order:
    """An order of n files.

    Attributes:
        files: the n files, dependencies first.
        component: of every file the number of its strongly connected component, in the order of `files`.
    """

    files: Ints
    component: Ints


def offsets_of(n: int, users: Ints) -> Ints:
    """Where the edges of each of n nodes begin among edges sorted by user; n + 1 places."""
    return np.searchsorted(users, np.arange(n + 1)).astype(np.int64)


@numba.njit(cache=True)
def _components(n: int, offsets: Ints, targets: Ints) -> Ints:
    """Tarjan's strongly connected components (SIAM J. Comput. 1972) without recursion.

    Components are numbered as they are finished, so what a component needs has a lower number. Depth first from the
    first file on, which puts a file right behind what it alone needs.
    """
    unseen = -1
    index = np.full(n, unseen, np.int64)
    low = np.zeros(n, np.int64)
    component = np.full(n, unseen, np.int64)
    path = np.empty(n, np.int64)  # nodes being visited, with the next edge of each
    edge = np.empty(n, np.int64)
    waiting = np.empty(n, np.int64)  # Tarjan's stack
    depth = held = counter = found = 0
    for root in range(n):
        if index[root] != unseen:
            continue
        path[0], edge[0], depth = root, offsets[root], 1
        index[root] = low[root] = counter
        counter += 1
        waiting[held] = root
        held += 1
        while depth:
            node = path[depth - 1]
            if edge[depth - 1] < offsets[node + 1]:
                target = targets[edge[depth - 1]]
                edge[depth - 1] += 1
                if index[target] == unseen:
                    index[target] = low[target] = counter
                    counter += 1
                    waiting[held] = target
                    held += 1
                    path[depth], edge[depth] = target, offsets[target]
                    depth += 1
                elif component[target] == unseen:
                    low[node] = min(low[node], index[target])
                continue
            depth -= 1
            if depth:
                low[path[depth - 1]] = min(low[path[depth - 1]], low[node])
            if low[node] == index[node]:
                while True:
                    held -= 1
                    component[waiting[held]] = found
                    if waiting[held] == node:
                        break
                found += 1
    return component


def order_files(graph: Graph) -> Order:
    """Dependencies before their users; the files of a component one after the other, in an order that leaves few edges
    pointing forwards (Eades, Lin and Smyth, Inf. Process. Lett. 1993)."""
    component = _components(graph.n, offsets_of(graph.n, graph.users), graph.targets)
    files = np.argsort(component, kind="stable").astype(np.int64)
    inside = component[graph.users] == component[graph.targets]
    if inside.any():
        place = np.argsort(component[graph.users[inside]], kind="stable")
        users, targets = graph.users[inside][place], graph.targets[inside][place]
        weights = np.where(graph.imports[inside][place], IMPORT_WEIGHT, USE_WEIGHT)
        numbers, starts = np.unique(component[users], return_index=True)
        first = np.searchsorted(component[files], numbers)
        stops = [*starts[1:].tolist(), len(users)]
        for number, start, stop, begin in zip(numbers, starts, stops, first, strict=True):
            size = int(np.count_nonzero(component == number))
            members = files[begin : begin + size]
            part = slice(start, stop)
            files[begin : begin + size] = _within(members, users[part], targets[part], weights[part])
    return Order(files, component)


def _within(members: Ints, users: Ints, targets: Ints, weights: npt.NDArray[np.int64]) -> list[int]:
    """The files of one component in an order in which the weight of what stands before what it needs is small."""
    needs: dict[int, dict[int, int]] = {int(node): {} for node in members}
    serves: dict[int, dict[int, int]] = {int(node): {} for node in members}
    for user, target, weight in zip(users.tolist(), targets.tolist(), weights.tolist(), strict=True):
        needs[user][target] = serves[target][user] = weight
    gain = {node: sum(serves[node].values()) - sum(needs[node].values()) for node in needs}
    free = sorted(node for node in needs if not needs[node])
    idle = sorted(node for node in needs if not serves[node])
    heap = [(-value, node) for node, value in gain.items()]
    heapq.heapify(heap)
    first: list[int] = []
    last: list[int] = []
    left = set(needs)
    while left:
        if free or not idle:
            node = heapq.heappop(free) if free else _best(heap, gain, left)
            side = first
        else:
            node, side = heapq.heappop(idle), last
        if node not in left:
            continue
        side.append(node)
        left.remove(node)
        for user, weight in serves[node].items():
            if user in left:
                del needs[user][node]
                gain[user] += weight
                heapq.heappush(heap, (-gain[user], user))
                if not needs[user]:
                    heapq.heappush(free, user)
        for target, weight in needs[node].items():
            if target in left:
                del serves[target][node]
                gain[target] -= weight
                heapq.heappush(heap, (-gain[target], target))
                if not serves[target]:
                    heapq.heappush(idle, target)
    return first + last[::-1]


def _best(heap: list[tuple[int, int]], gain: dict[int, int], left: set[int]) -> int:
    """The node that serves most and needs least; entries that are out of date are passed over."""
    while True:
        value, node = heapq.heappop(heap)
        if node in left and gain[node] == -value:
            return node
