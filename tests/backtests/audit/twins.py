"""Leaky indicators, strategies and features, each with the clean twin it was made from."""

from __future__ import annotations

from functools import partial
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
from nextbar.signals import EMADirection, rules
from nextbar.signals.direction import DirectionIndicator
from nextbar.strategies import FollowDirection


# Features: frame -> Series.
def scaled_by_all(frame: pd.DataFrame) -> pd.Series:
    returns = np.log(frame["close"]).diff()
    return (returns - returns.mean()) / returns.std()


def scaled_so_far(frame: pd.DataFrame) -> pd.Series:
    returns = np.log(frame["close"]).diff()
    return (returns - returns.rolling(60).mean()) / returns.rolling(60).std()


def centred(frame: pd.DataFrame) -> pd.Series:
    return frame["close"] / frame["close"].rolling(7, center=True).mean() - 1


def trailing(frame: pd.DataFrame) -> pd.Series:
    return frame["close"] / frame["close"].rolling(7).mean() - 1


def back_filled(frame: pd.DataFrame) -> pd.Series:
    return frame["close"].pct_change().rolling(20).mean().bfill()


def not_filled(frame: pd.DataFrame) -> pd.Series:
    return frame["close"].pct_change().rolling(20).mean()


def shifted_back(frame: pd.DataFrame) -> pd.Series:
    return frame["close"].pct_change().shift(-1)


def shifted_on(frame: pd.DataFrame) -> pd.Series:
    return frame["close"].pct_change().rolling(5).sum()


def scaled_by_later_window(frame: pd.DataFrame) -> pd.Series:
    return frame["close"] / frame["close"].rolling(5).mean().shift(-5)


def price_in_dollars(frame: pd.DataFrame) -> pd.Series:
    return frame["close"].rolling(5).mean()


def week_at_its_start(frame: pd.DataFrame) -> pd.Series:
    """A week's return, stamped on its first day and carried on to the others."""
    weekly = frame["close"].resample("W-FRI", label="left", closed="right").last().pct_change()
    weekly.index = weekly.index + pd.Timedelta(days=3)  # the Monday
    return weekly.reindex(frame.index, method="ffill")


def week_at_its_end(frame: pd.DataFrame) -> pd.Series:
    friday = frame.index.dayofweek == 4
    return frame["close"][friday].pct_change().reindex(frame.index, method="ffill")


# Indicators.
class PeeksInOnce(DirectionIndicator):
    """close[+1] in batched mode, where the whole array lies open."""

    def __init__(self) -> None:
        super().__init__()
        self._watch([self.data.close], 1)

    def once(self, start: int, end: int) -> None:
        close = np.array(self.data.close.array)
        later = np.append(close[1:], close[-1])
        np.asarray(self.lines.score.array)[start:end] = (later / close - 1)[start:end]
        np.asarray(self.lines.direction.array)[start:end] = np.sign(later - close)[start:end]

    def next(self) -> None:
        later = self.data.close.array[min(len(self), len(self.data.close.array) - 1)]
        self.lines.score[0] = later / self.data.close[0] - 1
        self.lines.direction[0] = np.sign(later - self.data.close[0])


class ReadsForwardLine(bt.Indicator):
    """backtrader's own spelling of the next close."""

    lines = ("direction", "score")

    def __init__(self) -> None:
        change = self.data.close(1) - self.data.close
        self.lines.score = change / self.data.close
        self.lines.direction = bt.If(change > 0, 1.0, -1.0)


class ReadsBackwardLine(bt.Indicator):
    lines = ("direction", "score")

    def __init__(self) -> None:
        change = self.data.close - self.data.close(-1)
        self.lines.score = change / self.data.close
        self.lines.direction = bt.If(change > 0, 1.0, -1.0)


class Change(DirectionIndicator):
    """The clean twin of many: the return of 5 bars."""

    def __init__(self) -> None:
        super().__init__()
        self._watch([self.data.close], 6)

    def _score(self, values: np.ndarray) -> np.ndarray:
        return values[5:, 0] / values[:-5, 0] - 1


class WholeThreshold(Change):
    """Calls up above the median of all bars."""

    def _cut(self) -> float:
        close = np.array(self.data.close.array)
        return float(np.median(close[5:] / close[:-5] - 1))

    def _direction(self, score: Any, times: Any) -> Any:
        return rules.call(score, self._cut(), 0.0)


class OffByOneInNext(Change):
    """A library's windowing fault: next() reads a window that ends one bar early."""

    def __init__(self) -> None:
        super().__init__()
        self.addminperiod(7)

    def next(self) -> None:
        early = self.data.close[-1] / self.data.close[-6] - 1
        self.lines.score[0] = early
        self.lines.direction[0] = np.sign(early)


class Stale(Change):
    """Both modes leave the newest bar out."""

    def __init__(self) -> None:
        super().__init__()
        self._watch([self.data.close], 7)

    def _score(self, values: np.ndarray) -> np.ndarray:
        return values[5:-1, 0] / values[:-6, 0] - 1


class MixesItsBatch(Change):
    """once() scales by the mean and deviation of its batch, next() by a batch of one."""

    def _score(self, values: np.ndarray) -> np.ndarray:
        score = super()._score(values)
        return (score - score.mean()) / (score.std() or 1.0)


class InDollars(Change):
    """Calls up above a price."""

    def _score(self, values: np.ndarray) -> np.ndarray:
        return values[5:, 0] - 100.0


class SumsFromTheStart(DirectionIndicator):
    """A running sum without end: its level depends on the first bar loaded."""

    def __init__(self) -> None:
        super().__init__()
        self._total = bt.ind.Accum(self.data.close - self.data.open)
        self._watch([self._total], 1)

    def _score(self, values: np.ndarray) -> np.ndarray:
        return values[:, 0]


class Random(Change):
    def _score(self, values: np.ndarray) -> np.ndarray:
        return np.random.default_rng().normal(size=len(values) - 5)


# Strategies.
class Follows(FollowDirection):
    params = (("signal", partial(EMADirection, fast=5, slow=15)), ("shorts", True))


class BuysAtTheClose(bt.Strategy):
    """Buys low closes, at those very closes."""

    params = (("cheat", True),)

    def __init__(self) -> None:
        self.average = bt.ind.SMA(self.data.close, period=10)
        self.broker.set_coc(self.p.cheat)

    def next(self) -> None:
        if not self.position and self.data.close[0] < self.average[0]:
            self.buy(size=10)
        elif self.position and self.data.close[0] > self.average[0]:
            self.close()


class OnOpen(bt.Strategy):
    """Knows the close of the bar at whose open it trades."""

    def next_open(self) -> None:
        if not self.position and self.data.close[0] > self.data.open[0]:
            self.buy(size=10)
        elif self.position and self.data.close[0] < self.data.open[0]:
            self.close()


class OnClose(bt.Strategy):
    def next(self) -> None:
        if not self.position and self.data.close[0] > self.data.open[0]:
            self.buy(size=10)
        elif self.position and self.data.close[0] < self.data.open[0]:
            self.close()


def trades_on_open(frame: pd.DataFrame) -> bt.Cerebro:
    cerebro = bt.Cerebro(cheat_on_open=True)
    cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.addstrategy(OnOpen)
    return cerebro


def trades_after_close(frame: pd.DataFrame) -> bt.Cerebro:
    cerebro = bt.Cerebro()
    cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.addstrategy(OnClose)
    return cerebro


class SizesByTheFuture(bt.Strategy):
    """A volatility target from all bars; its sides and lines are clean."""

    params = (("whole", True),)

    def __init__(self) -> None:
        self.average = bt.ind.SMA(self.data.close, period=10)

    def volatility(self) -> float:
        close = np.array(self.data.close.array if self.p.whole else self.data.close.get(size=40))
        return float(np.diff(np.log(close)).std())

    def next(self) -> None:
        if len(self) < 40:
            return
        if not self.position and self.data.close[0] > self.average[0]:
            self.buy(size=5.0 / self.volatility() / self.data.close[0])
        elif self.position and self.data.close[0] < self.average[0]:
            self.close()


class PeeksInNext(bt.Strategy):
    """Reads the next close where there is one; it has no line that would show it."""

    params = (("ahead", 1), ("first", 2), ("guarded", True))

    def next(self) -> None:
        if len(self) < self.p.first or (self.p.guarded and len(self) == self.data.buflen()):
            return
        up = self.data.close[self.p.ahead] > self.data.close[self.p.ahead - 1]
        if up and not self.position:
            self.buy(size=10)
        elif not up and self.position:
            self.close()
