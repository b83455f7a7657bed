"""Terms of code and messages for BM25, as 32-bit hashes: whole identifiers and their parts, counted by numba kernels.

`parseHttpURL` gives `parsehttpurl`, `parse`, `http`, `url`; `max_bytes` gives `max_bytes`, `max`, `bytes`. Digits part
from letters. A trailing plural or participle ending is cut, so that "renames paths" finds `rename_path`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codemill.lexer import jit

Words = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

LONGEST = 64  # bytes of a run of letters and digits that is still a word; hashes and encoded data are longer

_FNV_START = np.uint32(2166136261)
_FNV_PRIME = np.uint32(16777619)
_NONE, _LOWER, _UPPER, _DIGIT, _LINE = 0, 1, 2, 3, 4


def _kinds() -> Bytes:
    table = np.zeros(256, np.uint8)
    table[ord("a") : ord("z") + 1] = _LOWER
    table[128:] = _LOWER
    table[ord("A") : ord("Z") + 1] = _UPPER
    table[ord("0") : ord("9") + 1] = _DIGIT
    table[ord("_")] = _LINE
    return table


KINDS = _kinds()


@dataclass(frozen=True)
class Terms:
    """The terms of a text: different hashes, ascending, how often each occurs, and how many there are in all."""

    words: Words
    counts: Counts
    length: int


def terms(text: bytes) -> Terms:
    """Count the terms of a text."""
    data = np.frombuffer(text, np.uint8)
    found = _terms(data, np.empty(2 * len(data) + 2, np.uint32))
    found.sort()
    words, counts = _runs(found)
    return Terms(words, counts, len(found))


@jit
def _terms(data: Bytes, out: Words) -> Words:
    count = 0
    place, size = 0, len(data)
    while place < size:
        if KINDS[data[place]] == _NONE:
            place += 1
            continue
        start = place
        while place < size and KINDS[data[place]] != _NONE:
            place += 1
        if place - start > LONGEST:
            continue
        count = _word(data, start, place, out, count)
    return out[:count].copy()


@jit
def _word(data: Bytes, start: int, stop: int, out: Words, count: int) -> int:
    """Append the parts of one identifier, and the whole of it where there are several."""
    parts = 0
    begin = start
    while begin < stop:
        kind = KINDS[data[begin]]
        if kind == _LINE:
            begin += 1
            continue
        end = begin + 1
        while end < stop:
            here, before = KINDS[data[end]], KINDS[data[end - 1]]
            if here == _LINE or (here == _DIGIT) != (before == _DIGIT):
                break
            if here == _UPPER and before == _LOWER:
                break
            # The last capital of a run begins the next word: HTTPServer is http and server.
            if here == _UPPER and before == _UPPER and end + 1 < stop and KINDS[data[end + 1]] == _LOWER:
                break
            end += 1
        parts += 1
        if end - begin > 1:
            out[count] = _hash(data, begin, end, True)
            count += 1
        begin = end
    if parts > 1:
        out[count] = _hash(data, start, stop, False)
        count += 1
    return count


@jit
def _hash(data: Bytes, start: int, stop: int, stem: bool) -> np.uint32:
    """FNV-1a of the lower-cased bytes, an ending cut off."""
    if stem:
        stop = _stem(data, start, stop)
    value = _FNV_START
    for place in range(start, stop):
        byte = data[place]
        if KINDS[byte] == _UPPER:
            byte += np.uint8(32)
        value = np.uint32((value ^ np.uint32(byte)) * _FNV_PRIME)
    return value


@jit
def _stem(data: Bytes, start: int, stop: int) -> int:
    """Where the word ends without -s, -es, -ed, -ing or a last -e; at least four letters stay."""
    size = stop - start
    last = data[stop - 1] | 32
    if size > 6 and last == 103 and data[stop - 2] | 32 == 110 and data[stop - 3] | 32 == 105:  # ing
        return stop - 3
    if size > 5 and last == 100 and data[stop - 2] | 32 == 101:  # ed
        return stop - 2
    if size > 4 and last == 115 and data[stop - 2] | 32 != 115:  # s, not ss
        stop -= 1
        size -= 1
        last = data[stop - 1] | 32
    if size > 4 and last == 101:  # e
        return stop - 1
    return stop


@jit
def _runs(values: Words) -> tuple[Words, Counts]:
    words, counts = np.empty(len(values), np.uint32), np.empty(len(values), np.int32)
    at = -1
    for index in range(len(values)):
        if index == 0 or values[index] != values[index - 1]:
            at += 1
            words[at] = values[index]
            counts[at] = 0
        counts[at] += 1
    return words[: at + 1].copy(), counts[: at + 1].copy()


def line_hits(text: bytes, words: Words) -> npt.NDArray[np.int32]:
    """How often each line of a text holds each of these terms, shape (lines, words).

    Args:
        text: lines parted by newlines; behind the last one stands another line, if an empty one.
        words: different hashes, ascending.
    """
    data = np.frombuffer(text, np.uint8)
    return _line_hits(data, words, np.empty(2 * LONGEST + 2, np.uint32))


@jit
def _line_hits(data: Bytes, words: Words, scratch: Words) -> npt.NDArray[np.int32]:
    lines = 1
    for byte in data:
        lines += byte == 10
    hits = np.zeros((lines, len(words)), np.int32)
    line, place, size = 0, 0, len(data)
    while place < size:
        if KINDS[data[place]] == _NONE:
            line += data[place] == 10
            place += 1
            continue
        start = place
        while place < size and KINDS[data[place]] != _NONE:
            place += 1
        if place - start > LONGEST:
            continue
        count = _word(data, start, place, scratch, 0)
        for index in range(count):
            at = np.searchsorted(words, scratch[index])
            if at < len(words) and words[at] == scratch[index]:
                hits[line, at] += 1
    return hits
