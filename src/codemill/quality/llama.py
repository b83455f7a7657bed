"""The scorer for those who have the hardware: a checkpoint of Llama structure with a regression head of five outputs.

Training is in `llama_fit`; here is what training and scoring share, and the scoring.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from codemill.errors import InputError, MissingExtra
from codemill.quality.rubric import SCORES
from codemill.quality.scorer import SCHEMA, as_list, languages_of

CARD = "scorer.json"  # what a folder holds, beside the files that Transformers knows
SUFFIX = "\n\nQuality:"  # the head reads the last token: the same one for every file
_CHARACTERS_PER_TOKEN = 8  # longer text is cut before it is tokenized, which bounds the time


def import_extra(*names: str) -> list[Any]:
    """The modules of the extra `llama`.

    Raises:
        MissingExtra: one is not installed.
    """
    import importlib

    try:
        modules = [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise MissingExtra("the llama scorer", "llama") from error
    for module in modules:
        if module.__name__ == "transformers":
            # Its bars and its report on the new head would stand between our own lines.
            module.utils.logging.disable_progress_bar()
            module.utils.logging.set_verbosity_error()
    return modules


def checkpoint_arguments(checkpoint: str) -> tuple[str, dict[str, Any]]:
    """How Transformers loads a checkpoint: a name, a folder, or a GGUF file, whose weights it unpacks."""
    if checkpoint.endswith(".gguf"):
        return str(Path(checkpoint).parent), {"gguf_file": Path(checkpoint).name}
    return checkpoint, {}


def encode(tokenizer: Any, contents: Sequence[bytes | str], languages: Sequence[str], limit: int) -> list[list[int]]:
    """Token ids of files: the language on a line, as much of the file as fits into `limit` tokens, and the suffix.

    Bytes that are no UTF-8 become U+FFFD.
    """
    begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    suffix = tokenizer(SUFFIX, add_special_tokens=False)["input_ids"]
    size = limit * _CHARACTERS_PER_TOKEN
    texts = [
        f"{language or 'unknown'}\n" + _text(content, size)
        for content, language in zip(contents, languages, strict=True)
    ]
    room = limit - len(begin) - len(suffix)
    bodies = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return [[*begin, *body[:room], *suffix] for body in bodies]


def _text(content: bytes | str, size: int) -> str:
    """The first `size` characters."""
    return content[:size] if isinstance(content, str) else content[: 4 * size].decode("utf-8", "replace")[:size]


def length_batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices in batches of like length, each of at most `tokens` tokens with its padding (but at least one file)."""
    batches: list[list[int]] = []
    for index in np.argsort(np.asarray(lengths), kind="stable")[::-1].tolist():
        # The first of a batch is its longest: the width of all.
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def padded(torch: Any, ids: Sequence[list[int]], pad: int) -> tuple[Any, Any]:
    """Token ids [batch, width] and attention mask of the same shape, padded on the right."""
    width = max(len(row) for row in ids)
    tokens = torch.tensor([row + [pad] * (width - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    return tokens, mask


class LlamaScorer:
    """Scores files with a fine-tuned checkpoint (a folder that `fit_llama` wrote).

    Args:
        folder: the checkpoint.
        device: `cuda`, `cpu`, ...; by default a GPU where there is one.
        batch_tokens: tokens that are scored at once.

    Raises:
        InputError: the folder holds no such scorer.
        MissingExtra: the extra `llama` is not installed (raised by the first scoring, not by the constructor).
    """

    def __init__(self, folder: str | Path, device: str | None = None, batch_tokens: int = 16_384) -> None:
        self.folder = Path(folder)
        try:
            self.card: dict[str, Any] = json.loads((self.folder / CARD).read_text(encoding="utf-8"))
            self.fingerprint = str(self.card["fingerprint"])
            self.limit = int(self.card["max_tokens"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"scorer {folder}: expected a folder with {CARD} of a llama scorer, got {error}"
            ) from error
        self.device = device
        self.batch_tokens = batch_tokens
        self._loaded: tuple[Any, Any, Any] | None = None

    def load(self) -> None:
        """Read the weights now instead of with the first batch."""
        torch, transformers = import_extra("torch", "transformers")
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(self.folder, dtype=dtype)
        self._loaded = torch, tokenizer, model.to(device).eval()

    def score(
        self,
        contents: Sequence[bytes | str] | pa.Array,
        languages: Sequence[str | None] | pa.Array | None = None,
        paths: Sequence[str | None] | pa.Array | None = None,
    ) -> pa.RecordBatch:
        """Ratings of files; see `Scorer.score`."""
        if self._loaded is None:
            self.load()
        assert self._loaded is not None
        torch, tokenizer, model = self._loaded
        files = as_list(contents, "contents", len(contents))
        if None in files:
            raise InputError(f"contents: expected bytes or text, got null at {files.index(None)}")
        given = as_list(languages, "languages", len(files)), as_list(paths, "paths", len(files))
        ids = encode(tokenizer, files, languages_of(files, *given), self.limit)
        values = predict(torch, model, ids, self.batch_tokens)
        columns = [pa.array(values[:, index], pa.float32()) for index in range(len(SCORES))]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def predict(torch: Any, model: Any, ids: Sequence[list[int]], batch_tokens: int) -> np.ndarray:
    """Scores of encoded files, [files, 5] in 0..10."""
    values = np.zeros((len(ids), len(SCORES)), dtype=np.float32)
    with torch.inference_mode():
        for batch in length_batches([len(row) for row in ids], batch_tokens):
            tokens, mask = padded(torch, [ids[index] for index in batch], model.config.pad_token_id)
            logits = model(input_ids=tokens.to(model.device), attention_mask=mask.to(model.device)).logits
            values[batch] = logits.float().cpu().numpy()
    return np.clip(values * 10, 0, 10)
