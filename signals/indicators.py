"""Direction indicators for backtrader: signals are compared by swapping one class.

Every indicator has the lines `direction`, in {-1, 0, +1} and never NaN, decided at the close of
its bar and meant to be filled at the next open, and `score`, the number behind it.
"""

# backtrader carries no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import numpy.typing as npt
import pandas as pd

from . import rules
from .bars import COLUMNS
from .calls import Calls, load_calls
from .direction import DirectionIndicator
from .errors import ExperimentError, InSampleError, did_you_mean
from .latest import check_fit
from .model import Model, load_model

_indicators: Any = bt.ind

__all__ = ["EMADirection", "LSTMDirection", "MomentumDirection", "SeriesDirection"]

FloatArray = npt.NDArray[np.float64]
Numbers = rules.Numbers


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


class SeriesDirection(DirectionIndicator):
    """Directions read from a file: CSV with the columns date, direction and, if wanted, score.

    Dates at midnight are matched by day, others to the second. Before the first and after the
    last date the direction is 0. A bar between them without a row is an error: calls made for
    other bars must not pass as "no trade".
    """

    params = (("path", ""),)

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        self._calls: Calls = load_calls(self.p.path)
        self._watch([self._times], 1)

    def _rows(self, times: Numbers) -> npt.NDArray[np.intp]:
        return self._calls.rows(_timestamps(times)).reshape(np.shape(times))

    def _score(self, values: FloatArray) -> FloatArray:
        rows = self._rows(values[:, 0])
        return np.where(rows >= 0, self._calls.score[rows], np.nan)

    def _direction(self, score: Numbers, times: Numbers) -> Numbers:  # noqa: ARG002
        rows = self._rows(times)
        return np.where(rows >= 0, self._calls.direction[rows], 0.0)

    def _plotlabel(self) -> list[Any]:
        return [Path(self.p.path).name]


class LSTMDirection(DirectionIndicator):
    """The up/down calls of a model file.

    ``score`` is the probability of an up move, decided at the close of the bar; NaN where the
    window holds an unusable bar. ``direction`` is 0 on in-sample bars, those up to the card's
    ``train_end``.

    Parameters
    ----------
    model : str or Path
        The ``.onnx`` file.
    dead_band : float
        ``direction`` is 0 where the score is no further than this from 0.5.
    in_sample : {"flat", "raise", "allow"}
        Bars up to ``train_end``: direction 0, `InSampleError`, or called like any other.
    interval : {"check", "allow"}
        What to do when the spacing of the bars is not the card's: `ModelError`, or go on.

    Raises
    ------
    ModelError
        For a file that `load_model` refuses, bars of another interval, or a feed without the
        volume that the model uses.
    """

    params = (("model", ""), ("in_sample", "flat"), ("interval", "check"))
    plotinfo = {"plotyhlines": [0.0, 0.5]}

    _centre = 0.5

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        _choice("in_sample", self.p.in_sample, ("flat", "raise", "allow"))
        _choice("interval", self.p.interval, ("check", "allow"))
        self._model: Model = load_model(self.p.model)
        card = self._model.card
        names = COLUMNS if card.uses_volume else COLUMNS[:4]
        self._unseen_from = float(bt.date2num(card.unseen_from))
        self._watch([self._line(name) for name in names], card.window)
        symbol = _symbol(self._feed)
        if symbol and symbol not in card.symbols:
            warnings.warn(
                f"the model was trained on {', '.join(card.symbols)}, the feed is {symbol}.",
                stacklevel=2,
            )

    def _score(self, values: FloatArray) -> FloatArray:
        return self._model.score(values)

    def _direction(self, score: Numbers, times: Numbers) -> Numbers:
        direction = super()._direction(score, times)
        unseen = times >= self._unseen_from
        if self.p.in_sample == "raise" and not np.all(unseen):
            first = _timestamps(times)[~np.atleast_1d(unseen)][0]
            raise InSampleError(
                f"the bar of {first} is in the model's training data, which ends at"
                f" {self._model.card.train_end}. Start later, or use in_sample='flat'."
            )
        if self.p.in_sample == "flat":
            return direction * unseen + 0.0  # + 0.0: a flat down call is 0, not -0
        return direction

    def _check(self, values: FloatArray, times: FloatArray) -> None:
        any_interval = self.p.interval == "allow"
        dates = _timestamps(times)
        check_fit(self._model, _five_columns(values), dates, any_interval=any_interval)

    def _plotlabel(self) -> list[Any]:
        return [Path(self.p.model).name]


def _five_columns(values: FloatArray) -> FloatArray:
    if values.shape[1] == len(COLUMNS):
        return values
    return np.column_stack([values, np.zeros(len(values))])


def _symbol(feed: Any) -> str:
    attributes: dict[str, Any] = getattr(getattr(feed.p, "dataname", None), "attrs", {})
    return str(feed._name or attributes.get("symbol", ""))


def _timestamps(times: Numbers) -> pd.DatetimeIndex:
    # num2date has rounded to microseconds; daily bars may be stamped just before midnight.
    return pd.DatetimeIndex([bt.num2date(time) for time in np.atleast_1d(times)]).floor("s")


def _choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ExperimentError(f"{name}={value!r} is not known.{did_you_mean(str(value), known)}")
