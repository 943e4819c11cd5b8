"""Labels and when they are known: pure functions on bars."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

__all__ = ["direction_labels"]


def direction_labels(
    bars: pd.DataFrame, horizon: int = 1, target: Literal["open", "close"] = "open"
) -> pd.DataFrame:
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
    delay = 1 if target == "open" else 0
    prices = bars[target]
    start, end = prices.shift(-delay), prices.shift(-delay - horizon)
    up = (end > start).astype(np.float64).where(end.notna())
    label_end = pd.Series(bars.index, index=bars.index).shift(-delay - horizon)
    return pd.DataFrame({"up": up, "label_end": label_end})
