"""Compiled measures of the words of one lexed file: names, known words and phrases, functions, comments, prose.

As in `measures`, each function writes its values to `out` from position `k` on and returns the next free position.
"""

import numpy as np
from numba import literal_unroll

from codemill.lexer import jit
from codemill.quality.kernels import (
    BLOCK_COMMENT,
    CODE,
    COMMENT_LINE,
    DOC,
    END,
    FIRST,
    INDENT,
    KIND,
    LAST,
    LINE_COMMENT,
    NUMBER,
    PRIME,
    START,
    T_KIND,
    T_LENGTH,
    T_LINE,
    T_START,
    T_STATE,
    WORD,
    Array,
    File,
    Lookup,
    Phrases,
    is_digit,
    is_letter,
    tally,
)


@jit
def _name_style(b: Array, start: int, length: int, style: Array) -> None:
    upper, lower, under, digit = 0, 0, 0, 0
    for j in range(start, start + length):
        c = b[j]
        upper += 65 <= c <= 90 and j > start
        lower += 97 <= c <= 122
        under += c == 95
        digit += is_digit(c)
    style[0] += upper > 0 and lower > 0
    style[1] += under > 0 and length > 2
    style[2] += lower == 0 and length > 2
    style[3] += digit > 0
    style[4] += length == 1
    style[5] += length >= 20
    style[6] += length


@jit
def names(f: File, out: Array, k: int) -> int:
    """Words in code: number, variety, style, length; numbers among them; calls; words in comments."""
    b, n, t, hashes, nt, scratch = f.b, f.n, f.tokens, f.token_hashes, f.nt, f.work
    style = np.zeros(7)
    words, numbers, digits, comment_words, calls, magic = 0, 0, 0, 0, 0, 0
    for i in range(nt):
        kind, start, length = t[i, T_KIND], t[i, T_START], t[i, T_LENGTH]
        if kind == NUMBER:
            numbers += 1
            digits += length
            magic += t[i, T_STATE] == CODE and (length > 1 or b[start] > 50)
        elif kind == WORD:
            if t[i, T_STATE] in (LINE_COMMENT, BLOCK_COMMENT, DOC):
                comment_words += 1
            else:
                scratch[words] = hashes[i, 1]
                words += 1
                calls += start + length < n and b[start + length] == 40
                _name_style(b, start, length, style)
    distinct, once, most = tally(scratch, words, f.table, f.counts)
    many, all_tokens = max(words, 1), max(nt, 1)
    for sum_ in style:
        out[k] = sum_ / many
        k += 1
    values = (words / max(n, 1), distinct / many, once / many, most / many, distinct / np.sqrt(many), calls / many)
    for v in literal_unroll(values):
        out[k] = v
        k += 1
    rest = (numbers / all_tokens, digits / max(n, 1), magic / all_tokens, comment_words / max(words + comment_words, 1))
    for v in literal_unroll(rest):
        out[k] = v
        k += 1
    out[k], out[k + 1] = np.log1p(distinct), np.log1p(comment_words)
    return k + 2


@jit
def vocabulary(f: File, table: Lookup, counts: Array, out: Array, k: int) -> int:
    """How often each word of `data/words.toml` stands in the file, per thousand bytes."""
    t, hashes, nt, n, keys, slots = f.tokens, f.token_hashes, f.nt, f.n, table.keys, table.slots
    mask = np.uint64(keys.shape[0] - 1)
    counts[:] = 0
    for i in range(nt):
        if t[i, T_KIND] == WORD:
            p = np.int64((hashes[i, 1] ^ (hashes[i, 1] >> np.uint64(29))) & mask)
            while slots[p] >= 0:
                if keys[p] == hashes[i, 1]:
                    counts[slots[p]] += 1
                    break
                p = (p + 1) & np.int64(mask)
    for j in range(counts.shape[0]):
        out[k] = np.log1p(counts[j] * 1000 / max(n, 200))
        k += 1
    return k


@jit
def phrases(f: File, table: Phrases, counts: Array, out: Array, k: int) -> int:
    """Phrases of up to four words by group: how many, how many different ones, how many per thousand bytes."""
    t, hashes, nt, n, keys, slots, words = f.tokens, f.token_hashes, f.nt, f.n, table.keys, table.slots, f.work
    offsets, members, groups = table.offsets, table.members, table.groups
    mask = np.uint64(keys.shape[0] - 1)
    counts[:] = 0
    found = 0
    for i in range(nt):
        # Words and numbers that touch ("utf8", "2x") are one word to a phrase.
        if t[i, T_KIND] in (WORD, NUMBER):
            words[found] = hashes[i, 2]
            found += 1
    for i in range(found):
        g = np.uint64(0)
        for j in range(i, min(i + 4, found)):
            g = (g * np.uint64(31) + words[j]) * PRIME + np.uint64(11)
            p = np.int64((g ^ (g >> np.uint64(31))) & mask)
            while slots[p] >= 0 and keys[p] != g:
                p = (p + 1) & np.int64(mask)
            if slots[p] < 0:
                break  # no phrase begins like this
            if slots[p] < counts.shape[0]:
                counts[slots[p]] += 1
    total = np.zeros(groups)
    different = np.zeros(groups)
    for j in range(counts.shape[0]):
        if counts[j] > 0:
            for m in range(offsets[j], offsets[j + 1]):
                total[members[m]] += counts[j]
                different[members[m]] += 1
    for i in range(groups):
        out[k], out[k + 1], out[k + 2] = np.log1p(total[i]), np.log1p(different[i]), total[i] * 1000 / max(n, 300)
        k += 3
    return k


@jit
def sets_of_line(f: File, table: Lookup, facts: Array, sums: Array) -> None:
    """Which sets of `data/words.toml` the first five words of each line belong to; sums over the file by set."""
    t, hashes, nt, keys, masks = f.tokens, f.token_hashes, f.nt, table.keys, table.slots
    line_sets, line_first, line_words, total, comment_sets = facts[0], facts[1], facts[2], sums[0], sums[1]
    mask = np.uint64(keys.shape[0] - 1)
    line_sets[:], line_first[:], line_words[:], comment_sets[:], total[:] = 0, 0, 0, 0, 0
    for i in range(nt):
        if t[i, T_KIND] != WORD or t[i, T_LINE] >= line_sets.shape[0]:
            continue
        line = t[i, T_LINE]
        h = hashes[i, 1]
        p = np.int64((h ^ (h >> np.uint64(29))) & mask)
        found = 0
        while masks[p] > 0:
            if keys[p] == h:
                found = masks[p]
                break
            p = (p + 1) & np.int64(mask)
        line_words[line] += 1
        if line_words[line] == 1:
            line_first[line] = found
        if line_words[line] <= 5:
            line_sets[line] |= found
        for j in range(total.shape[0]):
            if (found >> j) & 1:
                total[j] += 1
                comment_sets[j] += t[i, T_STATE] in (LINE_COMMENT, BLOCK_COMMENT, DOC)


@jit
def functions(f: File, facts: Array, out: Array, k: int) -> int:
    """Functions and types, guessed from the words and brackets of their first lines: number, length, documentation."""
    b, t, nl, line_sets, line_first = f.b, f.lines, f.nl, facts[0], facts[1]
    found, types, documented, parameters, controls, code = 0, 0, 0, 0, 0, 0
    last, longest, total = -1, 0, 0
    comment_before, waiting = False, False
    for i in range(nl):
        if t[i, FIRST] == 0:
            continue
        if t[i, KIND] == COMMENT_LINE:
            documented += waiting
            waiting, comment_before = False, True
            continue
        code += 1
        commas, bracket = 0, False
        for j in range(t[i, START], t[i, END]):
            commas += b[j] == 44
            bracket |= b[j] == 40
        control = (line_first[i] & 4) > 0
        opens = bracket and t[i, LAST] == 123 and not control and t[i, INDENT] <= 8
        controls += control
        waiting = False
        if (line_sets[i] & 1) > 0 or opens:
            if last >= 0:
                longest = max(longest, i - last)
                total += i - last
            found += 1
            parameters += commas
            last = i
            documented += comment_before
            waiting = not comment_before
        elif (line_sets[i] & 2) > 0:
            types += 1
        # A decorator, annotation or attribute may stand between a comment and what it documents.
        comment_before = comment_before and t[i, FIRST] in (64, 91)
    if last >= 0:
        longest = max(longest, nl - last)
    code = max(code, 1)
    values = (np.log1p(found), np.log1p(types), np.log1p(longest), np.log1p(parameters), found / code, longest / nl)
    for v in literal_unroll(values):
        out[k] = v
        k += 1
    share = documented / found if found > 0 else -1.0
    rest = (share, documented, total / max(found - 1, 1), parameters / max(found, 1), controls / code)
    for v in literal_unroll(rest):
        out[k] = v
        k += 1
    return k


@jit
def comments(f: File, facts: Array, out: Array, k: int) -> int:
    """What comment lines look like: sentences or commented-out code, at the head or in blocks."""
    b, t, nl, line_words = f.b, f.lines, f.nl, facts[2]
    number, run, longest, head, long_ones, capital, stop, code = 0, 0, 0, 0, 0, 0, 0, 0
    in_head = True
    for i in range(nl):
        if t[i, FIRST] == 0:
            continue
        if t[i, KIND] != COMMENT_LINE:
            in_head, run = False, 0
            continue
        number += 1
        run += 1
        longest = max(longest, run)
        head += in_head
        long_ones += line_words[i] >= 6
        stop += t[i, LAST] == 46
        signs, first = 0, 0
        for j in range(t[i, START], t[i, END]):
            c = b[j]
            signs += c in (59, 123, 125, 61, 40)
            if first == 0 and is_letter(c):
                first = int(c)
        capital += 65 <= first <= 90
        code += signs >= 2 and t[i, LAST] in (59, 41, 123, 125)
    many = max(number, 1)
    values = (np.log1p(longest), np.log1p(head), np.log1p(long_ones), head / nl, long_ones / nl, capital / many)
    for v in literal_unroll(values):
        out[k] = v
        k += 1
    out[k], out[k + 1], out[k + 2] = stop / many, code / many, code / nl
    return k + 3


@jit
def prose(f: File, facts: Array, sums: Array, out: Array, k: int) -> int:
    """Marks of prose and markup (links, headings, lists, tables, tags, sentences) and the sums of the word sets."""
    b, n, t, nl, total, comment_sets, words = f.b, f.n, f.lines, f.nl, sums[0], sums[1], facts[2].sum()
    pairs = np.zeros(10)
    starts_ = np.zeros(6)
    for i in range(n - 1):
        c, d = b[i], b[i + 1]
        if c >= 97 or c <= 32:  # most bytes; none of the marks below
            continue
        pairs[0] += c == 93 and d == 40
        pairs[1] += c == 58 and d == 47
        pairs[2] += c == 33 and d == 91
        pairs[3] += c == 60 and (d == 47 or 97 <= d <= 122)
        pairs[4] += c in (46, 33, 63) and d in (32, 10)
        pairs[5] += c == 45 and d == 62
        pairs[6] += c == 58 and d == 58
        pairs[7] += c == 58 and d == 32
        pairs[8] += c == 34 and d == 36
        pairs[9] += c == 61 and d == 62
    for i in range(nl):
        first = t[i, FIRST]
        at = t[i, START]
        after = b[at + 1] if at + 1 < n else 10
        starts_[0] += first == 35
        starts_[1] += first in (45, 42, 43) and after == 32
        starts_[2] += first == 124
        starts_[3] += first == 96 and after == 96
        starts_[4] += first == 64
        starts_[5] += first == 46 and after == 46
    for v in pairs:
        out[k], out[k + 1] = np.log1p(v), v / nl
        k += 2
    for v in starts_:
        out[k], out[k + 1] = np.log1p(v), v / nl
        k += 2
    out[k] = words / max(pairs[4], 1)
    k += 1
    for j in range(total.shape[0]):
        out[k], out[k + 1] = total[j] / max(words, 1), comment_sets[j] / nl
        k += 2
    return k
