"""The classical forecasters: their arithmetic by hand, no look at the future, calls and files."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections import Counter
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.signals import sample_bars
from nextbar.signals.calls import load_calls
from nextbar.signals.errors import BarsError, ExperimentError
from nextbar.training.forecasters import NEIGHBOURS, ORDERS, WINDOW, Forecast
from nextbar.training.rivals import (
    RIVALS,
    rival_calls,
    rival_named,
    walk_forward_forecasts,
    write_calls,
)
from statsmodels.tsa.arima.model import ARIMA

NAMES = sorted(set(RIVALS) - {"prophet"})
FLAT = ["average", "ema_forecast"]
FLAT_OR_NOT = pytest.mark.parametrize("name", NAMES)
some = settings(deadline=None, max_examples=8)
seeds = st.integers(0, 10_000)


def walk(seed: int, n: int = 220, *, phi: float = 0.0, drift: float = 0.0) -> np.ndarray:
    """Return prices whose log returns follow an AR(1); with phi = 0 a random walk."""
    noise = np.random.default_rng(seed).normal(drift, 0.01, n)
    returns = noise.copy()
    for t in range(1, n):
        returns[t] += phi * returns[t - 1]
    return 100 * np.exp(returns.cumsum())


def fitted(name: str, prices: np.ndarray, steps: int) -> Forecast:
    return RIVALS[name].fit(prices, steps)


def mase(forecasts: np.ndarray, prices: np.ndarray, start: int) -> float:
    """Return the one-step error over that of the naive forecast, today's price."""
    truth = prices[start + 1 :]
    return float(np.abs(forecasts[:-1, 0] - truth).mean() / np.abs(prices[start:-1] - truth).mean())


class Line:
    """In the place of Prophet: a least-squares line through the prices of the fit, as talkative."""

    def __init__(self, **options: Any) -> None:
        assert options["uncertainty_samples"] == 0

    def fit(self, frame: pd.DataFrame) -> None:
        warnings.warn("the inplace keyword", DeprecationWarning, stacklevel=1)
        logging.getLogger("cmdstanpy").setLevel(logging.DEBUG)  # as it does itself
        logging.getLogger("cmdstanpy").info("Chain [1] start processing")
        logging.getLogger("prophet.models").warning("Falling back to Newton.")
        self.start = frame["ds"].iloc[0]
        self.line = np.polyfit(self.rows(frame), frame["y"], 1)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(yhat=np.polyval(self.line, self.rows(frame)))

    def rows(self, frame: pd.DataFrame) -> pd.Series:
        return (frame["ds"] - self.start).dt.total_seconds()


@pytest.fixture
def line_for_prophet(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("prophet")
    module.__spec__ = ModuleSpec("prophet", None)
    module.Prophet = Line  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "prophet", module)


@FLAT_OR_NOT
@some
@given(seed=seeds, cut=st.integers(150, 218))
def test_later_prices_change_no_forecast(name: str, seed: int, cut: int) -> None:
    prices, starts = walk(seed), (150, 180)
    changed = prices.copy()
    changed[cut + 1 :] *= np.random.default_rng(seed + 1).uniform(0.5, 2.0, 219 - cut)
    before, after = (walk_forward_forecasts(RIVALS[name], p, starts, 3) for p in (prices, changed))
    known = cut + 1 - 150
    np.testing.assert_array_equal(before[:known], after[:known])
    assert (before[known:] != after[known:]).all()
    short = walk_forward_forecasts(
        RIVALS[name], prices[: cut + 1], [s for s in starts if s <= cut], 3
    )
    np.testing.assert_allclose(short, before[:known], rtol=1e-12)


@FLAT_OR_NOT
@some
@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_a_multiple_of_the_prices_is_forecast_as_that_multiple(
    name: str, seed: int, factor: float
) -> None:
    prices = walk(seed)
    one, other = (
        walk_forward_forecasts(RIVALS[name], p, [150, 190], 2) for p in (prices, factor * prices)
    )
    # An ARIMA's likelihood is maximised by iteration: its last digits are the optimiser's.
    np.testing.assert_allclose(other, factor * one, rtol=1e-8 if name == "arima" else 1e-11)


@FLAT_OR_NOT
def test_walking_is_fitting_fold_by_fold(name: str) -> None:
    prices, steps = walk(1), 2
    found = walk_forward_forecasts(RIVALS[name], prices, [140, 160, 200], steps)
    parts = [
        fitted(name, prices[:start], steps)(prices, start)[: end - start]
        for start, end in ((140, 160), (160, 200), (200, 220))
    ]
    np.testing.assert_allclose(found, np.concatenate(parts), rtol=1e-13)
    assert found.shape == (80, steps)
    again = walk_forward_forecasts(RIVALS[name], prices, [140, 160, 200], steps)
    np.testing.assert_array_equal(again, found)
    if not RIVALS[name].flat:  # a refit is seen
        once = walk_forward_forecasts(RIVALS[name], prices, [140], steps)
        assert (once[20:] != found[20:]).all()


@FLAT_OR_NOT
def test_prices_that_never_change_stay(name: str) -> None:
    found = walk_forward_forecasts(RIVALS[name], np.full(200, 7.0), [150], 3)
    np.testing.assert_allclose(found, 7.0, rtol=1e-14)


def test_averages_are_those_of_pandas_and_of_the_loop() -> None:
    prices = walk(2, 400)
    average, ema = (walk_forward_forecasts(RIVALS[n], prices, [120, 300], 1)[:, 0] for n in FLAT)
    series = pd.Series(prices)
    np.testing.assert_allclose(average, series.rolling(100).mean()[120:], rtol=1e-13)
    np.testing.assert_allclose(average[5], prices[26:126].mean(), rtol=1e-14)
    np.testing.assert_array_equal(ema, series.ewm(alpha=0.5, adjust=False).mean()[120:])
    early = walk_forward_forecasts(RIVALS["ema_forecast"], prices, [1], 1)[:, 0]
    np.testing.assert_array_equal(early, series.ewm(alpha=0.5, adjust=False).mean()[1:])
    running = prices[0]
    for row, price in enumerate(prices):
        running = 0.5 * running + 0.5 * price
        if row >= 120:
            assert ema[row - 120] == pytest.approx(running, rel=1e-14)


@FLAT_OR_NOT
@some
@given(seed=seeds)
def test_averages_alone_are_flat(name: str, seed: int) -> None:
    found = walk_forward_forecasts(RIVALS[name], walk(seed), [150], 4)
    flat = bool((found == found[:, :1]).all())
    assert flat == RIVALS[name].flat == (name in FLAT)


@some
@given(first=st.floats(1, 1000), rise=st.floats(-0.004, 1))
def test_a_straight_line_is_regressed_exactly(first: float, rise: float) -> None:
    prices = first * (1 + rise * np.arange(230))
    found = walk_forward_forecasts(RIVALS["linear"], prices[:220], [100, 150], 5)
    expected = np.lib.stride_tricks.sliding_window_view(prices[101:225], 5)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_regression_by_hand() -> None:
    prices, start, steps = walk(3), 150, 2
    rows = range(WINDOW - 1, start - steps)
    past = np.array([prices[t - WINDOW + 1 : t] / prices[t] - 1 for t in rows])
    ahead = np.array([prices[t + 1 : t + 1 + steps] / prices[t] - 1 for t in rows])
    weights = np.linalg.lstsq(np.column_stack([np.ones(len(past)), past]), ahead)[0]
    found = fitted("linear", prices[:start], steps)(prices, start)
    for t in (start, 200, 219):
        x = np.concatenate([[1.0], prices[t - WINDOW + 1 : t] / prices[t] - 1])
        np.testing.assert_allclose(found[t - start], prices[t] * (1 + x @ weights), rtol=1e-12)


def test_the_neighbours_by_hand() -> None:
    prices, start, steps = walk(4), 150, 2
    returns = prices[1:] / prices[:-1] - 1
    rows = np.arange(WINDOW, start - steps)
    past = np.array([returns[t - WINDOW : t] for t in rows])
    centre, scale = past.mean(axis=0), past.std(axis=0)
    found = fitted("knn", prices[:start], steps)(prices, start)
    for t in range(start, 220):
        away = (past - centre) / scale - (returns[t - WINDOW : t] - centre) / scale
        near = rows[np.argsort((away**2).sum(axis=1))[:NEIGHBOURS]]
        moves = [(prices[near + j] / prices[near] - 1).mean() for j in range(1, steps + 1)]
        np.testing.assert_allclose(found[t - start], prices[t] * (1 + np.array(moves)), rtol=1e-12)


@pytest.mark.parametrize(
    ("order", "ar", "ma"),
    [((1, 1, 0), [0.5], []), ((2, 1, 0), [0.3, 0.45], []), ((0, 1, 1), [], [0.7])],
)
def test_arima_forecasts_as_statsmodels_does_bar_by_bar(
    order: tuple[int, int, int], ar: list[float], ma: list[float]
) -> None:
    noise, start = np.random.default_rng(5).normal(0.001, 0.01, 370), 340
    returns = noise.copy()
    for t in range(2, len(noise)):
        returns[t] += sum(a * returns[t - 1 - i] for i, a in enumerate(ar))
        returns[t] += sum(b * noise[t - 1 - i] for i, b in enumerate(ma))
    prices = 100 * np.exp(returns.cumsum())
    returns = np.diff(np.log(prices))
    mean, scale = returns[: start - 1].mean(), returns[: start - 1].std()
    unit = (returns - mean) / scale
    fits = {o: ARIMA(unit[: start - 1], order=(o[0], 0, o[2]), trend="c").fit() for o in ORDERS}
    best = min(fits, key=lambda one: fits[one].aic)
    assert best == order
    # The same parameters as a model of the log prices themselves: d = 1, and a drift.
    drift, *middle, variance = fits[best].params
    of_prices = ARIMA(np.log(prices[:start]), order=order, trend="t").smooth(
        np.array([mean + scale * drift, *middle, scale**2 * variance])
    )
    found = fitted("arima", prices[:start], 3)(prices, start)
    for t in range(start, len(prices)):
        ahead = fits[best].append(unit[start - 1 : t], refit=False).forecast(3)
        expected = prices[t] * np.exp((mean + scale * ahead).cumsum())
        np.testing.assert_allclose(found[t - start], expected, rtol=1e-12)
        appended = of_prices.append(np.log(prices[start : t + 1]), refit=False)
        np.testing.assert_allclose(found[t - start], np.exp(appended.forecast(3)), rtol=1e-9)


def test_arima_follows_a_walk_and_finds_a_planted_rule() -> None:
    prices = walk(6, 2000)
    found = walk_forward_forecasts(RIVALS["arima"], prices, [1500], 2)
    assert np.abs(found[:, 0] / prices[1500:] - 1).max() < 0.003  # of a move of 0.01
    assert mase(found, prices, 1500) == pytest.approx(1, abs=0.01)
    planted = walk(6, 2000, phi=0.6)
    found = walk_forward_forecasts(RIVALS["arima"], planted, [1500], 2)
    assert mase(found, planted, 1500) < 0.85  # an AR(1) leaves sqrt(1 - 0.36) = 0.8
    move = found[:, 1] / found[:, 0] - 1
    today = planted[1500:] / planted[1499:-1] - 1
    assert np.corrcoef(move, today)[0, 1] > 0.95


def test_an_arima_that_does_not_converge_is_a_walk_with_drift(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prices = walk(7, drift=0.001, phi=0.5)
    fit = ARIMA.fit
    free = fitted("arima", prices[:150], 3)(prices, 150)
    monkeypatch.setattr(ARIMA, "fit", lambda model: fit(model, method_kwargs={"maxiter": 1}))
    found = fitted("arima", prices[:150], 3)(prices, 150)
    growth = (prices[149] / prices[0]) ** (1 / 149)
    np.testing.assert_allclose(found, prices[150:, None] * growth ** np.arange(1, 4), rtol=1e-12)
    assert np.abs(free / found - 1).max() > 1e-3


def test_one_step_ahead_the_averages_are_an_illusion() -> None:
    """An EMA beats the mean of 100 by far, yet not today's price; nor does it see two bars."""
    bars = sample_bars("AAPL")
    mid = ((bars["high"] + bars["low"]) / 2).to_numpy()
    start = 1000
    average, ema = (walk_forward_forecasts(RIVALS[name], mid, [start], 50) for name in FLAT)
    errors = [float(((f[:-1, 0] - mid[start + 1 :]) ** 2).mean()) for f in (average, ema)]
    naive = float(((mid[start:-1] - mid[start + 1 :]) ** 2).mean())
    assert errors[0] > 20 * errors[1]
    assert errors[1] > 1.3 * naive
    assert mase(average, mid, start) > 5
    assert 1.1 < mase(ema, mid, start) < 1.5
    assert (ema == ema[:, :1]).all()


def test_prophet_carries_on_the_curve_of_each_fit(line_for_prophet: None) -> None:
    rival, prices = rival_named("prophet"), walk(8)
    found = walk_forward_forecasts(rival, prices, [100, 150], 3)
    assert found.shape == (120, 3)
    for start, end in ((100, 150), (150, 220)):
        line = np.polyfit(np.arange(start), prices[:start], 1)
        for t in (start, end - 1):
            expected = np.polyval(line, np.arange(t + 1, t + 4))
            np.testing.assert_allclose(found[t - 100], expected, rtol=1e-9)
    changed = np.where(np.arange(220) < 150, prices, 1.0)
    np.testing.assert_array_equal(walk_forward_forecasts(rival, changed, [100, 150], 3), found)


def test_prophet_ends_a_fall_above_zero(line_for_prophet: None) -> None:
    prices = np.linspace(100, 50, 101)  # 0 in 100 bars more
    found = fitted("prophet", prices, 2)(np.r_[prices, np.full(199, 50.0)], 101)
    np.testing.assert_allclose(found[:, 0], np.maximum(50 - np.arange(1, 200) / 2 - 0.5, 0.5))
    direction, score = rival_calls(found, found[:, 0], 1, "open")
    assert set(direction[:95]) == {-1.0}
    assert not direction[100:].any()
    assert np.isfinite(score).all()


def test_prophet_is_quiet_and_leaves_logging_as_it_was(
    line_for_prophet: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    forecast = fitted("prophet", walk(8), 1)
    assert forecast(walk(8), 219).shape == (1, 1)
    assert not caplog.records
    logging.getLogger("cmdstanpy").warning("of somebody else")
    assert caplog.messages == ["of somebody else"]


def test_prophet_is_missing_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nextbar.training.rivals.find_spec", lambda name: None)
    with pytest.raises(ExperimentError, match=r"pip install prophet$"):
        rival_named("prophet")
    with pytest.raises(ExperimentError, match=r"pip install prophet$"):
        walk_forward_forecasts(RIVALS["prophet"], walk(0), [100], 2)
    assert rival_named("arima") is RIVALS["arima"]


def test_a_mistyped_name_gets_the_nearest() -> None:
    with pytest.raises(ExperimentError, match=r"no rival is called 'arma'\. Did you mean 'arima'"):
        rival_named("arma")
    assert all(rival.name == name for name, rival in RIVALS.items())


@FLAT_OR_NOT
@pytest.mark.parametrize("steps", [1, 3])
def test_too_few_prices_are_counted(name: str, steps: int) -> None:
    rival = RIVALS[name]
    needed = rival.needs + (0 if rival.flat else steps - 1)
    found = walk_forward_forecasts(rival, walk(9), [needed], steps)
    assert found.shape == (220 - needed, steps)
    assert np.isfinite(found).all()
    if needed > 1:
        expected = f"{rival.label}: at least {needed} prices .* found {needed - 1}"
        with pytest.raises(BarsError, match=expected):
            walk_forward_forecasts(rival, walk(9), [needed - 1], steps)


@pytest.mark.parametrize("starts", [[], [150, 150], [160, 150], [150, 220]])
def test_starts_must_make_folds(starts: list[int]) -> None:
    with pytest.raises(ExperimentError, match="rising starts of folds below 220"):
        walk_forward_forecasts(RIVALS["average"], walk(0), starts, 2)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -1.0])
def test_prices_must_be_prices(wrong: float) -> None:
    prices = walk(0)
    prices[30] = wrong
    with pytest.raises(BarsError, match=f"found {wrong} in row 30"):
        walk_forward_forecasts(RIVALS["average"], prices, [150], 2)


def test_steps_must_be_one_or_more() -> None:
    with pytest.raises(ExperimentError, match="at least 1 step"):
        walk_forward_forecasts(RIVALS["average"], walk(0), [150], 0)


def test_calls_are_of_the_move_that_is_traded() -> None:
    forecasts = np.array([[11.0, 12.0, 9.0], [9.0, 9.0, 12.0], [10.0, 8.0, 10.0]])
    today = np.array([10.0, 10.0, 10.0])
    direction, score = rival_calls(forecasts, today, 1, "open")
    np.testing.assert_array_equal(direction, [1, 0, -1])
    np.testing.assert_allclose(score, [12 / 11 - 1, 0, -0.2])
    direction, score = rival_calls(forecasts, today, 2, "open")
    np.testing.assert_array_equal(direction, [-1, 1, 0])
    direction, score = rival_calls(forecasts, today, 2, "close")
    np.testing.assert_array_equal(direction, [1, -1, -1])
    np.testing.assert_allclose(score, [0.2, -0.1, -0.2])
    direction, score = rival_calls(forecasts, today, 2, "close", flat=True)
    np.testing.assert_array_equal(direction, [1, -1, -1])
    direction, score = rival_calls(forecasts[:, :1], today, 5, "open", flat=True)
    np.testing.assert_array_equal(direction, [1, -1, 0])
    np.testing.assert_allclose(score, [0.1, -0.1, 0])


@pytest.mark.parametrize("name", FLAT)
def test_a_flat_forecast_has_no_move_to_trade(name: str) -> None:
    prices = walk(10, 800)
    forecasts = walk_forward_forecasts(RIVALS[name], prices, [150], 3)
    for horizon in (1, 2):
        direction, score = rival_calls(forecasts, prices[150:], horizon, "open")
        assert not direction.any()
        assert not score.any()
    direction, _ = rival_calls(forecasts, prices[150:], 2, "open", flat=True)
    np.testing.assert_array_equal(direction, np.sign(forecasts[:, 0] - prices[150:]))
    assert set(direction) == {-1.0, 1.0}


@pytest.mark.parametrize(("target", "needed"), [("open", 3), ("close", 2)])
def test_forecasts_must_reach_the_horizon(target: Any, needed: int) -> None:
    prices = walk(11)
    rival_calls(np.ones((3, needed)), prices[:3], 2, target)
    with pytest.raises(ExperimentError, match=f"{needed} bars ahead, found {needed - 1}"):
        rival_calls(np.ones((3, needed - 1)), prices[:3], 2, target)
    with pytest.raises(ExperimentError, match="horizon of 0"):
        rival_calls(np.ones((3, 5)), prices[:3], 0, target)


@pytest.mark.parametrize("freq", ["B", "min", "7h", "123456789ns"])
@settings(deadline=None, max_examples=20)
@given(scores=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=9))
def test_calls_come_back_bit_equal(
    freq: str, scores: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("calls") / "new" / "calls.csv"
    dates = pd.date_range("2020-01-01", periods=len(scores), freq=freq, name="date")
    score = np.array(scores)
    write_calls(path, dates, np.sign(score), score)
    calls = load_calls(path)
    assert calls.daily == (freq == "B")
    assert list(calls.dates) == list(dates)
    assert calls.score.tobytes() == score.tobytes()
    np.testing.assert_array_equal(calls.direction, np.sign(score))
    if calls.daily:
        assert path.read_text().splitlines()[1].startswith("2020-01-01,")
    assert [file.name for file in path.parent.iterdir()] == ["calls.csv"]


def test_calls_and_dates_must_be_as_many(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_calls(tmp_path / "c.csv", pd.date_range("2020", periods=3), np.ones(2), np.ones(2))


# --- the real Prophet: `pytest -m prophet` -------------------------------------------------------


@pytest.mark.prophet
@pytest.mark.parametrize("cut", [130, 170])
def test_real_prophet_sees_no_later_price(cut: int) -> None:
    rival, prices, starts = rival_named("prophet"), walk(12), (100, 150)
    changed = prices.copy()
    changed[cut + 1 :] *= np.random.default_rng(1).uniform(0.5, 2.0, 219 - cut)
    before, after = (walk_forward_forecasts(rival, p, starts, 3) for p in (prices, changed))
    known = 50 if cut < 150 else 120  # a fold's prices are seen by the next fit
    np.testing.assert_array_equal(before[:known], after[:known])
    assert (before[known:] != after[known:]).all()


@pytest.mark.prophet
def test_real_prophet_is_fitted_once_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    from prophet import Prophet

    calls = Counter[str]()
    for method in (Prophet.fit, Prophet.predict):

        def counted(*args: Any, method: Any = method) -> Any:
            calls[method.__name__] += 1
            return method(*args)

        monkeypatch.setattr(Prophet, method.__name__, counted)
    prices = sample_bars("GOOG")["open"].to_numpy()
    found = walk_forward_forecasts(RIVALS["prophet"], prices, [644, 1020, 1396, 1772], 2)
    assert calls == {"fit": 4, "predict": 4}
    assert found.shape == (len(prices) - 644, 2)
    assert (found > 0).all()
    np.testing.assert_array_equal(found[1:376, 0], found[:375, 1])  # one curve


@pytest.mark.prophet
def test_real_prophet_carries_on_what_it_can_see() -> None:
    rival = rival_named("prophet")
    constant = walk_forward_forecasts(rival, np.full(200, 7.0), [150], 3)
    np.testing.assert_allclose(constant, 7.0, rtol=1e-12)
    line = np.linspace(100, 180, 260)
    found = walk_forward_forecasts(rival, line[:258], [200], 2)
    np.testing.assert_allclose(found, np.stack([line[201:259], line[202:]], axis=1), rtol=0.01)
    fall = np.r_[np.linspace(100, 50, 200), np.full(400, 50.0)]
    found = walk_forward_forecasts(rival, fall, [200], 2)
    assert found.min() == 0.5
    assert (found[:150, 1] < found[:150, 0]).all()


@pytest.mark.prophet
@pytest.mark.parametrize("n", [RIVALS["prophet"].needs, 99, 101])  # it has two optimisers
def test_real_prophet_makes_do_with_few_prices(n: int) -> None:
    found = walk_forward_forecasts(rival_named("prophet"), walk(13, n + 20), [n], 1)
    assert np.isfinite(found).all()


@pytest.mark.prophet
def test_real_prophet_is_silent_and_repeats_itself_to_the_last_bit() -> None:
    code = (
        "import hashlib; from nextbar.signals import sample_bars;"
        "from nextbar.training.rivals import RIVALS, walk_forward_forecasts as walk;"
        "prices = sample_bars('AAPL')['open'].to_numpy();"
        "found = walk(RIVALS['prophet'], prices, [1500, 1800], 2);"
        "print(hashlib.sha256(found.tobytes()).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [run.stderr for run in runs] == ["", ""]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout) == 65


def test_heavy_libraries_come_when_they_are_used() -> None:
    code = (
        "import sys, nextbar.training.rivals;"
        "print(sorted({'tensorflow', 'keras', 'sklearn', 'statsmodels', 'prophet'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
