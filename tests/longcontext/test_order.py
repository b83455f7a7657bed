"""Dependencies come before their users, cycles stay together, and the same graph gives the same order."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codemill.longcontext.graph import Graph, build_graph
from codemill.longcontext.order import order_files
from codemill.longcontext.resolve.files import Link


@st.composite
def graphs(draw, most=30):
    n = draw(st.integers(0, most))
    pairs = draw(st.lists(st.tuples(st.integers(0, max(n - 1, 0)), st.integers(0, max(n - 1, 0))), max_size=3 * n))
    kinds = draw(st.lists(st.sampled_from(["import", "use"]), min_size=len(pairs), max_size=len(pairs)))
    return build_graph(n, [Link(user, "", (target,), kind) for (user, target), kind in zip(pairs, kinds, strict=True)])


def reachable(graph):
    """Whether a path leads from one file to another, by Warshall's rule; slow and plain."""
    ways = np.eye(graph.n, dtype=bool)
    ways[graph.users, graph.targets] = True
    for middle in range(graph.n):
        ways |= ways[:, [middle]] & ways[[middle], :]
    return ways


@given(graphs())
def test_order(graph):
    order = order_files(graph)
    assert sorted(order.files) == list(range(graph.n))
    ways = reachable(graph)
    same = ways & ways.T
    assert np.array_equal(same, order.component[:, None] == order.component[None, :])
    place = np.empty(graph.n, int)
    place[order.files] = np.arange(graph.n)
    for user, target in zip(graph.users, graph.targets, strict=True):
        if not same[user, target]:
            assert place[target] < place[user]
    # Components one after the other, numbered in that order.
    assert np.all(np.diff(order.component[order.files]) >= 0)
    again = order_files(graph)
    assert np.array_equal(again.files, order.files)


@given(graphs())
def test_graphs_hold_each_edge_once(graph):
    edges = list(zip(graph.users.tolist(), graph.targets.tolist(), strict=True))
    assert edges == sorted(set(edges))
    assert all(user != target for user, target in edges)


def test_an_import_outweighs_a_use_in_a_cycle():
    graph = build_graph(2, [Link(0, "", (1,), "use"), Link(1, "", (0,), "import")])
    assert order_files(graph).files.tolist() == [0, 1]
    graph = build_graph(2, [Link(0, "", (1,), "import"), Link(1, "", (0,), "use")])
    assert order_files(graph).files.tolist() == [1, 0]


def test_in_a_cycle_few_edges_point_forwards():
    """A long chain with one edge back: all but that one are kept."""
    n = 50
    graph = build_graph(n, [*(Link(i, "", (i + 1,)) for i in range(n - 1)), Link(n - 1, "", (0,))])
    place = np.argsort(order_files(graph).files)
    assert np.count_nonzero(place[graph.targets] > place[graph.users]) == 1


def test_large_graphs_need_no_recursion():
    n = 200_000
    chain = Graph(n, np.arange(n - 1), np.arange(1, n), np.ones(n - 1, bool))
    assert order_files(chain).files.tolist() == list(range(n))[::-1]
    ring = Graph(20_000, np.arange(20_000), (np.arange(20_000) + 1) % 20_000, np.ones(20_000, bool))
    assert order_files(ring).component.max() == 0


def test_a_file_follows_what_it_alone_needs():
    """Depth first: 0 needs 3, 1 needs 4; breadth first would part them."""
    graph = build_graph(5, [Link(0, "", (3,)), Link(1, "", (4,))])
    assert order_files(graph).files.tolist() == [3, 0, 4, 1, 2]


def test_random_graphs_in_any_numbering_have_the_same_components():
    pick = random.Random(3)
    pairs = [(pick.randrange(60), pick.randrange(60)) for _ in range(80)]
    names = list(range(60))
    pick.shuffle(names)
    one = order_files(build_graph(60, [Link(a, "", (b,)) for a, b in pairs])).component
    two = order_files(build_graph(60, [Link(names[a], "", (names[b],)) for a, b in pairs])).component
    sizes = np.sort(np.bincount(one)), np.sort(np.bincount(two))
    assert np.array_equal(*sizes)
