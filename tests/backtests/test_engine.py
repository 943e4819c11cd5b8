import functools

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.backtests import engine
from nextbar.backtests.engine import Account, run
from nextbar.backtests.trades import round_trips
from nextbar.signals.errors import BarsError, ExperimentError
from nextbar.strategies import BuyAndHold, FollowDirection


class Trend(bt.Indicator):
    """Sign of the change over `period` bars: a signal that reads prices and warms up."""

    lines = ("direction", "score")
    params = (("period", 1),)

    def __init__(self):
        self.addminperiod(self.p.period + 1)

    def next(self):
        change = self.data.close[0] - self.data.close[-self.p.period]
        self.lines.score[0] = change
        self.lines.direction[0] = float(np.sign(change))


class Unscored(bt.Indicator):
    lines = ("direction",)

    def next(self):
        self.lines.direction[0] = 1.0


def market(n=60, seed=0, volatility=0.03, freq="D", interval="1d"):
    """A random walk whose opens gap, so that some openings are refused."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, volatility, n)))
    open_ = close * np.exp(rng.normal(0, volatility, n))
    frame = pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close),
            "low": np.minimum(open_, close),
            "close": close,
            "volume": 1e6,
        },
        index=pd.date_range("2020-01-01", periods=n, freq=freq, name="date"),
    )
    frame.attrs.update(symbol="RND", interval=interval)
    return frame


def follow(bars, first=5, signal=Trend, cash=100_000.0, cost_bps=5.0, **params):
    account = Account(cash, cost_bps)
    params["signal"] = signal
    when = bars.index[first]
    return run(bars, FollowDirection, params, account, name="trend", first=when)


RUNS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "n": st.integers(7, 50),
        "volatility": st.sampled_from([0.005, 0.03, 0.1]),
    }
)
SETTINGS = st.fixed_dictionaries(
    {
        "shorts": st.booleans(),
        "target": st.sampled_from([0.5, 0.95, 1.0]),
        "step": st.sampled_from([None, 1.0, 0.001, 100.0]),
        "band": st.sampled_from([None, 0.0, 0.05]),
        "on_zero": st.sampled_from(["flat", "hold"]),
        "cash": st.sampled_from([1_000.0, 100_000.0]),
        "cost_bps": st.sampled_from([0.0, 5.0, 100.0]),
    }
)


@settings(max_examples=80, deadline=None)
@given(RUNS, SETTINGS)
def test_the_books_balance(run, params):
    bars = market(**run)
    result = follow(bars, **params)
    orders, index = result.orders, result.equity.index
    paid = orders["size"] * orders["price"] + orders["commission"]
    cash = result.cash - paid.groupby(orders["date"]).sum().reindex(index).fillna(0.0).cumsum()
    held = orders["size"].groupby(orders["date"]).sum().reindex(index).fillna(0.0).cumsum()
    scale = 1e-12 * (result.cash + float(orders["value"].sum()))

    assert np.allclose(held, result.position, rtol=1e-12, atol=1e-9)
    assert np.allclose(cash + result.position * bars["close"][index], result.equity, 0, scale)
    assert np.allclose(result.equity.pct_change()[1:], result.returns[1:], 0, 1e-12)
    trips = round_trips(orders, float(result.close.iloc[-1]))
    assert trips["exit"].isna().sum() == (result.position.iloc[-1] != 0)
    assert trips["pnl"].sum() == pytest.approx(result.equity.iloc[-1] - result.cash, abs=scale)
    expected = orders["value"] * params["cost_bps"] / 1e4
    assert np.allclose(orders["commission"], expected, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(RUNS, SETTINGS)
def test_orders_fill_at_the_open_after_the_decision(run, params):
    bars = market(**run)
    result = follow(bars, **params)
    assert list(result.orders["price"]) == list(bars["open"][result.orders["date"]])
    wanted_before = result.direction.shift(1, fill_value=0)
    moved = result.position.diff().fillna(0.0) != 0
    # A refused or too small order leaves no position; never one on a side not called for before.
    sides = np.sign(result.position[moved])
    assert ((sides == wanted_before[moved]) | (sides == 0)).all()


@settings(max_examples=40, deadline=None)
@given(RUNS, SETTINGS, st.data())
def test_bars_after_a_day_do_not_change_what_was_done_until_it(run, params, data):
    bars = market(**run)
    day = data.draw(st.integers(5, len(bars) - 1))
    noise = market(len(bars), seed=data.draw(st.integers(0, 999)), volatility=0.2)
    other = pd.concat([bars[: day + 1], noise[day + 1 :]])
    other.attrs.update(bars.attrs)
    before, after = follow(bars, **params), follow(other, **params)
    cut = bars.index[day]
    for name in ("equity", "returns", "position", "direction", "score"):
        pd.testing.assert_series_equal(
            getattr(before, name)[:cut], getattr(after, name)[:cut], check_freq=False
        )
    for name in ("orders", "rejected"):
        one, two = getattr(before, name), getattr(after, name)
        one, two = one[one["date"] <= cut], two[two["date"] <= cut]
        pd.testing.assert_frame_equal(one, two, check_dtype=False)


@pytest.mark.parametrize("mode", [{"runonce": False}, {"preload": False}, {"exactbars": 1}])
@pytest.mark.parametrize("params", [{}, {"shorts": True, "step": None, "band": 0.02}])
def test_all_modes_of_backtrader_agree(mode, params):
    bars = market(200, volatility=0.05)
    settings_ = {"signal": Trend, "first": bars.index[5], **params}
    default, default_returns = engine._run_cerebro(bars, FollowDirection, settings_, Account())
    other, returns = engine._run_cerebro(bars, FollowDirection, settings_, Account(), **mode)
    assert len(default.fills) > 20
    assert default.refusals
    assert other.fills == default.fills
    assert other.refusals == default.refusals
    assert returns == default_returns
    # The score is NaN while warming up, so compare as arrays.
    np.testing.assert_array_equal(np.array(other.bars), np.array(default.bars))


def test_the_feed_equals_pandas_data(monkeypatch):
    def pandas_data(bars):
        return bt.feeds.PandasData(dataname=bars, name="RND")

    bars = market(200)
    fast = follow(bars)
    monkeypatch.setattr(engine, "feed_of", pandas_data)
    standard = follow(bars)
    pd.testing.assert_series_equal(fast.equity, standard.equity, check_exact=True)
    pd.testing.assert_frame_equal(fast.orders, standard.orders, check_exact=True)


@pytest.mark.parametrize(
    ("interval", "freq", "timeframe", "compression"),
    [
        ("30s", "30s", bt.TimeFrame.Seconds, 30),
        ("1m", "min", bt.TimeFrame.Minutes, 1),
        ("15m", "15min", bt.TimeFrame.Minutes, 15),
        ("4h", "4h", bt.TimeFrame.Minutes, 240),
        ("1d", "D", bt.TimeFrame.Days, 1),
        ("1wk", "W", bt.TimeFrame.Weeks, 1),
        ("1mo", "MS", bt.TimeFrame.Months, 1),
        ("1mo", "30D", bt.TimeFrame.Months, 1),  # two bars in one calendar month
        ("1h", "45min", bt.TimeFrame.Minutes, 60),  # a session's stub bars
    ],
)
def test_every_interval_has_its_timeframe_and_one_return_per_bar(
    interval, freq, timeframe, compression
):
    bars = market(2000 if interval.endswith(("s", "m")) else 100, freq=freq, interval=interval)
    feed = engine.feed_of(bars)
    assert (feed.p.timeframe, feed.p.compression, feed.p.name) == (timeframe, compression, "RND")
    result = follow(bars)
    assert np.allclose(result.equity.pct_change()[1:], result.returns[1:], 0, 1e-12)
    assert (result.returns != 0).sum() > 20


def test_the_result_starts_at_first_with_the_cash():
    bars = market()
    result = follow(bars, first=7)
    for series in (result.equity, result.returns, result.position, result.direction, result.score):
        assert series.index.equals(bars.index[7:])
    assert result.equity.iloc[0] == result.cash == 100_000.0
    assert result.returns.iloc[0] == 0.0
    assert result.position.iloc[0] == 0.0
    assert result.orders["date"].min() == bars.index[8]
    assert (result.name, result.symbol, result.cost_bps) == ("trend", "RND", 5.0)
    assert list(result.score) == list(bars["close"].diff()[7:])
    assert (result.close == bars["close"][7:]).all()
    assert result.equity.dtype == result.position.dtype == np.float64


def test_first_between_two_bars_means_the_next_bar():
    bars = market()
    account = Account()
    result = run(bars, BuyAndHold, {}, account, name="hold", first="2020-01-05T12:00")
    assert result.equity.index[0] == pd.Timestamp("2020-01-06")


def test_an_empty_book_keeps_its_columns():
    result = follow(market(), first=59)
    assert list(result.orders) == ["date", "size", "price", "value", "commission"]
    assert list(result.rejected) == ["date", "size", "status"]
    assert result.orders["date"].dtype.kind == result.rejected["date"].dtype.kind == "M"
    assert result.orders["size"].dtype == np.float64


def test_a_signal_without_a_score():
    assert follow(market(), signal=Unscored).score is None


def test_the_bars_are_left_as_they_were():
    bars = market()
    before = bars.copy()
    follow(bars)
    pd.testing.assert_frame_equal(bars, before)


def test_an_order_filled_in_part_and_then_refused():
    """One order across zero: its closing part fills at the open, its opening part is too dear."""

    class OneOrder(BuyAndHold):
        def next(self):
            if len(self) == 1:
                self.sell(size=50)
            elif len(self) == 2:
                self.buy(size=145)

    prices = [10.0, 10.0, 11.0, 11.0]
    index = pd.date_range("2020-01-01", periods=4, name="date")
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), prices), index=index)
    bars = bars.assign(volume=1.0)
    bars.attrs.update(symbol="GAP", interval="1d")
    account = Account(cash=1_000.0, cost_bps=0.0)
    result = run(bars, OneOrder, {}, account, name="one", first=index[0])
    assert list(result.orders["size"]) == [-50.0, 50.0]
    assert list(result.orders["date"]) == [index[1], index[2]]
    assert result.rejected.to_numpy().tolist() == [[index[2], 95.0, "Margin"]]
    assert list(result.equity) == [1_000.0, 1_000.0, 950.0, 950.0]


def test_a_fill_across_zero_is_recorded_as_two():
    class OneOrder(BuyAndHold):
        def next(self):
            if len(self) in (1, 2):
                (self.buy if len(self) == 1 else self.sell)(size=10 * len(self))

    bars = market(4)
    result = run(bars, OneOrder, {}, Account(), name="one", first=bars.index[0])
    assert list(result.orders["size"]) == [10.0, -10.0, -10.0]
    assert len(round_trips(result.orders, 1.0)) == 2
    expected = result.orders["value"] * 5e-4
    assert np.allclose(result.orders["commission"], expected, rtol=1e-12)


@pytest.mark.parametrize(("first", "period", "missing"), [(5, 20, 15), (0, 1, 1), (30, 99, 69)])
def test_too_short_a_warm_up_is_an_error(first, period, missing):
    signal = functools.partial(Trend, period=period)
    with pytest.raises(ExperimentError, match=f"warms up for {period} bars.*: {missing} more"):
        follow(market(), first=first, signal=signal)


def test_a_warm_up_that_just_suffices():
    signal = functools.partial(Trend, period=20)
    result = follow(market(), first=20, signal=signal, shorts=True)
    assert result.direction.iloc[0] != 0


def test_more_warm_up_than_bars_is_the_same_error():
    class Averaged(bt.Indicator):
        lines = ("direction",)

        def __init__(self):
            # backtrader's own indicators fail with an IndexError on bars shorter than this
            self.lines.direction = bt.indicators.SMA(self.data, period=500) * 0.0

    with pytest.raises(ExperimentError, match=r"499 bars.*494 more are needed"):
        follow(market(), signal=Averaged)


def test_first_after_the_last_bar_is_an_error():
    with pytest.raises(ExperimentError, match=r"first = 2031-01-01.* 60 bars is 2020-02-29"):
        run(market(), BuyAndHold, {}, Account(), name="hold", first="2031-01-01")


def test_an_unknown_interval_is_an_error():
    bars = market().iloc[:9]  # too few to tell it by their dates
    bars.attrs["interval"] = "daily"
    with pytest.raises(ExperimentError, match=r"like '1d'.*got 'daily'"):
        follow(bars)


def test_a_nan_price_is_an_error():
    bars = market()
    bars.iloc[30, 0] = np.nan
    with pytest.raises(BarsError, match="2020-01-31"):
        follow(bars)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cash": 0.0}, "cash must be"),
        ({"cash": -1.0}, "cash must be"),
        ({"cash": float("nan")}, "cash must be"),
        ({"cost_bps": -1.0}, "cost_bps must be"),
        ({"cost_bps": 10_000.0}, "cost_bps must be"),
        ({"cost_bps": float("nan")}, "cost_bps must be"),
    ],
)
def test_bad_accounts_are_refused(values, message):
    with pytest.raises(ExperimentError, match=message):
        Account(**values)


def test_costs_are_not_zero_unless_asked_for():
    assert Account().cost_bps == 5.0
