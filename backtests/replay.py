"""A compiled replay of `FollowDirection` under backtrader's broker, for thousands of backtests.

The same decisions, fills at the next open, refusals and floating-point operations in the same
order, so that equity and positions are equal to the last bit. backtrader stays the referee: where
the two differ, this is wrong. One column is one account with one symbol; not covered are slippage,
leverage, interest, cheat-on-open or -close, other orders than market orders, resampled feeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..signals.arrays import FloatArray
from ..signals.errors import ExperimentError
from . import kernel as _kernel

kernel: Any = _kernel  # compiled, so without types

__all__ = ["Replayed", "Rules", "replay"]

FEWEST_PARALLEL = 16
"""Columns from which threads are worth starting; for few they cost more than they save."""


PRICES = (float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max))


@dataclass(frozen=True)
class Rules:
    """Sizing, the same for all columns; see `nextbar.strategies.FollowDirection`."""

    cash: float = 100_000.0
    shorts: bool = False
    target: float = 0.95
    step: float | None = 1.0
    band: float | None = None
    hold: bool = False
    """A direction of 0 keeps the side held (``on_zero="hold"``)."""
    first: int = 0
    """Row of the first bar on which a decision is made."""


@dataclass(frozen=True)
class Replayed:
    """What happened, each of shape (columns, bars)."""

    equity: FloatArray
    """Account value at each close."""
    position: FloatArray
    """Units held at each close."""
    fills: npt.NDArray[np.uint8]
    """Orders filled at the open of each bar: 0, 1, or 2 for a reversal."""
    refused: npt.NDArray[np.uint8]
    """Orders refused for lack of cash, when sent or at the open."""


def replay(
    open_: FloatArray,
    close: FloatArray,
    direction: npt.NDArray[np.int8],
    cost_bps: FloatArray,
    rules: Rules,
    *,
    symbol: npt.NDArray[np.intp] | None = None,
    signal: npt.NDArray[np.intp] | None = None,
    share: FloatArray | None = None,
    shares: npt.NDArray[np.intp] | None = None,
) -> Replayed:
    """Run one account for each column.

    Parameters
    ----------
    open_, close : ndarray of shape (symbols, bars), float64
        Finite and positive prices.
    direction : ndarray of shape (signals, bars), int8
        -1, 0 or +1, decided at each close and filled at the next open.
    cost_bps : ndarray of shape (columns,)
        Basis points of the traded value, for each side.
    rules : Rules
        Sizing.
    symbol, signal, shares : ndarray of shape (columns,), optional
        Which row of the prices, of the directions and of `share` a column uses; by default the
        first of one row, or the row of the column's number. Prices are never copied.
    share : ndarray of shape (rows, bars), float64, optional
        Share of ``rules.target``, in [0, 1], that a position takes; decided as the direction is.

    Raises
    ------
    ExperimentError
        For shapes that do not fit, prices that are not finite and positive, a direction other
        than -1, 0 and +1, or a share outside 0 to 1.
    """
    columns = len(cost_bps)
    symbol = _rows(symbol, len(open_), columns, "symbol")
    signal = _rows(signal, len(direction), columns, "signal")
    if share is None:  # a row of no bars: the kernel does not look
        share, shares = np.empty((1, 0)), np.zeros(columns, np.intp)
    else:
        _check_share(share, open_)
        shares = _rows(shares, len(share), columns, "shares")
    _check(open_, close, direction)
    shape = (columns, open_.shape[1])
    out = Replayed(
        np.empty(shape),
        np.empty(shape),
        np.zeros(shape, np.uint8),
        np.zeros(shape, np.uint8),
    )
    run = kernel.columns_in_parallel if columns >= FEWEST_PARALLEL else kernel.columns_in_turn
    run(
        np.ascontiguousarray(open_),
        np.ascontiguousarray(close),
        np.ascontiguousarray(direction),
        np.ascontiguousarray(share),
        symbol,
        signal,
        shares,
        np.asarray(cost_bps, np.float64) / 1e4,
        rules.cash,
        rules.shorts,
        rules.target,
        math.nan if rules.step is None else rules.step,
        math.nan if rules.band is None else rules.band,
        rules.hold,
        rules.first,
        out.equity,
        out.position,
        out.fills,
        out.refused,
    )
    return out


def _rows(given: Any, rows: int, columns: int, name: str) -> npt.NDArray[np.intp]:
    if given is None:
        if rows not in (1, columns):
            raise ExperimentError(
                f"{rows} rows for {columns} columns: say with `{name}` which row each column uses."
            )
        given = np.arange(columns) if rows == columns else np.zeros(columns)
    picked = np.asarray(given, np.intp)
    if picked.shape != (columns,) or (picked < 0).any() or (picked >= rows).any():
        raise ExperimentError(f"`{name}` must name a row from 0 to {rows - 1} for each column.")
    return picked


def _check(open_: FloatArray, close: FloatArray, direction: npt.NDArray[np.int8]) -> None:
    if open_.ndim != 2 or open_.shape != close.shape or direction.shape[-1] != open_.shape[1]:
        raise ExperimentError(
            f"expected open, close and direction as (rows, bars) of equal length, found"
            f" {open_.shape}, {close.shape} and {direction.shape}."
        )
    for name, prices in (("open", open_), ("close", close)):
        if not kernel.all_between(prices, *PRICES):
            raise ExperimentError(f"{name} holds a price that is not finite and positive.")
    if not kernel.all_between(direction, -1, 1):
        raise ExperimentError("a direction must be -1, 0 or +1.")


def _check_share(share: FloatArray, prices: FloatArray) -> None:
    if share.ndim != 2 or share.shape[1] != prices.shape[-1]:
        raise ExperimentError(
            f"expected share as (rows, bars) for {prices.shape[-1]} bars, found {share.shape}."
        )
    if not kernel.all_between(share, 0.0, 1.0):
        raise ExperimentError("a share must be from 0 to 1.")
