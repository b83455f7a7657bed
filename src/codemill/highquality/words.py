"""Turns code into the words that fastText reads: names split into their parts, marks one by one, numbers alike.

The tokens are those of `lexer.py` (runs of word bytes, single marks); names come apart at underscores and changes of
case, so that what one repository teaches is understood in another. No line holds a label, since a mark stands alone.
"""

import numpy as np
import pyarrow as pa

from codemill.lexer import CLASSES, SPACE, WORD, Bytes, buffers, jit

LONGEST = 40  # bytes of a word; longer ones are encoded data and become one `~`
_LOWER, _UPPER, _DIGIT, _JOINT = 0, 1, 2, 3


def _kinds() -> Bytes:
    table = np.full(256, _LOWER, np.uint8)  # letters beyond ASCII too
    table[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")] = _UPPER
    table[list(b"0123456789")] = _DIGIT
    table[ord("_")] = _JOINT
    return table


KINDS = _kinds()  # numba compiles it in as a constant


def spaced(contents: pa.Array, max_bytes: int, split: bool) -> list[str]:
    """Each content (binary or string) as one line of words with a space after each; of its first `max_bytes` bytes."""
    data, offsets = buffers(contents)
    lines = []
    for row in range(len(contents)):
        start = int(offsets[row])
        piece = data[start : min(int(offsets[row + 1]), start + max_bytes)]
        out = np.empty(2 * len(piece) + 2, np.uint8)
        lines.append(out[: _spaced(piece, split, out)].tobytes().decode("utf-8", "replace"))
    return lines


@jit
def _spaced(data: Bytes, split: bool, out: Bytes) -> int:
    """Write the words of `data`, return how many bytes they take."""
    place, at, size = 0, 0, len(data)
    while place < size:
        kind = CLASSES[data[place]]
        if kind != WORD:
            if kind != SPACE and data[place] >= 32 and data[place] != 127:
                out[at] = data[place]
                out[at + 1] = 32
                at += 2
            place += 1
            continue
        stop = place + 1
        while stop < size and CLASSES[data[stop]] == WORD:
            stop += 1
        at = _parts(data, place, stop, out, at) if split else _put(data, place, stop, out, at)
        place = stop
    return at


@jit
def _parts(data: Bytes, place: int, stop: int, out: Bytes, at: int) -> int:
    """Write the parts of one run of word bytes."""
    begin = place
    for index in range(place, stop + 1):
        cut = index == stop
        if not cut and index > begin:
            before, here = KINDS[data[index - 1]], KINDS[data[index]]
            # HTTPLine is HTTP and Line: an upper letter that a lower one follows begins a part.
            begins = here == _UPPER and before == _UPPER and index + 1 < stop and KINDS[data[index + 1]] == _LOWER
            title = before == _UPPER and here == _LOWER
            cut = begins or (here != before and not title)
        if cut:
            if KINDS[data[begin]] != _JOINT:
                at = _put(data, begin, index, out, at)
            begin = index
    return at


@jit
def _put(data: Bytes, begin: int, stop: int, out: Bytes, at: int) -> int:
    """Write one word: a number as 0, one that is too long as ~."""
    if stop - begin > LONGEST:
        out[at] = 126
        at += 1
    elif KINDS[data[begin]] == _DIGIT:
        out[at] = 48
        at += 1
    else:
        for index in range(begin, stop):
            out[at] = data[index]
            at += 1
    out[at] = 32
    return at + 1
