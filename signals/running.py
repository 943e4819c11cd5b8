"""Indicators that look back to the first bar: sums that are carried on from bar to bar."""

# backtrader carries no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false
from __future__ import annotations

import math
from typing import Any

import backtrader as bt
import numpy as np

from . import rules
from .arrays import FloatArray, Numbers
from .direction import DirectionIndicator
from .errors import ExperimentError

__all__ = ["MeanDirection", "RunningSums", "VolatilityTargetDirection"]


class RunningSums(bt.Indicator):
    """Weight, sum and sum of squares of the changes of one line so far, by `rules.add_change`.

    `log` takes log returns, else they are simple.
    """

    lines: Any = ("weight", "total", "squares")
    params: Any = (("decay", 1.0), ("log", False))

    def __init__(self) -> None:
        self.addminperiod(2)
        super().__init__()

    def _changes(self, values: FloatArray) -> FloatArray:
        if self.p.log:
            return np.log(values[1:] / values[:-1])
        return rules.momentum_score(values[:-1], values[1:])

    def nextstart(self) -> None:
        """Start with the first change."""
        self._step((0.0, 0.0, 0.0))

    def next(self) -> None:
        """Add the newest change; all state is in the lines, so a bar may come again."""
        self._step((self.lines.weight[-1], self.lines.total[-1], self.lines.squares[-1]))

    def _step(self, before: tuple[float, float, float]) -> None:
        change = float(self._changes(np.array([self.data[-1], self.data[0]]))[0])
        after = rules.add_change(before, change, self.p.decay)
        self.lines.weight[0], self.lines.total[0], self.lines.squares[0] = after

    def once(self, start: int, end: int) -> None:
        """Add all changes in one go."""
        end = min(end, len(self.data.array), len(self.lines.weight.array))
        if start >= end:
            return
        values = np.array(self.data.array[:end], np.float64)
        sums = rules.running_sums(self._changes(values[self._minperiod - 2 :]), self.p.decay)
        for line, column in zip(self.lines, sums.T, strict=True):
            np.asarray(line.array)[start:end] = column[start - end :]


_running_sums: Any = RunningSums  # backtrader takes the line out of its arguments


class MeanDirection(DirectionIndicator):
    """Up while the mean of all returns so far is above 0: always the majority, but no look ahead.

    ``score`` is the mean of the simple close-to-close returns since the first bar of the data. One
    NaN close leaves it NaN, and the direction 0, from there on.
    """

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        sums = _running_sums(self._line("close"))
        self._watch([sums.lines.weight, sums.lines.total], 1)

    def _score(self, values: FloatArray) -> FloatArray:
        return values[:, 1] / values[:, 0]


class VolatilityTargetDirection(DirectionIndicator):
    """Always up, with a smaller position the wilder the market: buy & hold at an even risk.

    ``score`` is the annualised volatility: the exponentially weighted standard deviation of the
    log returns so far, as pandas' ``ewm(span=span).std()``, times the root of `periods`. The line
    ``share``, in (0, 1], is ``min(1, target / score)``; `FollowDirection` invests that share of
    its target. The first call is made after `span` returns. Before it, and from the first NaN
    close on, the direction is 0 and the share 1.

    Parameters
    ----------
    target : float, default 0.15
        Annual volatility above which the position is cut.
    span : int, default 60
        Bars of the weighting: the newest return counts 2 / (span + 1).
    periods : int, default 252
        Bars in a year.
    """

    lines: Any = ("share",)
    params = (("target", 0.15), ("span", 60), ("periods", 252))

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        p = self.p
        if not (0 < p.target < math.inf and p.span >= 2 and p.periods > 0):
            raise ExperimentError(
                "VolatilityTargetDirection needs target > 0, span >= 2 and periods > 0, found"
                f" target={p.target}, span={p.span}, periods={p.periods}."
            )
        if p.dead_band:
            raise ExperimentError(
                "VolatilityTargetDirection is always up and takes no dead_band; found"
                f" {p.dead_band}. Leave it out."
            )
        self._decay = 1.0 - 2.0 / (p.span + 1.0)
        sums = _running_sums(self._line("close"), decay=self._decay, log=True)
        self._watch(list(sums.lines), 1)
        self.addminperiod(p.span + 1)

    def _score(self, values: FloatArray) -> FloatArray:
        return rules.weighted_deviation(values, self._decay) * math.sqrt(self.p.periods)

    def _direction(self, score: Numbers, times: Numbers) -> Numbers:  # noqa: ARG002
        return (score >= 0.0) * 1.0  # NaN is not

    def _share(self, score: FloatArray) -> FloatArray:
        return rules.volatility_share(score, self.p.target)
