"""The newest call of a model, and whether a model fits the bars it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from . import rules
from .arrays import FloatArray
from .bars import COLUMNS, SURE, infer_interval
from .errors import BarsError, ModelError
from .model import Model, load_model
from .windows import usable_bars

if TYPE_CHECKING:
    from .card import Card
    from .chain import Chain

__all__ = ["LatestCall", "check_fit", "latest_call", "open_model", "uses_of"]


@dataclass(frozen=True)
class LatestCall:
    """What a model says at the close of the newest bar; an order for it fills at the next open."""

    symbol: str
    last_bar: pd.Timestamp
    direction: int
    """+1 up, -1 down, 0 none: inside the dead band, or an in-sample bar."""
    score: float
    """The number behind the call: the probability of an up move, the position or the move."""
    bars_since_train_end: int
    """Bars that the model has not seen; 0 on in-sample bars."""


def open_model(path: str | Path) -> Model | Chain:
    """Load a model file, or the chain of models in a folder.

    Raises
    ------
    ModelError
        As `load_model` and `load_chain`; for a chain of rules.
    """
    path = Path(path)
    if path == Path() or not path.is_dir():
        return load_model(path)
    from .chain import load_chain  # brings pydantic, 0.1 s

    chain = load_chain(path)
    if chain.rules:
        raise ModelError(f"{path}: a chain of rules: use RuleDirection(chain=folder).")
    return chain


def uses_of(model: Model | Chain) -> Card | Chain:
    """Return what knows window, interval, symbols, uses_volume and unseen_from of `model`."""
    return model.card if isinstance(model, Model) else model


def latest_call(model: Model | Chain, bars: pd.DataFrame, dead_band: float = 0.0) -> LatestCall:
    """Return the call of `model` at the last of `bars`.

    Raises
    ------
    BarsError
        With fewer bars than the model's window.
    ModelError
        For bars of another interval, or without the volume that the model uses.
    """
    window, symbol = uses_of(model).window, str(bars.attrs.get("symbol", ""))
    if len(bars) < window:
        raise BarsError(
            f"{symbol}: {len(bars)} bars, the model needs {window}. Load an earlier start."
        )
    values = bars[list(COLUMNS)].to_numpy(np.float64)
    dates = pd.DatetimeIndex(bars.index)
    check_fit(model, values, dates)
    score, unseen_from = _newest(model, values[-window:], dates[-window:])
    unseen = int(np.sum(dates >= unseen_from))
    called = int(rules.call(score, uses_of(model).centre, dead_band))
    return LatestCall(symbol, dates[-1], called if unseen else 0, score, unseen)


def _newest(
    model: Model | Chain, values: FloatArray, dates: pd.DatetimeIndex
) -> tuple[float, pd.Timestamp]:
    """Return the score at the last bar, and from when on its models have seen no bar."""
    if isinstance(model, Model):
        return float(model.score(values)[-1]), pd.Timestamp(model.card.unseen_from)
    period = int(model.period_of(dates[-1:], early=True)[0])
    if period < 0:
        raise ModelError(
            f"{model.path}: its last period ends at {model.periods[-1].end}, before the bar of"
            f" {dates[-1]}. Train models for later dates."
        )
    score = float(model.score(values, dates, early=True)[-1])
    if dates[-1] < pd.Timestamp(model.unseen_from):
        return score, pd.Timestamp(model.unseen_from)
    seen = [model.files[name].unseen_from for name in model.periods[period].models]
    return score, pd.Timestamp(max(seen))


def check_fit(
    model: Model | Chain, values: FloatArray, dates: pd.DatetimeIndex, *, any_interval: bool = False
) -> None:
    """Raise ModelError unless bars, shape (n, 5), fit the model.

    `n` is a whole history, or the first window of a stream. Fewer than 10 dates cannot tell their
    interval and are let through.
    """
    card = uses_of(model)
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
