"""The same bars, fewer or changed: what a target must not notice before they differ."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ...signals.arrays import FloatArray
from ...signals.bars import COLUMNS

__all__ = ["PERTURBATIONS", "changes", "cuts", "perturbed", "pulsed", "scaled"]

GRID = 22
"""Cut points over the whole history, fewer for a short one."""
DENSE = 12
"""Last cut points, one bar apart: they fall on every day of a week."""
AROUND = 8
"""Orders that are cut at, each on its bar and the one after."""
EARLY = (3, 6, 11, 19, 37)
"""Bars after which the future is changed early: filled warm-ups show there and nowhere else."""

PERTURBATIONS = ("noise", "ten times", "shuffled")


def cuts(n: int, shortest: int, orders: Iterable[int], *, every: bool = False) -> list[int]:
    """Return the last bars of the prefixes to try: a grid, round some orders, the last ones.

    `every` tries all of them.
    """
    if every:
        return list(range(shortest, n - 1))
    decided = list(orders)
    chosen = decided[:: max(1, len(decided) // AROUND)][:AROUND]
    points = {round(x) for x in np.linspace(shortest, n - 2, min(GRID, n // 10))}
    points |= set(range(n - 1 - DENSE, n - 1))
    points |= {bar + step for bar in chosen for step in (0, 1)}
    return sorted(point for point in points if shortest <= point <= n - 2)


def changes(n: int, first: int) -> list[tuple[int, str]]:
    """Return after which bars to change the future, and how: every place is tried in two ways."""
    early = [bar for bar in EARLY if bar < n // 4]
    later = [round(x) for x in np.linspace(min(first + 5, n // 2), n - 4, 6)]
    places = sorted({*early, *later})
    return [
        (place, PERTURBATIONS[(number + step) % len(PERTURBATIONS)])
        for number, place in enumerate(places)
        for step in (0, 1)
    ]


def perturbed(frame: pd.DataFrame, after: int, how: str, seed: int) -> pd.DataFrame:
    """Return `frame` with all bars after row `after` changed; they stay valid bars.

    "noise" is another random walk from there on, "ten times" multiplies prices and volume,
    "shuffled" puts the later bars in another order on the same dates.
    """
    rng = np.random.default_rng([seed, after, PERTURBATIONS.index(how)])
    values = frame[list(COLUMNS)].to_numpy(np.float64).copy()
    later = values[after + 1 :]
    if how == "ten times":
        values[after + 1 :] = later * 10
    elif how == "shuffled":
        values[after + 1 :] = later[rng.permutation(len(later))]
    else:
        values[after + 1 :] = _walk(values[after, 3], values[: after + 1, 4], len(later), rng)
    return _with(frame, values)


def _walk(start: float, volume: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    close = start * np.exp(np.cumsum(rng.normal(0, 0.03, n)))
    before = np.concatenate([[start], close[:-1]])
    opened = before * np.exp(rng.normal(0, 0.01, n))
    wicks = 1 + np.abs(rng.normal(0, 0.01, (2, n)))
    high, low = np.maximum(opened, close) * wicks[0], np.minimum(opened, close) / wicks[1]
    traded = np.round(max(float(volume.mean()), 1.0) * np.exp(rng.normal(0, 0.5, n)))
    return np.column_stack([opened, high, low, close, traded])


def pulsed(frame: pd.DataFrame, row: int) -> pd.DataFrame:
    """Return `frame` with the prices of one bar 7 % higher and its volume half as much again."""
    values = frame[list(COLUMNS)].to_numpy(np.float64).copy()
    values[row] *= [1.07, 1.07, 1.07, 1.07, 1.5]
    return _with(frame, values)


def scaled(frame: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Return `frame` with all prices times `factor`; a power of 2 rounds nothing."""
    values = frame[list(COLUMNS)].to_numpy(np.float64).copy()
    values[:, :4] *= factor
    return _with(frame, values)


def _with(frame: pd.DataFrame, values: FloatArray) -> pd.DataFrame:
    changed = frame.copy()
    changed[list(COLUMNS)] = values
    return changed
