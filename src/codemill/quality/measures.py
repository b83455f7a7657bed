"""Compiled measures of the shape of one lexed file: bytes, lines, indents, repetition, comments and strings as such.

Each function writes its values to `out` from position `k` on and returns the next free position. Shares are relative to
lines, words or bytes, counts are logarithms.
"""

import numpy as np
from numba import literal_unroll

from codemill.lexer import jit
from codemill.quality.kernels import (
    BLOCK_COMMENT,
    CODE,
    CODE_LINE,
    COMMENT_LINE,
    DOC,
    END,
    FIRST,
    INDENT,
    KIND,
    LAST,
    LENGTH,
    LINE_COMMENT,
    MIX,
    STRING,
    Array,
    File,
    tally,
)


@jit
def characters(f: File, out: Array, k: int) -> int:
    """Size, shares of character classes and of each punctuation mark, entropy in bits."""
    b, n = f.b, f.n
    seen = np.zeros(256, np.int64)
    for i in range(n):
        seen[b[i]] += 1
    size = max(n, 1)
    out[k] = np.log1p(n)
    k += 1
    for low, high in ((97, 123), (65, 91), (48, 58), (128, 256), (0, 9), (14, 32)):
        out[k] = seen[low:high].sum() / size
        k += 1
    for low, high in ((32, 48), (58, 65), (91, 97), (123, 127), (9, 10), (13, 14)):
        for c in range(low, high):
            out[k] = seen[c] / size
            k += 1
    entropy = 0.0
    for c in range(256):
        if seen[c] > 0:
            entropy -= seen[c] / size * np.log2(seen[c] / size)
    out[k] = entropy
    return k + 1


@jit
def line_shapes(f: File, out: Array, k: int) -> int:
    """Lengths, how lines begin and end, shares of blank, comment and code lines."""
    b, n, t, nl = f.b, f.n, f.lines, f.nl
    lengths = np.sort(t[:nl, LENGTH])
    out[k], out[k + 1], out[k + 2] = np.log1p(nl), lengths.mean(), lengths.std()
    k += 3
    for q in (0.25, 0.5, 0.75, 0.9, 0.97, 1.0):
        out[k] = lengths[int(q * (nl - 1))]
        k += 1
    ends = np.zeros(12)
    over = np.zeros(4)
    kinds = np.zeros(3)
    for i in range(nl):
        kinds[t[i, KIND]] += 1
        end = t[i, END]
        ends[0] += end < n and b[end] in (32, 9)
        ends[1] += t[i, INDENT] % 2 == 1
        last, first = t[i, LAST], t[i, FIRST]
        ends[2] += last == 59
        ends[3] += last == 123
        ends[4] += last == 44
        ends[5] += last == 58
        ends[6] += last in (40, 91)
        ends[7] += first in (125, 41, 93)
        ends[8] += last == 62
        ends[9] += first == 60
        ends[10] += last == 92
        ends[11] += first in (34, 39)
        for j, limit in enumerate((80, 100, 120, 200)):
            over[j] += t[i, LENGTH] > limit
    filled = max(nl - kinds[0], 1)
    for v in ends:
        out[k] = v / filled
        k += 1
    for v in over:
        out[k] = v / nl
        k += 1
    out[k], out[k + 1], out[k + 2] = kinds[0] / nl, kinds[COMMENT_LINE] / filled, kinds[CODE_LINE] / filled
    out[k + 3], out[k + 4] = np.log1p(kinds[COMMENT_LINE]), np.log1p(kinds[CODE_LINE])
    return k + 5


@jit
def indentation(f: File, out: Array, k: int) -> int:
    """Depth and its spread, how blocks and paragraphs are cut."""
    t, nl = f.lines, f.nl
    total, squares, deepest, changes, deep, filled, before = 0.0, 0.0, 0, 0, 0, 0, 0
    run, longest_run, block, longest_block, top, gaps, nested = 0, 0, 0, 0, 0, 0, 0
    for i in range(nl):
        if t[i, FIRST] == 0:
            gaps += i > 0 and t[i - 1, FIRST] == 0
            run = 0
            continue
        indent = t[i, INDENT]
        filled += 1
        total += indent
        squares += indent * indent
        deepest = max(deepest, indent)
        changes += indent != before
        deep += indent >= 16
        nested += indent >= 12
        before = indent
        run += 1
        longest_run = max(longest_run, run)
        if indent == 0:
            top += 1
            block = 0
        else:
            block += 1
            longest_block = max(longest_block, block)
    filled = max(filled, 1)
    mean = total / filled
    values = (mean, np.sqrt(max(squares / filled - mean * mean, 0.0)), deepest, changes / filled, deep / filled)
    for v in literal_unroll(values):
        out[k] = v
        k += 1
    rest = (longest_run, longest_run / filled, top / filled, longest_block, longest_block / filled, gaps / nl)
    for v in literal_unroll(rest):
        out[k] = v
        k += 1
    out[k] = nested / filled
    return k + 1


@jit
def repetition(f: File, out: Array, k: int) -> int:
    """Repeated lines and line shapes, runs and periods of them, repeated 8-grams of tokens."""
    hashes, nl, token_hashes, nt, scratch = f.line_hashes, f.nl, f.token_hashes, f.nt, f.work
    filled = 1
    for column in range(2):
        found = 0
        for i in range(nl):
            if hashes[i, column] != 0:
                scratch[found] = hashes[i, column]
                found += 1
        filled = max(found, 1)
        distinct, _, longest = tally(scratch, found, f.table, f.counts)
        out[k], out[k + 1], out[k + 2] = 1 - distinct / filled, longest / filled, np.log1p(distinct)
        k += 3
    run, longest = 0, 0
    for lag in range(1, 7):
        same = 0
        for i in range(lag, nl):
            hit = hashes[i, 1] != 0 and hashes[i, 1] == hashes[i - lag, 1]
            same += hit
            if lag == 1:
                run = run + 1 if hit else 0
                longest = max(longest, run)
        out[k] = same / filled
        k += 1
    out[k] = longest
    k += 1
    # A polynomial of eight tokens' hashes, rolled on from gram to gram.
    gram, leaving = np.uint64(0), np.uint64(1)
    for _ in range(8):
        leaving *= MIX
    grams = max(nt - 7, 0)
    for i in range(nt):
        gram = gram * MIX + _mixed(token_hashes[i, 0])
        if i >= 8:
            gram -= leaving * _mixed(token_hashes[i - 8, 0])
        if i >= 7:
            scratch[i - 7] = gram
    out[k] = (grams - tally(scratch, grams, f.table, f.counts)[0]) / max(grams, 1)
    return k + 1


@jit
def _mixed(h: Array) -> Array:
    # Hashes of single bytes differ by small multiples, of which polynomials find equal sums.
    return (h ^ (h >> np.uint64(29))) * (h | np.uint64(1))


@jit
def marks(f: File, out: Array, k: int) -> int:
    """Shares and numbers of comments, docstrings and strings; brackets, operators and commas with their spacing."""
    b, n, state = f.b, f.n, f.state
    share = np.zeros(5)
    pieces = np.zeros(5)
    depth, deepest, depths, length, longest = 0, 0, 0.0, 0, 0
    spaced, tight, spaced_commas, tight_commas, breaks = 0, 0, 0, 0, 1
    before = CODE
    for i in range(n):
        c, now = b[i], state[i]
        share[now] += 1
        if now != before:
            pieces[now] += 1
            length = 0
        if now == STRING:
            length += 1
            longest = max(longest, length)
        before = now
        after = b[i + 1] if i + 1 < n else 10
        breaks += c == 10
        if now == CODE:
            if c in (40, 91, 123):
                depth += 1
                deepest = max(deepest, depth)
            elif c in (41, 93, 125):
                depth = max(depth - 1, 0)
            elif c == 44:
                spaced_commas += after in (32, 10, 13)
                tight_commas += after not in (32, 10, 13)
            elif c == 61 and i > 0:
                spaced += b[i - 1] == 32 and after in (32, 61)
                tight += b[i - 1] != 32 and after != 32
            depths += depth
    size = max(n, 1)
    for s in (LINE_COMMENT, BLOCK_COMMENT, DOC, STRING):
        out[k], out[k + 1] = share[s] / size, pieces[s] / breaks
        k += 2
    out[k], out[k + 1], out[k + 2] = longest, deepest, depths / size
    out[k + 3], out[k + 4] = depth, (spaced + tight) / breaks
    out[k + 5] = spaced / (spaced + tight) if spaced + tight > 0 else -1
    total = spaced_commas + tight_commas
    out[k + 6] = spaced_commas / total if total > 0 else -1
    return k + 7
