"""The compiled loop of the replay: backtrader's broker and `FollowDirection`, step by step.

No fastmath anywhere: it reorders operations, and equality to the last bit is the point.
"""

# numba compiles untyped code; the types are those of `nextbar.backtests.replay`.
# pyright: reportMissingTypeStubs=false, reportMissingParameterType=false
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false
from __future__ import annotations

import numpy as np
from numba import njit, prange

__all__ = ["all_between", "columns_in_parallel", "columns_in_turn"]


@njit(cache=True)
def all_between(values, low, high):
    """Return whether all of `values` are from `low` to `high`; NaN is not."""
    for value in values.flat:  # noqa: SIM110, a generator would not compile
        if not low <= value <= high:
            return False
    return True


@njit(cache=True, inline="always")
def _sign(x):
    return (x > 0.0) * 1.0 - (x < 0.0) * 1.0


@njit(cache=True, inline="always")
def _reduces(pos, size):
    """Return whether an order closes or reduces; orders of `FollowDirection` never cross zero."""
    return (pos > 0.0 and size < 0.0) or (pos < 0.0 and size > 0.0)


@njit(cache=True, inline="always")
def _cash_after(cash, pos, size, price, rate):
    """Return the cash after an order at the price it was sent at: the check on submission."""
    if _reduces(pos, size):
        cash += -size * price
    else:
        cash -= size * price
    return cash - abs(size) * rate * price


@njit(cache=True, inline="always")
def _fill(cash, pos, entry, size, price, rate):
    """Return cash, position, entry price and whether the order was filled, at the open."""
    if _reduces(pos, size):
        cash += -size * entry + -size * (price - entry)
        cash -= abs(size) * rate * price
        pos += size
        return cash, pos, entry if pos != 0.0 else 0.0, True
    left = cash - size * price
    left -= abs(size) * rate * price
    if left < 0.0:
        return cash, pos, entry, False
    new = pos + size
    entry = price if pos == 0.0 else (entry * pos + size * price) / new
    return left, new, entry, True


@njit(cache=True, inline="always")
def _value(cash, pos, entry, price):
    """Return the account value, by the broker's own detour over the open profit."""
    worth = pos * price
    if worth > 0.0:
        profit = pos * (price - entry)
        worth = (worth - profit) + profit
    return cash + worth


@njit(cache=True)
def _column(
    open_, close, direction, share, rate, cash, shorts, target, step, band, hold, first,
    equity, position, fills, refused,
):  # fmt: skip
    whole, banded, shared = not np.isnan(step), not np.isnan(band), len(share) > 0
    pos = entry = closing = opening = 0.0
    for t in range(len(close)):
        price, last = open_[t], close[t]
        done = turned_down = 0
        # Both orders are checked first, in the order they were sent, then both are filled.
        left, may_close, may_open = cash, False, False
        if closing != 0.0:
            left = _cash_after(left, pos, closing, close[t - 1], rate)
            may_close = left >= 0.0
            turned_down += not may_close
        if opening != 0.0:
            left = _cash_after(left, pos + closing, opening, close[t - 1], rate)
            may_open = left >= 0.0
            turned_down += not may_open
        if may_close:
            cash, pos, entry, filled = _fill(cash, pos, entry, closing, price, rate)
            done += filled
            turned_down += not filled
        if may_open:
            cash, pos, entry, filled = _fill(cash, pos, entry, opening, price, rate)
            done += filled
            turned_down += not filled
        value = _value(cash, pos, entry, last)
        equity[t], position[t], fills[t], refused[t] = value, pos, done, turned_down
        closing = opening = 0.0
        if t < first:
            continue
        # The decision, at the close.
        side, wanted = _sign(pos), float(direction[t])
        if wanted == 0.0 and hold:
            wanted = side
        elif wanted < 0.0 and not shorts:
            wanted = 0.0
        size = 0.0
        if wanted != 0.0 and value > 0.0:
            goal = target * share[t] if shared else target
            units = goal * value / last
            size = wanted * (np.floor(units / step) * step if whole else units)
        if wanted != side:
            closing, opening = -pos, size
        elif banded and abs(size - pos) * last > band * value:
            closing = size - pos


@njit(cache=True)
def columns_in_turn(
    open_, close, direction, share, symbol, signal, shares, rates, cash, shorts, target, step, band,
    hold, first, equity, position, fills, refused,
):  # fmt: skip
    """Run every column on this thread."""
    for c in range(len(rates)):
        _column(
            open_[symbol[c]], close[symbol[c]], direction[signal[c]], share[shares[c]], rates[c],
            cash, shorts, target, step, band, hold, first, equity[c], position[c], fills[c],
            refused[c],
        )  # fmt: skip


@njit(cache=True, parallel=True)
def columns_in_parallel(
    open_, close, direction, share, symbol, signal, shares, rates, cash, shorts, target, step, band,
    hold, first, equity, position, fills, refused,
):  # fmt: skip
    """Run the columns on all cores."""
    for c in prange(len(rates)):
        _column(
            open_[symbol[c]], close[symbol[c]], direction[signal[c]], share[shares[c]], rates[c],
            cash, shorts, target, step, band, hold, first, equity[c], position[c], fills[c],
            refused[c],
        )  # fmt: skip
