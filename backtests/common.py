"""What the comparison and its report share: names, the caution, the equal-weight mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from .result import Result

__all__ = ["CAUTION", "STRATEGIES", "pooled_returns"]

STRATEGIES = {
    "lstm": "LSTM",
    "ema": "EMA cross",
    "momentum": "Momentum",
    "buy_and_hold": "Buy & hold",
}
"""Name in files and name in tables."""

CAUTION = "One split and one seed: this table shows what happened, and cannot tell skill from luck."


def pooled_returns(results: Mapping[str, Mapping[str, Result]], strategy: str) -> pd.Series[float]:
    """Return the mean over the symbols of a strategy's returns, rebalanced to equal every bar.

    On a date that a symbol does not have, its return counts as 0.
    """
    columns = {symbol: runs[strategy].returns for symbol, runs in results.items()}
    return pd.DataFrame(columns).fillna(0.0).mean(axis=1)
