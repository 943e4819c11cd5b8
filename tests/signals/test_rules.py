"""The rules on arrays: hand-computed values, their indicators, and rules that make no sense."""

from __future__ import annotations

from functools import partial
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.signals import VolatilityTargetDirection, rules
from nextbar.signals.baselines import rule_indicator
from nextbar.signals.chain import Rule
from nextbar.signals.errors import ExperimentError
from nextbar.signals.rules import first_call, rule_directions, rule_scores
from pydantic import ValidationError

from .. import lines
from ..markets import random_bars

RULES = {
    "ema": Rule(name="ema", parameters={"fast": 3, "slow": 7}),
    "momentum": Rule(name="momentum", parameters={"period": 5}),
    "mean": Rule(name="mean"),
    "reversal": Rule(name="reversal"),
    "up": Rule(name="constant"),
    "none": Rule(name="constant", parameters={"direction": 0}),
    "down": Rule(name="constant", parameters={"direction": -1}),
}
MODES = {"batched": {}, "streaming": {"runonce": False}, "exactbars": {"exactbars": 1}}


def lines_of(make: Any, close: np.ndarray, *names: str, **mode: Any) -> np.ndarray:
    frame = random_bars(len(close)).assign(close=close)
    return lines.lines_of(make, frame, names=names or lines.CALL, **mode)


CLOSES = st.lists(st.sampled_from([90.0, 99.0, 100.0, 101.0, 110.0]), min_size=9, max_size=40)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", RULES)
@given(CLOSES, st.floats(1e-3, 1e6))
@settings(max_examples=15, deadline=None)
def test_the_indicator_is_equal_on_every_bar(
    name: str, mode: str, path: list[float], level: float
) -> None:
    close, rule = np.array(path) * level, RULES[name]
    direction, score = lines_of(rule_indicator(rule), close, **MODES[mode])
    assert np.array_equal(direction, rule_directions(rule, close))
    assert np.array_equal(score, rule_scores(rule, close), equal_nan=True)
    known = np.flatnonzero(np.isfinite(score))
    assert known.tolist() == list(range(first_call(rule) - 1, len(close)))


def test_scores_by_hand() -> None:
    close = np.array([100.0, 110.0, 99.0, 99.0, 108.9])
    nan = np.nan
    for name, expected in {
        "mean": [nan, 0.1, 0.0, 0.0, 0.025],
        "reversal": [nan, -0.1, 0.1, 0.0, -0.1],
        "up": [1, 1, 1, 1, 1],
        "down": [-1, -1, -1, -1, -1],
    }.items():
        np.testing.assert_allclose(rule_scores(RULES[name], close), expected, atol=1e-12)
    directions = rule_directions(RULES["reversal"], close)
    assert directions.tolist() == [0, -1, 1, 0, -1]
    assert not np.signbit(directions[[0, 3]]).any()
    momentum = Rule(name="momentum", parameters={"period": 4})
    assert rule_directions(momentum, close).tolist() == [0, 0, 0, 0, 1]


def test_the_mean_is_that_of_all_returns_so_far() -> None:
    close = random_bars(300, seed=2)["close"]
    expected = close.pct_change().expanding().mean()
    np.testing.assert_allclose(rule_scores(RULES["mean"], close.to_numpy()), expected, atol=1e-15)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("n", [0, 1, 2, 6])
def test_short_histories(name: str, n: int) -> None:
    close = np.linspace(100, 101, n)
    lag = first_call(RULES[name]) - 1
    assert rule_scores(RULES[name], close).shape == (n,)
    assert np.isfinite(rule_scores(RULES[name], close)).sum() == max(0, n - lag)


@pytest.mark.parametrize("name", ["ema", "mean"])
@pytest.mark.parametrize("mode", MODES)
def test_one_nan_close_silences_for_good(name: str, mode: str) -> None:
    close = random_bars(40, seed=3)["close"].to_numpy().copy()
    close[20] = np.nan
    direction, score = lines_of(rule_indicator(RULES[name]), close, **MODES[mode])
    assert np.isnan(score[20:]).all()
    assert (direction[20:] == 0).all()
    assert np.array_equal(score, rule_scores(RULES[name], close), equal_nan=True)


@pytest.mark.parametrize("span", [2, 5, 60])
def test_the_volatility_is_that_of_pandas(span: int) -> None:
    close = random_bars(300, seed=4)["close"]
    returns = np.log(close).diff()
    expected = returns.ewm(span=span, min_periods=span).std() * np.sqrt(252)
    found = rules.volatility_scores(close.to_numpy(), span)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.isfinite(found).sum() == 300 - span


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("hole", [None, 50])
def test_the_volatility_indicator_is_equal_to_the_last_bit(mode: str, hole: int | None) -> None:
    close = random_bars(90, seed=5)["close"].to_numpy().copy()
    if hole:
        close[hole] = np.nan
    make = partial(VolatilityTargetDirection, span=20, target=0.15)
    direction, score, share = lines_of(make, close, "direction", "score", "share", **MODES[mode])
    expected = rules.volatility_scores(close, 20)
    assert np.array_equal(score, expected, equal_nan=True)
    assert np.array_equal(share, rules.volatility_share(expected, 0.15))
    last = hole or 90
    assert (direction[:20] == 0).all()
    assert (direction[20:last] == 1).all()
    assert (direction[last:] == 0).all()
    assert (share[:20] == 1).all()
    cut = score > 0.15
    assert 2 < cut.sum() < last - 20 - 2
    np.testing.assert_allclose(share[cut] * score[cut], 0.15)
    assert (share[~cut] == 1).all()


def test_a_dead_market_has_no_volatility_and_a_full_share() -> None:
    volatility = rules.volatility_scores(np.full(30, 100.0), 5)
    assert (volatility[5:] == 0).all()
    assert (rules.volatility_share(volatility, 0.15) == 1).all()
    direction, share = lines_of(
        partial(VolatilityTargetDirection, span=5), np.full(30, 100.0), "direction", "share"
    )
    assert (direction[5:] == 1).all()
    assert (share == 1).all()


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("emma", {}, "no rule 'emma'. Did you mean 'ema'?"),
        ("xyz", {}, "Known: constant, ema, mean, momentum, reversal"),
        ("ema", {"fats": 3}, "no parameter 'fats'. Did you mean 'fast'?"),
        ("mean", {"period": 3}, "no parameter 'period'. It takes none."),
        ("ema", {"fast": 50, "slow": 20}, "1 <= fast < slow, found fast=50, slow=20"),
        ("ema", {"fast": 0}, "1 <= fast < slow"),
        ("momentum", {"period": 0}, "period >= 1"),
        ("constant", {"direction": 2}, "direction of -1, 0 or 1, found direction=2"),
        ("momentum", {"period": 2.0}, "valid integer"),
        ("momentum", {"period": True}, "valid integer"),
    ],
)
def test_rules_that_make_no_sense(name: str, parameters: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Rule(name=name, parameters=parameters)
    assert message in str(caught.value)


def test_a_rule_is_complete_and_counts_as_what_it_says() -> None:
    assert Rule(name="ema", parameters={"slow": 60}).parameters == {"fast": 20, "slow": 60}
    assert Rule(name="constant") == Rule(name="constant", parameters={"direction": 1})
    assert len({Rule(name="mean"), Rule(name="mean"), Rule(name="reversal")}) == 2
    assert Rule.model_validate_json(RULES["ema"].model_dump_json()) == RULES["ema"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"target": 0.0}, "target > 0"),
        ({"target": float("nan")}, "target=nan"),
        ({"span": 1}, "span >= 2"),
        ({"periods": 0}, "periods > 0"),
        ({"dead_band": 0.1}, "takes no dead_band"),
        ({"spam": 20}, "Did you mean 'span'?"),
    ],
)
def test_volatility_settings_that_make_no_sense(parameters: Any, message: str) -> None:
    with pytest.raises(ExperimentError, match=message.replace("?", r"\?")):
        lines_of(partial(VolatilityTargetDirection, **parameters), np.full(30, 100.0))


def test_the_sums_start_where_the_input_does() -> None:
    """On an indicator that warms up itself, batched and streamed sums agree."""

    def make(data: Any) -> Any:
        return rule_indicator(RULES["mean"])(bt.ind.HeikinAshi(data))

    close = random_bars(50, seed=6)["close"].to_numpy()
    batched, streamed = (lines_of(make, close, runonce=once) for once in (True, False))
    np.testing.assert_allclose(batched, streamed, rtol=1e-12)
    assert np.isfinite(batched[1]).sum() == 49
