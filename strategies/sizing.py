"""How many units to hold: pure arithmetic, the same in a strategy and in a compiled replay."""

from __future__ import annotations

import math

__all__ = ["units"]


def units(direction: int, value: float, price: float, target: float, step: float | None) -> float:
    """Return the signed position that puts `target` of the account behind `direction`.

    Parameters
    ----------
    direction : int
        -1, 0 or +1.
    value : float
        Account value at the close, in account currency.
    price : float
        Price of one unit at the same close.
    target : float
        Share of `value` to invest: 0.95 keeps 5 % as a cash buffer. Where a signal has a share
        of its own, it is multiplied with that first.
    step : float or None
        Lot size. The position is rounded toward zero to a multiple of it; None allows any fraction.

    Returns
    -------
    float
        Units to hold, negative for a short. 0 when there is no direction, and when `value` or
        `price` is not positive: rounding a negative value down would trade the opposite side.

    Notes
    -----
    The order of the operations is part of the contract: a replay repeats it bit for bit.
    """
    if direction == 0 or value <= 0 or price <= 0:
        return 0.0
    if step is None:
        return direction * (target * value / price)
    return direction * float(math.floor(target * value / price / step)) * step
