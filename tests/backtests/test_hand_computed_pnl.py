"""Profit and loss on a few made-up bars, every amount derived by the arithmetic in the test."""

import functools
from math import floor

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from nextbar.backtests.engine import Account, run
from nextbar.backtests.trades import round_trips
from nextbar.strategies import BuyAndHold, FollowDirection

CASH = 10_000.0
RATE = 0.001  # 10 bps of the traded value on each side


class Played(bt.Indicator):
    """Plays the calls given as text, one character for each bar."""

    lines = ("direction", "score")
    params = (("calls", ""),)

    def next(self):
        call = self.p.calls[len(self) - 1]
        self.lines.direction[0] = {"+": 1.0, "0": 0.0, "-": -1.0}[call]
        self.lines.score[0] = len(self) - 1


def bars(open_, close):
    index = pd.date_range("2020-01-06", periods=len(open_), freq="D", name="date")
    open_, close = np.array(open_, float), np.array(close, float)
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    frame = pd.DataFrame(
        {"open": open_, "high": high, "low": low, "close": close, "volume": 1.0}, index=index
    )
    frame.attrs.update(symbol="MADE", interval="1d")
    return frame


def play(calls, open_, close, strategy=FollowDirection, **params):
    if strategy is FollowDirection:
        params["signal"] = functools.partial(Played, calls=calls)
    market = bars(open_, close)
    account = Account(cash=CASH, cost_bps=RATE * 1e4)
    return run(market, strategy, params, account, name="made", first=market.index[0])


def fills(result):
    """(bar, size, price) of every fill."""
    where = result.equity.index.get_indexer(result.orders["date"])
    return list(zip(where, result.orders["size"], result.orders["price"], strict=True))


def refusals(result):
    where = result.equity.index.get_indexer(result.rejected["date"])
    return list(zip(where, result.rejected["size"], result.rejected["status"], strict=True))


def test_long_then_flat_in_whole_units():
    open_ = [10.0, 10.5, 11.5, 12.5, 13.5, 12.0]
    close = [10.0, 11.0, 12.0, 13.0, 12.5, 12.0]
    result = play("0++000", open_, close)

    size = floor(0.95 * CASH / 11.0)  # decided at close 1
    assert size == 863
    cash = CASH - size * 11.5 - RATE * size * 11.5  # bought at open 2
    final = cash + size * 13.5 - RATE * size * 13.5  # call of close 3, sold at open 4

    assert fills(result) == [(2, size, 11.5), (4, -size, 13.5)]
    assert list(result.position) == [0, 0, size, size, 0, 0]
    assert list(result.direction) == [0, 1, 1, 0, 0, 0]
    expected = [CASH, CASH, cash + size * 12.0, cash + size * 13.0, final, final]
    assert list(result.equity) == pytest.approx(expected, rel=1e-14)
    assert list(result.orders["value"]) == [size * 11.5, size * 13.5]
    costs = [RATE * size * 11.5, RATE * size * 13.5]
    assert list(result.orders["commission"]) == pytest.approx(costs, rel=1e-14)
    assert result.rejected.empty

    (trip,) = round_trips(result.orders, close[-1]).itertuples()
    assert (trip.entry, trip.exit) == (result.equity.index[2], result.equity.index[4])
    assert trip.size == size
    assert trip.costs == pytest.approx(sum(costs), rel=1e-14)
    assert trip.pnl == pytest.approx(size * 2.0 - sum(costs), rel=1e-12)


def test_a_minus_is_flat_without_shorts():
    result = play("+-+-", [10.0, 10.0, 10.0, 10.0], [10.0, 10.0, 10.0, 10.0])
    assert list(np.sign(result.position)) == [0, 1, 0, 1]
    assert list(result.direction) == [1, 0, 1, 0]


def test_reversal_is_two_orders_sized_from_the_equity_at_the_close():
    open_ = [20.0, 21.0, 23.0, 22.0, 19.0, 18.0]
    close = [20.0, 22.0, 24.0, 21.0, 19.5, 18.0]
    result = play("+--++0", open_, close, shorts=True)

    long = floor(0.95 * CASH / 20.0)
    cash = CASH - long * 21.0 * (1 + RATE)  # open 1
    equity_1 = cash + long * 22.0
    short = floor(0.95 * equity_1 / 22.0)
    cash += long * 23.0 * (1 - RATE) + short * 23.0 * (1 - RATE)  # open 2: both sell
    equity_2 = cash - short * 24.0
    equity_3 = cash - short * 21.0
    again = floor(0.95 * equity_3 / 21.0)
    cash -= short * 19.0 * (1 + RATE) + again * 19.0 * (1 + RATE)  # open 4: both buy
    equity_4 = cash + again * 19.5
    equity_5 = cash + again * 18.0

    assert fills(result) == [
        (1, long, 21.0),
        (2, -long, 23.0),
        (2, -short, 23.0),
        (4, short, 19.0),
        (4, again, 19.0),
    ]
    assert list(result.position) == [0, long, -short, -short, again, again]
    expected = [CASH, equity_1, equity_2, equity_3, equity_4, equity_5]
    assert list(result.equity) == pytest.approx(expected, rel=1e-13)

    trips = round_trips(result.orders, 18.0)
    assert list(trips["size"]) == [long, -short, again]
    assert list(trips["exit"].isna()) == [False, False, True]
    pnl = [
        long * (23 - 21) - RATE * long * (23 + 21),
        short * (23 - 19) - RATE * short * (23 + 19),
        again * (18 - 19) - RATE * again * 19,
    ]
    assert list(trips["pnl"]) == pytest.approx(pnl, rel=1e-10)
    assert sum(pnl) == pytest.approx(equity_5 - CASH, rel=1e-10)


def test_fractions():
    open_, close = [31.0, 32.0, 40.0, 40.0], [32.0, 36.0, 40.0, 40.0]
    result = play("+000", open_, close, step=None, target=0.5)

    size = 0.5 * CASH / 32.0
    assert size == 156.25
    cash = CASH - size * 32.0 * (1 + RATE)
    final = cash + size * 40.0 * (1 - RATE)
    assert fills(result) == [(1, size, 32.0), (2, -size, 40.0)]
    assert list(result.equity) == pytest.approx([CASH, cash + size * 36.0, final, final], rel=1e-14)


def test_a_fraction_of_one_dear_unit():
    prices = [60_000.0, 60_000.0, 66_000.0, 66_000.0]
    result = play("+000", prices, prices, step=None)
    size = 0.95 * CASH / 60_000.0
    assert fills(result) == [(1, size, 60_000.0), (2, -size, 66_000.0)]
    assert play("+000", prices, prices).orders.empty  # in whole units there is nothing to buy


def test_an_opening_refused_on_a_gap_is_tried_again_with_a_new_size():
    open_, close = [10.0, 11.0, 8.5, 9.0], [10.0, 8.0, 9.0, 9.0]
    result = play("++++", open_, close)

    first = floor(0.95 * CASH / 10.0)
    assert first * 11.0 > CASH  # the cash does not suffice at open 1
    second = floor(0.95 * CASH / 8.0)
    assert second * 8.5 * (1 + RATE) > CASH  # nor at open 2: 6.25 % above the close
    third = floor(0.95 * CASH / 9.0)
    assert refusals(result) == [(1, first, "Margin"), (2, second, "Margin")]
    assert fills(result) == [(3, third, 9.0)]
    assert list(result.direction) == [1, 1, 1, 1]
    assert list(result.position) == [0, 0, 0, third]
    assert list(result.equity) == pytest.approx([CASH] * 3 + [CASH - RATE * third * 9.0], rel=1e-14)


def test_a_refused_opening_does_not_block_the_close_of_a_reversal():
    open_, close = [10.0, 10.0, 10.0, 12.0, 12.0], [10.0, 10.0, 10.0, 12.0, 12.0]
    result = play("--+++", open_, close, shorts=True)

    short = floor(0.95 * CASH / 10.0)
    cash = CASH + short * 10.0 * (1 - RATE)  # open 1
    equity_2 = cash - short * 10.0
    refused = floor(0.95 * equity_2 / 10.0)
    cash -= short * 12.0 * (1 + RATE)  # open 3 closes the short
    assert refused * 12.0 > cash
    again = floor(0.95 * cash / 12.0)
    assert refusals(result) == [(3, refused, "Margin")]
    assert fills(result) == [(1, -short, 10.0), (3, short, 12.0), (4, again, 12.0)]
    assert result.equity.iloc[3] == pytest.approx(cash, rel=1e-13)


def test_a_reversal_that_the_cash_cannot_pay_leaves_no_old_position():
    """One order for both would be refused whole at target 1: its costs exceed the cash."""
    prices = [10.0] * 5
    result = play("--+++", prices, prices, shorts=True, target=1.0, step=None)
    cash = CASH - RATE * 2 * CASH  # short 1000 units and bought them back
    assert fills(result) == [(1, -1000.0, 10.0), (3, 1000.0, 10.0)]
    assert [bar for bar, _, _ in refusals(result)] == [3, 4]
    assert list(result.position) == [0, -1000, -1000, 0, 0]
    assert result.equity.iloc[-1] == pytest.approx(cash, rel=1e-14)


def test_the_band_trades_only_when_the_position_is_far_from_the_target():
    open_, close = [10.0, 10.0, 10.5, 21.0, 22.0], [10.0, 10.5, 20.0, 20.0, 22.0]
    result = play("+++++", open_, close, target=0.5, band=0.05)

    size = floor(0.5 * CASH / 10.0)
    cash = CASH - size * 10.0 * (1 + RATE)
    equity_1 = cash + size * 10.5
    change = floor(0.5 * equity_1 / 10.5) - size
    assert 0 < abs(change) * 10.5 < 0.05 * equity_1  # inside the band: no order at open 2
    equity_2 = cash + size * 20.0
    less = floor(0.5 * equity_2 / 20.0)
    assert (size - less) * 20.0 > 0.05 * equity_2  # two thirds invested: sell at open 3
    cash += (size - less) * 21.0 * (1 - RATE)

    assert fills(result) == [(1, size, 10.0), (3, less - size, 21.0)]
    assert list(result.position) == [0, size, size, less, less]
    assert result.equity.iloc[-1] == pytest.approx(cash + less * 22.0, rel=1e-14)
    (trip,) = round_trips(result.orders, 22.0).itertuples()
    assert trip.size == size
    assert pd.isna(trip.exit)


def test_without_a_band_the_units_stay():
    result = play("+++++", [10.0] * 5, [10.0, 10.5, 20.0, 20.0, 22.0], target=0.5)
    assert fills(result) == [(1, 500, 10.0)]


@pytest.mark.parametrize(
    ("on_zero", "held"), [("flat", [0, 1, 0, 0, 0]), ("hold", [0, 1, 1, 1, 0])]
)
def test_a_zero_is_flat_or_holds(on_zero, held):
    result = play("+00--", [10.0] * 5, [10.0] * 5, on_zero=on_zero)
    assert list(np.sign(result.position)) == held


def test_the_call_of_the_last_bar_is_never_filled():
    result = play("00+", [10.0] * 3, [10.0] * 3)
    assert list(result.direction) == [0, 0, 1]
    assert result.orders.empty
    assert result.rejected.empty
    assert list(result.equity) == [CASH] * 3


def test_an_open_position_is_marked_at_the_last_close_without_a_selling_cost():
    result = play("+++", [10.0, 10.0, 11.0], [10.0, 10.0, 12.0])
    size = floor(0.95 * CASH / 10.0)
    expected = CASH - size * 10.0 * (1 + RATE) + size * 12.0
    assert result.equity.iloc[-1] == pytest.approx(expected, rel=1e-14)


def test_buy_and_hold_is_one_fill_and_the_growth_since():
    open_, close = [40.0, 41.0, 50.0, 60.0], [40.0, 45.0, 55.0, 64.0]
    result = play("", open_, close, BuyAndHold, step=None)
    assert fills(result) == [(1, 0.95 * CASH / 40.0, 41.0)]
    growth = 1 + 0.95 / 40.0 * (64.0 - 41.0 - RATE * 41.0)
    assert result.equity.iloc[-1] == pytest.approx(CASH * growth, rel=1e-14)
    assert result.score is None
