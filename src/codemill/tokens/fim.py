"""Fill in the middle (Bavarian et al. 2022): where a document is split, and in which order its parts are put."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codemill.tokens.settings import FimSettings

Ints = npt.NDArray[np.int64]

PLAIN, PSM, SPM = 0, 1, 2


@dataclass(frozen=True)
class Split:
    """What becomes of n documents.

    Attributes:
        order: PLAIN, PSM or SPM, shape (n,).
        first: where the middle begins, in characters, shape (n,).
        second: where the suffix begins, at least `first`, shape (n,).
    """

    order: npt.NDArray[np.uint8]
    first: Ints
    second: Ints


def split(ids: list[str], lengths: Ints, settings: FimSettings, epoch: int = 0) -> Split:
    """Draw for n documents. The draw depends on the document's id, the epoch and the settings, on nothing else.

    Both borders are uniform over the n + 1 places between the characters of a document.

    Args:
        ids: names of the documents.
        lengths: their characters.
        settings: rates.
        epoch: another epoch, another draw.
    """
    draws = np.frombuffer(b"".join(_draw(name, epoch) for name in ids), np.dtype("<u8")).reshape(-1, 4)
    chance = draws.astype(np.float64) / 2.0**64
    order = np.where(chance[:, 1] < settings.spm_share, SPM, PSM)
    order = np.where(chance[:, 0] < settings.rate, order, PLAIN).astype(np.uint8)
    places = np.asarray(lengths, np.int64)[:, None] + 1
    borders = np.sort(np.minimum((chance[:, 2:] * places).astype(np.int64), places - 1), axis=1)
    return Split(order, borders[:, 0], borders[:, 1])


def _draw(name: str, epoch: int) -> bytes:
    return hashlib.blake2b(f"{epoch}\0{name}".encode("utf-8", "surrogateescape"), digest_size=32).digest()
