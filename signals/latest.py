"""The newest call of a model, and whether a model fits the bars it is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import rules
from .bars import COLUMNS, SURE, FloatArray, infer_interval
from .errors import BarsError, ModelError
from .model import Model, usable_bars

__all__ = ["LatestCall", "check_fit", "latest_call"]


@dataclass(frozen=True)
class LatestCall:
    """What a model says at the close of the newest bar; an order for it fills at the next open."""

    symbol: str
    last_bar: pd.Timestamp
    direction: int
    """+1 up, -1 down, 0 none: inside the dead band, or an in-sample bar."""
    probability: float
    bars_since_train_end: int
    """Bars that the model has not seen; 0 on in-sample bars."""


def latest_call(model: Model, bars: pd.DataFrame, dead_band: float = 0.0) -> LatestCall:
    """Return the call of `model` at the last of `bars`.

    Raises
    ------
    BarsError
        With fewer bars than the model's window.
    ModelError
        For bars of another interval, or without the volume that the model uses.
    """
    window, symbol = model.card.window, str(bars.attrs.get("symbol", ""))
    if len(bars) < window:
        raise BarsError(
            f"{symbol}: {len(bars)} bars, the model needs {window}. Load an earlier start."
        )
    values = bars[list(COLUMNS)].to_numpy(np.float64)
    dates = pd.DatetimeIndex(bars.index)
    check_fit(model, values, dates)
    probability = float(model.score(values[-window:])[-1])
    unseen = int(np.sum(dates >= pd.Timestamp(model.card.unseen_from)))
    called = int(rules.call(probability, 0.5, dead_band))
    return LatestCall(symbol, dates[-1], called if unseen else 0, probability, unseen)


def check_fit(
    model: Model, values: FloatArray, dates: pd.DatetimeIndex, *, any_interval: bool = False
) -> None:
    """Raise ModelError unless bars, shape (n, 5), fit the model.

    `n` is a whole history, or the first window of a stream. Fewer than 10 dates cannot tell their
    interval and are let through.
    """
    card = model.card
    if len(dates) >= SURE and not any_interval:
        found = infer_interval(dates)
        if found != card.interval:
            raise ModelError(
                f"{model.path}: a model for bars of {card.interval}, found {found}. Train one for"
                " these bars; LSTMDirection takes them all the same with interval='allow'."
            )
    if card.uses_volume:
        priced = usable_bars(values, uses_volume=False).any()
        if priced and not np.nansum(values[:, 4]) > 0:
            raise ModelError(
                f"{model.path}: the model uses volume, and the bars have none. Add the column, or"
                " train with features that do not use it."
            )
