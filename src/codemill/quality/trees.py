"""Boosted trees as flat arrays, walked by many files at once."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from codemill.lexer import jit
from codemill.quality.kernels import Array

Floats = NDArray[Any]

_ABREAST = 16  # files that walk a tree together


class Stored(Protocol):
    """The fields of a fitted model that hold its trees."""

    @property
    def node_feature(self) -> Floats:
        """int16[T]; -1 is a leaf."""
        ...

    @property
    def node_threshold(self) -> Floats:
        """float32[T]; a leaf's value."""
        ...

    @property
    def node_left(self) -> Floats:
        """int32[T]; the right child is next to it."""
        ...

    @property
    def roots(self) -> Floats:
        """int32[trees]."""
        ...

    @property
    def forests(self) -> Floats:
        """int32[F + 1]: where each forest begins in `roots`, and the end."""
        ...

    @property
    def bases(self) -> Floats:
        """float32[F]."""
        ...


class Forests(NamedTuple):
    """Trees made ready: a leaf leads to itself, so that all files take as many steps as the tree is deep."""

    feature: Floats  # int32[T]
    threshold: Floats  # float32[T]
    left: Floats  # int32[T]
    value: Floats  # float32[T]
    roots: Floats  # int32[trees]
    depths: Floats  # int32[trees]
    forests: Floats  # int32[F + 1]
    bases: Floats  # float32[F]


def plant(a: Stored) -> Forests:
    """The trees of a model, made ready."""
    leaf = a.node_feature < 0
    left = np.where(leaf, np.arange(len(leaf)), a.node_left).astype(np.int32)
    return Forests(
        np.where(leaf, 0, a.node_feature).astype(np.int32),
        np.where(leaf, np.inf, a.node_threshold).astype(np.float32),
        left,
        np.where(leaf, a.node_threshold, 0).astype(np.float32),
        a.roots,
        _depths(left, a.roots),
        a.forests,
        a.bases,
    )


@jit
def _depths(left: Array, roots: Array) -> Any:
    depth = np.zeros(left.shape[0], np.int32)
    out = np.zeros(roots.shape[0], np.int32)
    for tree in range(roots.shape[0]):
        end = roots[tree + 1] if tree + 1 < roots.shape[0] else left.shape[0]
        for node in range(roots[tree], end):  # parents come before their children
            if left[node] != node:
                depth[left[node]] = depth[left[node] + 1] = depth[node] + 1
            out[tree] = max(out[tree], depth[node])
    return out


@jit
def walk(inputs: Array, trees: Forests) -> Any:
    """Sums of the trees' leaves by forest: float32[rows, F]. `inputs` float32[rows, features]."""
    rows, width = inputs.shape
    flat = np.ascontiguousarray(inputs).ravel()
    out = np.zeros((rows, trees.bases.shape[0]), np.float32)
    at = np.zeros(_ABREAST, np.int32)
    for f in range(trees.bases.shape[0]):
        out[:, f] = trees.bases[f]
        # Trees outside, rows inside: a tree's nodes stay in the cache. No branch depends on a file, so the steps of
        # several files overlap.
        for t in range(trees.forests[f], trees.forests[f + 1]):
            for i in range(0, rows, _ABREAST):
                abreast = min(_ABREAST, rows - i)
                for k in range(abreast):
                    at[k] = trees.roots[t]
                for _ in range(trees.depths[t]):
                    for k in range(abreast):
                        node = at[k]
                        right = flat[(i + k) * width + trees.feature[node]] > trees.threshold[node]
                        at[k] = trees.left[node] + np.int32(right)
                for k in range(abreast):
                    out[i + k, f] += trees.value[at[k]]
    return out
