"""What the comparison and its report share: the names, and the equal-weight mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..signals.arrays import FloatArray
from ..training.rivals import RIVALS as FORECASTERS

if TYPE_CHECKING:
    from .result import Result

__all__ = ["BASELINES", "LABELS", "PLACEBOS", "RIVALS", "STRATEGIES", "pooled", "why_not_pooled"]

STRATEGIES = {
    "lstm": "LSTM",
    "ema": "EMA cross",
    "momentum": "Momentum",
    "mean": "Mean so far",
    "reversal": "Reversal",
    "majority": "Majority class",
    "logistic": "Logistic regression",
    "buy_and_hold": "Buy & hold",
    "volatility": "Vol.-targeted hold",
    "random": "Random calls",
}
"""Name in files and name in tables: the LSTM, and what it always has to beat."""

RIVALS = {f"rival_{name}": rival.label for name, rival in FORECASTERS.items()}
"""The same of the classical forecasters, which it has to beat when they take part."""

PLACEBOS = {
    "foresight": "Perfect foresight",
    "inverted": "LSTM inverted",
    "shuffled": "LSTM, shuffled labels",
}
"""What is known to be impossible, wrong or empty: they show what the table's numbers mean."""

LABELS = STRATEGIES | RIVALS | PLACEBOS

BASELINES = tuple(name for name in STRATEGIES if name != "lstm")

SHARED = 0.95
"""Share of all dates that every symbol must have for a mean: enough for other holidays."""


def why_not_pooled(results: Mapping[str, Mapping[str, Result]]) -> str | None:
    """Return why the symbols' returns have no sensible mean; None when they have."""
    runs = [strategies["buy_and_hold"].returns.index for strategies in results.values()]
    every = runs[0].append(runs[1:]).unique()
    if min(len(index) for index in runs) < SHARED * len(every):
        return "the symbols' calendars differ too much for a mean over their bars"
    lost = [
        f"{symbol}, {LABELS[name]}"
        for symbol, strategies in results.items()
        for name, result in strategies.items()
        if name not in PLACEBOS and (result.equity <= 0).any()
    ]
    return f"lost all of its money: {'; '.join(lost)}" if lost else None


def pooled(
    columns: Mapping[str, FloatArray], dates: Mapping[str, pd.DatetimeIndex]
) -> pd.DataFrame:
    """Return the mean over the symbols of k returns a date, rebalanced to equal at every bar.

    Parameters
    ----------
    columns : mapping of symbol to ndarray of shape (k, n)
        The n may differ.
    dates : mapping of symbol to DatetimeIndex of length n

    Returns
    -------
    DataFrame of shape (dates of any symbol, k)
        On a date that a symbol does not have, its return counts as 0.
    """
    frames = [pd.DataFrame(values.T, dates[symbol]) for symbol, values in columns.items()]
    every = frames[0].index
    for frame in frames[1:]:
        every = every.union(frame.index)
    total = np.sum([frame.reindex(every, fill_value=0.0).to_numpy() for frame in frames], axis=0)
    return pd.DataFrame(total / len(frames), every)
