"""Documents become ids that decode to them, whole, split for fill in the middle or cut for contexts."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codemill.errors import RecipeError
from codemill.schema import DOCUMENT
from codemill.tokens.encode import encode_documents
from codemill.tokens.fim import PLAIN, PSM, SPM, split
from codemill.tokens.pack import pack
from codemill.tokens.settings import FimSettings
from tests.conftest import python_module
from tests.tokens.test_tokenizer import BYTE_LEVEL, TEXT


def documents(texts, targets=None, names=None):
    return pa.RecordBatch.from_pylist(
        [
            {
                "document_id": names[row] if names else f"doc-{row}",
                "language": "Python",
                "text": text,
                "targets": targets[row] if targets else None,
            }
            for row, text in enumerate(texts)
        ],
        schema=DOCUMENT,
    )


def pieces(encoded):
    return [encoded.ids[start:stop].tolist() for start, stop in zip(encoded.offsets, encoded.offsets[1:], strict=False)]


def unsplit(tokenizer, ids, order, end=True):
    """The parts of one piece in the order of its text, as the special tokens say."""
    if end:
        assert ids[-1] == tokenizer.special("<|endoftext|>")
        ids = ids[:-1]
    if order == PLAIN:
        return [tokenizer.decode(ids)]
    marks = {tokenizer.special(f"<[fim-{part}]>"): part for part in ("prefix", "middle", "suffix")}
    found, parts = [], {}
    for one in ids:
        if one in marks:
            found.append(marks[one])
            parts[found[-1]] = []
        else:
            parts[found[-1]].append(one)
    assert found == (["suffix", "prefix", "middle"] if order == SPM else ["prefix", "suffix", "middle"])
    return [tokenizer.decode(parts[part]) for part in ("prefix", "middle", "suffix")]


@pytest.mark.parametrize("kind", BYTE_LEVEL)
@given(texts=st.lists(TEXT, max_size=8), rate=st.sampled_from([0.0, 0.1, 0.5, 1.0]), share=st.floats(0, 1))
@settings(max_examples=40)
def test_parts_give_documents_back(opened, kind, texts, rate, share):
    encoded = encode_documents(documents(texts), opened[kind], FimSettings(rate=rate, spm_share=share))
    assert encoded.rows.tolist() == list(range(len(texts)))
    assert encoded.loss.all()
    assert len(encoded.loss) == len(encoded.ids)
    for text, ids, order in zip(texts, pieces(encoded), encoded.order, strict=True):
        assert "".join(unsplit(opened[kind], ids, order)) == text


@given(texts=st.lists(TEXT, max_size=5), length=st.integers(26, 80), rate=st.sampled_from([0.5, 1.0]))
@settings(max_examples=60)
def test_contexts_give_documents_back_and_hold_whole_pieces(opened, texts, length, rate):
    tokenizer = opened["llama3"]
    texts = [text * 8 for text in texts]
    encoded = encode_documents(documents(texts), tokenizer, FimSettings(rate=rate, level="context"), length=length)
    back = [""] * len(texts)
    found = pieces(encoded)
    for place, (ids, order, row) in enumerate(zip(found, encoded.order, encoded.rows, strict=True)):
        last = place + 1 == len(found) or encoded.rows[place + 1] != row
        back[row] += "".join(unsplit(tokenizer, ids, order, end=last))
        assert order == PLAIN or len(ids) <= length
    assert back == texts
    packing = pack(encoded.lengths, length)
    whole = np.bincount(packing.documents, minlength=len(found))
    assert (whole[encoded.order != PLAIN] == 1).all()


def test_context_level_splits_each_piece_of_a_long_document(opened):
    text = "".join(python_module(seed) for seed in range(60))
    fim = FimSettings(rate=1.0, level="context")
    encoded = encode_documents(documents([text, "short"]), opened["llama3"], fim, length=512)
    assert len(encoded.rows) > 5
    assert (encoded.order != PLAIN).sum() >= len(encoded.rows) - 1
    assert len(set(encoded.lengths.tolist()[:-2])) > 1
    with pytest.raises(RecipeError, match=r"fim\.level: expected the length"):
        encode_documents(documents([text]), opened["llama3"], fim)


def test_draws_depend_on_the_document_and_the_epoch_alone(opened):
    texts = [python_module(seed) for seed in range(40)]
    names = [f"blob-{seed}" for seed in range(40)]
    fim = FimSettings(rate=0.5, spm_share=0.5)
    whole = pieces(encode_documents(documents(texts, names=names), opened["llama3"], fim))
    alone = [
        pieces(encode_documents(documents([text], names=[name]), opened["llama3"], fim))[0]
        for text, name in zip(texts[::-1], names[::-1], strict=True)
    ]
    assert whole == alone[::-1]
    again = pieces(encode_documents(documents(texts, names=names), opened["llama3"], fim, epoch=1))
    assert again != whole
    plain = pieces(encode_documents(documents(texts, names=names), opened["llama3"]))
    kept = [one == other for one, other in zip(whole, plain, strict=True)]
    assert 10 < sum(kept) < 30


@pytest.mark.parametrize(("rate", "share"), [(0.5, 1.0), (0.1, 0.5), (1.0, 0.0)])
def test_rates_are_kept_and_borders_uniform(rate, share):
    count = 20_000
    drawn = split(
        [f"id-{number}" for number in range(count)], np.full(count, 9), FimSettings(rate=rate, spm_share=share)
    )
    assert abs((drawn.order != PLAIN).mean() - rate) < 0.02
    assert abs((drawn.order == SPM).mean() - rate * share) < 0.02
    assert abs((drawn.order == PSM).mean() - rate * (1 - share)) < 0.02
    assert (drawn.first <= drawn.second).all()
    counts = np.bincount(np.concatenate([drawn.first, drawn.second]), minlength=10)
    assert len(counts) == 10
    assert np.abs(counts / count - 0.2).max() < 0.03


@example(rows=[("  ", [(1, 1)])], kind="llama3")
@given(
    rows=st.lists(
        st.tuples(TEXT, st.none() | st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=3)), max_size=6
    ),
    kind=st.sampled_from(["llama3", "nfc", "unigram"]),
)
@settings(max_examples=80)
def test_losses_lie_on_targets(opened, rows, kind):
    tokenizer = opened[kind]
    texts, targets = [], []
    for text, spans in rows:
        texts.append(text)
        fit = (
            [] if spans is None else [sorted((one % (len(text) + 1), other % (len(text) + 1))) for one, other in spans]
        )
        targets.append(None if spans is None else [{"start": one, "end": other} for one, other in fit])
    encoded = encode_documents(documents(texts, targets), tokenizer, FimSettings(rate=1.0))
    for row, (text, spans) in enumerate(zip(texts, targets, strict=True)):
        loss = encoded.loss[encoded.offsets[row] : encoded.offsets[row + 1]].tolist()
        if spans is None:
            assert all(loss)
            continue
        assert encoded.order[row] == PLAIN
        slow = tokenizer._slow_spans([text])
        wanted = [
            int(
                any(
                    start < span["end"] and end > span["start"] and end > start
                    for span in spans
                    if span["end"] > span["start"]
                )
            )
            for start, end in zip(slow.starts, slow.ends, strict=True)
        ]
        if kind == "llama3":
            assert loss[:-1] == wanted
        else:  # tokens may stand for nothing there; what they stand for is theirs still
            assert all(one >= other for one, other in zip(loss[:-1], wanted, strict=True))
        assert loss[-1] == any(span["end"] == len(text) > span["start"] for span in spans)


def test_special_tokens_are_settings_and_must_exist(opened):
    fim = FimSettings(rate=1.0, prefix="<|pad|>")
    ids = pieces(encode_documents(documents(["some text"]), opened["gpt2"], fim, end="<[fim-prefix]>"))[0]
    assert opened["gpt2"].special("<|pad|>") in ids
    assert ids[-1] == opened["gpt2"].special("<[fim-prefix]>")
    with pytest.raises(RecipeError, match="expected the special token '<eot>'"):
        encode_documents(documents(["x"]), opened["gpt2"], end="<eot>")
    with pytest.raises(RecipeError, match="expected the special token '<pre>'"):
        encode_documents(documents(["x"]), opened["gpt2"], FimSettings(prefix="<pre>"))
    with pytest.raises(ValueError, match="expected three different special tokens"):
        FimSettings(prefix="<[fim-middle]>")


def test_no_documents_are_no_tokens(opened):
    for fim in (None, FimSettings(), FimSettings(level="context")):
        encoded = encode_documents(documents([]), opened["gpt2"], fim, length=64)
        assert len(encoded.ids) == len(encoded.rows) == 0
        assert encoded.offsets.tolist() == [0]
    encoded = encode_documents(documents([""]), opened["gpt2"], FimSettings(rate=1.0))
    assert encoded.lengths.tolist() == [4]
