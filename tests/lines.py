"""What an indicator's lines hold on every bar, as a strategy sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

CALL = ("direction", "score")


class Lines(bt.Strategy):
    params = (("make", None), ("names", CALL))

    def __init__(self) -> None:
        self.signal = self.p.make(*self.datas)
        self.seen: list[list[float]] = []

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        self.seen.append([getattr(self.signal.lines, name)[0] for name in self.p.names])


def lines_of(make: Any, *feeds: Any, names: Sequence[str] = CALL, **mode: Any) -> np.ndarray:
    """Return the lines `names` of ``make(*feeds)``, shape (lines, n); a frame becomes a feed."""
    cerebro = bt.Cerebro(**mode)
    for feed in feeds:
        frame = isinstance(feed, pd.DataFrame)
        cerebro.adddata(bt.feeds.PandasData(dataname=feed) if frame else feed)
    cerebro.addstrategy(Lines, make=make, names=tuple(names))
    (strategy,) = cerebro.run(stdstats=False)
    return np.array(strategy.seen).T
