"""Run one strategy over one set of bars and record what it did."""
# backtrader carries no type information: only the reports about that are switched off.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from ..signals.bars import COLUMNS, check_bars
from ..signals.errors import ExperimentError
from ..strategies.follow import FollowDirection
from .result import Result

__all__ = ["Account", "feed_of", "run"]

# backtrader fills these classes through metaclasses, out of sight of a type checker.
_Cerebro: Any = bt.Cerebro
_TimeFrame: Any = bt.TimeFrame

_TIMEFRAMES = {
    "s": (_TimeFrame.Seconds, 1),
    "m": (_TimeFrame.Minutes, 1),
    "h": (_TimeFrame.Minutes, 60),
    "d": (_TimeFrame.Days, 1),
    "wk": (_TimeFrame.Weeks, 1),
    "mo": (_TimeFrame.Months, 1),
}
_REFUSED = ("Margin", "Rejected", "Canceled", "Expired")


@dataclass(frozen=True)
class Account:
    """Starting cash and costs, the same for every strategy of a comparison.

    `cash` is in account currency. `cost_bps` are basis points of the traded value, for each buy
    and each sell: commission, spread and slippage together.
    """

    cash: float = 100_000.0
    cost_bps: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.cash < math.inf:
            raise ExperimentError(f"cash must be a positive amount; got {self.cash!r}.")
        if not 0 <= self.cost_bps < 10_000:
            raise ExperimentError(
                "cost_bps must be basis points per side from 0 to below 10000, such as 5 for "
                f"0.05 %; got {self.cost_bps!r}."
            )


def run(
    bars: pd.DataFrame,
    strategy_class: type[FollowDirection],
    params: Mapping[str, Any],
    account: Account,
    *,
    name: str,
    first: dt.date | str,
) -> Result:
    """Run a strategy through backtrader and return its result from `first` on.

    Parameters
    ----------
    bars : DataFrame
        Bars as `check_bars` takes them, ``symbol`` and ``interval`` in their attrs.
    strategy_class : type
        `FollowDirection` or a subclass of it.
    params : mapping
        Its settings, without ``first``.
    account, name
        Starting cash and costs; name of the strategy in reports.
    first : date, datetime, Timestamp or ISO str
        No decision is made on bars before it. The bars before it warm the indicators up.

    Raises
    ------
    BarsError
        When `bars` break the bars contract: a NaN price would ruin the account without a word.
    ExperimentError
        When `first` lies after the last bar, or leaves too few bars before it for the warm-up.
    """
    # People pass other strategies all the same.
    if not issubclass(strategy_class, FollowDirection):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ExperimentError(
            f"{strategy_class.__name__} is no FollowDirection. Subclass it and override decide(),"
            " or run other strategies in a Cerebro of your own."
        )
    bars = check_bars(bars)
    start = _first_position(bars, first)
    when = bars.index[start].to_pydatetime()
    recorder, returns = _run_cerebro(bars, strategy_class, {**params, "first": when}, account)
    return _result(name, bars, start, account, recorder, returns)


def _run_cerebro(
    bars: pd.DataFrame,
    strategy_class: type[FollowDirection],
    params: Mapping[str, Any],
    account: Account,
    **settings: Any,
) -> tuple[_Recorder, list[float]]:
    """Run Cerebro with `settings`; return the recorder and one return per bar of `bars`."""
    cerebro = _Cerebro(stdstats=False, **settings)
    cerebro.adddata(feed_of(bars))
    cerebro.broker.setcash(account.cash)
    cerebro.broker.setcommission(commission=account.cost_bps / 1e4)
    cerebro.addstrategy(strategy_class, **params)
    before = int(bars.index.searchsorted(pd.Timestamp(params["first"])))
    cerebro.addanalyzer(_Recorder, bars_before_first=before)
    # By the second, every bar is a period of its own, whatever the interval of the bars.
    cerebro.addanalyzer(bt.analyzers.TimeReturn, timeframe=_TimeFrame.Seconds, compression=1)
    recorder, time_return = cerebro.run()[0].analyzers
    return recorder, list(time_return.get_analysis().values())


class _Recorder(bt.Analyzer):
    """Keep account value, position, direction and score of every bar, and all order events."""

    params = (("bars_before_first", 0),)

    def start(self) -> None:
        warm_up = max(self.strategy._minperiods) - 1
        missing = warm_up - self.p.bars_before_first
        if missing > 0:
            raise ExperimentError(
                f"{type(self.strategy).__name__} warms up for {warm_up} bars, but only "
                f"{self.p.bars_before_first} bars lie before `first`: {missing} more are needed. "
                "Load earlier bars or choose a later `first`."
            )
        lines = getattr(self.strategy.signal, "lines", None)
        self._score = getattr(lines, "score", None)
        self._fills_seen: dict[int, int] = {}
        self.bars: list[tuple[float, float, int, float]] = []
        self.fills: list[tuple[int, float, float, float, float]] = []
        self.refusals: list[tuple[int, float, str]] = []

    @property
    def has_score(self) -> bool:
        return self._score is not None

    def next(self) -> None:
        score = math.nan if self._score is None else self._score[0]
        value, size = self.strategy.broker.getvalue(), self.strategy.position.size
        self.bars.append((value, size, self.strategy.desired, score))

    def notify_order(self, order: Any) -> None:
        # An order may be filled in part and then refused: the fill stands, the rest is refused.
        bar, seen = len(self.strategy) - 1, self._fills_seen.get(order.ref, 0)
        pieces = list(order.executed.exbits)[seen:]
        self._fills_seen[order.ref] = seen + len(pieces)
        for piece in pieces:
            # `order.executed.price` is an average that differs from the fill in its last bits.
            for size, cost in (piece.closed, piece.closedcomm), (piece.opened, piece.openedcomm):
                if size:
                    self.fills.append((bar, size, piece.price, abs(size) * piece.price, cost))
        if order.getstatusname() in _REFUSED:
            self.refusals.append((bar, order.executed.remsize, order.getstatusname()))


def _first_position(bars: pd.DataFrame, first: dt.date | str) -> int:
    start = int(bars.index.searchsorted(pd.Timestamp(first)))
    if start >= len(bars):
        raise ExperimentError(
            f"no bar to trade from first = {first} on: the last of {len(bars)} bars is "
            f"{bars.index[-1]}. Choose an earlier `first` or load later bars."
        )
    return start


def feed_of(bars: pd.DataFrame) -> Any:
    """Return a feed named after the symbol that knows the length of its bars."""
    interval = bars.attrs["interval"]
    match = re.fullmatch(r"([1-9]\d*)(s|m|h|d|wk|mo)", interval)
    if match is None:
        raise ExperimentError(
            f"bars.attrs['interval'] must be like '1d', '1h', '15m' or '1wk'; got {interval!r}."
        )
    timeframe, factor = _TIMEFRAMES[match[2]]
    # Reads rows by position and gives the same lines as PandasData at half the time.
    return bt.feeds.PandasDirectData(
        dataname=bars[list(COLUMNS)],
        openinterest=-1,
        timeframe=timeframe,
        compression=int(match[1]) * factor,
        name=bars.attrs["symbol"],
    )


def _result(
    name: str,
    bars: pd.DataFrame,
    start: int,
    account: Account,
    recorder: _Recorder,
    returns: list[float],
) -> Result:
    index = bars.index
    value, size, direction, score = (
        pd.Series(column, index)[start:] for column in zip(*recorder.bars, strict=True)
    )
    return Result(
        name=name,
        symbol=bars.attrs["symbol"],
        equity=value.astype(np.float64).rename("equity"),
        returns=pd.Series(returns, index, np.float64)[start:].rename("returns"),
        position=size.astype(np.float64).rename("position"),
        direction=direction.astype(np.int64).rename("direction"),
        score=score.astype(np.float64).rename("score") if recorder.has_score else None,
        close=bars["close"].iloc[start:],
        orders=_events(index, recorder.fills, ["size", "price", "value", "commission"]),
        rejected=_events(index, recorder.refusals, ["size", "status"]),
        cash=account.cash,
        cost_bps=account.cost_bps,
    )


def _events(index: pd.Index, rows: list[Any], columns: list[str]) -> pd.DataFrame:
    """Return one row per event, its bar number replaced by the date of the bar."""
    frame = pd.DataFrame(rows, columns=["date", *columns])
    frame["date"] = index[frame["date"].to_numpy(np.intp)]
    numbers = {column: np.float64 for column in columns if column != "status"}
    return frame.astype(numbers)
