"""The price forecasts of one symbol, as the report draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..signals.arrays import FloatArray
from ..signals.errors import ExperimentError

__all__ = ["Forecasts", "Snapshot"]


class Snapshot(NamedTuple):
    """What the network forecast on the validation bars after so many epochs.

    `dates` are those of the bars that are forecast, shape (m,); `forecast` is the first column,
    float64, shape (m,), NaN where there is none.
    """

    epoch: int
    dates: pd.DatetimeIndex
    forecast: FloatArray


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts on the test bars, and on the validation bars while the network learnt.

    Attributes
    ----------
    dates : DatetimeIndex, shape (n,)
        The bars at whose close the forecasts were made: each bar after the one before, without
        gaps, so that row ``t + 1`` is the bar after row t.
    columns : tuple of (str, int)
        Price field and bars ahead of each column.
    forecast, actual : float64, shape (n, k)
        What was forecast at each bar, and what came true; NaN where there is none.
    today : float64, shape (n,) or (n, k)
        The price known at each bar that the naive forecast repeats; see `forecast_quality`. One
        for all columns is taken to be of the first column's field.
    snapshots : tuple of Snapshot
        By rising epoch; none at all for a forecaster that does not learn by epochs.
    validation_actual : float64, shape (m,), or None
        What came true on the bars of the snapshots.

    Raises
    ------
    ExperimentError
        Shapes that do not fit each other.
    """

    dates: pd.DatetimeIndex
    columns: tuple[tuple[str, int], ...]
    forecast: FloatArray
    actual: FloatArray
    today: FloatArray
    snapshots: tuple[Snapshot, ...] = ()
    validation_actual: FloatArray | None = None

    def __post_init__(self) -> None:
        rows, shape = len(self.dates), (len(self.dates), len(self.columns))
        found = [self.forecast.shape, self.actual.shape, self.today.shape]
        if not (self.columns and found[:2] == [shape] * 2 and found[2] in ((rows,), shape)):
            raise ExperimentError(
                f"forecasts: expected {shape[0]} bars and {shape[1]} columns, 1 or more, found"
                f" shapes {', '.join(map(str, found))}."
            )
        truth = None if self.validation_actual is None else self.validation_actual.shape
        for epoch, dates, forecast in self.snapshots:
            if not (forecast.shape == (len(dates),) == truth):
                raise ExperimentError(
                    f"snapshot of epoch {epoch}: expected a date, a forecast and a price for each"
                    f" bar, found {len(dates)} dates, shapes {forecast.shape} and {truth}."
                )

    def naive(self, column: int) -> FloatArray | None:
        """Return the naive forecast of a column, shape (n,); None where no price is given for it.

        One price for all columns says nothing of another field than the first column's.
        """
        if self.today.ndim == 2:
            return np.asarray(self.today[:, column])
        same = self.columns[column][0] == self.columns[0][0]
        return self.today if same else None
