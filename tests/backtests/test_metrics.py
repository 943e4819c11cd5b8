import math
import subprocess
import sys

import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nextbar.backtests import metrics as m
from nextbar.backtests.engine import Account, run
from nextbar.backtests.result import Result
from nextbar.backtests.trades import round_trips
from nextbar.strategies import BuyAndHold

DAILY = 252
RETURNS = arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.5, 0.5))


def growth(returns, start=100.0):
    return start * np.concatenate([[1.0], np.cumprod(1.0 + np.asarray(returns))])


def array(*values):
    return np.array(values, dtype=np.float64)


class TestAgainstEmpyrical:
    @given(RETURNS, st.sampled_from([0.0, 0.0001]))
    def test_sharpe(self, returns, rf):
        assume(np.ptp(returns) > 1e-6)
        expected = empyrical.sharpe_ratio(returns, rf, annualization=DAILY)
        assert m.sharpe(returns, DAILY, rf) == pytest.approx(expected, rel=1e-8, abs=1e-10)

    @given(RETURNS, st.sampled_from([0.0, 0.0001]))
    def test_sortino(self, returns, rf):
        assume(np.min(returns - rf) < -1e-6)
        expected = empyrical.sortino_ratio(returns, rf, annualization=DAILY)
        assert m.sortino(returns, DAILY, rf) == pytest.approx(expected, rel=1e-9)

    @given(RETURNS)
    def test_volatility(self, returns):
        expected = empyrical.annual_volatility(returns, annualization=DAILY)
        assert m.volatility(returns, DAILY) == pytest.approx(expected, rel=1e-9)

    @given(RETURNS)
    def test_max_drawdown(self, returns):
        expected = empyrical.max_drawdown(returns)
        assert m.max_drawdown(growth(returns)) == pytest.approx(expected, rel=1e-9, abs=1e-12)

    @given(RETURNS)
    def test_cagr_and_total_return(self, returns):
        total = empyrical.cum_returns_final(returns)
        assert m.total_return(growth(returns)) == pytest.approx(total, rel=1e-9, abs=1e-12)
        expected = empyrical.cagr(returns, annualization=12)
        assert m.cagr(growth(returns), 12) == pytest.approx(expected, rel=1e-9, abs=1e-12)

    @given(RETURNS)
    def test_calmar(self, returns):
        assume(np.min(returns) < -1e-6)
        expected = empyrical.calmar_ratio(returns, annualization=12)
        assert m.calmar(growth(returns), 12) == pytest.approx(expected, rel=1e-9, abs=1e-12)


class TestClosedForms:
    def test_total_return(self):
        assert m.total_return(array(100.0, 90.0, 125.0)) == 0.25

    def test_cagr_counts_bars(self):
        assert m.cagr(array(100.0, 150.0, 121.0), 1) == pytest.approx(0.1)  # two years
        assert m.cagr(array(100.0, 150.0, 121.0), 2) == pytest.approx(0.21)  # one year

    def test_volatility_and_sharpe(self):
        returns = array(0.01, 0.03)  # mean 0.02, ddof-1 deviation 0.01 sqrt(2)
        assert m.volatility(returns, 8) == pytest.approx(0.04)
        assert m.sharpe(returns, 8) == pytest.approx(4.0)
        assert m.sharpe(returns, 8, rf=0.01) == pytest.approx(2.0)

    def test_sortino_takes_the_downside_over_all_returns(self):
        returns = array(0.05, -0.02, 0.03, 0.02)  # mean 0.02, downside sqrt(0.0004 / 4) = 0.01
        assert m.sortino(returns, 4) == pytest.approx(4.0)

    def test_max_drawdown_is_from_the_highest_peak_before(self):
        assert m.max_drawdown(array(100.0, 80.0, 120.0, 60.0, 90.0)) == -0.5

    def test_a_loss_on_the_first_bar_is_a_drawdown(self):
        assert m.max_drawdown(array(100.0, 75.0, 90.0)) == -0.25

    def test_calmar(self):
        assert m.calmar(array(100.0, 80.0, 110.0), 2) == pytest.approx(0.1 / 0.2)

    @pytest.mark.parametrize(
        ("equity", "bars"),
        [
            ([100.0], 0),
            ([100.0, 100.0, 110.0], 0),
            ([100.0, 90.0], 1),  # never recovered: to the end
            ([100.0, 90.0, 100.0], 2),  # peak, below, peak again
            ([100.0, 100.0, 90.0, 100.0], 2),  # from the last bar at the peak
            ([100.0, 110.0, 105.0, 106.0, 109.0, 111.0, 108.0], 4),
            ([100.0, 110.0, 105.0, 111.0, 108.0, 107.0, 106.0], 3),
            ([100.0, 90.0, 80.0, 70.0], 3),
        ],
    )
    def test_max_drawdown_bars(self, equity, bars):
        assert m.max_drawdown_bars(array(*equity)) == bars

    @given(RETURNS)
    def test_max_drawdown_bars_by_the_definition(self, returns):
        equity, longest, peak = growth(returns), 0, 0
        for i, value in enumerate(equity):
            if value >= equity[peak]:
                longest, peak = max(longest, i - peak if i - peak > 1 else 0), i
        assert m.max_drawdown_bars(equity) == max(longest, len(equity) - 1 - peak)

    def test_exposure(self):
        assert m.exposure(array(0.0, 5.0, -5.0, 5.0)) == 0.75

    def test_turnover_counts_each_fill_once(self):
        equity = array(100.0, 100.0, 100.0)  # two bars, four a year: half a year
        assert m.turnover(array(100.0, 100.0), equity, 4) == 4.0
        assert m.turnover(array(), equity, 4) == 0.0

    def test_turnover_times_cost_is_the_yearly_drag(self):
        traded, equity, rate = array(50.0, 70.0), array(200.0, 190.0, 180.0, 190.0), 0.001
        yearly = traded.sum() * rate / (3 / DAILY)
        assert m.turnover(traded, equity, DAILY) * rate == pytest.approx(yearly / equity.mean())

    def test_trades(self):
        pnl = array(30.0, -10.0, 0.0, -5.0)
        assert m.hit_rate(pnl) == 0.25  # a trade that earns nothing is no hit
        assert m.profit_factor(pnl) == 2.0

    def test_costs(self):
        assert m.costs_paid(array(1.0, 2.5)) == 3.5
        assert m.costs_paid(array()) == 0.0
        # 30 net after 10 of costs on 20 000 traded: 40 / 20 000 = 20 bps
        assert m.break_even_bps(30.0, 10.0, array(8_000.0, 12_000.0)) == pytest.approx(20.0)
        assert m.break_even_bps(-50.0, 10.0, array(20_000.0)) == pytest.approx(-20.0)


class TestUndefinedIsNone:
    def test_too_few_bars(self):
        assert m.cagr(array(100.0), DAILY) is None
        assert m.volatility(array(0.1), DAILY) is None
        assert m.sharpe(array(0.1), DAILY) is None
        assert m.sortino(array(), DAILY) is None
        assert m.exposure(array()) is None
        assert m.turnover(array(), array(100.0), DAILY) is None

    def test_no_variance(self):
        constant = np.full(50, 0.001)
        assert m.sharpe(constant, DAILY) is None
        assert m.sharpe(np.diff(growth(constant)) / growth(constant)[:-1], DAILY) is None
        assert m.volatility(np.zeros(5), DAILY) == 0.0

    def test_no_loss(self):
        assert m.sortino(array(0.0, 0.01), DAILY) is None
        assert m.calmar(array(100.0, 101.0), DAILY) is None
        assert m.profit_factor(array(1.0, 2.0)) is None

    def test_no_trade(self):
        assert m.hit_rate(array()) is None
        assert m.profit_factor(array()) is None
        assert m.break_even_bps(0.0, 0.0, array()) is None

    def test_a_lost_account(self):
        equity = array(100.0, 40.0, -20.0, -10.0)
        returns = np.diff(equity) / equity[:-1]
        for measure in (m.volatility, m.sharpe, m.sortino):
            assert measure(returns, DAILY) is None
        assert m.cagr(equity, DAILY) is None
        assert m.calmar(equity, DAILY) is None
        assert m.total_return(equity) == -1.1
        assert m.max_drawdown(equity) == -1.2

    def test_a_rate_too_large_for_a_float(self):
        assert m.cagr(array(1.0, 1e9), DAILY) is None

    @given(RETURNS, st.sampled_from([12, 252, 98_280]))
    def test_never_nan_or_infinite(self, returns, periods):
        equity = growth(returns)
        values = [
            *(f(equity, periods) for f in (m.cagr, m.calmar)),
            *(f(returns, periods) for f in (m.volatility, m.sharpe, m.sortino)),
        ]
        assert all(v is None or (type(v) is float and math.isfinite(v)) for v in values)


def fills(*rows):
    frame = pd.DataFrame(rows, columns=["day", "size", "price", "commission"], dtype=float)
    dates = pd.Timestamp("2020-01-01") + pd.to_timedelta(frame.pop("day"), unit="D")
    return frame.assign(date=dates, value=frame["size"].abs() * frame["price"])


class TestRoundTrips:
    def test_fills_of_one_position_belong_together(self):
        orders = fills(
            (1, 10, 5.0, 1.0), (2, 5, 6.0, 0.5), (4, -15, 7.0, 2.0), (4, -8, 7.0, 1.0), (9, 8, 6, 1)
        )
        trips = round_trips(orders, 100.0)
        assert list(trips["entry"].dt.day) == [2, 5]
        assert list(trips["exit"].dt.day) == [5, 10]
        assert list(trips["size"]) == [15.0, -8.0]
        assert list(trips["pnl"]) == [15 * 7 - 10 * 5 - 5 * 6 - 3.5, 8 * 7 - 8 * 6 - 2.0]
        assert list(trips["costs"]) == [3.5, 2.0]

    def test_an_open_trip_is_valued_at_the_last_close(self):
        trips = round_trips(fills((1, 10, 5.0, 1.0), (2, -4, 6.0, 1.0)), 7.0)
        assert trips["exit"].isna().all()
        assert list(trips["size"]) == [10.0]
        assert list(trips["pnl"]) == [-50.0 + 24.0 + 6 * 7.0 - 2.0]

    def test_no_fills(self):
        trips = round_trips(fills(), 7.0)
        assert trips.empty
        assert list(trips) == ["entry", "exit", "size", "pnl", "costs"]

    def test_the_index_of_the_orders_does_not_matter(self):
        orders = fills((1, 10, 5.0, 1.0), (2, -10, 6.0, 1.0))
        moved = orders.set_index(pd.Index([7, 7]))
        pd.testing.assert_frame_equal(round_trips(orders, 1.0), round_trips(moved, 1.0))


def result_of(equity, position, orders, close, rejected=0):
    index = pd.date_range("2020-01-01", periods=len(equity), name="date")
    equity = pd.Series(equity, index, float)
    return Result(
        name="made",
        symbol="X",
        equity=equity,
        returns=equity.pct_change().fillna(0.0),
        position=pd.Series(position, index, float),
        direction=pd.Series(0, index),
        score=None,
        close=pd.Series(close, index, float),
        orders=orders,
        rejected=pd.DataFrame({"date": index[:rejected], "size": 1.0, "status": "Margin"}),
        cash=100.0,
        cost_bps=0.0,
    )


class TestSummary:
    def test_every_measure_of_a_small_account(self):
        orders = fills((1, 10, 10.0, 1.0), (2, -10, 12.0, 1.0), (4, 10, 11.0, 1.0))
        # cash 100 -> -1 + 10 units -> 118 flat -> 7 + 10 units
        equity = [100.0, 109.0, 118.0, 118.0, 97.0]
        result = result_of(equity, [0, 10, 0, 0, 10], orders, [10.0, 11.0, 12.0, 11.0, 9.0], 2)
        returns = array(0.09, 9 / 109, 0.0, -21 / 118)
        expected = {
            "total_return": -0.03,
            "cagr": 0.97**3 - 1,  # 4 returns, 12 a year: a third of a year
            "volatility": np.std(returns, ddof=1) * 12**0.5,
            "sharpe": np.mean(returns) / np.std(returns, ddof=1) * 12**0.5,
            "sortino": np.mean(returns) / (21 / 118 / 2) * 12**0.5,
            "calmar": (0.97**3 - 1) / (21 / 118),
            "max_drawdown": -21 / 118,
            "max_drawdown_bars": 1,
            "exposure": 0.5,
            "turnover": (100 + 120 + 110) / np.mean(equity) * 3,
            "trades": 1,
            "hit_rate": 1.0,
            "profit_factor": None,
            "costs_paid": 3.0,
            "break_even_bps": 0.0,  # -3 of profit and 3 of costs
            "rejected_orders": 2,
        }
        summary = m.summary(result, 12)
        assert summary == {
            key: value if value is None else pytest.approx(value, rel=1e-12, abs=1e-12)
            for key, value in expected.items()
        }
        assert list(summary) == [metric.name for metric in m.METRICS]

    def test_break_even_costs_leave_no_profit(self):
        orders = fills((1, 10, 10.0, 1.0), (3, -10, 12.0, 1.5))
        result = result_of([100.0, 104.0, 110.0, 117.5], [0, 10, 10, 0], orders, [10, 10.5, 11, 12])
        rate = m.summary(result, 252)["break_even_bps"] / 1e4
        profit_before_costs = 17.5 + 2.5
        assert profit_before_costs - rate * orders["value"].sum() == pytest.approx(0.0, abs=1e-12)

    def test_an_account_that_never_traded(self):
        result = result_of([100.0] * 4, [0.0] * 4, fills(), [10.0] * 4)
        summary = m.summary(result, 252)
        assert summary == {
            **dict.fromkeys(summary),
            **dict.fromkeys(["total_return", "cagr", "volatility", "max_drawdown"], 0.0),
            **dict.fromkeys(["exposure", "turnover", "costs_paid"], 0.0),
            **dict.fromkeys(["max_drawdown_bars", "trades", "rejected_orders"], 0),
        }

    def test_a_single_bar(self):
        result = result_of([100.0], [0.0], fills(), [10.0])
        summary = m.summary(result, 252)
        defined = {key: value for key, value in summary.items() if value is not None}
        assert set(defined) == {
            *("total_return", "max_drawdown", "max_drawdown_bars"),
            *("trades", "costs_paid", "rejected_orders"),
        }
        assert set(defined.values()) == {0}

    def test_plain_python_numbers(self):
        index = pd.date_range("2020-01-01", periods=30, name="date")
        prices = 100 + 10 * np.sin(np.arange(30.0))
        bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), prices), index=index)
        bars = bars.assign(volume=1.0)
        result = run(bars, BuyAndHold, {}, Account(), name="hold", first=index[0])
        kinds = {type(value) for value in m.summary(result, 252).values()}
        assert kinds == {float, int, type(None)}  # one open trade: no hit rate


def test_metrics_do_not_need_backtrader():
    code = "import sys, nextbar.backtests.metrics; assert 'backtrader' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
