"""Streams give every document once in a pass, in an order of their own; amounts add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.pretrain.draw import Stream, TokenTable, amounts
from codemill.pretrain.encode import distinct
from codemill.pretrain.plan import lay_out
from codemill.pretrain.tally import account
from codemill.pretrain.tokenize import order_keys


def table(lengths, source="files", files=2):
    count = len(lengths)
    rng = np.random.default_rng(count)
    file = np.sort(rng.integers(0, files, count)).astype(np.int32)
    row = np.concatenate([np.arange((file == one).sum()) for one in range(files)]).astype(np.int64)
    return TokenTable(
        source=source,
        files=[f"{source}/{one}.arrow" for one in range(files)],
        file=file,
        row=row,
        key=rng.integers(0, 2**64, count, dtype=np.uint64),
        length=np.array(lengths, np.int64),
        loss=np.array(lengths, np.int64),
        first=np.ones(count, bool),
        fim=np.zeros(count, bool),
        language=np.zeros(count, np.int32),
        languages=["Python"],
    )


def pieces(whole, counts):
    """The same documents, the first of them in so many pieces of one token each, the rest in one."""
    counts = np.array([*counts, *[1] * len(whole.length)][: len(whole.length)])
    number = np.repeat(np.arange(len(counts)), counts)
    first = np.concatenate([[True], number[1:] != number[:-1]])
    columns = {name: getattr(whole, name)[number] for name in ("file", "key", "language", "fim")}
    ones = np.ones(len(number), np.int64)
    row = np.concatenate([np.arange((columns["file"] == one).sum()) for one in range(len(whole.files))]).astype(
        np.int64
    )
    return TokenTable(
        source=whole.source,
        files=whole.files,
        row=row,
        length=ones,
        loss=ones,
        first=first,
        languages=whole.languages,
        **columns,
    )


def stream(whole, repeats=1, seed=0):
    return Stream(lambda fim, epoch, length: whole, seed, repeats)


LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=60)


@given(LENGTHS, st.lists(st.integers(1, 400), min_size=1, max_size=8), st.integers(1, 3), st.integers(0, 5))
def test_nothing_is_seen_again_before_all_was_seen(lengths, wishes, repeats, seed):
    source = stream(table(lengths), repeats, seed)
    seen = []
    for wish in wishes:
        before = source.left(None, 8)
        draws = source.take(None, 8, wish)
        seen += [(draw.epoch, row) for draw in draws for row in draw.rows]
        assert before - source.left(None, 8) == sum(draw.tokens for draw in draws)
    assert len(set(seen)) == len(seen)
    for epoch in {epoch for epoch, _ in seen}:
        if epoch < seen[-1][0]:
            assert {row for one, row in seen if one == epoch} == set(range(len(lengths)))
    assert all(epoch < repeats for epoch, _ in seen)


@given(LENGTHS, st.integers(1, 2000))
def test_what_is_taken_is_as_close_as_whole_documents_allow(lengths, wish):
    taken = sum(draw.tokens for draw in stream(table(lengths)).take(None, 8, wish))
    assert abs(taken - wish) <= max(lengths) / 2 or taken == sum(lengths) < wish


def test_another_pass_and_another_seed_give_another_order():
    def order(seed, repeats):
        draws = stream(table([1] * 200), repeats, seed).take(None, 8, 200 * repeats)
        return [draw.rows.tolist() for draw in draws]

    first, second = order(0, 2)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(200))
    assert order(0, 2) == [first, second]
    assert order(1, 1)[0] != first


def test_the_state_says_how_far_training_has_come():
    source = stream(table([10] * 10), repeats=2)
    assert source.state() == {"passes": 0.0, "unused": 0}
    source.take(None, 8, 40)
    assert source.state() == {"passes": pytest.approx(0.4), "unused": 6}
    source.take(None, 8, 100)
    assert source.state() == {"passes": pytest.approx(1.4), "unused": 0}
    source.take(None, 8, 1000)
    assert source.state() == {"passes": 2, "unused": 0}


@given(LENGTHS, st.lists(st.integers(1, 9), max_size=60), st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_a_pass_goes_on_where_it_stopped_when_documents_are_cut_otherwise(lengths, counts, wishes):
    whole = table(lengths)
    cut = pieces(whole, counts)
    source = Stream(lambda fim, epoch, length: whole if length == 8 else cut, 0, 1)
    seen = []
    for turn, wish in enumerate(wishes):
        for draw in source.take(None, (8, 4)[turn % 2], wish):
            keys, first = draw.table.key[draw.rows], draw.table.first[draw.rows]
            seen += keys[first].tolist()
            for key in keys:  # a document is taken with all its pieces
                assert (keys == key).sum() == (draw.table.key == key).sum()
            for number in np.flatnonzero(first):
                assert draw.pieces[number] == 0
            assert (np.diff(draw.pieces)[~first[1:]] == 1).all()
    assert len(set(seen)) == len(seen)
    rest = [key for draw in source.take(None, 8, 10**6) for key in draw.table.key[draw.rows].tolist()]
    assert sorted(seen + rest) == sorted(whole.key.tolist())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), max_size=40))
def test_documents_of_one_key_are_told_apart(documents):
    keys = np.repeat(np.array([key for key, _ in documents], np.uint64), [count for _, count in documents])
    first = np.array([piece == 0 for _, count in documents for piece in range(count)], bool)
    found = distinct(keys, first)
    own = found[first]
    assert len(set(own.tolist())) == len(documents)
    assert (found == np.repeat(own, [count for _, count in documents])).all()
    begun = {key: number for number, key in reversed(list(enumerate(keys.tolist())))}
    assert all(found[number] == key for key, number in begun.items())


PARTS = st.dictionaries(st.sampled_from("abcd"), st.tuples(st.floats(0.01, 100), st.integers(0, 10_000)), min_size=1)


@given(PARTS, st.integers(1, 20_000))
def test_filling_up_gives_the_amount_or_all_there_is(parts, tokens):
    available = {name: there for name, (_, there) in parts.items()}
    given_out = amounts({name: weight for name, (weight, _) in parts.items()}, tokens, available, "fill")
    assert sum(given_out.values()) == pytest.approx(min(tokens, sum(available.values())))
    assert all(given_out[name] <= available[name] + 1e-6 for name in parts)


@given(PARTS, st.integers(1, 20_000))
def test_shrinking_holds_the_weights(parts, tokens):
    weights = {name: weight for name, (weight, _) in parts.items()}
    available = {name: there for name, (_, there) in parts.items()}
    given_out = amounts(weights, tokens, available, "shrink")
    whole = sum(given_out.values())
    assert whole <= tokens * 1.000001
    for name in parts:
        assert given_out[name] <= available[name] * 1.000001
        assert given_out[name] == pytest.approx(weights[name] / sum(weights.values()) * whole)


@given(LENGTHS, LENGTHS, st.integers(1, 300), st.booleans())
def test_every_document_goes_to_one_shard(first, second, shard_tokens, by_source):
    one, two = table(first, "files"), table(second, "pages")
    draws = [*stream(one).take(None, 8, 10**6), *stream(two).take(None, 8, 10**6)]
    layout = lay_out(draws, shard_tokens, 7, by_source)
    rows = {
        (path, row): (shard, place)
        for path, listing in layout.listings.items()
        for row, shard, place in zip(*(column.to_pylist() for column in listing.columns), strict=True)
    }
    assert len(rows) == len(first) + len(second)
    assert sorted(place for _, place in rows.values()) == list(range(len(rows)))
    assert sum(layout.tokens) == sum(first) + sum(second)
    assert all(layout.tokens)
    places = sorted((place, shard) for shard, place in rows.values())
    assert [shard for _, shard in places] == sorted(shard for _, shard in places)
    if by_source:
        order = [path.split("/")[0] for _, path in sorted((place, path) for (path, _), (_, place) in rows.items())]
        assert order == ["files"] * len(first) + ["pages"] * len(second)


def test_languages_of_one_name_are_added_up():
    whole = table([5] * 10)
    whole.language[:5] = 1
    whole = TokenTable(**{**whole.__dict__, "languages": ["", ""]})
    assert account(1, 50, stream(whole).take(None, 8, 50)).languages == {"": 50}


def test_an_account_adds_up():
    source = stream(table([5] * 10), repeats=2)
    found = account(0.5, 70.4, source.take(None, 8, 70))
    assert (found.planned, found.tokens, found.documents, found.epochs) == (70, 70, 14, [0, 1])
    assert found.languages == {"Python": 70}


def test_keys_depend_on_the_source():
    assert order_keys(["a", "b"], "one").tolist() != order_keys(["a", "b"], "two").tolist()
    assert order_keys(["a", "b"], "one").tolist() == order_keys(["b", "a"], "one").tolist()[::-1]
