"""Windows of bars as a model takes them: pure functions on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import BoolArray, Float32Array, FloatArray

__all__ = ["as_input", "input_columns", "inside", "usable_bars", "windows_of"]

SMALLEST = float(np.finfo(np.float32).tiny)
"""The smallest price; numbers below may be flushed to 0, depending on the processor."""

LOWEST = np.array([SMALLEST, SMALLEST, SMALLEST, SMALLEST, 0.0])
HIGHEST = float(np.finfo(np.float32).max)


def usable_bars(bars: FloatArray, *, uses_volume: bool) -> BoolArray:
    """Return which of `bars`, shape (n, 5), a model may see, as shape (n,).

    Prices must be finite and positive as float32, where the smallest numbers may count as 0;
    volume, where the model uses it, finite and at least 0.
    """
    return np.logical_and.reduce(inside(bars[:, : input_columns(uses_volume)]), axis=1)


def inside(seen: FloatArray) -> BoolArray:
    """Return by number whether a model may see it, for the first columns of bars."""
    # NaN fails both comparisons.
    return (seen >= LOWEST[: seen.shape[1]]) & (seen <= HIGHEST)


def input_columns(uses_volume: bool) -> int:
    """Return how many columns of a bar a model reads."""
    return 5 if uses_volume else 4


def as_input(bars: FloatArray, columns: int) -> Float32Array:
    """Return the first `columns` of `bars` as float32, and 0 for a volume that is not used."""
    if columns == 5:
        return bars.astype(np.float32, order="C")
    values = np.zeros((len(bars), 5), np.float32)
    values[:, :columns] = bars[:, :columns]
    return values


def windows_of(bars: npt.NDArray[Any], window: int) -> npt.NDArray[Any]:
    """Return all windows of `bars`, (n, 5), as a view: (max(0, n - window + 1), window, 5)."""
    if len(bars) < window:
        return np.empty((0, window, bars.shape[1]), bars.dtype)
    return np.lib.stride_tricks.sliding_window_view(bars, window, axis=0).transpose(0, 2, 1)
