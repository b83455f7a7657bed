"""Proposals meet the wanted shares wherever there is supply, and say where there is none."""

import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.errors import InputError
from codemill.recipe import ProposeSettings, SampleRule, ValueRule, parse_rule
from codemill.select.propose import Supply, propose

row = st.tuples(st.floats(0, 10), st.integers(1, 500), st.sampled_from(["doc", "forum", "question & answer"]))


def supply(rows):
    scores, weights, groups = zip(*rows, strict=True)
    return Supply(np.array(scores, float), np.array(weights, float), np.array(groups, dtype=object))


@given(st.lists(row, min_size=1, max_size=60), st.floats(0, 1), st.sampled_from([None, 0.1, 0.7]))
def test_proposals_are_rules_that_keep_what_they_say(rows, forum, keep):
    settings = ProposeSettings(target={"forum": round(forum, 3)}, floor=1, ceiling=7, keep=keep)
    have = supply(rows)
    if not (have.scores >= 1).any():
        with pytest.raises(InputError, match=r"expected rows with page_quality\.overall at or above 1"):
            propose(have, settings)
        return
    there = set(have.groups[have.scores >= 1].tolist())
    wanted = {"forum"} if settings.target["forum"] > 0 else set()
    wanted |= there - {"forum"} if settings.target["forum"] < 1 else set()
    if keep is None and not wanted & there:
        with pytest.raises(InputError, match="expected rows of forum to choose from, got none"):
            propose(have, settings)
        return
    proposal = propose(have, settings)
    assert sum(share.target for share in proposal.shares) <= 1 + 1e-9
    worth, rates = (parse_rule(rule) for rule in tomllib.loads(proposal.toml())["rule"])
    assert isinstance(worth, ValueRule) and isinstance(rates, SampleRule)
    for share in proposal.shares:
        low, rate = worth.limits[share.group].min, rates.per[share.group]
        mine = have.groups == share.group
        left = rate * have.weights[mine & (have.scores >= low)].sum()
        assert left == pytest.approx(share.expected)
        assert rate == 0 or 1 <= low <= 7
        assert share.expected <= share.supply + 1e-6
        if keep is None:
            assert share.short == 0 or share.group not in there or share.group not in settings.target


def test_shares_come_out_as_wanted_and_the_scarcest_group_limits():
    rows = [(score / 10, 10, "doc") for score in range(100)] + [(5.0, 10, "forum")] * 4
    proposal = propose(supply(rows), ProposeSettings(target={"forum": 0.25, "doc": 0.75}, floor=2, ceiling=6))
    shares = {share.group: share for share in proposal.shares}
    assert proposal.limit == "forum"
    assert shares["forum"].rate == 1 and shares["forum"].low == 2
    assert shares["doc"].low == 6  # the ceiling: beyond it the rest is drawn
    assert shares["doc"].expected / proposal.expected == pytest.approx(0.75, abs=0.01)
    assert any(line.startswith("the supply of forum limits the whole") for line in proposal.lines())


def test_shortage_is_said():
    rows = [(8.0, 10, "doc")] * 90 + [(8.0, 10, "forum")] * 2
    proposal = propose(supply(rows), ProposeSettings(target={"forum": 0.5, "qa": 0.1}, keep=0.5))
    lines = proposal.lines()
    assert "short: forum has 20 of the 230 tokens it should give" in lines
    assert "short: qa has 0 of the 46 tokens it should give" in lines
    assert proposal.limit is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": {"a": 0.7, "b": 0.4}}, "sum to 1 at most, got 1.1"),
        ({"floor": 5, "ceiling": 4}, "ceiling: expected"),
    ],
)
def test_impossible_wishes_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ProposeSettings(**settings)
