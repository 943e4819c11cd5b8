"""The baselines' arithmetic and the one rule from score to direction: pure functions on arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Numbers", "call", "ema", "ema_score", "momentum_score"]

FloatArray = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[np.floating[Any]] | float


def call(score: Numbers, centre: float, dead_band: float) -> Numbers:
    """Return the direction, in {-1, 0, +1}, of each score.

    +1 above ``centre + dead_band``, -1 below ``centre - dead_band``, 0 between and for NaN.
    """
    return (score > centre + dead_band) * 1.0 - (score < centre - dead_band) * 1.0


def ema(values: FloatArray, period: int) -> FloatArray:
    """Return the exponential moving average of `values`, shape (n,), with alpha = 2/(period + 1).

    Seeded with the simple mean of the first `period` values, as backtrader does (pandas seeds
    with the first value): NaN before that, and from the first NaN in `values` on.
    """
    averages = np.full(len(values), np.nan)
    if len(values) < period:
        return averages
    alpha = 2.0 / (1.0 + period)
    last = averages[period - 1] = values[:period].mean()
    for i in range(period, len(values)):
        last = averages[i] = last * (1.0 - alpha) + values[i] * alpha
    return averages


def ema_score(fast: FloatArray, slow: FloatArray) -> FloatArray:
    """Return ``fast / slow - 1`` of two averages: above 0 when the fast one is above the slow."""
    return fast / slow - 1.0


def momentum_score(first: FloatArray, last: FloatArray) -> FloatArray:
    """Return ``last / first - 1``, the simple return over the look-back of a momentum rule."""
    return last / first - 1.0
