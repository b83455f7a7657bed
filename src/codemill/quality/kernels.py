"""Compiled passes over the bytes of one file, so that reading a file for the scorer costs a fraction of a millisecond.

Every function works on preallocated tables (`Scratch` in `features.py`) whose sizes follow from the bound on the bytes
read: no input can make one of them run long or grow. The lexing is that of no language in particular: comments and
strings are told from code by the few marks that `data/syntax.toml` gives, which is enough for statistics.
"""

from typing import Any, NamedTuple

import numpy as np

from codemill.lexer import jit

# Numba compiles by the types that come in; the arrays' own are in `features.Scratch`.
Array = Any


class File(NamedTuple):
    """A lexed file: `n` bytes `b`, the state of each, `nl` lines, `nt` tokens, and work space: a list, and a hash
    table of at least twice its size."""

    b: Array
    n: int
    state: Array
    lines: Array
    line_hashes: Array
    nl: int
    tokens: Array
    token_hashes: Array
    nt: int
    work: Array
    table: Array
    counts: Array


class Lookup(NamedTuple):
    """An open-addressing hash table: what stands at a key's place is its slot."""

    keys: Array
    slots: Array


class Phrases(NamedTuple):
    """A hash table of phrases and their beginnings; phrase i belongs to `members[offsets[i]:offsets[i + 1]]`.

    Slots from the number of phrases on are of beginnings.
    """

    keys: Array
    slots: Array
    offsets: Array
    members: Array
    groups: int


CODE, LINE_COMMENT, BLOCK_COMMENT, DOC, STRING = 0, 1, 2, 3, 4
WORD, NUMBER, PUNCTUATION, NEWLINE = 0, 1, 2, 3
BLANK_LINE, CODE_LINE, COMMENT_LINE = 0, 1, 2

# Columns of the tables that `lines` and `tokens` fill.
START, END, INDENT, KIND, FIRST, LAST, LENGTH = 0, 1, 2, 3, 4, 5, 6
T_KIND, T_START, T_LENGTH, T_LINE, T_STATE = 0, 1, 2, 3, 4

_FNV = np.uint64(0xCBF29CE484222325)
PRIME = np.uint64(0x100000001B3)
MIX = np.uint64(0x9E3779B97F4A7C15)


@jit
def is_letter(c: int) -> bool:
    return (97 <= c <= 122) or (65 <= c <= 90) or c == 95 or c >= 128


@jit
def is_digit(c: int) -> bool:
    return 48 <= c <= 57


@jit
def is_space(c: int) -> bool:
    return c in (32, 9, 13)


@jit
def bucket(h: Array, bits: int) -> Array:
    """The hash's bucket in a table of 2**bits."""
    return np.int64(((h ^ (h >> np.uint64(32))) * MIX) >> np.uint64(64 - bits))


@jit
def starts(b: Array, i: int, n: int, s: Array, at: int, width: int) -> int:  # noqa: PLR0917 - eight parameters is the house limit
    """Whether the mark s[at:at+width] (zeros end it, none is no mark) stands at i; its length, or 0."""
    k = 0
    while k < width and s[at + k] != 0:
        if i + k >= n or b[i + k] != s[at + k]:
            return 0
        k += 1
    return k


@jit
def lex(b: Array, n: int, s: Array, state: Array) -> None:  # noqa: PLR0912 - a state machine is best read whole
    """Marks every byte as code, comment, docstring or string. `s` is a row of `features.syntax_table`."""
    special = np.zeros(256, np.bool_)  # bytes that may end plain code; all others are passed over at once
    special[34] = s[9] or s[12]
    special[39] = s[10] or s[12]
    special[96] = s[11]
    for at in (0, 2, 14):
        special[s[at]] |= s[at] != 0
    i = 0
    now = CODE
    quote = 0
    while i < n:
        c = b[i]
        if now == CODE and not special[c]:
            state[i] = CODE
            i += 1
            continue
        step = 1
        mark = now
        if now == CODE:
            if s[12] and c in (34, 39) and i + 2 < n and b[i + 1] == c and b[i + 2] == c:
                now, quote, step = DOC, c, 3
            elif starts(b, i, n, s, 2, 4):
                now, step = BLOCK_COMMENT, 2
            elif _opens_line_comment(b, i, n, s):
                now = LINE_COMMENT
            elif (c == 34 and s[9]) or (c == 39 and s[10]) or (c == 96 and s[11]):
                now, quote = STRING, c
            mark = now
        elif now == DOC:
            if c == quote and i + 2 < n and b[i + 1] == c and b[i + 2] == c:
                now, step = CODE, 3
        elif now == BLOCK_COMMENT:
            closing = starts(b, i, n, s, 6, 3) if c == s[6] else 0
            if closing:
                now, step = CODE, closing
        elif c == 10:
            now = CODE
            mark = CODE
        elif now == STRING:
            if c == 92:
                step = 2
            elif c == quote:
                now = CODE
        state[i] = mark
        for k in range(i + 1, min(i + step, n)):
            state[k] = mark
        # A backslash at the end of a line does not carry a string over it.
        if step == 2 and mark == STRING and i + 1 < n and b[i + 1] == 10:
            now = CODE
            state[i + 1] = CODE
        i += step


@jit
def _opens_line_comment(b: Array, i: int, n: int, s: Array) -> bool:
    c = b[i]
    before = b[i - 1] if i > 0 else 10
    if c == 35 and before in (36, 38, 92):  # $# in shells, &#39; in markup, \# in TeX
        return False
    if c == 37 and before == 92:
        return False
    if c == 47 and before == 58:  # the slashes of a URL
        return False
    return starts(b, i, n, s, 0, 2) > 0 or starts(b, i, n, s, 14, 2) > 0


@jit
def lines(b: Array, n: int, state: Array, table: Array, hashes: Array) -> int:
    """Fills one row a line: extent, indent (a tab is 4), kind, first and last visible byte; hashes of text and shape.

    The shape writes every run of letters as one letter and every digit as 0, so that rows of a table look alike.
    """
    nl = 0
    i = 0
    while i <= n and nl < table.shape[0]:
        s = i
        while i < n and b[i] != 10:
            i += 1
        e = i
        i += 1
        if s >= n and nl > 0:
            break
        table[nl, LENGTH] = e - s
        while e > s and is_space(b[e - 1]):
            e -= 1
        a = s
        indent = 0
        while a < e and is_space(b[a]):
            indent += 4 if b[a] == 9 else 1
            a += 1
        text, shape, code, last = _FNV, _FNV, 0, 0
        for k in range(a, e):
            c = b[k]
            text = (text ^ np.uint64(c)) * PRIME
            x = 48 if is_digit(c) else (97 if is_letter(c) else int(c))
            if x != last or x not in (48, 97):
                shape = (shape ^ np.uint64(x)) * PRIME
            last = x
            if state[k] in (CODE, STRING) and not is_space(c):
                code += 1
        table[nl, START], table[nl, END], table[nl, INDENT] = a, e, indent
        table[nl, KIND] = BLANK_LINE if a >= e else (CODE_LINE if code > 0 else COMMENT_LINE)
        table[nl, FIRST] = b[a] if a < e else 0
        table[nl, LAST] = b[e - 1] if a < e else 0
        hashes[nl, 0] = text if a < e else np.uint64(0)
        hashes[nl, 1] = shape if a < e else np.uint64(0)
        nl += 1
    return nl


@jit
def tokens(b: Array, n: int, state: Array, table: Array, hashes: Array) -> int:
    """Fills one row a token (word, number, punctuation byte, line break with the indent after it), and three hashes.

    Hash 0 is the token as n-grams see it (numbers by their length alone), 1 the word as it stands, 2 in lower case.
    """
    nt, i, line = 0, 0, 0
    while i < n and nt < table.shape[0]:
        c = b[i]
        start = i
        h, low = _FNV, _FNV
        if is_space(c):
            i += 1
            continue
        if is_letter(c):
            kind = WORD
            while i < n and (is_letter(b[i]) or is_digit(b[i])):
                h = (h ^ np.uint64(b[i])) * PRIME
                low = (low ^ np.uint64(b[i] + 32 if 65 <= b[i] <= 90 else b[i])) * PRIME
                i += 1
        elif is_digit(c):
            kind = NUMBER
            while i < n and (is_digit(b[i]) or b[i] == 46):
                low = (low ^ np.uint64(b[i])) * PRIME
                i += 1
            h = (((h ^ np.uint64(48)) * PRIME) ^ np.uint64(min(i - start, 4))) * PRIME
        elif c == 10:
            kind = NEWLINE
            breaks, indent = 0, 0
            while i < n and (b[i] == 10 or is_space(b[i])):
                breaks += b[i] == 10
                indent = 0 if b[i] == 10 else indent + (4 if b[i] == 9 else 1)
                i += 1
            h = (((h ^ np.uint64(10)) * PRIME) ^ np.uint64(min(breaks, 3))) * PRIME
            h = (h ^ np.uint64(min(indent // 2, 8))) * PRIME
            low = h
        else:
            kind = PUNCTUATION
            h = (h ^ np.uint64(c)) * PRIME
            low = h
            i += 1
        table[nt, T_KIND], table[nt, T_START], table[nt, T_LENGTH] = kind, start, i - start
        table[nt, T_LINE], table[nt, T_STATE] = line, state[start]
        hashes[nt, 0], hashes[nt, 1], hashes[nt, 2] = h, h, low
        nt += 1
        if kind == NEWLINE:
            line += breaks
    return nt


@jit
def count_tokens(hashes: Array, nt: int, bits: int, counts: Array, touched: Array) -> int:
    """Counts token 1- and 2-grams into 2**bits buckets; returns how many buckets were touched."""
    found = 0
    before = np.uint64(7)
    for i in range(nt):
        h = hashes[i, 0]
        for order in range(2):
            g = h if order == 0 else (before * np.uint64(31) + h) * PRIME + np.uint64(11)
            p = bucket(g, bits)
            if counts[p] == 0:
                touched[found] = p
                found += 1
            counts[p] += 1
        before = h
    return found


@jit
def count_characters(b: Array, n: int, bits: int, counts: Array, touched: Array) -> int:
    """Counts byte 2- to 5-grams into 2**bits buckets; returns how many buckets were touched."""
    found = 0
    for i in range(n):
        h = _FNV
        for k in range(min(5, n - i)):
            h = (h ^ np.uint64(b[i + k])) * PRIME
            if k >= 1:
                p = bucket(h, bits)
                if counts[p] == 0:
                    touched[found] = p
                    found += 1
                counts[p] += 1
    return found


@jit
def project(counts: Array, touched: Array, found: int, idf: Array, weights: Array, scale: Array, out: Array) -> None:  # noqa: PLR0917 - eight parameters is the house limit
    """Adds the unit-length TF-IDF vector times the weights to `out`, and clears the counts.

    `weights` are whole numbers, buckets x outputs, as `reference.steps` gives them; `scale` is that of each output.
    """
    acc = np.zeros(weights.shape[1], np.float32)
    norm = np.float32(0.0)
    for j in range(found):
        p = touched[j]
        v = np.float32(1.0 + np.log(np.float32(counts[p]))) * idf[p]
        counts[p] = 0
        norm += v * v
        for k in range(acc.shape[0]):
            acc[k] += v * np.float32(weights[p, k])
    length = np.float32(1.0) / np.float32(np.sqrt(norm) + 1e-9)
    for k in range(out.shape[0]):
        out[k] += acc[k] * scale[k] * length


@jit
def tally(hashes: Array, n: int, table: Array, counts: Array) -> tuple[int, int, int]:
    """How many different values the first `n` hashes have, how many of them stand there once, how often the commonest.

    `table` and `counts` are work space of a power of two, larger than `n`; no more is touched than `n` asks for.
    """
    size = 16
    while size < 2 * n and size < table.shape[0]:
        size *= 2
    counts[:size] = 0
    mask = np.uint64(size - 1)
    distinct, once, most = 0, 0, 0
    for i in range(n):
        h = hashes[i]
        p = (h ^ (h >> np.uint64(29))) & mask
        while counts[p] != 0 and table[p] != h:
            p = (p + np.uint64(1)) & mask
        table[p] = h
        counts[p] += 1
        distinct += counts[p] == 1
        once += (counts[p] == 1) - (counts[p] == 2)
        most = max(most, counts[p])
    return distinct, once, most
