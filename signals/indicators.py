"""Direction indicators of models and of files: signals are compared by swapping one class.

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

from .arrays import FloatArray, Numbers
from .bars import COLUMNS
from .calls import Calls, load_calls
from .direction import DirectionIndicator
from .errors import ExperimentError, InSampleError, ModelError, did_you_mean
from .latest import check_fit, open_model, uses_of
from .model import Model
from .rules import position_share

__all__ = ["LSTMDirection", "PositionDirection", "SeriesDirection", "indicator_of"]


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
    """The up/down calls of a model file, or of a chain of models, each on its own dates.

    ``score`` is decided at the close of the bar: the probability of an up move, or, as the model's
    card says, a position or the relative move that forecast prices foretell; NaN where the window
    holds an unusable bar. ``direction`` is 0 on in-sample bars: those up to the card's
    ``train_end``, or before the first period of a chain. With several models a period, the score
    is their mean; outside the periods it is NaN.

    Parameters
    ----------
    model : str or Path
        The ``.onnx`` file, or the folder of a chain.
    dead_band : float
        ``direction`` is 0 where the score is no further than this from 0.5, for a position or a
        move from 0.
    in_sample : {"flat", "raise", "allow"}
        In-sample bars: direction 0, `InSampleError`, or called like any other (in a chain by the
        models of its first period).
    interval : {"check", "allow"}
        What to do when the spacing of the bars is not the card's: `ModelError`, or go on.

    Raises
    ------
    ModelError
        For a file that `load_model` or a folder that `load_chain` refuses, bars of another
        interval, or a feed without the volume that the model uses.
    """

    params = (("model", ""), ("in_sample", "flat"), ("interval", "check"))
    plotinfo = {"plotyhlines": [0.0, 0.5]}

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        _choice("in_sample", self.p.in_sample, ("flat", "raise", "allow"))
        _choice("interval", self.p.interval, ("check", "allow"))
        self._model = open_model(self.p.model)
        card = uses_of(self._model)
        self._centre = card.centre
        names = COLUMNS if card.uses_volume else COLUMNS[:4]
        self._unseen_from = float(bt.date2num(card.unseen_from))
        lines = [self._line(name) for name in names]
        # A chain tells by the date which models to ask.
        self._watch(lines if isinstance(self._model, Model) else [*lines, self._times], card.window)
        if card.known_flaws and self.p.in_sample != "allow":
            warnings.warn(
                f"the model names flaws on its card: {', '.join(card.known_flaws)}.", stacklevel=2
            )
        symbol = _symbol(self._feed)
        if symbol and symbol not in card.symbols:
            warnings.warn(
                f"the model was trained on {', '.join(card.symbols)}, the feed is {symbol}.",
                stacklevel=2,
            )

    def _score(self, values: FloatArray) -> FloatArray:
        if isinstance(self._model, Model):
            return self._model.score(values)
        early = self.p.in_sample == "allow"
        scores = self._model.score(values[:, :-1], values[:, -1], early=early)
        return scores[self._window - 1 :]

    def _direction(self, score: Numbers, times: Numbers) -> Numbers:
        direction = super()._direction(score, times)
        unseen = times >= self._unseen_from
        if self.p.in_sample == "raise" and not np.all(unseen):
            first = _timestamps(times)[~np.atleast_1d(unseen)][0]
            if isinstance(self._model, Model):
                end = f"in the model's training data, which ends at {self._model.card.train_end}"
            else:
                end = f"before the chain's first period, which begins at {self._model.unseen_from}"
            raise InSampleError(
                f"the bar of {first} is {end}. Start later, or use in_sample='flat'."
            )
        if self.p.in_sample == "flat":
            return direction * unseen + 0.0  # + 0.0: a flat down call is 0, not -0
        return direction

    def _check(self, values: FloatArray, times: FloatArray) -> None:
        any_interval = self.p.interval == "allow"
        dates = _timestamps(times)
        bars = values if isinstance(self._model, Model) else values[:, :-1]
        check_fit(self._model, _five_columns(bars), dates, any_interval=any_interval)

    def _plotlabel(self) -> list[Any]:
        return [Path(self.p.model).name]


class PositionDirection(LSTMDirection):
    """`LSTMDirection` for models with a position head: `share` is the size of the position.

    Raises
    ------
    ModelError
        For a model of another head as well.
    """

    lines: Any = ("share",)

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        super().__init__(*extra, **unknown)
        head = uses_of(self._model).head
        if head != "position":
            raise ModelError(
                f"{self.p.model}: expected a model of positions, found head {head!r}. Use"
                " LSTMDirection."
            )

    def _share(self, score: FloatArray) -> FloatArray:
        return position_share(score)


def indicator_of(model: str | Path) -> type[LSTMDirection]:
    """Return the indicator for the head of a model file or chain."""
    return PositionDirection if uses_of(open_model(model)).head == "position" else LSTMDirection


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
