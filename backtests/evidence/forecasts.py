"""Price forecasts beside the naive one, which repeats the price it starts from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...signals.arrays import BoolArray, FloatArray
from ...signals.errors import ExperimentError

__all__ = ["ForecastQuality", "StepError", "forecast_quality", "forecast_sentence"]

EVEN = 0.005
"""Errors that differ by less than this share are told as equal."""

ALIKE = 0.8
"""From this correlation on, a chart of two prices seems to show one."""

FAR = 2.0
"""From this multiple of the naive error on, it does not."""


@dataclass(frozen=True)
class StepError:
    """The error of one column of a forecast, as in `ForecastQuality`; `ahead` is in bars."""

    ahead: int
    rmse: float | None
    naive_rmse: float | None
    mase: float | None


@dataclass(frozen=True)
class ForecastQuality:
    """How near forecasts came to the prices; None where a figure is not defined.

    All but `steps` is of the first column alone: errors at several distances, or of several price
    fields, have no sensible mean.

    Attributes
    ----------
    bars : int
        Bars with a forecast, a price that came true, and a price to start from.
    mse, mae, rmse : float or None
        Mean squared, mean absolute and root mean squared error, in units of the price.
    naive_mae, naive_rmse : float or None
        The same of the naive forecast: today's price again.
    mase : float or None
        `mae` over the mean absolute error of the naive forecast, at the same distance, on the
        training prices (Hyndman and Koehler 2006).
    theils_u : float or None
        U2: `rmse` over `naive_rmse`. From 1 on, repeating today's price is as good.
    correlation, correlation_today : float or None
        Of the forecast with the price it forecasts, and with today's.
    late : bool or None
        Whether a chart seems to show the truth (a correlation with today's price of 0.8 or more,
        an error below twice the naive one's) although the forecast is nearer, by root mean square,
        to today's price than to the one it forecasts: it follows the truth, but late. Of two
        distant lines one is nearer by chance: that is no illusion.
    bias : float or None
        Mean error over the mean price that came true; below 0 where forecasts are too low.
    calls : int
        Bars on which the price moved and the forecast was another than today's price.
    hit_rate, base_rate : float or None
        Of the calls, the share with the sign of the move foreseen, and the share of the commoner
        sign, known in hindsight only.
    steps : tuple of StepError
        One for each column.
    """

    bars: int
    mse: float | None
    mae: float | None
    rmse: float | None
    naive_mae: float | None
    naive_rmse: float | None
    mase: float | None
    theils_u: float | None
    correlation: float | None
    correlation_today: float | None
    late: bool | None
    bias: float | None
    calls: int
    hit_rate: float | None
    base_rate: float | None
    steps: tuple[StepError, ...]


def forecast_quality(
    forecast: FloatArray,
    actual: FloatArray,
    today: FloatArray,
    ahead: Sequence[int],
    *,
    training_prices: FloatArray,
    training_today: FloatArray | None = None,
) -> ForecastQuality:
    """Return how near `forecast` came to `actual`, and how near repeating `today` did.

    Parameters
    ----------
    forecast, actual : float64, shape (n, k)
        Prices: row t is decided at bar t, column j is about the bar ``t + ahead[j]``. NaN where
        there is none: such elements are left out, column by column.
    today : float64, shape (n,) or (n, k)
        The price known at bar t that the naive forecast repeats: one for all columns, or one each,
        as columns of several price fields need. NaN where there is none.
    ahead : sequence of int
        Bars ahead of each column, 1 or more.
    training_prices : float64, shape (m,) or (m, k)
        Prices of the same field or fields on the bars the forecaster was fitted on, in order; they
        scale `ForecastQuality.mase`. Pairs with a NaN are left out.
    training_today : float64, shape (m,) or (m, k), optional
        What the naive forecast repeated on those bars; by default their own prices.

    Raises
    ------
    ExperimentError
        Shapes that do not fit each other, fewer than one bar ahead, infinite numbers.
    """
    columns = _checked(forecast, actual, ahead)
    starts = _by_column("today", today, len(forecast), columns)
    history = _by_column("training_prices", training_prices, len(training_prices), columns)
    before = training_prices if training_today is None else training_today
    known_then = _by_column("training_today", before, len(training_prices), columns)
    for name, values in (("forecast", forecast), ("actual", actual), ("today", today)):
        if np.isinf(values).any():
            raise ExperimentError(
                f"{name}: expected prices, or NaN where there is none, found an infinite one at"
                f" row {int(np.argwhere(np.isinf(values))[0, 0])}; check where it comes from."
            )
    known = [_known(forecast[:, j], actual[:, j], starts[:, j]) for j in range(columns)]
    moves = [
        np.abs(history[bars:, j] - known_then[: len(history) - bars, j])
        for j, bars in enumerate(ahead)
    ]
    steps = tuple(_step(bars, *known[j], moves[j]) for j, bars in enumerate(ahead))
    return _quality(*known[0], steps)


def _step(
    ahead: int, said: FloatArray, true: FloatArray, start: FloatArray, moves: FloatArray
) -> StepError:
    scale = _mean(moves[np.isfinite(moves)])
    rmse, naive_rmse = _root(_mean((said - true) ** 2)), _root(_mean((start - true) ** 2))
    return StepError(ahead, rmse, naive_rmse, _ratio(_mean(np.abs(said - true)), scale))


def _quality(
    said: FloatArray, true: FloatArray, start: FloatArray, steps: tuple[StepError, ...]
) -> ForecastQuality:
    rmse, naive_rmse = steps[0].rmse, steps[0].naive_rmse
    called = (said != start) & (true != start)
    rise, rose = said[called] > start[called], true[called] > start[called]
    up = _mean(rose)
    apart, alike = _root(_mean((said - start) ** 2)), _correlation(said, start)
    near = None if apart is None or rmse is None else apart < rmse
    ratio = _ratio(rmse, naive_rmse)
    seems = ratio is not None and ratio < FAR and (alike or 0.0) >= ALIKE
    return ForecastQuality(
        bars=len(said),
        mse=_mean((said - true) ** 2),
        mae=_mean(np.abs(said - true)),
        rmse=rmse,
        naive_mae=_mean(np.abs(start - true)),
        naive_rmse=naive_rmse,
        mase=steps[0].mase,
        theils_u=ratio,
        correlation=_correlation(said, true),
        correlation_today=alike,
        late=near and seems,
        bias=_ratio(_mean(said - true), _mean(true)),
        calls=int(called.sum()),
        hit_rate=_mean(rise == rose),
        base_rate=None if up is None else max(up, 1.0 - up),
        steps=steps,
    )


def forecast_sentence(quality: ForecastQuality) -> str:
    """Return in one or two sentences what a chart of the forecast does not show.

    "It" is the forecast, whose name stands before.
    """
    ratio = quality.theils_u
    if not quality.bars:
        return "There is no forecast whose price is known."
    if ratio is None:
        return "The price never moved on these bars: there was nothing to forecast."
    if ratio < 1.0 - EVEN:
        first = f"Its error is {1 - ratio:.0%} smaller than that of repeating today's price"
        if quality.late:
            first += ", yet it is nearer to today's price than to the one it forecasts"
        return f"{first}.{_hits(quality)}"
    first = "It is no better than repeating today's price"
    if ratio > 1.0 + EVEN:
        more = f"{ratio - 1:.0%} larger" if ratio < FAR else f"{ratio:.1f} times as large"
        first += f": its error is {more}"
        if quality.bias is not None and ratio >= FAR:
            first += (
                f", {abs(quality.bias):.1%} too {'low' if quality.bias < 0 else 'high'} on average"
            )
    if quality.late:
        return (
            f"{first}. It looks like the truth only because it follows it late: it is nearer to"
            " today's price than to the one it forecasts."
        )
    return f"{first}.{_hits(quality)}"


def _hits(quality: ForecastQuality) -> str:
    hits, base = quality.hit_rate, quality.base_rate
    if hits is None or base is None:
        return " It never says whether the price will rise or fall."
    than = "more often than" if hits > base else "no more often than"
    return (
        f" It has the sign of the move right {than} always saying the commoner one:"
        f" {hits:.1%} against {base:.1%}."
    )


def _checked(forecast: FloatArray, actual: FloatArray, ahead: Sequence[int]) -> int:
    """Return the number of columns, or refuse what is no table of forecasts."""
    shape = forecast.shape
    if forecast.ndim != 2 or shape != actual.shape or shape[1] != len(ahead) or not len(ahead):
        raise ExperimentError(
            "forecasts: expected a forecast and a price per bar and column, found shapes"
            f" {shape}, {actual.shape} and {len(ahead)} distances."
        )
    if min(ahead) < 1:
        raise ExperimentError(f"ahead: expected 1 bar or more, found {min(ahead)}.")
    return len(ahead)


def _by_column(name: str, values: FloatArray, rows: int, columns: int) -> FloatArray:
    """Return `values` with a column for each of the forecast's."""
    if values.shape == (rows,):
        return np.broadcast_to(values[:, None], (rows, columns))
    if values.shape != (rows, columns):
        raise ExperimentError(
            f"{name}: expected {rows} prices, or {columns} columns of them, found shape"
            f" {values.shape}."
        )
    return values


def _known(*columns: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    known = np.isfinite(np.stack(columns)).all(axis=0)
    said, true, start = (column[known].astype(np.float64) for column in columns)
    return said, true, start


def _mean(values: FloatArray | BoolArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(value)


def _ratio(value: float | None, scale: float | None) -> float | None:
    return None if value is None or not scale else value / scale


def _correlation(a: FloatArray, b: FloatArray) -> float | None:
    """Return Pearson's correlation; None when either does not vary beyond rounding."""
    for values in (a, b):
        if len(values) < 2 or np.ptp(values) <= 1e-12 * np.abs(values).max():
            return None
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0))
