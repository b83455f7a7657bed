"""The kernel machine of the reference scorer: which files a file is like, by a distance that was learned.

A recursive feature machine (Radhakrishnan, Beaglehole, Pandit and Belkin 2024, Science 383) of one step: a kernel
machine on all inputs alike says along which directions ratings change; a second one measures distance along those.

Points are whole numbers, and every sum of floats has one order: what a file gets does not depend on its company.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codemill.lexer import jit
from codemill.quality.kernels import Array

Floats = NDArray[Any]

RANK_LIMIT = 2.5  # normal scores are cut here
LANES = 16  # rows of weights are filled up to a multiple of this: whole vector registers
_FINE = 8  # places of the table of exp, for one step of distance
_LARGEST = 127


class Space(NamedTuple):
    """Where files lie. Sizes: V measures and projections, K knots, C languages, R opinions, D dimensions."""

    knots: Floats  # float32[V, K], padded with infinity
    ranks: Floats  # float32[V, K]: normal scores at the knots, each measure's scaled to a spread of one
    metric: Floats  # float32[V + C + R, D]: inputs times this are points


class Machine(NamedTuple):
    """A fitted machine, made ready: the number of supports is even, rows of `alphas` are filled up to full lanes."""

    supports: Floats  # int8[N, D]
    norms: Floats  # int32[N]: squared lengths
    alphas: Floats  # float32[N, lanes]
    near: Floats  # float32: exp(-distance), `_FINE` places for one step


def ready(supports: Floats, alphas: Floats, reach: float) -> Machine:
    """A machine from its stored arrays; `reach` is the distance at which the kernel has fallen to 1/e."""
    rows, width = supports.shape
    whole = np.pad(supports, ((0, rows % 2), (0, 0)))
    norms = (whole.astype(np.int32) ** 2).sum(axis=1, dtype=np.int32)
    filled = np.pad(alphas.astype(np.float32), ((0, rows % 2), (0, -alphas.shape[1] % LANES)))
    farthest = int(np.ceil(2 * (_LARGEST + 1) * np.sqrt(width)))
    near = np.exp(-np.arange(farthest * _FINE + 1) / (_FINE * reach))
    return Machine(whole, norms, filled, near.astype(np.float32))


def to_points(values: Floats, codes: NDArray[np.int64], opinions: Floats, space: Space) -> Floats:
    """Files as points, int8[rows, D]. `values` float32[rows, V], `opinions` float32[rows, R].

    A code beyond the languages the space knows adds nothing.
    """
    out = np.zeros((len(values), space.metric.shape[1]), np.int8)
    _place(values.astype(np.float32), codes, opinions.astype(np.float32), space, out)
    return out


def opinions_of(points: Floats, machine: Machine, targets: int) -> Floats:
    """Sums of the supports' weights by nearness: float32[rows, targets]."""
    filled = np.pad(points, ((0, -len(points) % 4), (0, 0)))
    out = np.zeros((len(filled), machine.alphas.shape[1]), np.float32)
    _laplace(filled, machine, out)
    return np.asarray(out[: len(points), :targets])


def normal_scores(values: Floats, knots: Floats, ranks: Floats) -> Floats:
    """Measures as normal scores of their ranks, straight lines between knots: float32, of the shape of `values`."""
    out = np.zeros(values.shape, np.float32)
    for i in range(len(values)):
        _interpolate(values[i].astype(np.float32), knots, ranks, out[i])
    return out


@jit
def _interpolate(values: Array, knots: Array, ranks: Array, out: Array) -> None:
    for j in range(values.shape[0]):
        v = values[j]
        low, high = 0, knots.shape[1]
        while low < high:
            middle = (low + high) // 2
            if knots[j, middle] <= v:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            r = ranks[j, 0]
        elif low == knots.shape[1] or knots[j, low] == np.inf:
            r = ranks[j, low - 1]
        else:
            share = (v - knots[j, low - 1]) / (knots[j, low] - knots[j, low - 1])
            r = ranks[j, low - 1] + share * (ranks[j, low] - ranks[j, low - 1])
        out[j] = r


@jit
def _place(values: Array, codes: Array, opinions: Array, space: Space, out: Array) -> None:
    width, said, size = values.shape[1], opinions.shape[1], space.metric.shape[1]
    known = space.metric.shape[0] - width - said
    scores, sums = np.zeros(width, np.float32), np.zeros(size, np.float32)
    for i in range(values.shape[0]):
        _interpolate(values[i], space.knots, space.ranks, scores)
        for k in range(size):
            sums[k] = 0.0
        for j in range(width):
            if scores[j] != 0.0:
                for k in range(size):
                    sums[k] += scores[j] * space.metric[j, k]
        if codes[i] < known:
            for k in range(size):
                sums[k] += space.metric[width + codes[i], k]
        for j in range(said):
            for k in range(size):
                sums[k] += opinions[i, j] * space.metric[width + known + j, k]
        for k in range(size):
            out[i, k] = np.int8(min(max(np.rint(sums[k]), -127.0), 127.0))


@jit
def _product(x: Array, y: Array) -> Array:
    return np.int32(np.int32(x) * np.int32(y))


@jit
def _laplace(points: Array, m: Machine, out: Array) -> None:
    # Four files by two supports at a time keeps all eight sums in registers. One thread, unlike a matrix product by
    # BLAS, whose threads would fight with those of the processes beside this one.
    sums = np.zeros((4, 2), np.int32)
    for i in range(0, points.shape[0], 4):
        own = np.zeros(4, np.int32)
        for r in range(4):
            for k in range(points.shape[1]):
                own[r] += _product(points[i + r, k], points[i + r, k])
        for j in range(0, m.supports.shape[0], 2):
            a0, a1, a2, a3 = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            b0, b1, b2, b3 = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            for k in range(points.shape[1]):
                v, w = m.supports[j, k], m.supports[j + 1, k]
                a0 = np.int32(a0 + _product(points[i, k], v))
                a1 = np.int32(a1 + _product(points[i + 1, k], v))
                a2 = np.int32(a2 + _product(points[i + 2, k], v))
                a3 = np.int32(a3 + _product(points[i + 3, k], v))
                b0 = np.int32(b0 + _product(points[i, k], w))
                b1 = np.int32(b1 + _product(points[i + 1, k], w))
                b2 = np.int32(b2 + _product(points[i + 2, k], w))
                b3 = np.int32(b3 + _product(points[i + 3, k], w))
            sums[0, 0], sums[1, 0], sums[2, 0], sums[3, 0] = a0, a1, a2, a3
            sums[0, 1], sums[1, 1], sums[2, 1], sums[3, 1] = b0, b1, b2, b3
            for c in range(2):
                for r in range(4):
                    squared = own[r] + m.norms[j + c] - 2 * sums[r, c]
                    near = m.near[np.int64(np.sqrt(np.float64(squared)) * _FINE)]
                    for q in range(out.shape[1]):
                        out[i + r, q] += near * m.alphas[j + c, q]
