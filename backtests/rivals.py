"""The classical rivals of one symbol: what they forecast, and the calls they make of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..signals.arrays import FloatArray
from ..training.labels import field_prices
from ..training.rivals import rival_calls, rival_named, walk_forward_forecasts, write_calls
from .experiment import Experiment
from .models import Models
from .simulate import Calls

__all__ = ["RivalRun", "field_of", "run_rivals"]


@dataclass(frozen=True, eq=False)
class RivalRun:
    """One rival on the n test bars."""

    path: Path
    """Its dated calls, which `SeriesDirection` reads."""
    calls: Calls
    columns: tuple[tuple[str, int], ...]
    """Field and bars ahead of each column of `forecast`."""
    forecast: FloatArray
    """Prices, shape (n, k), each row made from prices up to its own bar."""


def field_of(models: Models) -> str:
    """Return the price that is forecast: the first one of the models, or that of their label."""
    return models.columns[0][0] if models.columns else models.target


def run_rivals(
    frame: pd.DataFrame, experiment: Experiment, models: Models, folder: Path
) -> dict[str, RivalRun]:
    """Refit every rival of the experiment at each fold, write its calls, and return them by name.

    A rival knows the prices of one field only, all earlier ones in every fold. Its calls are about
    the same move as the models'.
    """
    field, steps = field_of(models), models.horizon + (models.target == "open")
    prices = field_prices(frame, field)
    dates = pd.DatetimeIndex([pd.Timestamp(fold.test_start) for fold in experiment.folds])
    starts = [int(row) for row in frame.index.searchsorted(dates)]
    runs: dict[str, RivalRun] = {}
    for name in experiment.rivals:
        rival = rival_named(name)
        forecast = walk_forward_forecasts(rival, prices, starts, steps)
        direction, score = rival_calls(
            forecast, prices[starts[0] :], models.horizon, models.target, flat=rival.flat
        )
        path = folder / f"{name}.csv"
        write_calls(path, pd.DatetimeIndex(frame.index[starts[0] :]), direction, score)
        columns = tuple((field, ahead) for ahead in range(1, steps + 1))
        runs[f"rival_{name}"] = RivalRun(path, Calls(direction.astype(np.int8)), columns, forecast)
    return runs
