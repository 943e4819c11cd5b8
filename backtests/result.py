"""What one strategy did on one set of bars."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

__all__ = ["Result"]


@dataclass(frozen=True, eq=False)
class Result:
    """What one strategy did on one set of bars, net of costs.

    Every series has one value per bar, from the first tradable bar to the last.

    Attributes
    ----------
    equity : Series of float64
        Account value at each close. The first value is `cash`: no order can have filled yet.
    returns : Series of float64
        Simple return of the equity since the close before; the first is 0.
    position : Series of float64
        Units held at each close, negative for a short.
    direction : Series of int64
        The side wanted at each close: -1, 0 or +1. It is traded at the next open.
    score : Series of float64 or None
        The indicator's ``score`` line; None for a strategy without one.
    orders : DataFrame
        One row per fill: date, size (signed), price, value (size x price without sign),
        commission. No fill crosses zero units.
    rejected : DataFrame
        One row per order, or rest of an order, that was refused: date, size (signed), status.
    """

    name: str
    symbol: str
    equity: pd.Series[float]
    returns: pd.Series[float]
    position: pd.Series[float]
    direction: pd.Series[int]
    score: pd.Series[float] | None
    close: pd.Series[float]
    orders: pd.DataFrame
    rejected: pd.DataFrame
    cash: float
    cost_bps: float
