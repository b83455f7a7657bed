"""Opens any Hugging Face tokenizer and encodes batches with it; text never becomes a special token."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from codemill.errors import InputError, MissingExtra, RecipeError

Ids = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]

# An added token of this shape is a mark, whatever its file says of it; runs of spaces and words are content.
MARK = re.compile(r"<.*>|\[.*\]", re.DOTALL)


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts.

    Attributes:
        ids: of all texts, one after the other.
        offsets: n + 1; text i has ids[offsets[i]:offsets[i + 1]].
        starts: of every token, in characters of its text; None unless asked for.
        ends: likewise.
    """

    ids: Ids
    offsets: Ints
    starts: Ints | None = None
    ends: Ints | None = None


class Tokenizer:
    """A tokenizer whose special tokens are known by name and never come from content.

    Args:
        definition: the content of a tokenizer.json.
        name: what messages call it.

    Attributes:
        fingerprint: 12 hex digits over the definition.
        vocab_size: one more than the largest id.
    """

    def __init__(self, definition: dict[str, Any], name: str) -> None:
        self.name = name
        self.fingerprint = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:12]
        library = _library()
        try:
            self.vocab_size = 1 + max(library.Tokenizer.from_str(json.dumps(definition)).get_vocab(True).values())
            self._marks, plain = _without_marks(definition)
            self._plain = library.Tokenizer.from_str(json.dumps(plain))
        except Exception as error:  # the library raises nothing more special
            raise RecipeError(f"tokenizer {name}: expected a tokenizer.json, got {error}") from error
        self._plain.no_truncation()
        self._plain.no_padding()

    def special(self, text: str) -> int:
        """The id of a special token.

        Raises:
            RecipeError: the tokenizer has no such special token.
        """
        if text not in self._marks:
            some = ", ".join(sorted(self._marks)[:8])
            raise RecipeError(f"tokenizer {self.name}: expected the special token {text!r}, got only {some or 'none'}")
        return self._marks[text]

    def encode(self, texts: pa.Array | list[str], spans: bool = False) -> Tokens:
        """Encode texts as content: no special token is added, and none is made of what looks like one.

        Args:
            texts: n strings, none of them null.
            spans: also say which characters each token stands for; slower.
        """
        strings = texts.to_pylist() if isinstance(texts, pa.Array) else list(texts)
        encode = self._plain.encode_batch if spans else self._plain.encode_batch_fast
        found = encode(strings, add_special_tokens=False)
        offsets = np.zeros(len(found) + 1, np.int64)
        np.cumsum([len(one) for one in found], out=offsets[1:])
        ids = np.empty(int(offsets[-1]), np.uint32)
        places = np.empty((len(ids), 2), np.int64) if spans else None
        for one, start, stop in zip(found, offsets[:-1], offsets[1:], strict=True):
            if stop > start:
                ids[start:stop] = one.ids
                if places is not None:
                    places[start:stop] = one.offsets
        if places is None:
            return Tokens(ids, offsets)
        return Tokens(ids, offsets, places[:, 0], places[:, 1])

    def decode(self, ids: npt.ArrayLike) -> str:
        """Content ids as text; special tokens are left out."""
        return str(self._plain.decode(np.asarray(ids).tolist(), skip_special_tokens=False))


def open_tokenizer(path: str | Path) -> Tokenizer:
    """Open a tokenizer.json, a folder that holds one, or a repository of the hub.

    Raises:
        InputError: there is no such file, or the hub can't be reached.
        RecipeError: the file is no tokenizer.
        MissingExtra: the library for such files is not installed.
    """
    place = Path(path)
    file = place / "tokenizer.json" if place.is_dir() else place
    if not file.is_file():
        if place.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(path)) or str(path).endswith(".json"):
            raise InputError(f"tokenizer: expected a tokenizer.json or a folder with one, got {path}")
        file = _from_hub(str(path))
    try:
        definition = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"tokenizer {path}: expected JSON, got {error}") from error
    if not isinstance(definition, dict) or not isinstance(definition.get("model"), dict):
        raise RecipeError(f"tokenizer {path}: expected the JSON of the tokenizers library, got something else")
    return Tokenizer(definition, str(path))


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise MissingExtra("a tokenizer from the hub", "tokenizers") from error
    try:
        return Path(hf_hub_download(name, "tokenizer.json"))
    except Exception as error:  # not found, gated, offline: one base class is missing
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"tokenizer {name}: expected a file, a folder or a repository of the hub, got {lines[0]}"
        ) from error


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtra("encoding", "tokenizers") from error
    return tokenizers


def _without_marks(definition: dict[str, Any]) -> tuple[dict[str, int], dict[str, Any]]:
    """Special tokens by name, and the tokenizer that knows nothing of them."""
    added = definition.get("added_tokens") or []
    marks = {one["content"]: int(one["id"]) for one in added if one.get("special") or MARK.fullmatch(one["content"])}
    model = dict(definition["model"])
    vocab = model.get("vocab")
    if isinstance(vocab, dict):
        model["vocab"] = {
            token: number for token, number in vocab.items() if token not in marks or token == model.get("unk_token")
        }
    kept = [one for one in added if one["content"] not in marks]
    return marks, {**definition, "added_tokens": kept, "model": model, "post_processor": None}
