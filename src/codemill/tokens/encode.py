"""Documents in, token ids with loss marks out, a batch at a time."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.errors import RecipeError
from codemill.tokens.fim import PLAIN, SPM, Split, split
from codemill.tokens.settings import FimSettings
from codemill.tokens.tokenizer import Ids, Ints, Tokenizer, Tokens

END = "<|endoftext|>"
# A piece is cut so much shorter than a sequence: three special tokens, the end, and what new borders cost.
RESERVE = 24


@dataclass(frozen=True)
class Encoded:
    """Token ids of n pieces; a piece is a document, or with FIM at context level a part of one.

    Attributes:
        ids: of all pieces, one after the other; the last piece of each document ends with the end token.
        offsets: n + 1; piece i has ids[offsets[i]:offsets[i + 1]].
        loss: 1 where a token bears the loss, as long as `ids`.
        rows: which row of the batch each piece is of, ascending, shape (n,).
        order: fim.PLAIN, PSM or SPM of each piece, shape (n,).
    """

    ids: Ids
    offsets: Ints
    loss: npt.NDArray[np.uint8]
    rows: Ints
    order: npt.NDArray[np.uint8]

    @property
    def lengths(self) -> Ints:
        """Tokens of each piece."""
        return np.diff(self.offsets)


def encode_documents(
    batch: pa.RecordBatch | pa.Table,
    tokenizer: Tokenizer,
    fim: FimSettings | None = None,
    *,
    end: str = END,
    epoch: int = 0,
    length: int | None = None,
) -> Encoded:
    """Encode documents (rows of `schema.DOCUMENT`).

    Documents with targets bear the loss on every token that holds a character of a target, and on the end token if a
    target reaches the end of the text; they are never split. All other documents bear it everywhere.

    Args:
        batch: columns document_id, text, targets.
        tokenizer: of ids and special tokens.
        fim: how documents are split; None: not at all.
        end: special token after every document.
        epoch: another epoch, another draw for FIM.
        length: tokens of a sequence; with FIM at context level, documents that are longer are cut into pieces, each
            of which fits and is drawn for and split on its own.

    Raises:
        RecipeError: the tokenizer lacks a special token, or `length` is missing.
    """
    stop = tokenizer.special(end)
    marks = _marks(tokenizer, fim)
    targets = batch.column("targets")
    split_at_all = fim is not None and fim.rate > 0
    texts: list[str] = batch.column("text").to_pylist()
    names: list[str] = batch.column("document_id").to_pylist() if split_at_all else [""] * len(texts)
    aimed = np.asarray(targets.is_valid().to_numpy(zero_copy_only=False), bool) if len(texts) else np.zeros(0, bool)
    rows = np.arange(len(texts))
    last = np.ones(len(texts), np.uint8)
    if fim is not None and split_at_all and fim.level == "context":
        if length is None:
            raise RecipeError("fim.level: expected the length of a sequence with 'context', got none")
        texts, names, rows, last = _cut(tokenizer, texts, names, (aimed, length))
    drawn = _draw(texts, names, aimed[rows], fim if split_at_all else None, epoch)
    drawn, tokens, first = _encode_parts(tokenizer, texts, drawn)
    if fim is not None and split_at_all and fim.level == "context" and length is not None:
        drawn, tokens, first = _fitting(tokenizer, texts, (drawn, tokens, first), length)
    ids, offsets, loss = _assemble(tokens.ids, tokens.offsets, first, drawn.order, marks, (stop, last))
    if aimed.any():
        _aim(tokenizer, texts, (targets, rows, aimed[rows]), (offsets, loss))
    return Encoded(ids, offsets, loss, rows, drawn.order)


def _marks(tokenizer: Tokenizer, fim: FimSettings | None) -> Ids:
    """Ids of the special tokens for prefix, middle and suffix."""
    if fim is None or fim.rate == 0:
        return np.zeros(3, np.uint32)
    return np.array([tokenizer.special(name) for name in (fim.prefix, fim.middle, fim.suffix)], np.uint32)


def _draw(
    texts: list[str], names: list[str], aimed: npt.NDArray[np.bool_], fim: FimSettings | None, epoch: int
) -> Split:
    nothing = np.zeros(len(texts), np.int64)
    if fim is None:
        return Split(np.zeros(len(texts), np.uint8), nothing, nothing)
    drawn = split(names, np.fromiter(map(len, texts), np.int64, len(texts)), fim, epoch)
    return Split(np.where(aimed, PLAIN, drawn.order).astype(np.uint8), drawn.first, drawn.second)


def _encode_parts(tokenizer: Tokenizer, texts: list[str], drawn: Split) -> tuple[Split, Tokens, Ints]:
    """Encode whole texts, or three parts of those that are split; also says which part each text begins with."""
    parts: list[str] = []
    owners = [0]
    for text, order, first, second in zip(
        texts, drawn.order.tolist(), drawn.first.tolist(), drawn.second.tolist(), strict=True
    ):
        if order == PLAIN:
            parts.append(text)
        else:
            parts += (text[:first], text[first:second], text[second:])
        owners.append(len(parts))
    return drawn, tokenizer.encode(parts), np.asarray(owners, np.int64)


# -- targets -----------------------------------------------------------------------------------------------------


def _aim(tokenizer: Tokenizer, texts: list[str], chosen: Any, where: tuple[Ints, npt.NDArray[np.uint8]]) -> None:
    """Leave the loss only on tokens that hold a character of a target. Documents with targets are one piece."""
    targets, rows, aimed = chosen
    offsets, loss = where
    places = np.flatnonzero(aimed)
    spans = targets.take(pa.array(rows[places]))
    spans = spans.combine_chunks() if isinstance(spans, pa.ChunkedArray) else spans
    counts = np.asarray(pc.list_value_length(spans).to_numpy(zero_copy_only=False), np.int64)
    flat = pc.list_flatten(spans)
    begins = np.asarray(pc.struct_field(flat, "start").to_numpy(zero_copy_only=False), np.int64)
    ends = np.asarray(pc.struct_field(flat, "end").to_numpy(zero_copy_only=False), np.int64)
    picked = [texts[place] for place in places.tolist()]
    tokens = tokenizer.encode(picked, spans=True)
    owner = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    sizes = np.fromiter(map(len, picked), np.int64, len(picked))
    _mask(loss, offsets[places], (tokens.offsets, tokens.starts, tokens.ends), (owner, begins, ends), sizes)


@numba.njit(cache=True)
def _mask(loss, places, tokens, spans, sizes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    offsets, starts, ends = tokens
    owner, begins, stops = spans
    for text in range(len(places)):
        at = places[text] - offsets[text]
        end = at + offsets[text + 1]
        loss[places[text] : end + 1] = 0
        for span in range(owner[text], owner[text + 1]):
            if stops[span] <= begins[span]:
                continue  # an empty target holds no character, also within a token
            # Starts and ends of tokens ascend: those before the target are skipped, those behind it end the search.
            token = offsets[text] + np.searchsorted(ends[offsets[text] : offsets[text + 1]], begins[span], "right")
            while token < offsets[text + 1] and starts[token] < stops[span]:
                loss[at + token] = 1
                token += 1
            if stops[span] >= sizes[text]:
                loss[end] = 1


# -- context level -----------------------------------------------------------------------------------------------


def _cut(
    tokenizer: Tokenizer, texts: list[str], names: list[str], limits: tuple[npt.NDArray[np.bool_], int]
) -> tuple[list[str], list[str], Ints, npt.NDArray[np.uint8]]:
    """Texts that fit a sequence each, names to draw by, the rows they are of, and whether they end their document."""
    aimed, length = limits
    room = max(1, length - RESERVE)
    # A token stands for a byte at least, nearly everywhere: short texts need no counting.
    long = [row for row, text in enumerate(texts) if not aimed[row] and len(text.encode()) >= length]
    tokens = tokenizer.encode([texts[row] for row in long], spans=True)
    borders: dict[int, list[int]] = {}
    for place, row in enumerate(long):
        start, stop = tokens.offsets[place], tokens.offsets[place + 1]
        if stop - start + 1 > length and tokens.starts is not None:
            # A token may begin within a character; the piece begins with that character then.
            cuts = tokens.starts[start + room : stop : room].tolist()
            borders[row] = [0, *dict.fromkeys(cut for cut in cuts if cut > 0), len(texts[row])]
    pieces: list[str] = []
    ids: list[str] = []
    rows: list[int] = []
    for row, text in enumerate(texts):
        bounds = borders.get(row, [0, len(text)])
        for number in range(len(bounds) - 1):
            pieces.append(text[bounds[number] : bounds[number + 1]])
            ids.append(f"{names[row]}\0{number}" if number else names[row])
            rows.append(row)
    owners = np.asarray(rows, np.int64)
    last = np.append(owners[1:] != owners[:-1], [True] * min(1, len(owners))).astype(np.uint8)
    return pieces, ids, owners, last


def _fitting(
    tokenizer: Tokenizer, texts: list[str], coded: tuple[Split, Tokens, Ints], length: int
) -> tuple[Split, Tokens, Ints]:
    """The same, but split pieces that came out longer than a sequence are whole again."""
    drawn, tokens, first = coded
    sizes = tokens.offsets[first[1:]] - tokens.offsets[first[:-1]] + 4
    wide = (drawn.order != PLAIN) & (sizes > length)
    if not wide.any():
        return coded
    order = np.where(wide, PLAIN, drawn.order).astype(np.uint8)
    return _encode_parts(tokenizer, texts, Split(order, drawn.first, drawn.second))


# -- one array ---------------------------------------------------------------------------------------------------


@numba.njit(cache=True)
def _assemble(ids, offsets, first, order, marks, closing):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
    """Parts in the order of their pieces, with special tokens.

    Args:
        ids: of all parts, `offsets` says of which.
        offsets: of parts.
        first: first part of each of n pieces, n + 1.
        order: PLAIN, PSM or SPM of each piece.
        marks: special tokens for prefix, middle and suffix.
        closing: end token, and whether each piece is the last of its document.
    """
    end, last = closing
    count = len(order)
    borders = np.zeros(count + 1, np.int64)
    for piece in range(count):
        size = offsets[first[piece + 1]] - offsets[first[piece]] + last[piece]
        borders[piece + 1] = borders[piece] + size + (0 if order[piece] == PLAIN else 3)
    out = np.empty(borders[count], np.uint32)
    for piece in range(count):
        at, part = borders[piece], first[piece]
        if order[piece] == PLAIN:
            size = offsets[part + 1] - offsets[part]
            out[at : at + size] = ids[offsets[part] : offsets[part + 1]]
            at += size
        else:
            for step in range(3):  # suffix, prefix, middle; or prefix, suffix, middle
                which = 1 if step == 2 else (2 if (step == 0) == (order[piece] == SPM) else 0)
                out[at] = marks[which]
                size = offsets[part + which + 1] - offsets[part + which]
                out[at + 1 : at + 1 + size] = ids[offsets[part + which] : offsets[part + which + 1]]
                at += 1 + size
        if last[piece]:
            out[at] = end
    return out, borders, np.ones(borders[count], np.uint8)
