"""Fine-tunes a checkpoint of Llama structure on labels: a regression head of five outputs, MSE on [0, 1], one epoch.

After Seed-Coder (arXiv:2506.03524), which distils its oracle into 1.3B parameters of Llama 2 structure. On several GPUs
run it under `accelerate launch`; every process then takes its share of each step.
"""

import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from codemill.errors import InputError
from codemill.quality.llama import CARD, checkpoint_arguments, encode, import_extra, length_batches, padded, predict
from codemill.quality.rubric import SCORES
from codemill.quality.scorer import languages_of
from codemill.quality.table import read_labels, with_contents
from codemill.recipe import Strict

_BUCKET = 50  # batches that are sorted by length together: wide enough to save padding, narrow enough to stay random


class LlamaSettings(Strict):
    """How a checkpoint is fine-tuned."""

    epochs: int = Field(1, gt=0)
    max_tokens: int = Field(2048, ge=16, description="longest input; of longer files the beginning is read")
    batch_tokens: int = Field(16_384, gt=0, description="tokens, padding included, that one device takes at once")
    batch_files: int = Field(128, gt=0, description="files in one step of the optimizer, over all devices, about")
    learning_rate: float = Field(2e-5, gt=0)
    head_rate: float = Field(10.0, gt=0, description="the new head learns so many times faster")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps")
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    holdout: float = Field(0.05, ge=0, lt=1, description="share of repositories (or files) kept for evaluation")
    precision: str = Field("auto", pattern="^(auto|bf16|no)$", description="auto: bf16 on a GPU")
    checkpointing: bool = Field(False, description="recompute activations to save memory")
    seed: int = Field(0, ge=0)


@dataclass(frozen=True)
class _Data:
    ids: list[list[int]]
    targets: np.ndarray  # [files, 5] in [0, 1], NaN where a label has no such aspect


def fit_llama(
    labels: str | Path,
    checkpoint: str,
    out: str | Path,
    settings: LlamaSettings | None = None,
    *,
    contents: str | Path | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
) -> dict[str, float]:
    """Fine-tune `checkpoint` (a name, a folder or a GGUF file) on labels and write the scorer to the folder `out`.

    Args:
        labels: a table of labels, or the folder of a labelling run.
        contents: a table with the contents, where they are not with the labels.
        on_step: called with step, steps and loss.

    Returns:
        Counts and, of the files held out, `mae`, `cmae`, `spearman` of the overall rating.

    Raises:
        InputError: labels or checkpoint can't be used.
        MissingExtra: the extra `llama` is not installed.
    """
    settings = settings or LlamaSettings()
    torch, transformers, accelerate = import_extra("torch", "transformers", "accelerate")
    table, _ = read_labels(labels)
    table, missing = with_contents(table, labels, contents)
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and torch.cuda.is_available())
    accelerator = accelerate.Accelerator(mixed_precision="bf16" if bf16 else "no")
    accelerate.utils.set_seed(settings.seed)
    tokenizer, model = _load(transformers, checkpoint)
    train, test = _split(table, settings)
    if not train.num_rows:
        raise InputError(f"labels {labels}: expected files to learn from, got {table.num_rows} and all held out")
    data = _encoded(tokenizer, train, settings)
    last = _train(torch, accelerator, model, data, settings=settings, on_step=on_step)
    metrics: dict[str, float] = {"train": train.num_rows, "test": test.num_rows, "missing": missing, "loss": last}
    if accelerator.is_main_process:
        model = accelerator.unwrap_model(model).eval()
        metrics |= _evaluate(torch, model, _encoded(tokenizer, test, settings), settings)
        card = {
            "backend": "llama",
            "outputs": list(SCORES),
            "max_tokens": settings.max_tokens,
            "base": Path(checkpoint).name,
            "settings": settings.model_dump(mode="json"),
            "metrics": metrics,
        }
        _save(model, tokenizer, Path(out), card)
    accelerator.wait_for_everyone()
    return metrics


def _load(transformers: Any, checkpoint: str) -> tuple[Any, Any]:
    place, arguments = checkpoint_arguments(checkpoint)
    packed = {}
    if arguments and hasattr(transformers, "GgufConfig"):
        # Newer versions keep quantized weights packed, which can be neither trained nor saved.
        packed = {"quantization_config": transformers.GgufConfig(dequantize=True)}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **arguments)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            place, num_labels=len(SCORES), problem_type="regression", dtype="float32", **arguments, **packed
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"checkpoint {checkpoint}: expected one that Transformers can load, got {reason}") from error
    if getattr(model, "hf_quantizer", None) is not None:
        model.hf_quantizer.remove_quantization_config(model)
    if not (Path(place) / CARD).is_file():
        # A new head starts from nought: from random weights the first steps would only undo them.
        model.score.weight.data.zero_()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise InputError(f"checkpoint {checkpoint}: expected a padding or end token, got a tokenizer with neither")
    # The head reads the last token that is no padding; the suffix makes sure that it is the same one for every file.
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.use_cache = False
    return tokenizer, model


def _split(table: pa.Table, settings: LlamaSettings) -> tuple[pa.Table, pa.Table]:
    """Labels to learn from and labels held out; files of one repository stay on one side."""
    rows = table.select(["repo", "blob_id", "git_blob"]).to_pylist()
    groups = [row["repo"] or row["blob_id"] or row["git_blob"] or "" for row in rows]
    held = pa.array([_share(group, settings.seed) < settings.holdout for group in groups], pa.bool_())
    return table.filter(pc.invert(held)), table.filter(held)


def _share(group: str, seed: int) -> float:
    """A number in [0, 1) that a name and a seed fix."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:6], "big") / 2**48


def _encoded(tokenizer: Any, table: pa.Table, settings: LlamaSettings) -> _Data:
    columns = [table[name].cast(pa.float32()).to_numpy(zero_copy_only=False) for name in SCORES]
    contents, languages, paths = (table[name].to_pylist() for name in ("content", "language", "path"))
    ids = encode(tokenizer, contents, languages_of(contents, languages, paths), settings.max_tokens)
    return _Data(ids, np.stack(columns, axis=1) / 10)


def _train(
    torch: Any,
    accelerator: Any,
    model: Any,
    data: _Data,
    *,
    settings: LlamaSettings,
    on_step: Callable[[int, int, float], None] | None,
) -> float:
    """Train in place; the mean loss of the last tenth of the steps."""
    if settings.checkpointing:
        model.gradient_checkpointing_enable()
    lengths = [len(row) for row in data.ids]
    world, rank = accelerator.num_processes, accelerator.process_index
    plan = [_steps(lengths, settings, world, epoch) for epoch in range(settings.epochs)]
    steps = sum(map(len, plan))
    optimizer = torch.optim.AdamW(_groups(model, settings))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate(steps, settings.warmup))
    model, optimizer = accelerator.prepare(model, optimizer)
    model.train()
    pad, device = accelerator.unwrap_model(model).config.pad_token_id, accelerator.device
    losses: list[float] = []
    for step in (step for epoch in plan for step in epoch):
        mine = step[rank::world]
        total = 0.0
        files = sum(map(len, step))
        for number, batch in enumerate(mine):
            tokens, mask = padded(torch, [data.ids[index] for index in batch], pad)
            targets = torch.tensor(data.targets[batch], device=device)
            # Gradients are exchanged once a step, with its last batch.
            last = number == len(mine) - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(model):
                with accelerator.autocast():
                    logits = model(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits
                # Processes average their gradients, so each weighs its files against the step's and by their number.
                loss = _loss(torch, logits.float(), targets) * (len(batch) * world / files)
                accelerator.backward(loss)
            total += float(loss.detach())
        accelerator.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(total)
        if on_step is not None and accelerator.is_main_process:
            on_step(len(losses), steps, losses[-1])
    last = torch.tensor(float(np.mean(losses[-max(1, len(losses) // 10) :])), device=device)
    return float(accelerator.reduce(last, reduction="mean"))


def _loss(torch: Any, logits: Any, targets: Any) -> Any:
    """Mean squared error over the labels that are there."""
    known = ~torch.isnan(targets)
    return ((logits - torch.where(known, targets, 0.0)) ** 2 * known).sum() / known.sum().clamp(min=1)


def _groups(model: Any, settings: LlamaSettings) -> list[dict[str, Any]]:
    head = list(model.score.parameters())
    body = [weights for name, weights in model.named_parameters() if not name.startswith("score.")]
    decay = {"weight_decay": settings.weight_decay}
    rate = settings.learning_rate
    return [{"params": body, "lr": rate, **decay}, {"params": head, "lr": rate * settings.head_rate, **decay}]


def _rate(steps: int, warmup: float) -> Callable[[int], float]:
    """Up from nought over the warm-up, then down to nought, both in a straight line."""
    rise = max(1, int(steps * warmup))

    def factor(step: int) -> float:
        return min((step + 1) / rise, (steps - step) / max(1, steps - rise))

    return factor


def _steps(lengths: Sequence[int], settings: LlamaSettings, world: int, epoch: int) -> list[list[list[int]]]:
    """The batches of an epoch in the steps of the optimizer, the same in every process.

    A step holds about `batch_files` files in a number of batches that all processes share evenly.
    """
    rng = random.Random(f"{settings.seed}:{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    steps: list[list[list[int]]] = []
    for chunk in _chunks(order, settings.batch_files * _BUCKET):
        batches: list[list[int]] = []
        for batch in length_batches([lengths[index] for index in chunk], settings.batch_tokens):
            batches += _chunks([chunk[index] for index in batch], max(1, settings.batch_files // world))
        rng.shuffle(batches)
        step: list[list[int]] = []
        for batch in batches:
            step.append(batch)
            if sum(map(len, step)) >= settings.batch_files and len(step) % world == 0:
                steps.append(step)
                step = []
        # What is left of the chunk is filled up by repetition, so that no process waits for another.
        if step:
            steps.append(step + [batches[index % len(batches)] for index in range(-len(step) % world)])
    return steps


def _chunks(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _evaluate(torch: Any, model: Any, data: _Data, settings: LlamaSettings) -> dict[str, float]:
    from codemill.quality.metrics import cmae, mae, spearman

    if not data.ids:
        return {}
    predicted = predict(torch, model, data.ids, settings.batch_tokens)[:, 0]
    rated = data.targets[:, 0] * 10
    values = {"mae": mae(rated, predicted), "cmae": cmae(rated, predicted), "spearman": spearman(rated, predicted)}
    return {name: float(value) for name, value in values.items()}


def _save(model: Any, tokenizer: Any, out: Path, card: dict[str, Any]) -> None:
    """The checkpoint as Transformers knows it, and the card with a fingerprint over the weights."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    sha = hashlib.sha256(str(card["max_tokens"]).encode())
    for file in sorted(out.glob("*.safetensors")):
        with file.open("rb") as stream:
            while part := stream.read(1 << 24):
                sha.update(part)
    (out / CARD).write_text(
        json.dumps({**card, "fingerprint": sha.hexdigest()[:12]}, indent=1) + "\n", encoding="utf-8"
    )
