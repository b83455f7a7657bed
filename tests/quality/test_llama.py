"""The llama backend end to end on a model that the test creates: fit, save, load, score. Needs the extra `llama`."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.errors import InputError, MissingExtra
from codemill.quality.llama import CARD, LlamaScorer, encode, length_batches
from codemill.quality.llama_fit import LlamaSettings, _rate, _share, _steps, fit_llama
from codemill.quality.rubric import SCORES

try:
    import torch
    import transformers
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="needs the extra llama: run `make test-llama`")


def test_without_the_extra_the_install_line_is_shown(tmp_path):
    if torch is not None:
        pytest.skip("the extra llama is installed")
    with pytest.raises(MissingExtra, match=r"codemill\[llama\]"):
        fit_llama(tmp_path, "somewhere", tmp_path / "out")


def test_batches_hold_like_lengths_within_the_limit():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 100, 500).tolist()
    batches = length_batches(lengths, 400)
    assert sorted(index for batch in batches for index in batch) == list(range(500))
    widths = [[lengths[index] for index in batch] for batch in batches]
    assert all(max(width) * len(width) <= 400 or len(width) == 1 for width in widths)
    padding = sum(max(width) * len(width) for width in widths) / sum(lengths)
    assert padding < 1.1


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_file_is_in_an_epoch_and_processes_share_evenly(world):
    lengths = np.random.default_rng(1).integers(1, 60, 333).tolist()
    steps = _steps(lengths, LlamaSettings(batch_files=16, batch_tokens=256), world, epoch=0)
    assert {index for step in steps for batch in step for index in batch} == set(range(333))
    assert all(len(step) % world == 0 for step in steps)
    again = sum(len(batch) for step in steps for batch in step) - 333
    assert again <= 16 * world
    if world == 1:
        assert again == 0
    assert steps == _steps(lengths, LlamaSettings(batch_files=16, batch_tokens=256), world, epoch=0)
    assert steps != _steps(lengths, LlamaSettings(batch_files=16, batch_tokens=256), world, epoch=1)


def test_the_learning_rate_rises_and_falls_in_straight_lines():
    factor = _rate(100, 0.1)
    assert [round(factor(step), 3) for step in (0, 9, 10, 55, 99)] == [0.1, 1.0, 1.0, 0.5, 0.011]


def test_repositories_are_held_out_whole_and_by_their_share():
    shares = [_share(f"repo{index}", 0) for index in range(2000)]
    assert 0.03 < np.mean([share < 0.05 for share in shares]) < 0.07
    assert shares == [_share(f"repo{index}", 0) for index in range(2000)]


def test_a_folder_that_holds_no_scorer_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"expected a folder with scorer\.json"):
        LlamaScorer(tmp_path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A random Llama of two layers with a tokenizer trained on the spot."""
    import tokenizers

    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<end>"], initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["def good(): return 1\n", "zzz zzz bad bad\n", "\n\nQuality:"] * 20, trainer)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, eos_token_id=0, bos_token_id=None,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def labels(folder, count=160):
    """Good files say `good` and rate 9, bad ones `bad` and rate 1; some know nothing of the aspects."""
    rows = []
    for index in range(count):
        good = index % 2
        text = f"def good(): return {index}\n" * (1 + index % 7) if good else f"zzz bad {index}\n" * (1 + index % 5)
        rating = 9 if good else 1
        aspects = dict.fromkeys(SCORES[1:], rating if index % 3 else None)
        rows.append({"blob_id": f"{index:064x}", "repo": f"r{index // 4}", "language": "Python", "overall": rating,
                     "content": text.encode(), **aspects})  # fmt: skip
    path = folder / "labels.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@needs_torch
def test_fit_save_load_score(tmp_path, checkpoint):
    config = LlamaSettings(
        epochs=4, learning_rate=3e-3, head_rate=1, max_tokens=64, batch_files=8, batch_tokens=256, holdout=0.2
    )
    seen = []
    path = labels(tmp_path)
    metrics = fit_llama(
        path, str(checkpoint), tmp_path / "out", config, on_step=lambda step, steps, loss: seen.append((step, steps))
    )
    assert metrics["train"] + metrics["test"] == 160 and metrics["test"] > 0 and metrics["missing"] == 0
    assert metrics["mae"] < 1 and metrics["spearman"] > 0.8 and math.isfinite(metrics["loss"])
    assert seen[-1][0] == seen[-1][1] == len(seen)

    scorer = LlamaScorer(tmp_path / "out", device="cpu")
    files = [b"def good(): return 777\n", b"zzz bad 777\n", b"", b"\xff\xfe", b"def good(): return 1\n" * 9000]
    batch = scorer.score(files, ["Python"] * 5)
    assert batch.schema.names == list(SCORES) and {field.type for field in batch.schema} == {pa.float32()}
    values = np.stack([column.to_numpy() for column in batch.columns])
    assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 10
    assert values[0, 0] > 7 and values[0, 1] < 4 and (values[1:, 0] > values[1:, 1]).all()

    # Scores don't depend on what else is in the batch, and languages are found where none are given.
    alone = scorer.score(files[:1], ["Python"])
    assert np.allclose(alone.column(0).to_numpy(), values[0, :1], atol=1e-4)
    assert scorer.score(files[:1], paths=["a.py"]).equals(alone)
    assert scorer.score([]).num_rows == 0

    card = json.loads((tmp_path / "out" / CARD).read_text())
    assert scorer.fingerprint == card["fingerprint"] and card["metrics"]["mae"] == metrics["mae"]
    other = fit_llama(path, str(checkpoint), tmp_path / "other", config.model_copy(update={"epochs": 1}))
    assert other["loss"] != metrics["loss"]
    assert LlamaScorer(tmp_path / "other").fingerprint != scorer.fingerprint


@needs_torch
def test_inputs_keep_to_the_limit_and_end_alike(checkpoint):
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    ids = encode(tokenizer, [b"def good(): return 1\n" * 50, "x"], ["Python", ""], 32)
    suffix = tokenizer("\n\nQuality:", add_special_tokens=False)["input_ids"]
    assert len(ids[0]) == 32 and all(row[-len(suffix) :] == suffix for row in ids)
    assert tokenizer.decode(ids[1]).startswith("unknown\nx")


@needs_torch
def test_a_checkpoint_that_is_none_is_one_line(tmp_path):
    with pytest.raises(InputError, match="expected one that Transformers can load"):
        fit_llama(labels(tmp_path), str(tmp_path / "nothing"), tmp_path / "out")
