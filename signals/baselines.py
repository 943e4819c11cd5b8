"""The baselines as indicators, each of the same arithmetic as its array function in `rules`."""

# backtrader carries no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false
from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import backtrader as bt
import numpy as np

from . import rules
from .arrays import FloatArray
from .direction import DirectionIndicator
from .errors import ExperimentError, ModelError
from .running import MeanDirection

if TYPE_CHECKING:
    from .chain import Chain
    from .manifest import Rule

_indicators: Any = bt.ind

__all__ = [
    "ConstantDirection",
    "EMADirection",
    "MomentumDirection",
    "ReversalDirection",
    "RuleDirection",
    "rule_indicator",
]


class EMADirection(DirectionIndicator):
    """Up while the fast exponential moving average of the close is above the slow one.

    ``score = EMA(fast) / EMA(slow) - 1``. The averages are backtrader's, seeded with a simple
    mean; one NaN close leaves them NaN, and the direction 0, from there on.
    """

    params = (("fast", 20), ("slow", 50))

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        if not 1 <= self.p.fast < self.p.slow:
            raise ExperimentError(
                f"EMADirection needs 1 <= fast < slow, found fast={self.p.fast},"
                f" slow={self.p.slow}."
            )
        close = self._line("close")
        averages = [_indicators.EMA(close, period=period) for period in (self.p.fast, self.p.slow)]
        self._watch([average.lines[0] for average in averages], 1)

    def _score(self, values: FloatArray) -> FloatArray:
        return rules.ema_score(values[:, 0], values[:, 1])


class MomentumDirection(DirectionIndicator):
    """Up when the close is above the close `period` bars ago (252: a year of daily bars).

    ``score = close[t] / close[t - period] - 1``, the time-series momentum rule.
    """

    params = (("period", 252),)

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        if self.p.period < 1:
            raise ExperimentError(f"MomentumDirection needs period >= 1, found {self.p.period}.")
        self._watch([self._line("close")], self.p.period + 1)

    def _score(self, values: FloatArray) -> FloatArray:
        close = values[:, 0]
        return rules.momentum_score(close[: len(close) - self.p.period], close[self.p.period :])


class ReversalDirection(DirectionIndicator):
    """Against the last move: up after a close below the one before.

    ``score = -(close[t] / close[t - 1] - 1)``.
    """

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        self._watch([self._line("close")], 2)

    def _score(self, values: FloatArray) -> FloatArray:
        return rules.reversal_score(values[:-1, 0], values[1:, 0])


class ConstantDirection(DirectionIndicator):
    """The same `direction`, -1, 0 or +1, on every bar; with +1 it is buy & hold as a signal."""

    params = (("direction", 1),)

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        if self.p.direction not in (-1, 0, 1):
            raise ExperimentError(
                f"ConstantDirection needs a direction of -1, 0 or 1, found {self.p.direction!r}."
            )
        self._watch([self._line("close")], 1)

    def _score(self, values: FloatArray) -> FloatArray:
        return np.full(len(values), float(self.p.direction))


class RuleDirection(DirectionIndicator):
    """The rules of a chain, each on the bars of its own period.

    ``score`` is that of the rule whose period the bar lies in; outside the periods it is NaN and
    ``direction`` 0. The first call is made when every rule of the chain can make one.

    Parameters
    ----------
    chain : str or Path
        The folder of the chain.
    dead_band : float
        ``direction`` is 0 where the score is no further than this from 0.

    Raises
    ------
    ModelError
        For a folder that `load_chain` refuses, or a chain of models.
    """

    params = (("chain", ""),)

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        from .chain import load_chain  # brings pydantic, 0.1 s

        self._chain: Chain = load_chain(self.p.chain)
        used = [period.rule for period in self._chain.periods if period.rule is not None]
        if not used:
            raise ModelError(f"{self.p.chain}: a chain of models: use LSTMDirection(model=folder).")
        distinct = list(dict.fromkeys(used))
        self._column = np.array([distinct.index(rule) for rule in used])
        subs = [rule_indicator(rule)(self.data) for rule in distinct]
        self._watch([*(sub.lines.score for sub in subs), self._times], 1)

    def _score(self, values: FloatArray) -> FloatArray:
        period = self._chain.period_of(values[:, -1])
        picked = values[np.arange(len(values)), self._column[period]]
        return np.where(period >= 0, picked, np.nan)

    def _plotlabel(self) -> list[Any]:
        return [Path(self.p.chain).name]


_BY_NAME: dict[str, Any] = {
    "ema": EMADirection,
    "momentum": MomentumDirection,
    "mean": MeanDirection,
    "reversal": ReversalDirection,
    "constant": ConstantDirection,
}


def rule_indicator(rule: Rule) -> Any:
    """Return the indicator of `rule`, its parameters filled in, to be called with a data feed."""
    return partial(_BY_NAME[rule.name], **rule.parameters)
