"""Words as decontamination compares them: what wrapping, layout, quotes and comment marks can't change.

A word is a run of ASCII letters, digits, underscores and letters of other alphabets, in lower case (ASCII). Everything
else separates: whitespace, punctuation, the symbols of U+2000 to U+2BFF and emoji, and backslash escapes of line ends
and tabs, so that code within JSON has the words of the code. A Chinese or Japanese character is a word by itself, since
such text wraps anywhere. A NUL byte is a border that no n-gram crosses.

Beside every word stands its *depth*: whether it is in what is a comment or a docstring in most languages. Of a text
there are three views: all words, those outside of comments, and those outside of comments and docstrings, so that
neither comments between lines nor another docstring can tear an n-gram. The language isn't asked: a mark counts as one
of a comment where it rarely is anything else, and a benchmark is read in the same way. A view that is cut wrongly costs
nothing but itself; the first always has all words.
"""

import numpy as np

from codemill.lexer import Bytes, Ints, jit

VERSION = 1  # raise it when the same text gets other words or n-grams: indexes of another version are not read

SPACE, LINE, WORD, HIGH, MARK, SPECIAL = range(6)
# What the reader knows between words; an int64 array of this size.
COMMENT, QUOTED, QUOTE, FRESH, SPACED, LAST, BORDER, STATE_SIZE = range(8)
# Kinds of comments: none, up to the end of the line, up to */.
CODE, LINE_COMMENT, BLOCK_COMMENT = range(3)
# Kinds of triple quotes: none, a docstring (they begin a line), another string.
PLAIN, DOCSTRING, STRING = range(3)
# Views of a text, each without the words whose depth is greater than VIEWS - 1 - its number.
VIEWS = 3

TELLING_BYTES = 4  # `for`, `def`, `int`, `len` and the variables of loops tell nothing
_FNV_START = np.uint64(14695981039346656037)
_FNV_PRIME = np.uint64(1099511628211)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HASH, _STAR, _SLASH, _DASH, _SEMICOLON, _BACKSLASH = 35, 42, 47, 45, 59, 92
_DOUBLE, _SINGLE = 34, 39


def _kinds() -> Bytes:
    table = np.full(256, MARK, np.uint8)
    table[list(b" \t\f\v")] = SPACE
    table[list(b"\r\n")] = LINE
    table[list(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] = WORD
    table[128:] = WORD
    # First bytes of characters that may be separators or words by themselves.
    table[[0xC2, *range(0xE2, 0xEA), 0xEF, 0xF0]] = HIGH
    table[list(b"#*/-;\\\"'\0")] = SPECIAL
    return table


def _lower() -> Bytes:
    table = np.arange(256, dtype=np.uint8)
    table[65:91] += 32
    return table


KINDS = _kinds()  # numba compiles them in as constants
LOWER = _lower()
_BEFORE_LINE = np.zeros(256, np.uint8)
_BEFORE_LINE[list(b"+>|")] = 1
_AFTER_LINE = np.zeros(256, np.uint8)
_AFTER_LINE[list(b";{},")] = 1
_AFTER_BLOCK = np.zeros(256, np.uint8)
_AFTER_BLOCK[list(b";{}(),")] = 1


@jit
def start_text(state: Ints) -> None:
    """Ready the state for a text, or for what follows a border."""
    state[:] = 0
    state[FRESH] = 1
    state[BORDER] = 1


@jit
def next_word(text: Bytes, place: int, state: Ints) -> tuple[int, int, np.uint64]:
    """Where the next word begins and ends, and its hash; the length of the text twice if there is none.

    `state` is moved on: `state[BORDER]` is 1 where a border was passed (whoever asks sets it back).
    """
    stop = len(text)
    while place < stop:
        kind = KINDS[text[place]]
        if kind == SPACE:
            state[SPACED] = 1
            place += 1
        elif kind == LINE:
            end_line(state)
            place += 1
        elif kind == MARK:
            # The marks before the lines of patches, quotations and sessions leave a line as fresh as it was.
            if not (state[FRESH] and _BEFORE_LINE[text[place]]):
                state[LAST] = text[place]
                state[FRESH] = state[SPACED] = 0
            place += 1
        elif kind == SPECIAL:
            place = special(text, place, state)
        else:
            width = wide(text, place) if kind == HIGH else 0
            if width > 0:
                state[SPACED] = 1
                place += width
                continue
            begin = place
            place, code = word_end(text, place, width)
            state[FRESH] = state[SPACED] = state[LAST] = 0
            return begin, place, (code ^ (code >> np.uint64(29))) * _GOLDEN
    return stop, stop, np.uint64(0)


@jit
def depth(state: Ints) -> int:
    """Of the word just read: 2 within a comment, 1 within a docstring, else 0."""
    if state[COMMENT] != CODE:
        return 2
    return 1 if state[QUOTED] == DOCSTRING else 0


@jit
def tells(text: Bytes, begin: int, end: int) -> bool:
    """Whether a word tells something of its text: no number, and of four letters at least or of another alphabet."""
    first = text[begin]
    return first >= 0x80 or (end - begin >= TELLING_BYTES and not 48 <= first <= 57)


@jit
def word_end(text: Bytes, place: int, width: int) -> tuple[int, np.uint64]:
    """Where the word that begins here ends, and the hash of its bytes; `width` is what `wide` says of its first."""
    stop = len(text) if width == 0 else place - width
    code = _FNV_START
    first = place
    while place < stop:
        kind = KINDS[text[place]]
        if kind != WORD and width == 0 and (kind != HIGH or (place > first and wide(text, place) != 0)):
            break
        code = (code ^ np.uint64(LOWER[text[place]])) * _FNV_PRIME
        place += 1
    return place, code


@jit
def wide(text: Bytes, place: int) -> int:
    """Of a character from `HIGH`: its bytes if it separates, minus its bytes if it is a word by itself, else 0."""
    first, left = text[place], len(text) - place
    second = text[place + 1] if left > 1 else 0
    third = text[place + 2] if left > 2 else 0
    width = 0
    if first == 0xC2:
        # of Latin-1's upper signs, ª, µ and º are letters
        width = 0 if second in (0xAA, 0xB5, 0xBA) else 2
    elif first == 0xE2:
        width = 3 if second < 0xB0 else 0
    elif first == 0xE3 and second == 0x80:
        width = 3
    elif first <= 0xE9:
        width = -3
    elif first == 0xEF:
        # byte order mark; full-width punctuation
        mark = second == 0xBB and third == 0xBF
        mark |= second == 0xBC and (third < 0x90 or 0x9A <= third < 0xA1 or third >= 0xBB)
        width = 3 if mark else 0
    elif second == 0x9F:
        width = 4
    # a text that breaks off within a character
    return width if abs(width) <= left else 0


@jit
def end_line(state: Ints) -> None:
    """A line ends here, and with it a comment that lasts as long."""
    state[FRESH] = 1
    if state[COMMENT] == LINE_COMMENT:
        state[COMMENT] = CODE


@jit
def special(text: Bytes, place: int, state: Ints) -> int:
    """Take a mark that may begin or end a comment, a string, an escape or a text; where to go on."""
    byte = text[place]
    if byte == _BACKSLASH:
        return escape(text, place, state)
    following = text[place + 1] if place + 1 < len(text) else 0
    if byte == 0:
        start_text(state)
    if byte == 0 or (byte == _DASH and state[FRESH] and following != _DASH):
        return place + 1
    fresh, spaced, last = state[FRESH], state[SPACED] | state[FRESH], state[LAST]
    state[LAST], state[FRESH], state[SPACED] = byte, 0, 0
    if byte in (_DOUBLE, _SINGLE):
        return quotes(text, place, state, fresh)
    if state[COMMENT] == BLOCK_COMMENT and byte == _STAR and following == _SLASH:
        state[COMMENT] = CODE
        return place + 2
    if state[COMMENT] == CODE:
        if byte == _SLASH and following == _STAR and state[QUOTED] == PLAIN and (spaced or _AFTER_BLOCK[last]):
            state[COMMENT] = BLOCK_COMMENT
            return place + 2
        after = text[place + 2] if place + 2 < len(text) else 0
        comment = byte == _HASH and spaced
        comment |= byte == _SEMICOLON and fresh
        comment |= byte == _DASH and fresh and following == _DASH and KINDS[after] <= LINE
        comment |= byte == _SLASH and following == _SLASH and (fresh or (spaced and _AFTER_LINE[last]))
        if comment:
            state[COMMENT] = LINE_COMMENT
    return place + 1


@jit
def escape(text: Bytes, place: int, state: Ints) -> int:
    """Pass backslashes and, where they escape a line end or a tab, its letter."""
    while place < len(text) and text[place] == _BACKSLASH:
        place += 1
    if place < len(text):
        byte = text[place]
        if byte in (110, 114):  # n, r
            end_line(state)
            return place + 1
        if byte == 116:  # t
            state[SPACED] = 1
            return place + 1
    return place


@jit
def quotes(text: Bytes, place: int, state: Ints, fresh: int) -> int:
    """Take a quote: three in a row, escaped or not, begin or end a docstring or a string."""
    byte, step = text[place], 1
    if place + 1 < len(text) and text[place + 1] == _BACKSLASH:
        step = 2
    second, third = place + step, place + 2 * step
    if third >= len(text) or text[second] != byte or text[third] != byte:
        return place + 1
    if step == 2 and text[second + 1] != _BACKSLASH:
        return place + 1
    if state[QUOTED] == PLAIN and state[COMMENT] == CODE:
        state[QUOTED] = DOCSTRING if fresh else STRING
        state[QUOTE] = byte
    elif state[QUOTED] != PLAIN and state[QUOTE] == byte:
        state[QUOTED] = PLAIN
        state[COMMENT] = CODE
    return third + 1
