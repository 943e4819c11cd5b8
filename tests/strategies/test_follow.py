import datetime as dt
import functools

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from nextbar.signals import MomentumDirection
from nextbar.signals.errors import BarsError, ExperimentError
from nextbar.strategies import BuyAndHold, FollowDirection

from ..markets import random_bars

CALLS = {"+": 1.0, "0": 0.0, "-": -1.0, "?": float("nan"), "p": 0.7}


class Played(bt.Indicator):
    """Plays the calls given as text, one character for each bar."""

    lines = ("direction", "score")
    params = (("calls", ""),)

    def next(self):
        self.lines.direction[0] = CALLS[self.p.calls[len(self) - 1]]
        self.lines.score[0] = len(self)


class Shared(Played):
    """Plays a share for each bar as well."""

    lines = ("share",)
    params = (("shares", ()),)

    def next(self):
        super().next()
        self.lines.share[0] = self.p.shares[len(self) - 1]


class Diary(bt.Analyzer):
    """Keeps the side wanted and the position of every bar."""

    def start(self):
        self.desired, self.position = [], []

    def next(self):
        self.desired.append(self.strategy.desired)
        self.position.append(self.strategy.position.size)


def feed(n=6):
    index = pd.date_range("2020-01-06", periods=n, freq="D", name="date")
    prices = np.full(n, 10.0)
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), prices), index=index)
    return bt.feeds.PandasData(dataname=frame.assign(volume=1.0))


def cerebro_with(strategy=FollowDirection, feeds=1, settings=None, **params):
    cerebro = bt.Cerebro(stdstats=False, **(settings or {}))
    for _ in range(feeds):
        cerebro.adddata(feed())
    cerebro.addstrategy(strategy, **params)
    cerebro.addanalyzer(Diary)
    return cerebro


def diary(calls, **params):
    signal = functools.partial(Played, calls=calls)
    return cerebro_with(signal=signal, **params).run()[0].analyzers[0]


def played(calls="++++++"):
    return functools.partial(Played, calls=calls)


@pytest.mark.parametrize(
    ("params", "desired"),
    [
        ({}, [0, 1, 0, 0, 1, 1]),
        ({"shorts": True}, [0, 1, 0, -1, 1, 1]),
        ({"on_zero": "hold"}, [0, 1, 1, 0, 1, 1]),  # a zero holds, a minus does not
        ({"on_zero": "hold", "shorts": True}, [0, 1, 1, -1, 1, 1]),
    ],
)
def test_the_side_wanted(params, desired):
    assert diary("0+0-++", **params).desired == desired


def test_hold_keeps_a_short():
    assert diary("-00+00", on_zero="hold", shorts=True).desired == [-1, -1, -1, 1, 1, 1]


def test_hold_holds_nothing_when_flat():
    assert diary("000000", on_zero="hold", shorts=True).position == [0] * 6


def test_the_position_follows_one_bar_later():
    assert diary("+-0+++", target=0.5, shorts=True).position == [0, 500, -500, 0, 500, 500]


@pytest.mark.parametrize(
    "first", ["2020-01-08", dt.date(2020, 1, 8), dt.datetime(2020, 1, 8), pd.Timestamp(2020, 1, 8)]
)
def test_no_decision_before_first(first):
    record = diary("++++++", first=first)
    assert record.desired == [0, 0, 1, 1, 1, 1]
    assert [bool(size) for size in record.position] == [False, False, False, True, True, True]


def shared(calls, *shares, **params):
    def signal(data):
        return Shared(data, calls=calls, shares=shares)

    return cerebro_with(signal=signal, **params).run()[0].analyzers[0]


def test_the_share_counts_when_a_position_is_opened():
    record = shared("++0-++", 0.5, 1.0, 1.0, 0.25, 0.0, 1.0, shorts=True)
    assert record.position == [0, 475, 475, 0, -237, 0]  # the last opening is of size 0
    assert record.desired == [1, 1, 0, -1, 1, 1]


def test_with_a_band_the_position_follows_the_share():
    record = shared("++++++", 1.0, 0.5, 0.49, 0.0, 0.2, 1.0, band=0.05)
    assert record.position == [0, 950, 475, 475, 0, 190]


def test_a_share_of_one_changes_nothing():
    calls = "+-0+-+"
    kept = [shared(calls, *[1.0] * 6, shorts=True, band=0.0), diary(calls, shorts=True, band=0.0)]
    assert kept[0].position == kept[1].position


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_a_share_outside_0_to_1_is_an_error(share):
    with pytest.raises(
        ExperimentError, match=f"2020-01-08.*`share` must be from 0 to 1, got {share}"
    ):
        shared("++++++", 1.0, 1.0, share, 1.0, 1.0, 1.0)
    shared("++++++", 1.0, 1.0, share, 1.0, 1.0, 1.0, first="2020-01-09")  # not read before it


def test_buy_and_hold_needs_no_signal():
    record = cerebro_with(BuyAndHold).run()[0].analyzers[0]
    assert record.desired == [1] * 6
    assert record.position == [0, 950, 950, 950, 950, 950]


def test_a_subclass_decides():
    class Alternating(BuyAndHold):
        def decide(self):
            return len(self) % 2

    assert cerebro_with(Alternating).run()[0].analyzers[0].desired == [1, 0, 1, 0, 1, 0]


def test_the_side_of_a_bar_is_not_carried_over_from_a_size_of_zero():
    record = diary("++++++", target=0.0005)  # 5 of cash at a price of 10: no whole unit
    assert record.desired == [1] * 6
    assert record.position == [0] * 6


@pytest.mark.parametrize(("call", "shown"), [("?", "nan"), ("p", "0.7")])
def test_a_direction_that_is_none_is_an_error(call, shown):
    with pytest.raises(ExperimentError, match=f"2020-01-08.*must be -1, 0 or \\+1, got {shown}"):
        diary(f"0+{call}000")


def test_a_nan_before_first_is_not_read():
    assert diary("?0++++", first="2020-01-07").desired == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("method", ["set_coc", "set_coo"])
def test_cheating_brokers_are_refused(method):
    cerebro = cerebro_with(signal=played())
    getattr(cerebro.broker, method)(True)
    with pytest.raises(ExperimentError, match=f"Remove `{method}\\(True\\)`.*next open"):
        cerebro.run()


@pytest.mark.parametrize("broker_coo", [True, False])
def test_cheating_cerebros_are_refused(broker_coo):
    settings = {"cheat_on_open": True, "broker_coo": broker_coo}
    with pytest.raises(ExperimentError, match="cheat-on-open is on"):
        cerebro_with(signal=played(), settings=settings).run()


def test_two_feeds_are_refused():
    with pytest.raises(ExperimentError, match="one data feed, found 2"):
        cerebro_with(feeds=2, signal=played()).run()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"target": 0.0}, "target must be a positive share"),
        ({"target": -0.5}, "got -0.5"),
        ({"target": float("nan")}, "got nan"),
        ({"target": float("inf")}, "got inf"),
        ({"step": 0.0}, "step must be a positive lot size"),
        ({"step": -1.0}, "got -1.0"),
        ({"band": -0.1}, "band must be a share"),
        ({"band": float("nan")}, "band must be a share"),
        ({"on_zero": "Holt"}, "got 'Holt'. Did you mean 'hold'?"),
        ({"on_zero": None}, "'flat' or 'hold'"),
        ({"first": "next week"}, "first must be a date .* got 'next week'"),
        ({"signal": None}, "needs `signal`.*functools.partial"),
        ({"signal": "EMA"}, "got 'EMA'"),
        ({"signal": bt.indicators.SMA}, "line named 'direction'; .* has sma"),
    ],
)
def test_bad_settings_are_refused(params, message):
    with pytest.raises(ExperimentError, match=message):
        cerebro_with(**{"signal": played(), **params}).run()


def test_buy_and_hold_refuses_a_signal():
    with pytest.raises(ExperimentError, match="takes no `signal`"):
        cerebro_with(BuyAndHold, signal=Played).run()


def test_settings_survive_a_grid():
    """Optstrategy expands iterables: a class, a partial and a date must not be one."""
    cerebro = bt.Cerebro(stdstats=False, maxcpus=1, optreturn=False)
    cerebro.adddata(feed())
    cerebro.optstrategy(
        FollowDirection, signal=played("0+0++0"), first=dt.date(2020, 1, 8), target=[0.5, 0.95]
    )
    cerebro.addanalyzer(Diary)
    runs = cerebro.run()
    assert [run[0].analyzers[0].position[-1] for run in runs] == [500, 950]


@pytest.mark.parametrize("runonce", [True, False])
@pytest.mark.filterwarnings("ignore:.*makes its first call on bar 12")
def test_a_history_too_short_for_one_decision_is_an_error(runonce):
    cerebro = bt.Cerebro(stdstats=False, runonce=runonce)
    cerebro.adddata(bt.feeds.PandasData(dataname=random_bars(11)))
    cerebro.addstrategy(FollowDirection, signal=functools.partial(MomentumDirection, period=11))
    with pytest.raises(BarsError, match="11 bars, but FollowDirection warms up for 11"):
        cerebro.run()
