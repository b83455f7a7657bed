"""How small scorers lie in a folder: their arrays in one file, and a card that says what they are."""

import json
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from codemill.errors import InputError

WEIGHTS = "model.npz"
CARD = "card.json"


@dataclass(frozen=True)
class StoredArrays:
    """Base of fitted models whose fields are all arrays; `what` names the kind in messages."""

    what: ClassVar[str]

    def save(self, folder: Path) -> None:
        """Write `model.npz`."""
        np.savez_compressed(folder / WEIGHTS, **{one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `model.npz`.

        Raises:
            InputError: it is missing or not a model of this kind.
        """
        try:
            with np.load(folder / WEIGHTS, allow_pickle=False) as stored:
                return cls(**{one.name: stored[one.name] for one in fields(cls)})
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"scorer {folder}: expected {cls.what}, got {error}") from error

    def hash_with(self, settings: str) -> str:
        """12 hex digits over the settings and the bytes of all arrays."""
        digest = sha256(settings.encode())
        for one in fields(self):
            digest.update(np.ascontiguousarray(getattr(self, one.name)).tobytes())
        return digest.hexdigest()[:12]


def read_card(folder: Path, what: str) -> dict[str, Any]:
    """The card beside a model.

    Raises:
        InputError: there is none.
    """
    try:
        return dict(json.loads((folder / CARD).read_text()))
    except (OSError, ValueError) as error:
        raise InputError(f"scorer {folder}: expected {what}, got {error}") from error
