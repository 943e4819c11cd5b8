"""How often the verdict errs and how often it finds skill, on generated markets."""

import pytest
from scipy.stats import binom

from ..simulations.verdict import FALLING, NULLS, RISING, STILL, nulls, plant


def bound(runs, chance):
    """Return the count that `chance` exceeds less than once in a thousand times."""
    return int(binom.ppf(0.999, runs, chance))


@pytest.mark.parametrize("market", [RISING, FALLING, STILL], ids=lambda market: market.name)
def test_no_skill_is_hardly_ever_said_to_beat(market):
    cells = nulls(market, 1, 40, seed=5)
    assert [cell.name for cell in cells] == list(NULLS)
    for cell in cells:
        assert cell.runs == sum(cell.words.values()) == 40
        assert cell.words["beats"] <= bound(40, 0.01)
        assert cell.decayed <= bound(40, 0.05)
        if market is STILL:
            assert cell.any_pair <= bound(40, 0.05)


def test_more_than_luck_is_ruled_out_for_many_without_skill():
    """A near copy of buy & hold, with costs: "does not beat" must be the common answer."""
    cell = nulls(RISING, 1, 40, seed=6, names=("random, 97 % long",))[0]
    assert cell.words["does not beat"] >= 25


def test_strong_skill_is_found_and_weak_skill_is_not_denied():
    strong = plant(0.60, 5, 1, 20, seed=5)
    assert strong.words["beats"] >= 18
    assert strong.words["does not beat"] == 0
    weak = plant(0.53, 5, 1, 40, seed=5)
    assert weak.words["does not beat"] <= bound(40, 0.05)


def test_skill_that_ends_is_flagged():
    cell = plant(0.60, 5, 1, 20, seed=5, fades=True)
    assert cell.decayed >= 16


def test_more_symbols_show_more():
    one, four = (plant(0.55, 1, symbols, 30, seed=5) for symbols in (1, 4))
    assert four.words["beats"] > one.words["beats"]
    assert sum(four.detectable) < sum(one.detectable)


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [1, 4])
@pytest.mark.parametrize("market", [RISING, FALLING, STILL], ids=lambda market: market.name)
def test_size(market, symbols):
    """At most 1 % overall, where 5 % is promised; at most 5 % for any of nine pairs."""
    for cell in nulls(market, symbols, 500, seed=1):
        assert cell.words["beats"] <= bound(500, 0.01)
        if market is STILL:
            assert cell.any_pair <= bound(500, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accuracy", "hold", "symbols", "least"),
    [(0.55, 5, 1, 0.7), (0.53, 5, 4, 0.6), (0.55, 1, 4, 0.75), (0.6, 1, 1, 0.95)],
)
def test_power(accuracy, hold, symbols, least):
    cell = plant(accuracy, hold, symbols, 500, seed=1)
    assert cell.words["beats"] >= least * 500
    assert cell.words["does not beat"] <= bound(500, 0.01)
