"""Labels and when they are known: pure functions on bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..signals.arrays import FloatArray
from .config import TrainingConfig

__all__ = ["direction_labels", "field_prices", "make_labels", "moves", "price_labels", "went_up"]

Target = Literal["open", "close"]


def direction_labels(bars: pd.DataFrame, horizon: int = 1, target: Target = "open") -> pd.DataFrame:
    """Return for each bar whether the predicted move was up, and when that was known.

    Parameters
    ----------
    bars : DataFrame
        Bars of shape (n, 5).
    horizon : int
        Bars h that the move lasts.
    target : {"open", "close"}
        ``open``: up = open[t+1+h] > open[t+1], the move an order filled at the next open earns.
        ``close``: up = close[t+h] > close[t].

    Returns
    -------
    DataFrame of shape (n, 2), indexed like `bars`
        ``up``: 1.0, 0.0 (an unchanged price is not up), or NaN on the last bars, whose move is
        not over. ``label_end``: the bar on which the label became known, NaT there.
    """
    up = went_up(bars[target].to_numpy(np.float64), horizon, target)
    label_end = pd.Series(bars.index, index=bars.index).shift(-_delay(target) - horizon)
    return pd.DataFrame({"up": up, "label_end": label_end})


def went_up(prices: FloatArray, horizon: int, target: Target) -> FloatArray:
    """Return for each bar whether the move of `prices`, (n,), was up: 1.0, 0.0, NaN at the end."""
    start, end = _ends(prices, horizon, target)
    return np.where(np.isnan(end), np.nan, end > start)


def moves(bars: pd.DataFrame, horizon: int = 1, target: Target = "open") -> FloatArray:
    """Return the relative moves that `direction_labels` asks about, shape (n,); NaN at the end."""
    start, end = _ends(bars[target].to_numpy(np.float64), horizon, target)
    return end / start - 1.0


def _ends(prices: FloatArray, horizon: int, target: Target) -> tuple[FloatArray, FloatArray]:
    """Return the prices at which each bar's move begins and ends, NaN where it is not over."""
    delay, known = _delay(target), pd.Series(prices)
    start: FloatArray = known.shift(-delay).to_numpy(np.float64)
    end: FloatArray = known.shift(-delay - horizon).to_numpy(np.float64)
    return start, end


def _delay(target: Target) -> int:
    """Return how many bars after the decision a move begins."""
    return 1 if target == "open" else 0


def field_prices(bars: pd.DataFrame, field: str) -> FloatArray:
    """Return the prices of a field, or the volume, shape (n,)."""
    if field == "mid":
        mid: Any = bars["high"].to_numpy(np.float64) + bars["low"].to_numpy(np.float64)
        return mid * 0.5
    return bars[field].to_numpy(np.float64)


def make_labels(bars: pd.DataFrame, config: TrainingConfig) -> FloatArray:
    """Return what the head of `config` is told of each bar, shape (n, draws, k).

    A direction head is told whether the move was up, a position head the relative move, a forecast
    head the prices of its columns, as many draws of them as the config augments by: draw j is the
    label of j bars later. NaN on the last bars.
    """
    if config.says == "direction":
        up = direction_labels(bars, config.horizon, config.target)["up"]
        return up.to_numpy(np.float64)[:, None, None]
    if config.says == "position":
        return moves(bars, config.horizon, config.target)[:, None, None]
    columns: list[tuple[str, int]] = list(config.columns)
    if "row-against-one-output" in config.flaws:
        columns = [(name, ahead) for _, ahead in columns for name in config.features]
    draws = [*range(max(1, config.augment))]
    if "label-is-input" in config.flaws:
        draws[-1] = -1  # the first stays the row's own, which validation asks for
    drawn: list[FloatArray] = []
    for draw in draws:
        later: list[tuple[str, int]] = [(name, ahead + draw) for name, ahead in columns]
        drawn.append(price_labels(bars, later))
    return np.stack(drawn, axis=1)


def price_labels(bars: pd.DataFrame, columns: Sequence[tuple[str, int]]) -> FloatArray:
    """Return the prices that a forecast head is to predict at each bar, shape (n, k).

    Column j is the price of its field so many bars ahead; NaN on the last bars.
    """
    found = np.full((len(bars), len(columns)), np.nan)
    for j, (field, ahead) in enumerate(columns):
        found[: max(0, len(bars) - ahead), j] = field_prices(bars, field)[ahead:]
    return found
