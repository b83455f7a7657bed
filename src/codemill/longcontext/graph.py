"""The graph of a repository: which file needs which, from the links that resolvers found."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codemill.longcontext.resolve.files import Link

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Graph:
    """Edges between n files, sorted by user and target, each once, none from a file to itself.

    Attributes:
        n: files.
        users: of each edge the file that needs the other.
        targets: of each edge the file that is needed.
        imports: whether an import says so, or only a name used.
    """

    n: int
    users: Ints
    targets: Ints
    imports: Bools

    def __len__(self) -> int:
        return len(self.users)


def build_graph(n: int, links: Iterable[Link]) -> Graph:
    """The graph of links; an import and a use of the same file are one import."""
    edges: dict[tuple[int, int], bool] = {}
    for link in links:
        for target in link.targets:
            if target != link.user:
                edges[link.user, target] = edges.get((link.user, target), False) or link.kind == "import"
    ordered = sorted(edges)
    return Graph(
        n,
        np.array([user for user, _ in ordered], np.int64),
        np.array([target for _, target in ordered], np.int64),
        np.array([edges[edge] for edge in ordered], np.bool_),
    )


def count_imports(links: Iterable[Link], languages: Sequence[str | None]) -> dict[str, Counter[str]]:
    """By language of the user: imports, those plainly `internal`, and of these the `resolved` ones."""
    counts: dict[str, Counter[str]] = {}
    for link in links:
        if link.kind == "import":
            count = counts.setdefault(languages[link.user] or "", Counter())
            count["imports"] += 1
            count["internal"] += link.internal or bool(link.targets)
            count["resolved"] += bool(link.targets)
    return counts
