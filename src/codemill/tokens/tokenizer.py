"""Opens any Hugging Face tokenizer and encodes batches with it; text never becomes a special token.

Two libraries encode: `tokenizers`, which knows everything, and `fastokens`, which knows most byte-level BPE tokenizers
and is far faster. The second is used where it gives the ids of the first: on probes when a tokenizer is opened, and
again on the first text it is given.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from codemill.errors import InputError, MissingExtra, RecipeError

Ids = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]

# An added token of this shape is a mark, whatever its file says of it; runs of spaces and words are content.
MARK = re.compile(r"<.*>|\[.*\]", re.DOTALL)
# What differs between implementations: spaces, ends of lines, digits, marks, apostrophes, scripts, what is no letter.
PROBES = (
    "",
    " ",
    "\n",
    "def f(x):\n    return x**2  # it's 12345\n\n\n\tif not (x and 'y'):\r\n\r\n        pass\n",
    "I'M we'LL they'd  don't'S ' 'x ''re\u2019s",
    "a  b   c\t\td \t e\n \n  \n   f\u00a0g\u2003h\u3000i\x0b\x0c\x1c\x85",
    "1 12 123 1234 12345 0x1F \u0661\u0662\u0663\u0664 \u00bd\u00b2 \u2167 1,000.50",
    "na\u00efve cafe\u0301 \u0439\u0438\u0306 \u02b0\u01c5",
    "\u4e2d\u6587\u5b57\u7b26 \ud55c\uad6d\uc5b4 \u0e20\u0e32\u0e29\u0e32 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f600\U0001f469\u200d\U0001f4bb \ufe0f\u200b\ufeff\ufffd \U0001d54f \x00\x01\x7f",
    '<|endoftext|><[fim-middle]></s>[MASK] $%&/()=?*+~#-_.:;,<>|@\u20ac{}[]^`\u00b4"\\ ->=>!==:::///***',
    "x" * 300 + " " * 300 + "=" * 300 + "\n" * 300 + "7" * 300 + "\u00e9" * 300,
)
FIRST = 20_000  # characters of real text that are encoded twice


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts.

    Attributes:
        ids: of all texts, one after the other.
        offsets: n + 1; text i has ids[offsets[i]:offsets[i + 1]].
        starts: the first character that each token stands for, in its text; None unless asked for.
        ends: the character after the last one. Tokens that share a character overlap.
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
        fast: whether `fastokens` encodes.
    """

    def __init__(self, definition: dict[str, Any], name: str) -> None:
        self.name = name
        library = open_library()
        try:
            self.fingerprint = hashlib.sha256(orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
            self.vocab_size = _vocab_size(definition)
            self._marks, bare = _without_marks(definition)
            plain = orjson.dumps(bare).decode()
            self._plain = library.Tokenizer.from_str(plain)
        except Exception as error:  # the library raises nothing more special
            raise RecipeError(f"tokenizer {name}: expected a tokenizer.json, got {error}") from error
        self._fast = _fast(plain, self._slow_ids)
        self._tried = False

    @property
    def fast(self) -> bool:
        return self._fast is not None

    def special(self, text: str) -> int:
        """The id of a special token.

        Raises:
            RecipeError: the tokenizer has no such special token.
        """
        if text not in self._marks:
            some = ", ".join(sorted(self._marks)[:8])
            raise RecipeError(f"tokenizer {self.name}: expected the special token {text!r}, got only {some or 'none'}")
        return self._marks[text]

    def encode(self, texts: pa.Array | pa.ChunkedArray | list[str], spans: bool = False) -> Tokens:
        """Encode texts as content: no special token is added, and none is made of what looks like one.

        Args:
            texts: n strings, none of them null.
            spans: also say which characters each token stands for.
        """
        strings: list[str] = texts if isinstance(texts, list) else texts.to_pylist()
        ids, offsets = self._ids(strings)
        if not spans:
            return Tokens(ids, offsets)
        found = self._spans(strings, ids, offsets)
        return Tokens(ids, offsets, *found) if found else self._slow_spans(strings)

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text that ids of content stand for; special tokens are left out."""
        marks = set(self._marks.values())
        return str(self._plain.decode([one for one in np.asarray(ids).tolist() if one not in marks], False))

    def _ids(self, strings: list[str]) -> tuple[Ids, Ints]:
        if self._fast is not None and not self._tried and any(strings):
            self._tried = True
            text = next(text for text in strings if text)[:FIRST]
            if not np.array_equal(_flat(self._fast, [text])[0], self._slow_ids([text])[0]):
                self._fast = None
        if self._fast is not None:
            try:
                return _flat(self._fast, strings)
            except BaseException as error:
                # A limit of its regular expressions, or a panic, which is no Exception: the other library knows.
                if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                    raise
                return self._slow_ids(strings)
        return self._slow_ids(strings)

    def _slow_ids(self, strings: list[str]) -> tuple[Ids, Ints]:
        found = self._plain.encode_batch_fast(strings, add_special_tokens=False)
        offsets = _offsets([len(one) for one in found])
        ids = np.empty(int(offsets[-1]), np.uint32)
        for one, start, stop in zip(found, offsets[:-1], offsets[1:], strict=True):
            ids[start:stop] = one.ids
        return ids, offsets

    def _slow_spans(self, strings: list[str]) -> Tokens:
        found = self._plain.encode_batch(strings, add_special_tokens=False)
        offsets = _offsets([len(one) for one in found])
        ids = np.empty(int(offsets[-1]), np.uint32)
        places = np.empty((len(ids), 2), np.int64)
        for one, start, stop in zip(found, offsets[:-1], offsets[1:], strict=True):
            if stop > start:
                ids[start:stop] = one.ids
                places[start:stop] = one.offsets
        return Tokens(ids, offsets, places[:, 0], places[:, 1])

    def _spans(self, strings: list[str], ids: Ids, offsets: Ints) -> tuple[Ints, Ints] | None:
        """Spans by the bytes that tokens stand for; None where these are not the bytes of the texts."""
        encoded = [text.encode() for text in strings]
        borders = _offsets([len(one) for one in encoded])
        lengths = self._token_bytes[ids]
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        if (lengths < 0).any() or (sums[offsets] != borders).any():
            return None
        return _characters(np.frombuffer(b"".join(encoded), np.uint8), borders, lengths, offsets)

    @cached_property
    def _token_bytes(self) -> npt.NDArray[np.int64]:
        """How many bytes each id stands for in a byte-level vocabulary; -1: not known."""
        alphabet = set(open_library().pre_tokenizers.ByteLevel.alphabet())
        table = np.full(self.vocab_size, -1, np.int64)
        for token, number in self._plain.get_vocab(False).items():
            if alphabet.issuperset(token):
                table[number] = len(token)
        for number, added in self._plain.get_added_tokens_decoder().items():
            table[number] = len(added.content.encode())
        return table


def open_tokenizer(path: str | Path, threads: int = 0) -> Tokenizer:
    """Open a tokenizer.json, a folder that holds one, or a repository of the hub.

    Args:
        path: which one.
        threads: for encoding; 0: one per core. Both libraries read it once in a process, so the first call decides.
            Worker processes beside each other want 1.

    Raises:
        InputError: there is no such file, or the hub can't be reached.
        RecipeError: the file is no tokenizer.
        MissingExtra: the library for such files is not installed.
    """
    if threads:
        for variable in ("RAYON_NUM_THREADS", "FASTOKENS_BPE_THREADS"):
            os.environ.setdefault(variable, str(threads))
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if threads == 1 else "true")
    place = Path(path)
    file = place / "tokenizer.json" if place.is_dir() else place
    if not file.is_file():
        if place.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(path)) or str(path).endswith(".json"):
            raise InputError(f"tokenizer: expected a tokenizer.json or a folder with one, got {path}")
        file = _from_hub(str(path))
    try:
        definition = orjson.loads(file.read_bytes())
    except ValueError as error:
        raise RecipeError(f"tokenizer {path}: expected JSON, got {error}") from error
    if not isinstance(definition, dict) or not isinstance(definition.get("model"), dict):
        raise RecipeError(f"tokenizer {path}: expected the JSON of the tokenizers library, got something else")
    return Tokenizer(definition, str(path))


def open_library() -> Any:
    """The tokenizers library, an extra.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtra("encoding", "tokenizers") from error
    return tokenizers


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise MissingExtra("a tokenizer from the hub", "tokenizers") from error
    try:
        return Path(hf_hub_download(name, "tokenizer.json"))
    except Exception as error:  # not found, gated, offline: they share no base class
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"tokenizer {name}: expected a file, a folder or a repository of the hub, got {lines[0]}"
        ) from error


def _vocab_size(definition: dict[str, Any]) -> int:
    vocab = definition["model"]["vocab"]
    words = vocab.values() if isinstance(vocab, dict) else range(len(vocab))
    added = (one["id"] for one in definition.get("added_tokens") or [])
    return 1 + max([*words, *added], default=-1)


def _without_marks(definition: dict[str, Any]) -> tuple[dict[str, int], dict[str, Any]]:
    """Special tokens by name, and the tokenizer that knows nothing of them: neither as added tokens nor as words."""
    added = definition.get("added_tokens") or []
    marks = {one["content"]: int(one["id"]) for one in added if one.get("special") or MARK.fullmatch(one["content"])}
    model = dict(definition["model"])
    vocab = model.get("vocab")
    # Words stay, since places are ids, but get names that no text holds: these are no characters.
    if isinstance(vocab, dict):
        unknown = model.get("unk_token")
        model["vocab"] = {
            f"\ufdd0{number}\ufdd1" if word in marks and word != unknown else word: number
            for word, number in vocab.items()
        }
    elif isinstance(vocab, list):
        unknown = model.get("unk_id")
        model["vocab"] = [
            [f"\ufdd0{number}\ufdd1" if word in marks and number != unknown else word, score]
            for number, (word, score) in enumerate(vocab)
        ]
    kept = [one for one in added if one["content"] not in marks]
    changes = {"added_tokens": kept, "model": model, "post_processor": None, "truncation": None, "padding": None}
    return marks, {**definition, **changes}


# -- the fast way ------------------------------------------------------------------------------------------------


def _fast(plain: str, slow: Any) -> Any:
    """The same tokenizer by the fast library, or None where it has other ids, can't load it, or is not installed."""
    try:
        import fastokens
    except ImportError:
        return None
    try:
        fast = fastokens.Tokenizer.from_json_str(plain)
        found, right = _flat(fast, list(PROBES)), slow(list(PROBES))
        same = np.array_equal(found[0], right[0]) and np.array_equal(found[1], right[1])
    except Exception:  # what it does not know; its errors share no base class
        return None
    return fast if same else None


def _flat(fast: Any, strings: list[str]) -> tuple[Ids, Ints]:
    ids, offsets = fast.encode_batch_flat(strings)
    return np.frombuffer(ids, "<u4").astype(np.uint32, copy=False), np.frombuffer(offsets, "<u8").astype(np.int64)


def _offsets(lengths: list[int]) -> Ints:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


@numba.njit(cache=True)
def _characters(data: npt.NDArray[np.uint8], borders: Ints, lengths: Ints, offsets: Ints) -> tuple[Ints, Ints]:
    """First character and end of each token, from its bytes.

    Args:
        data: UTF-8 of n texts.
        borders: where each begins in it, n + 1.
        lengths: bytes of each token.
        offsets: tokens of each text, n + 1.
    """
    starts, ends = np.empty(len(lengths), np.int64), np.empty(len(lengths), np.int64)
    for text in range(len(offsets) - 1):
        byte, begun = borders[text], 0  # characters that begin before `byte`
        for token in range(offsets[text], offsets[text + 1]):
            inside = lengths[token] > 0 and (data[byte] & 0xC0) == 0x80
            starts[token] = begun - 1 if inside else begun
            for _ in range(lengths[token]):
                begun += (data[byte] & 0xC0) != 0x80
                byte += 1
            ends[token] = begun
    return starts, ends
