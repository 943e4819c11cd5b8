"""What the comparison and its report share: names, the caution, the equal-weight mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from .result import Result

__all__ = ["CAUTION", "STRATEGIES", "pooled_returns", "why_not_pooled"]

STRATEGIES = {
    "lstm": "LSTM",
    "ema": "EMA cross",
    "momentum": "Momentum",
    "buy_and_hold": "Buy & hold",
}
"""Name in files and name in tables."""

SHARED = 0.95
"""Share of all dates that every symbol must have for a mean: enough for other holidays."""

CAUTION = "One split and one seed: this table shows what happened, and cannot tell skill from luck."


def why_not_pooled(results: Mapping[str, Mapping[str, Result]]) -> str | None:
    """Return why the symbols' returns have no sensible mean; None when they have."""
    runs = [strategies["buy_and_hold"].returns.index for strategies in results.values()]
    every = runs[0].append(runs[1:]).unique()
    if min(len(index) for index in runs) < SHARED * len(every):
        return "the symbols' calendars differ too much for a mean over their bars"
    lost = [
        f"{symbol}, {STRATEGIES[name]}"
        for symbol, strategies in results.items()
        for name, result in strategies.items()
        if (result.equity <= 0).any()
    ]
    return f"lost all of its money: {'; '.join(lost)}" if lost else None


def pooled_returns(results: Mapping[str, Mapping[str, Result]], strategy: str) -> pd.Series[float]:
    """Return the mean over the symbols of a strategy's returns, rebalanced to equal every bar.

    On a date that a symbol does not have, its return counts as 0.
    """
    columns = {symbol: runs[strategy].returns for symbol, runs in results.items()}
    return pd.DataFrame(columns).fillna(0.0).mean(axis=1)
