"""Run strategies and indicators in a fresh Cerebro and record every value and order."""

# backtrader carries no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportPrivateUsage=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from ...signals.arrays import FloatArray
from ...signals.errors import BarsError, ExperimentError
from ...signals.indicators import LSTMDirection
from ...signals.latest import open_model, uses_of
from ...strategies.follow import FollowDirection
from ..engine import Account, feed_of
from .traces import Fill, Trace

__all__ = ["indicator_program", "is_cerebro", "kind_of", "run_program", "strategy_program"]

_Cerebro: Any = bt.Cerebro
_iterator: Any = bt.LineIterator
_INDICATORS: int = _iterator.IndType

SCORES = ("score", "probability", "forecast")


def kind_of(thing: Any) -> str | None:
    """Return "strategy" or "indicator" for such a class or a partial of one, else None."""
    kind = thing.func if isinstance(thing, partial) else thing
    if not isinstance(kind, type):
        return None
    if issubclass(kind, bt.Strategy):
        return "strategy"
    return "indicator" if issubclass(kind, bt.Indicator) else None


def is_cerebro(thing: Any) -> bool:
    """Return whether `thing` is a Cerebro."""
    return isinstance(thing, bt.Cerebro)


def strategy_program(strategy: Any, params: Mapping[str, Any]) -> Callable[[pd.DataFrame], Any]:
    """Return a function that puts a strategy class on bars."""

    def program(frame: pd.DataFrame) -> Any:
        cerebro = _Cerebro()
        account = Account()
        cerebro.adddata(feed_of(frame))
        cerebro.broker.setcash(account.cash)
        cerebro.broker.setcommission(commission=account.cost_bps / 1e4)
        cerebro.addstrategy(strategy, **params)
        return cerebro

    return program


def indicator_program(indicator: Any, params: Mapping[str, Any]) -> Callable[[pd.DataFrame], Any]:
    """Return a function that puts an indicator class on bars.

    Its `direction` line, if it has one, is traded long and short; with a line `share` in
    fractions, because a small share of the account is less than one lot at some prices.
    """
    kind: Any = indicator.func if isinstance(indicator, partial) else indicator
    make = partial(indicator, **params)
    lines = kind.lines._getlines()
    if "direction" in lines:
        step = None if "share" in lines else 1.0
        return strategy_program(FollowDirection, {"signal": make, "shorts": True, "step": step})
    return strategy_program(_Holder, {"make": make})


class _Holder(bt.Strategy):
    """Has an indicator and does nothing with it."""

    params = (("make", None),)

    def __init__(self) -> None:
        self.signal = self.p.make(self.data)


def run_program(program: Callable[[pd.DataFrame], Any], frame: pd.DataFrame, **mode: Any) -> Trace:
    """Run what `program` builds on `frame`, with Cerebro's settings `mode`, and record it.

    Raises
    ------
    ExperimentError
        When it has not exactly one strategy.
    BarsError
        When the strategy's first feed is not `frame`.
    """
    cerebro = program(frame)
    cerebro.addanalyzer(_Recorder, _name="nextbar_audit")
    done = cerebro.run(stdstats=False, **mode)
    if len(done) != 1 or isinstance(done[0], list):
        raise ExperimentError(
            f"expected a Cerebro with one strategy, found {len(done)}. Audit them one by one."
        )
    return done[0].analyzers.getbyname("nextbar_audit").trace(frame)


class _Recorder(bt.Analyzer):
    """Keeps, for each bar, what the strategy sees and sends."""

    def start(self) -> None:
        self.bars: list[int] = []
        self.seen: list[list[float]] = []
        self.rows: list[tuple[float, ...]] = []
        self.sent: dict[int, int] = {}
        self.pieces: dict[int, int] = {}
        self.filled: dict[int, list[tuple[float, float]]] = {}
        self.fills: list[Fill] = []
        self.counted = 0
        # To ask for the position of a feed that has no bar yet would break the broker.
        self.traded: list[Any] = []
        self.lines = list(_lines_of(self.strategy))
        self.direct = [line for _, line, nested in self.lines if not nested]

    def next(self) -> None:
        bar = len(self.strategy) - 1
        if self.bars and bar <= self.bars[-1]:  # another tick of the same bar
            return
        self.bars.append(bar)
        self.seen.append([_newest(line) for line in self.direct])
        known = getattr(self.strategy.broker, "orders", [])
        new, self.counted = known[self.counted :], len(known)
        for order in new:
            self.sent.setdefault(order.ref, bar)
        size = [order.created.size for order in new]
        prices = [order.created.price or 0.0 for order in new if order.exectype]
        position = sum(self.strategy.getposition(data).size for data in self.traded)
        self.rows.append((sum(size), sum(map(abs, size)), sum(prices), position))

    def notify_order(self, order: Any) -> None:
        bar = len(self.strategy) - 1
        decided = self.sent.setdefault(order.ref, bar)
        seen = self.pieces.get(order.ref, 0)
        pieces = list(order.executed.exbits)[seen:]
        self.pieces[order.ref] = seen + len(pieces)
        if pieces and all(order.data is not data for data in self.traded):
            self.traded.append(order.data)
        for piece in pieces:
            self.filled.setdefault(bar, []).append((piece.size, piece.price))
            if order.exectype == order.Market:
                self.fills.append(Fill(decided, bar, piece.price))

    def trace(self, frame: pd.DataFrame) -> Trace:
        n = len(frame)
        # A resampled feed may come once more after the last bar, with what it has.
        if self.bars[:n] != list(range(n)) or len(self.bars) > n + 1:
            raise BarsError(
                f"expected a strategy that sees the {n} bars it is given, one by one, in its first"
                f" feed; it saw {len(self.bars)}. Give the Cerebro those bars first."
            )
        seen = np.array(self.seen[:n], np.float64).reshape(n, -1)
        columns = iter(seen.T)
        channels: dict[Any, FloatArray] = {}
        for key, line, nested in self.lines:
            values = _whole(line, n) if nested else next(columns)
            if values is not None:
                channels[key] = values
        own = tuple(key for key, _, nested in self.lines if not nested)
        sent = np.array(self.rows[:n], np.float64).T
        fills = np.array([_totals(self.filled.get(bar, [])) for bar in range(n)]).T
        channels |= {
            ("orders", "orders sent"): sent[0],
            ("orders", "units sent"): sent[1],
            ("orders", "limits sent"): sent[2],
            ("fills", "units filled"): fills[0],
            ("fills", "money filled"): fills[1],
            ("position", "position"): sent[3],
        }
        return Trace(
            pd.DatetimeIndex(frame.index),
            channels,
            min(max(self.strategy._minperiods) - 1, n - 1),
            own,
            tuple(self.fills),
            _cheats(self.strategy),
            *_models(self.strategy),
        )


def _lines_of(strategy: Any) -> Iterator[tuple[Any, Any, bool]]:
    """Yield key, line and whether it is nested, for all lines; inner ones first."""
    taken: set[Any] = set()
    names = {id(value): name for name, value in vars(strategy).items()}
    for name, indicator, nested in _indicators(strategy, names, ""):
        parts = indicator.lines  # of an operation such as close - open: a list of itself
        named = hasattr(parts, "getlinealiases")
        aliases = [f".{alias}" for alias in parts.getlinealiases()] if named else [""]
        for number, alias in enumerate(aliases):
            line = parts[number]
            key = _key(name + alias, alias[1:])
            while key in taken:
                key = key[0], f"{key[1]}'"
            taken.add(key)
            yield key, line, nested
    for number, alias in enumerate(strategy.lines.getlinealiases()):
        if alias != "datetime":
            yield _key(f"strategy.{alias}", alias), strategy.lines[number], False


def _key(name: str, alias: str) -> Any:
    level = "direction" if alias == "direction" else "score" if alias in SCORES else "line"
    return level, name


def _indicators(owner: Any, names: Mapping[int, str], path: str) -> Iterator[tuple[str, Any, bool]]:
    for indicator in owner._lineiterators[_INDICATORS]:
        name = path + names.get(id(indicator), type(indicator).__name__)
        if hasattr(indicator, "_lineiterators"):
            yield from _indicators(indicator, {}, f"{name} > ")
        yield name, indicator, bool(path)


def _newest(line: Any) -> float:
    try:
        return float(line[0])
    except (IndexError, TypeError):
        return np.nan


def _whole(line: Any, n: int) -> FloatArray | None:
    """Return all values of an inner line, or None when they are not kept or of other bars."""
    values = getattr(line, "array", ())
    return np.array(values, np.float64) if len(values) == n else None


def _totals(pieces: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(size for size, _ in pieces), sum(abs(size) * price for size, price in pieces)


def _cheats(strategy: Any) -> tuple[str, ...]:
    broker = strategy.broker.p
    on = {
        "cheat-on-close in the broker": getattr(broker, "coc", False),
        "cheat-on-open in the broker": getattr(broker, "coo", False),
        "cheat_on_open in Cerebro": strategy.cerebro.p.cheat_on_open,
    }
    return tuple(name for name, active in on.items() if active)


def _models(strategy: Any) -> tuple[dict[str, pd.Timestamp], dict[str, str]]:
    """Return the first moment that is new to the model of each indicator of one, and its path."""
    unseen: dict[str, pd.Timestamp] = {}
    paths: dict[str, str] = {}
    for name, indicator, _ in _indicators(
        strategy, {id(value): name for name, value in vars(strategy).items()}, ""
    ):
        if isinstance(indicator, LSTMDirection):
            uses = uses_of(open_model(indicator.p.model))
            unseen[f"{name}.direction"] = pd.Timestamp(uses.unseen_from)
            paths[f"{name}.direction"] = str(indicator.p.model)
    return unseen, paths
