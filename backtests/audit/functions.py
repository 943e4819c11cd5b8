"""Run a function of bars and line its features up with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd

from ...signals.arrays import FloatArray
from ...signals.errors import ExperimentError
from .traces import Trace

__all__ = ["run_function"]


def run_function(function: Callable[[pd.DataFrame], Any], frame: pd.DataFrame) -> Trace:
    """Return the trace of the features that `function` computes from `frame`.

    Raises
    ------
    ExperimentError
        When they are not numbers on the dates of the bars.
    """
    index = pd.DatetimeIndex(frame.index)
    given = function(frame)
    columns = {
        ("direction" if name == "direction" else "line", f"column {name}"): values
        for name, values in _columns(given, index).items()
    }
    rows = [np.flatnonzero(np.isfinite(values))[:1] for values in columns.values()]
    first = max((int(row[0]) for row in rows if len(row)), default=0)
    return Trace(index, cast("Any", columns), first, tuple(cast("Any", columns)))


def _columns(given: Any, index: pd.DatetimeIndex) -> dict[str, FloatArray]:
    if isinstance(given, pd.Series | pd.DataFrame):
        table = given.to_frame() if isinstance(given, pd.Series) else given
        if not table.index.isin(index).all() or table.index.has_duplicates:
            raise ExperimentError(
                "expected features with the dates of the bars; found other or double ones."
                " Put every value on the bar on which it is known."
            )
        table = table.reindex(index)
        return {str(name): _numbers(table[name], str(name)) for name in table.columns}
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        values = np.empty(())
    if values.ndim not in (1, 2) or len(values) > len(index):
        raise ExperimentError(
            "expected a Series, a frame or an array with a row for each bar, or a Cerebro;"
            f" found {type(given).__name__} of shape {np.shape(values)}."
        )
    # Fewer rows than bars are those of full windows: the last one belongs to the last bar.
    table = values.reshape(len(values), -1)
    padded = np.full((len(index), table.shape[1]), np.nan)
    padded[len(index) - len(table) :] = table
    return {str(number): column for number, column in enumerate(padded.T)}


def _numbers(column: pd.Series[Any], name: str) -> FloatArray:
    try:
        return column.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ExperimentError(f"column {name!r} of the features is not made of numbers.") from error
