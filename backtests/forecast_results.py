"""What the forecasts of prices were worth, for the results and for the report's pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ..signals.arrays import FloatArray
from ..signals.bars import COLUMNS
from ..signals.chain import Chain
from ..signals.latest import open_model
from ..training.labels import field_prices, price_labels
from .common import LABELS
from .evidence.forecasts import ForecastQuality, forecast_quality, forecast_sentence
from .forecasting import Forecasts, Snapshot
from .models import Models
from .rivals import RivalRun, field_of

__all__ = ["forecast_facts", "forecasts_of", "known_price", "model_forecasts", "quality_of"]

Columns = Sequence[tuple[str, int]]

OLDER = ("open", "mid")
"""Fields whose last value is older than the close, which foretells the next one better."""


def known_price(frame: pd.DataFrame, field: str) -> FloatArray:
    """Return the price that a naive forecast of `field` repeats, shape (n,).

    For an open or a mid price that is the newest price, the close: their own last value is older.
    A high or low is not repeated better by the close, which lies below the one and above the other;
    the close times its usual ratio to them is nearer, by about a tenth.
    """
    return field_prices(frame, _repeated(field))


def _repeated(field: str) -> str:
    return "close" if field in OLDER else field


def quality_of(
    frame: pd.DataFrame, columns: Columns, forecast: FloatArray, start: int
) -> ForecastQuality:
    """Return how near forecasts, shape (n, k), made from row `start` on, came to the prices."""
    return forecast_quality(
        forecast,
        price_labels(frame, columns)[start:],
        _by_column(frame, columns, known_price)[start:],
        [ahead for _, ahead in columns],
        training_prices=_by_column(frame, columns, field_prices)[:start],
        training_today=_by_column(frame, columns, known_price)[:start],
    )


def model_forecasts(model: Any, frame: pd.DataFrame, start: int) -> FloatArray:
    """Return the prices that a model or chain forecasts from row `start` on, shape (n, k)."""
    bars = frame[list(COLUMNS)].to_numpy(np.float64)
    if isinstance(model, Chain):
        return model.forecast(bars, pd.DatetimeIndex(frame.index))[start:]
    return model.forecast(bars[start - model.card.window + 1 :])


def forecasts_of(
    frame: pd.DataFrame, models: Models, rivals: Mapping[str, RivalRun], start: int
) -> dict[str, Forecasts]:
    """Return by strategy its forecasts on the test bars: the LSTM's, if of prices, and rivals'."""
    found: dict[str, tuple[Columns, FloatArray]] = {}
    if models.columns:
        forecast = model_forecasts(open_model(models.paths["lstm"]), frame, start)
        found["lstm"] = models.columns, forecast
    found |= {name: (run.columns, run.forecast) for name, run in rivals.items()}
    return {
        name: Forecasts(
            dates=pd.DatetimeIndex(frame.index[start:]),
            columns=tuple(columns),
            forecast=forecast,
            actual=price_labels(frame, columns)[start:],
            today=_by_column(frame, columns, known_price)[start:],
            **(_course(frame, models) if name == "lstm" else {}),
        )
        for name, (columns, forecast) in found.items()
    }


def forecast_facts(
    frame: pd.DataFrame, models: Models, forecasts: Mapping[str, Forecasts], start: int
) -> dict[str, Any] | None:
    """Return the quality of each forecaster as plain JSON values; None where there is none."""
    if not forecasts:
        return None
    quality = {
        name: quality_of(frame, made.columns, made.forecast, start)
        for name, made in forecasts.items()
    }
    first = next(iter(forecasts.values()))
    return {
        "columns": [list(column) for column in first.columns],
        "target": models.target,
        "move_note": _move_note(models),
        "quality": {name: asdict(found) for name, found in quality.items()},
        "labels": {name: LABELS[name] for name in quality},
        "sentences": {name: forecast_sentence(found) for name, found in quality.items()},
    }


def _by_column(frame: pd.DataFrame, columns: Columns, price: Any) -> FloatArray:
    return np.column_stack([price(frame, field) for field, _ in columns])


def _move_note(models: Models) -> str:
    field, horizon = field_of(models), models.horizon
    naive = f"the naive forecast repeats the {_repeated(field)} of bar t"
    errors = f"Errors are of the first column; {naive}."
    if field in ("high", "low"):
        errors += f" The close times the usual ratio of the {field} to it errs about a tenth less."
    if models.target == "close":
        return (
            f"A call is the sign of the forecast {horizon} bars ahead over the {field} of bar t:"
            f" not the move that an order earns, which begins at the next open. {errors}"
        )
    near = "" if field == "open" else f", or nearly: orders fill at opens, this is the {field}"
    return (
        f"A call is the sign of the forecast {horizon + 1} bars ahead over that of the next bar:"
        f" the move that an order filled at the next open earns{near}. {errors}"
    )


def _course(frame: pd.DataFrame, models: Models) -> dict[str, Any]:
    """Return the validation part's forecasts of some epochs, dated by the bars forecast."""
    course, ahead = models.course, models.columns[0][1]
    if not course:
        return {}
    rows = frame.index.get_indexer(pd.DatetimeIndex(course["dates"]))
    dates = pd.DatetimeIndex(frame.index[rows + ahead])
    made = {int(epoch): np.array(prices, np.float64) for epoch, prices in course["epochs"].items()}
    return {
        "snapshots": tuple(Snapshot(epoch, dates, made[epoch]) for epoch in sorted(made)),
        "validation_actual": np.array(course["actual"], np.float64),
    }
