"""Cutting places each file once, keeps to the window, and keeps files with what they need."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.longcontext.cut import cut, fill
from codemill.longcontext.graph import build_graph
from codemill.longcontext.order import order_files
from codemill.longcontext.resolve.files import Link
from codemill.longcontext.sequences import Layout, find_readme, lay_out, shuffled
from tests.longcontext.test_order import graphs

WINDOW = 100


@st.composite
def sized(draw):
    graph = draw(graphs(most=24))
    sizes = draw(st.lists(st.integers(1, 130), min_size=graph.n, max_size=graph.n))
    return graph, np.array(sizes, np.int64)


@given(sized())
def test_cutting(given_):
    graph, sizes = given_
    order = order_files(graph)
    numbers = cut(graph, order, sizes, WINDOW, [f"f{index // 4}" for index in range(graph.n)])
    assert len(numbers) == graph.n
    loads = np.bincount(numbers, sizes)
    counts = np.bincount(numbers)
    assert np.all((loads <= WINDOW) | (counts == 1))
    # Numbers follow the order: the first file of each sequence comes after that of the one before.
    firsts = [np.flatnonzero(numbers[order.files] == number)[0] for number in range(len(counts))]
    assert firsts == sorted(firsts)
    for component in range(int(order.component.max(initial=-1)) + 1):
        members = np.flatnonzero(order.component == component)
        if sizes[members].sum() <= WINDOW:
            assert len(set(numbers[members])) == 1


@given(sized(), st.booleans(), st.data())
def test_layout(given_, readme_first, data):
    graph, sizes = given_
    ordered = data.draw(st.lists(st.booleans(), min_size=graph.n, max_size=graph.n))
    kept = [
        Link(int(user), "", (int(target),))
        for user, target in zip(graph.users, graph.targets, strict=True)
        if ordered[user] and ordered[target]
    ]
    graph = build_graph(graph.n, kept)
    paths = [f"d{index % 3}/README{index}" if index % 5 == 0 else f"d/{index}" for index in range(graph.n)]
    layout = Layout(WINDOW, "seed", readme_first)
    sequences, number, component = lay_out(graph, paths, ordered, sizes, layout)
    flat = [index for members in sequences for index in members]
    assert sorted(flat) == list(range(graph.n))
    for which, members in enumerate(sequences):
        assert members and all(number[index] == which for index in members)
        assert len(members) == 1 or sizes[members].sum() <= WINDOW
        place = {index: position for position, index in enumerate(members)}
        for user, target in zip(graph.users.tolist(), graph.targets.tolist(), strict=True):
            if user in place and target in place and component[user] != component[target]:
                assert place[target] < place[user]
    again = lay_out(graph, paths, ordered, sizes, layout)
    assert again[0] == sequences


def test_a_small_repository_is_one_sequence():
    graph = build_graph(4, [Link(1, "", (2,)), Link(2, "", (1,))])
    paths = ["README.md", "a.py", "b.py", "z.sql"]
    sequences, _, component = lay_out(graph, paths, [False, True, True, False], np.full(4, 10), Layout(40, "s"))
    assert sequences in ([[0, 2, 1, 3]], [[0, 1, 2, 3]])
    assert component.tolist() == [-1, 0, 0, -1]


def test_the_readme_opens_the_first_sequence_of_a_repository_that_is_cut():
    graph = build_graph(40, [Link(user, "", (user - 1,)) for user in range(1, 39)])
    paths = [*(f"a{index:02}.py" for index in range(39)), "README.md"]
    for size in (1, 60, 90):
        sizes = np.array([*[10] * 39, size])
        sequences, number, _ = lay_out(graph, paths, [True] * 39 + [False], sizes, Layout(WINDOW, "s"))
        assert sequences[0][:2] == [39, 0]
        assert all(sizes[number == which].sum() <= WINDOW for which in range(len(sequences)))
    # Too long to stand beside a file: it has a sequence of its own.
    sequences, _, _ = lay_out(graph, paths, [True] * 39 + [False], np.array([*[10] * 39, 95]), Layout(WINDOW, "s"))
    assert sequences[-1] == [39]


def test_without_any_edge_the_order_is_random_and_seeded():
    graph = build_graph(30, [])
    paths = [f"q{index:02}.sql" for index in range(30)]
    orders = {
        seed: lay_out(graph, paths, [False] * 30, np.full(30, 1), Layout(99, seed))[0] for seed in ("a", "b", "a2")
    }
    assert len({str(order) for order in orders.values()}) == 3
    assert orders["a"] != [list(range(30))]
    # A file more changes nothing between the others.
    assert [i for i in shuffled([*paths, "new.sql"], "a") if i < 30] == shuffled(paths, "a")


def test_what_belongs_together_is_kept_together():
    """Eight groups that import inside themselves, their files spread over folders: no edge has to be cut."""
    links = [Link(group + 8 * user, "", (group + 8 * (user - 1),)) for group in range(8) for user in range(1, 10)]
    graph = build_graph(80, links)
    sizes = np.full(80, 10, np.int64)
    order = order_files(graph)
    numbers = cut(graph, order, sizes, WINDOW, [f"f{index // 8}" for index in range(80)])
    assert np.all(numbers[graph.users] == numbers[graph.targets])
    assert numbers.max() == 7
    by_path = fill(np.arange(80), sizes, WINDOW)
    assert np.mean(by_path[graph.users] == by_path[graph.targets]) < 0.25


def test_filling_begins_a_window_where_the_next_file_does_not_fit():
    assert fill([2, 0, 1, 3], np.array([60, 40, 50, 200]), 100).tolist() == [1, 1, 0, 2]


@pytest.mark.parametrize(
    ("paths", "readme"),
    [
        (["docs/README.md", "README.rst", "x.py"], "README.rst"),
        (["README.de.md", "README.md"], "README.md"),
        (["readme.py", "x.py"], None),
        ([], None),
    ],
)
def test_readmes(paths, readme):
    found = find_readme(paths, [path.endswith(".py") for path in paths])
    assert (None if found is None else paths[found]) == readme
