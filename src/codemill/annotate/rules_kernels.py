"""Kernels of `rules`: one walk per theme over the bytes of a file, compiled by numba, on Arrow's own buffers.

Everything counted is an integer; shares are made of the counts afterwards. The walks of a file follow each other, so
that its bytes come from memory once. `tests/annotate/test_rules.py` holds the same definitions in plain Python.
"""

import numpy as np
import numpy.typing as npt

from codemill.lexer import CLASSES, SPACE, WORD, Bytes, Ints, jit, mix, table_size

Hashes = npt.NDArray[np.uint64]

# Columns of the counts, in order.
COUNTS = (
    "characters",
    "letters",
    "digits",
    "spaces",
    "non_ascii",
    "replacements",
    "punctuation",
    "lines",
    "line_characters",
    "max_line",
    "median_line",
    "p90_line",
    "blank_lines",
    "telling_lines",
    "distinct_lines",
    "indented_lines",
    "tab_lines",
    "max_indent",
    "words",
    "distinct_words",
    "word_characters",
    "max_word",
    "hex_words",
    "todos",
    "encoded",
    "longest_encoded",
    "long_literals",
    "visible",
)
_CHARACTERS, _LINES, _WORDS, _ENCODED = (COUNTS.index(name) for name in ("characters", "lines", "words", "encoded"))
_LITERALS, _VISIBLE = COUNTS.index("long_literals"), COUNTS.index("visible")

BASE64_RUN, HEX_RUN, LITERAL_RUN = 64, 8, 100
_BINS = 1024
_FNV_START, _FNV_PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)

# Kinds of characters, for shares that add up.
_OTHER, _LETTER, _DIGIT, _SPACE, _NON_ASCII, _CONTINUATION, _UNDERSCORE = range(7)


def _kinds() -> Bytes:
    table = np.full(256, _OTHER, np.uint8)
    table[list(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] = _LETTER
    table[list(b"0123456789")] = _DIGIT
    table[list(b" \t\n\r\f\v")] = _SPACE
    table[ord("_")] = _UNDERSCORE
    table[128:] = _NON_ASCII
    table[0x80:0xC0] = _CONTINUATION
    return table


def _member(members: bytes) -> Bytes:
    table = np.zeros(256, np.uint8)
    table[list(members)] = 1
    return table


KINDS = _kinds()
BASE64 = _member(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=\r\n")
HEX = _member(b"0123456789abcdefABCDEF")
# What hexadecimal bytes and escapes are made of, and the shortest run of 8: two digits and a separator each.
ESCAPES = _member(b"0123456789abcdefABCDEFxXu\\, \t\n\r\f\v")
ESCAPES_RUN = 8 * 3 - 1


def word_hash(word: bytes) -> np.uint64:
    """The hash under which the kernels know a word."""
    value = int(_FNV_START)
    for byte in word:
        value = (value ^ byte) * int(_FNV_PRIME) % 2**64
    return np.uint64(value)


@jit
def scan(data: Bytes, offsets: Ints, todos: Hashes, out: Ints) -> None:
    """Fill `out` (files, len(COUNTS)) for the files that `offsets` cut `data` into.

    `todos` holds the hashes (`word_hash`) of the words that `todos` counts.
    """
    largest = 0
    for row in range(len(offsets) - 1):
        largest = max(largest, offsets[row + 1] - offsets[row])
    lengths = np.empty(largest + 1, np.int64)
    hashes = np.empty(largest + 1, np.uint64)
    table = np.zeros(table_size(largest + 1), np.uint64)
    mask = np.zeros(largest + 1, np.uint8)
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]]
        characters(text, out[row, _CHARACTERS:])
        lines(text, lengths, hashes, table, out[row, _LINES:])
        words(text, todos, hashes, table, out[row, _WORDS:])
        encoded(text, mask, out[row, _ENCODED:])
        out[row, _LITERALS] = long_literals(text)
        out[row, _VISIBLE] = visible(text)


@jit
def characters(text: Bytes, out: Ints) -> None:
    """characters, letters, digits, spaces, non_ascii, replacements, punctuation (what is a token by itself)."""
    counts = np.zeros(7, np.int64)
    for place in range(len(text)):
        counts[KINDS[text[place]]] += 1
    out[0] = len(text) - counts[_CONTINUATION]
    out[1] = counts[_LETTER]
    out[2] = counts[_DIGIT]
    out[3] = counts[_SPACE]
    out[4] = counts[_NON_ASCII]
    found = 0
    if counts[_NON_ASCII]:
        for place in range(len(text) - 2):
            found += text[place] == 0xEF and text[place + 1] == 0xBF and text[place + 2] == 0xBD
    out[5] = found
    out[6] = counts[_OTHER]


@jit
def lines(text: Bytes, lengths: Ints, hashes: Hashes, table: Hashes, out: Ints) -> None:
    """lines, line_characters, max, median and p90 line, blank, telling, distinct, indented, tab lines, max_indent.

    A line ends at LF, CR or CRLF. It tells if it holds a word; telling lines are compared without their whitespace.
    """
    place, stop = 0, len(text)
    count = telling = 0
    out[:11] = 0
    bins = np.zeros(_BINS + 1, np.int64)
    while place < stop:
        begin, length, visible_from, word = place, 0, -1, False
        code = _FNV_START
        while place < stop and text[place] != 10 and text[place] != 13:
            byte = text[place]
            kind = CLASSES[byte]
            length += (byte & 0xC0) != 0x80
            if kind != SPACE:
                if visible_from < 0:
                    visible_from = place
                word |= kind == WORD
                code = (code ^ np.uint64(byte)) * _FNV_PRIME
            place += 1
        if place < stop:
            place += 2 if text[place] == 13 and place + 1 < stop and text[place + 1] == 10 else 1
        lengths[count] = length
        bins[min(length, _BINS)] += 1
        count += 1
        out[1] += length
        out[2] = max(out[2], length)
        if visible_from < 0:
            out[5] += 1
        elif visible_from > begin:
            out[8] += 1
            out[9] += text[begin] == 9
            out[10] = max(out[10], visible_from - begin)
        if word:
            hashes[telling] = code
            telling += 1
    out[0] = count
    out[3] = ranked(lengths[:count], bins, (count - 1) // 2)
    out[4] = ranked(lengths[:count], bins, (9 * count + 9) // 10 - 1)
    out[6] = telling
    out[7] = distinct(hashes[:telling], table)


@jit
def ranked(values: Ints, bins: Ints, rank: int) -> int:
    """The value of this rank (0: smallest) given a histogram of the small ones; 0 of no values."""
    if not len(values):
        return 0
    seen = 0
    for value in range(_BINS):
        seen += bins[value]
        if seen > rank:
            return value
    return int(np.sort(values)[rank])


@jit
def distinct(values: Hashes, table: Hashes) -> int:
    """How many different values there are; `table` is scratch, large enough for all of them."""
    size = table_size(len(values))
    slots = np.uint64(size - 1)
    table[:size] = 0
    found = 0
    for value in values:
        # 0 marks a free slot
        key = max(mix(value), np.uint64(1))
        slot = key & slots
        while table[slot] != 0 and table[slot] != key:
            slot = (slot + np.uint64(1)) & slots
        if table[slot] == 0:
            table[slot] = key
            found += 1
    return found


@jit
def words(text: Bytes, todos: Hashes, hashes: Hashes, table: Hashes, out: Ints) -> None:
    """words, distinct_words, word_characters, max_word, hex_words (characters of words like 0x1F), todos."""
    place, stop, count = 0, len(text), 0
    out[:6] = 0
    while place < stop:
        if CLASSES[text[place]] != WORD:
            place += 1
            continue
        begin, length, digits = place, 0, 0
        code = _FNV_START
        while place < stop and CLASSES[text[place]] == WORD:
            byte = text[place]
            length += (byte & 0xC0) != 0x80
            digits += HEX[byte]
            code = (code ^ np.uint64(byte)) * _FNV_PRIME
            place += 1
        hashes[count] = code
        count += 1
        out[2] += length
        out[3] = max(out[3], length)
        # all but the x is a hexadecimal digit
        if length > 2 and text[begin] == 48 and text[begin + 1] | 32 == 120 and digits == length - 1:
            out[4] += length
        for todo in todos:
            out[5] += todo == code
    out[0] = count
    out[1] = distinct(hashes[:count], table)


@jit
def encoded(text: Bytes, mask: Bytes, out: Ints) -> None:
    """encoded (bytes in runs of encoded data, each once), longest_encoded (bytes of the longest run).

    Runs are those of base64 (at least 64 bytes), of two-digit hexadecimal bytes (at least 8, bare, 0x or \\x, with
    commas and whitespace between) and of \\u escapes (at least 8). `mask` is scratch, zero before and after.
    """
    longest = place = 0
    while place < len(text):
        place, end = next_run(text, place, BASE64, BASE64_RUN)
        mask[place:end] = 1
        longest = max(longest, end - place)
        place = end
    place = 0
    while place < len(text):
        place, end = next_run(text, place, ESCAPES, ESCAPES_RUN)
        while place < end:
            stop, items = hex_run(text, place)
            if items < HEX_RUN:
                stop = max(stop, place + 1)
                unicode_stop, items = escape_run(text, place)
                stop = max(stop, unicode_stop)
            if items >= HEX_RUN:
                mask[place:stop] = 1
                longest = max(longest, stop - place)
            place = stop
    out[0] = 0
    out[1] = longest
    if longest:
        total = 0
        for place in range(len(text)):
            total += mask[place]
            mask[place] = 0
        out[0] = total


@jit
def next_run(text: Bytes, place: int, members: Bytes, least: int) -> tuple[int, int]:
    """Begin and end of the next run of at least `least` bytes of a class; the end of the text twice if there is none.

    Looks from the far end of the window back, as Boyer and Moore (1977) do, and so reads few bytes of most files.
    """
    stop = len(text)
    while place + least <= stop:
        back = place + least - 1
        while back >= place and members[text[back]]:
            back -= 1
        if back < place:
            end = place + least
            while end < stop and members[text[end]]:
                end += 1
            return place, end
        place = back + 1
    return stop, stop


@jit
def hex_run(text: Bytes, place: int) -> tuple[int, int]:
    """End of the hexadecimal bytes that begin here, with what separates them, and how many there are."""
    items, stop = 0, len(text)
    while place < stop:
        digits, bounded = place, True
        if text[place] == 92:
            if place + 1 >= stop or text[place + 1] != 120:
                break
            digits, bounded = place + 2, False
        elif place > 0 and CLASSES[text[place - 1]] == WORD:
            break
        elif place + 1 < stop and text[place] == 48 and text[place + 1] | 32 == 120:
            digits = place + 2
        if digits + 1 >= stop or not HEX[text[digits]] or not HEX[text[digits + 1]]:
            break
        if bounded and digits + 2 < stop and CLASSES[text[digits + 2]] == WORD:
            break
        place = digits + 2
        items += 1
        while place < stop and (text[place] == 44 or CLASSES[text[place]] == SPACE):
            place += 1
    return place, items


@jit
def escape_run(text: Bytes, place: int) -> tuple[int, int]:
    """End of the \\uXXXX escapes that begin here, and how many there are."""
    items = 0
    while place + 5 < len(text) and text[place] == 92 and text[place + 1] == 117:
        for digit in range(place + 2, place + 6):
            if not HEX[text[digit]]:
                return place, items
        place += 6
        items += 1
    return place, items


@jit
def long_literals(text: Bytes) -> int:
    """Bytes between two quotes (single or double) of a line that are more than 100 bytes apart."""
    total, opening, quote, place = 0, 0, 0, 0
    while place < len(text):
        byte = text[place]
        if byte in (10, 13):
            quote = 0
        elif quote and byte == 92:
            place += 1
            # an escaped line end still ends the line
            if place < len(text) and text[place] in (10, 13):
                quote = 0
        elif quote and byte == quote:
            if place - opening - 1 > LITERAL_RUN:
                total += place - opening - 1
            quote = 0
        elif not quote and byte in (34, 39):
            quote, opening = byte, place
        place += 1
    return total


@jit
def visible(text: Bytes) -> int:
    """Characters outside of tags, comments, scripts and styles as HTML has them; whitespace counts once in a row.

    -1 for a file that doesn't begin with a tag.
    """
    total, place, blank = 0, 0, True
    while place < len(text) and CLASSES[text[place]] == SPACE:
        place += 1
    if place == len(text) or text[place] != 60:
        return -1
    while place < len(text):
        byte = text[place]
        if byte == 60:
            place = tag_end(text, place)
            continue
        if CLASSES[byte] == SPACE:
            total += not blank
            blank = True
        else:
            total += (byte & 0xC0) != 0x80
            blank = False
        place += 1
    return total


@jit
def tag_end(text: Bytes, place: int) -> int:
    """Where the tag that begins here ends: with its content for scripts and styles, and for comments."""
    if starts(text, place, b"<!--"):
        return find(text, place + 4, b"-->")
    if starts(text, place, b"<script"):
        place = find(text, place, b"</script")
    elif starts(text, place, b"<style"):
        place = find(text, place, b"</style")
    return find(text, place, b">")


@jit
def find(text: Bytes, place: int, wanted: bytes) -> int:
    """Where the next `wanted` (lower case) ends, whatever its case; the end of the text if there is none."""
    while place < len(text):
        if starts(text, place, wanted):
            return place + len(wanted)
        place += 1
    return len(text)


@jit
def starts(text: Bytes, place: int, wanted: bytes) -> bool:
    """Whether `wanted` (lower case) begins here, whatever its case."""
    if place + len(wanted) > len(text):
        return False
    for index in range(len(wanted)):
        byte = text[place + index]
        if byte != wanted[index] and not (65 <= byte <= 90 and byte + 32 == wanted[index]):
            return False
    return True
