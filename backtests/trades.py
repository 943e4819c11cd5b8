"""From fills to round trips."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["round_trips"]


def round_trips(orders: pd.DataFrame, last_close: float) -> pd.DataFrame:
    """Group fills into round trips, each from flat to flat.

    Parameters
    ----------
    orders : DataFrame
        Fills in order of time: date, size, price, commission. No fill crosses zero units.
    last_close : float
        Price at which a position that is still open is valued.

    Returns
    -------
    DataFrame
        entry (date), exit (date; NaT while open), size (the largest position, signed), pnl (net
        of `costs`, account currency), costs. The pnl of all rows sums to last equity - cash.
    """
    size, price, costs = (orders[c].to_numpy(np.float64) for c in ("size", "price", "commission"))
    held = np.cumsum(size)  # exactly zero when flat: the last fill closes what is held
    trip = np.cumsum(held == 0) - (held == 0)  # number of trips closed before this fill
    cash = -size * price - costs
    fills = pd.DataFrame({"trip": trip, "held": held, "cash": cash, "costs": costs})
    trips = fills.assign(date=orders["date"].to_numpy()).groupby("trip")
    left, high, low = trips["held"].last(), trips["held"].max(), trips["held"].min()
    return pd.DataFrame(
        {
            "entry": trips["date"].first(),
            "exit": trips["date"].last().where(left == 0),
            "size": high.where(high > -low, low),
            "pnl": trips["cash"].sum() + left * last_close,
            "costs": trips["costs"].sum(),
        }
    ).reset_index(drop=True)
