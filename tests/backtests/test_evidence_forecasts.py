import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.backtests.evidence.forecasts import (
    StepError,
    forecast_quality,
    forecast_sentence,
)
from nextbar.signals.errors import ExperimentError
from sklearn.metrics import mean_absolute_error, mean_squared_error, root_mean_squared_error

FEW = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 10_000)


def walk(seed, bars=200, ahead=(1, 2, 5)):
    """A random walk: forecasts with noise, the prices that came true, today's, those before."""
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(0.01 * rng.standard_normal(bars + 400).cumsum())
    training, now = prices[:300], np.arange(300, 300 + bars)
    actual = np.stack([prices[now + a] for a in ahead], axis=1)
    forecast = actual + rng.normal(0.2, 1.0, actual.shape)
    return forecast, actual, prices[now], ahead, training


def quality(forecast, actual, today, ahead, training):
    return forecast_quality(forecast, actual, today, ahead, training_prices=training)


@given(SEEDS, st.integers(20, 200))
@FEW
def test_errors_against_scikit_learn(seed, bars):
    forecast, actual, today, ahead, training = walk(seed, bars)
    found = quality(forecast, actual, today, ahead, training)
    true = actual[:, 0]
    assert found.bars == bars
    assert found.mse == pytest.approx(mean_squared_error(true, forecast[:, 0]))
    assert found.mae == pytest.approx(mean_absolute_error(true, forecast[:, 0]))
    assert found.rmse == pytest.approx(root_mean_squared_error(true, forecast[:, 0]))
    assert found.naive_rmse == pytest.approx(root_mean_squared_error(true, today))
    assert found.naive_mae == pytest.approx(mean_absolute_error(true, today))
    assert found.correlation == pytest.approx(np.corrcoef(forecast[:, 0], true)[0, 1])
    assert found.correlation_today == pytest.approx(np.corrcoef(forecast[:, 0], today)[0, 1])
    for j, step in enumerate(found.steps):
        assert step.ahead == ahead[j]
        rmse = root_mean_squared_error(actual[:, j], forecast[:, j])
        assert step.rmse == pytest.approx(rmse)
        assert step.naive_rmse == pytest.approx(root_mean_squared_error(actual[:, j], today))
        scale = mean_absolute_error(training[ahead[j] :], training[: -ahead[j]])
        mae = mean_absolute_error(actual[:, j], forecast[:, j])
        assert step.mase == pytest.approx(mae / scale)


def test_by_hand():
    """Today 10, 12, 11, 13; true 12, 11, 13, 13; forecast 11, 13, 12, 14.

    Errors -1, 2, -1, 1: MAE 5/4, MSE 7/4. Naive -2, 1, -2, 0: MAE 5/4, MSE 9/4. Training moves
    2, 1, 3: mean 2. On the last bar the price did not move; of the other three calls, all "up",
    two came true. To today's price it is 1 away on every bar, to the true one sqrt(7/4).
    """
    today, true = np.array([10.0, 12, 11, 13]), np.array([12.0, 11, 13, 13])
    said = np.array([11.0, 13, 12, 14])
    found = quality(said[:, None], true[:, None], today, (1,), np.array([5.0, 7, 6, 9]))
    assert (found.bars, found.calls) == (4, 3)
    assert (found.mae, found.mse, found.naive_mae) == (1.25, 1.75, 1.25)
    assert found.rmse == pytest.approx(math.sqrt(1.75), rel=1e-12)
    assert found.naive_rmse == 1.5
    assert found.mase == 0.625
    assert found.theils_u == pytest.approx(math.sqrt(1.75) / 1.5, rel=1e-12)
    assert (found.hit_rate, found.base_rate) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found.late is True


def test_the_scale_is_taken_at_the_same_distance():
    """Moves over two bars of 5, 7, 6, 9: 1 and 2, so 1.5 in the mean."""
    two = np.array([[12.0], [15.0]])
    found = quality(two + 3, two, np.array([10.0, 11]), (2,), np.array([5.0, 7, 6, 9]))
    assert found.mase == 2.0
    assert found.steps == (StepError(2, 3.0, found.naive_rmse, 2.0),)


@given(SEEDS)
@FEW
def test_the_naive_forecast_is_level_with_itself_and_late(seed):
    _, actual, today, ahead, training = walk(seed)
    found = quality(np.stack([today] * 3, axis=1), actual, today, ahead, training)
    assert found.theils_u == 1.0
    assert found.late is True
    assert found.correlation_today == pytest.approx(1.0)
    assert (found.calls, found.hit_rate, found.base_rate) == (0, None, None)
    assert all(step.rmse == step.naive_rmse for step in found.steps)


@given(SEEDS)
@FEW
def test_a_distant_forecast_is_not_late_by_chance(seed):
    """Far below both, it is nearer to whichever is lower: no chart of it seems to follow."""
    _, actual, today, ahead, training = walk(seed)
    noise = np.random.default_rng(seed).standard_normal(actual.shape)
    low = quality(50 + noise, np.maximum(actual, today[:, None] + 1), today, ahead, training)
    assert np.sqrt(np.mean((50 + noise[:, 0] - today) ** 2)) < low.rmse
    assert low.late is False
    assert "looks like" not in forecast_sentence(low)
    for far in (today - 30, 0.2 * today, 2 * today):
        found = quality(np.stack([far] * 3, axis=1), actual, today, ahead, training)
        assert found.late is False
        assert found.bias == pytest.approx((far - actual[:, 0]).mean() / actual[:, 0].mean())
        way = "high" if far[0] > today[0] else "low"
        assert f"% too {way} on average. It has the sign" in forecast_sentence(found)


@given(SEEDS)
@FEW
def test_the_perfect_forecast_has_no_error(seed):
    _, actual, today, ahead, training = walk(seed)
    found = quality(actual, actual, today, ahead, training)
    assert (found.mse, found.mae, found.rmse, found.mase, found.theils_u) == (0, 0, 0, 0, 0)
    assert (found.late, found.hit_rate) == (False, 1.0)
    assert found.correlation == pytest.approx(1.0)
    up = (actual[:, 0] > today).mean()
    assert found.base_rate == pytest.approx(max(up, 1 - up))
    against = quality(2 * today[:, None] - actual, actual, today, ahead, training)
    assert against.hit_rate == 0.0


@given(SEEDS, st.floats(1e-3, 1e3))
@FEW
def test_the_unit_of_the_price_changes_errors_only(seed, unit):
    forecast, actual, today, ahead, training = walk(seed)
    one = quality(forecast, actual, today, ahead, training)
    other = quality(forecast * unit, actual * unit, today * unit, ahead, training * unit)
    for name in ("mae", "rmse", "naive_mae", "naive_rmse"):
        assert getattr(other, name) == pytest.approx(unit * getattr(one, name))
    assert other.mse == pytest.approx(unit**2 * one.mse)
    for name in ("mase", "theils_u", "correlation", "correlation_today"):
        assert getattr(other, name) == pytest.approx(getattr(one, name))
    for name in ("bars", "late", "calls", "hit_rate", "base_rate"):
        assert getattr(other, name) == getattr(one, name)
    assert [s.mase for s in other.steps] == pytest.approx([s.mase for s in one.steps])


@given(SEEDS, st.data())
@FEW
def test_what_is_not_known_is_left_out_by_column(seed, data):
    forecast, actual, today, ahead, training = walk(seed, 40)
    holes = np.array(data.draw(st.lists(st.booleans(), min_size=40, max_size=40)))
    part = data.draw(st.sampled_from(["forecast", "actual", "today"]))
    given_ = {"forecast": forecast[:, 0], "actual": actual[:, 0], "today": today}
    given_[part][holes] = np.nan  # views: of the first column, and of today's price
    found = quality(forecast, actual, today, ahead, training)
    kept = quality(forecast[~holes], actual[~holes], today[~holes], ahead, training)
    assert replace(found, steps=()) == replace(kept, steps=())
    assert found.bars == int((~holes).sum())
    whole = quality(*walk(seed, 40))
    assert part == "today" or found.steps[1:] == whole.steps[1:]


def test_each_column_may_have_its_own_price_to_start_from():
    forecast, actual, today, ahead, training = walk(5)
    both, lines = np.stack([today, today * 2, today], 1), np.stack([training] * 3, 1)
    lines[:, 1] *= 3
    found = quality(forecast, actual, both, ahead, lines)
    one = quality(forecast, actual, today, ahead, training)
    alone = quality(forecast[:, 1:2], actual[:, 1:2], today * 2, (2,), training * 3)
    assert replace(found, steps=()) == replace(one, steps=())
    assert found.steps == (one.steps[0], alone.steps[0], one.steps[2])


def test_holes_in_the_training_prices_are_left_out():
    forecast, actual, today, ahead, training = walk(6)
    training = training.copy()
    training[100] = np.nan
    moves = np.abs(np.diff(training))
    found = quality(forecast, actual, today, ahead, training)
    assert found.mase == pytest.approx(found.mae / np.nanmean(moves))


def test_what_is_not_defined_is_none_and_never_nan():
    nothing = np.full((3, 2), np.nan)
    same = np.full((3, 2), 7.0)
    empty = quality(nothing, same, same[:, 0], (1, 2), same[:, 0])
    assert empty.bars == 0
    named = {name: value for name, value in asdict(empty).items() if name != "steps"}
    assert named == dict.fromkeys(named) | {"bars": 0, "calls": 0}
    assert empty.steps == (StepError(1, None, None, None), StepError(2, None, None, None))
    still = quality(same, same, same[:, 0], (1, 2), same[:, 0])
    assert (still.rmse, still.mase, still.theils_u, still.correlation) == (0.0, None, None, None)
    assert still.late is False
    short = quality(same + 1, same, same[:, 0] - 1, (1, 5), np.array([7.0, 8.0]))
    assert (short.steps[0].mase, short.steps[1].mase) == (1.0, None)
    for found in empty, still, short:
        assert json.loads(json.dumps(asdict(found), allow_nan=False))["bars"] == found.bars


def test_the_base_rate_is_of_the_bars_that_were_called():
    """No call on bar 1, no move on bar 4: of the two between, one rose."""
    today = np.array([10.0, 10, 10, 10])
    true, said = np.array([11.0, 12, 9, 10]), np.array([10.0, 11, 12, 13])
    found = quality(said[:, None], true[:, None], today, (1,), today)
    assert (found.calls, found.hit_rate, found.base_rate) == (2, 0.5, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forecast": np.zeros(5)}, "per bar and column"),
        ({"forecast": np.zeros((5, 1))}, r"\(5, 1\)"),
        ({"ahead": (1,)}, "1 distances"),
        ({"ahead": (0, 1)}, "1 bar or more, found 0"),
        ({"today": np.zeros(4)}, "today: expected 5 prices"),
        ({"training_prices": np.zeros((9, 3))}, "training_prices"),
        ({"actual": np.array([[1, 2]] * 4 + [[1, np.inf]])}, "actual: .* row 4"),
    ],
)
def test_what_fits_nothing_is_refused(change, message):
    given_ = {
        "forecast": np.ones((5, 2)), "actual": np.ones((5, 2)), "today": np.ones(5),
        "ahead": (1, 2), "training_prices": np.ones(9),
    }  # fmt: skip
    with pytest.raises(ExperimentError, match=message):
        forecast_quality(**given_ | change)


def said(**change):
    base = quality(*walk(1))
    usual = {"late": False, "theils_u": 0.8, "hit_rate": 0.62, "base_rate": 0.55}
    return forecast_sentence(replace(base, **usual | change))


def test_the_sentence_says_what_the_chart_does_not():
    worse = said(theils_u=1.234, late=True)
    level = "It is no better than repeating today's price"
    assert worse.startswith(f"{level}: its error is 23% larger. It looks like the truth only")
    assert said(theils_u=1.0, late=True).startswith(f"{level}. It looks")
    assert said(theils_u=1.004) == said(theils_u=0.996)
    assert "its error is 4.6 times as large" in said(theils_u=4.56)
    assert "late" not in said(theils_u=1.234, late=False)
    better = said()
    assert better.startswith(
        "Its error is 20% smaller than that of repeating today's price. It has"
    )
    assert "more often than always saying the commoner one: 62.0% against 55.0%." in better
    assert "yet it is nearer to today's price" in said(late=True)
    assert "right no more often" in said(hit_rate=0.55)
    assert "never says" in said(hit_rate=None, base_rate=None)
    assert said(bars=0, theils_u=None) == "There is no forecast whose price is known."
    assert "never moved" in said(theils_u=None)


@given(SEEDS)
@FEW
def test_every_sentence_is_two_at_most(seed):
    forecast, actual, today, ahead, training = walk(seed)
    for column in (forecast, actual, np.stack([today] * 3, axis=1), actual * 2):
        text = forecast_sentence(quality(column, actual, today, ahead, training))
        assert text.endswith(".")
        assert text.count(". ") <= 1
