"""Documents in, token ids with loss marks out, a batch at a time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from codemill.tokens.fim import PLAIN, SPM, Split, split
from codemill.tokens.settings import FimSettings
from codemill.tokens.tokenizer import Ids, Ints, Tokenizer

END = "<|endoftext|>"


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
        length: tokens of a sequence; FIM at context level needs it and cuts longer documents into pieces.
    """
    texts: list[str] = batch.column("text").to_pylist()
    targets: list[Any] = batch.column("targets").to_pylist()
    drawn = _draw(batch, targets, fim, epoch)
    parts, owners = _parts(texts, drawn)
    tokens = tokenizer.encode(parts)
    marks = [] if fim is None else [tokenizer.special(name) for name in (fim.prefix, fim.middle, fim.suffix)]
    return _assemble(tokenizer, texts, targets, drawn, (tokens, owners, marks, tokenizer.special(end)))


def _draw(batch: Any, targets: list[Any], fim: FimSettings | None, epoch: int) -> Split:
    count = len(targets)
    nothing = np.zeros(count, np.int64)
    if fim is None:
        return Split(np.zeros(count, np.uint8), nothing, nothing)
    lengths = np.asarray(pc.utf8_length(batch.column("text")).to_numpy(), np.int64)
    drawn = split(batch.column("document_id").to_pylist(), lengths, fim, epoch)
    plain = np.array([one is not None for one in targets], bool)
    return Split(np.where(plain, PLAIN, drawn.order).astype(np.uint8), drawn.first, drawn.second)


def _parts(texts: list[str], drawn: Split) -> tuple[list[str], list[int]]:
    parts: list[str] = []
    owners = [0]
    for text, order, first, second in zip(texts, drawn.order, drawn.first, drawn.second, strict=True):
        if order == PLAIN:
            parts.append(text)
        else:
            parts += [text[:first], text[first:second], text[second:]]
        owners.append(len(parts))
    return parts, owners


def _assemble(tokenizer: Tokenizer, texts: list[str], targets: list[Any], drawn: Split, coded: Any) -> Encoded:
    tokens, owners, marks, end = coded
    ids: list[Any] = []
    loss: list[Any] = []
    for row, (text, wanted) in enumerate(zip(texts, targets, strict=True)):
        pieces = [tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]] for i in range(owners[row], owners[row + 1])]
        if drawn.order[row] != PLAIN:
            prefix, middle, suffix = (
                [np.array([mark], np.uint32), one] for mark, one in zip(marks, pieces, strict=True)
            )
            pieces = [*suffix, *prefix, *middle] if drawn.order[row] == SPM else [*prefix, *suffix, *middle]
        ids.append(np.concatenate([*pieces, np.array([end], np.uint32)]))
        loss.append(np.ones(len(ids[-1]), np.uint8))
        if wanted is not None:
            spans = tokenizer.encode([text], spans=True)
            loss[-1][:] = 0
            for span in wanted:
                loss[-1][:-1] |= ((spans.starts < span["end"]) & (spans.ends > span["start"])).astype(np.uint8)
                loss[-1][-1] |= span["end"] >= len(text)
    offsets = np.zeros(len(ids) + 1, np.int64)
    np.cumsum([len(one) for one in ids], out=offsets[1:])
    flat = np.concatenate([np.zeros(0, np.uint32), *ids])
    return Encoded(flat, offsets, np.concatenate([np.zeros(0, np.uint8), *loss]), np.arange(len(ids)), drawn.order)
