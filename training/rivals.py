"""The classical rivals of a network that forecasts prices: refitted at every fold, with calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ..signals.arrays import FloatArray
from ..signals.errors import BarsError, ExperimentError, did_you_mean
from ..signals.rules import call
from ..signals.store import write_atomic
from .forecasters import (
    NEIGHBOURS,
    PERIOD,
    WINDOW,
    Forecast,
    fit_arima,
    fit_average,
    fit_ema,
    fit_linear,
    fit_neighbours,
    fit_prophet,
)
from .splits import FEWEST_ROWS

__all__ = ["RIVALS", "Rival", "rival_calls", "rival_named", "walk_forward_forecasts", "write_calls"]


@dataclass(frozen=True)
class Rival:
    """A forecaster by name.

    Attributes
    ----------
    name, label : str
        For configs and for tables.
    fit : callable
        ``fit(prices, steps)`` on prices known before a date, shape (n,); see `Forecast`.
    needs : int
        Prices that a fit for one step needs; unless flat, each further step needs one more.
    flat : bool
        The forecast is the same for all bars ahead, so its honest move is 0 everywhere.
    package : str or None
        What must be installed besides nextbar's own extras.
    """

    name: str
    label: str
    fit: Callable[[FloatArray, int], Forecast]
    needs: int
    flat: bool = False
    package: str | None = None


RIVALS: dict[str, Rival] = {
    rival.name: rival
    for rival in (
        Rival("average", f"Mean of {PERIOD}", fit_average, PERIOD, flat=True),
        Rival("ema_forecast", "EMA forecast", fit_ema, 1, flat=True),
        Rival("linear", "Linear regression", fit_linear, WINDOW + FEWEST_ROWS),
        Rival(
            "knn", "Nearest neighbours", fit_neighbours, 1 + WINDOW + max(NEIGHBOURS, FEWEST_ROWS)
        ),
        Rival("arima", "ARIMA", fit_arima, 1 + FEWEST_ROWS),
        Rival("prophet", "Prophet", fit_prophet, FEWEST_ROWS, package="prophet"),
    )
}


def rival_named(name: str) -> Rival:
    """Return the rival of that name.

    Raises
    ------
    ExperimentError
        For an unknown name, or when the rival's package is not installed.
    """
    if name not in RIVALS:
        raise ExperimentError(f"no rival is called {name!r}.{did_you_mean(name, RIVALS)}")
    _check_installed(RIVALS[name])
    return RIVALS[name]


def walk_forward_forecasts(
    rival: Rival, prices: FloatArray, starts: Sequence[int], steps: int
) -> FloatArray:
    """Fit a rival anew for every fold and let it forecast at each of the fold's bars.

    Parameters
    ----------
    rival : Rival
        One of `RIVALS`.
    prices : array, shape (n,), float64
        One price a bar, oldest first, finite and above 0.
    starts : sequence of int
        Rows at which the folds' tests begin, rising; a test lasts until the next one. Each fit is
        on all prices before its start.
    steps : int
        Bars ahead.

    Returns
    -------
    array, shape (n - starts[0], steps)
        Row i, made at the close of bar t = starts[0] + i from prices up to and including t, holds
        the forecasts of the prices at t + 1 ... t + steps.

    Raises
    ------
    BarsError
        For too few prices before the first start, or one that is not finite and above 0.
    ExperimentError
        For starts or steps that make no folds, or when the rival's package is not installed.
    """
    bounds = [*starts, len(prices)]
    if steps < 1 or len(bounds) < 2 or any(start >= end for start, end in pairwise(bounds)):
        raise ExperimentError(
            f"expected at least 1 step and rising starts of folds below {len(prices)} rows, found"
            f" {steps} and {list(starts)}."
        )
    _check_prices(rival, prices, starts[0], steps)
    _check_installed(rival)
    return np.concatenate(
        [rival.fit(prices[:start], steps)(prices[:end], start) for start, end in pairwise(bounds)]
    )


def _check_prices(rival: Rival, prices: FloatArray, start: int, steps: int) -> None:
    wrong = np.flatnonzero(~(np.isfinite(prices) & (prices > 0)))
    if wrong.size:
        raise BarsError(
            f"expected finite prices above 0, found {prices[wrong[0]]} in row {wrong[0]}."
            " Drop or mend it."
        )
    needed = rival.needs + (0 if rival.flat else steps - 1)
    if start < needed:
        raise BarsError(
            f"{rival.label}: at least {needed} prices are needed before the first test, found"
            f" {start}. Use a longer history or a later first test."
        )


def _check_installed(rival: Rival) -> None:
    if rival.package and find_spec(rival.package) is None:
        raise ExperimentError(
            f"{rival.label} needs a package that is not installed: pip install {rival.package}"
        )


def rival_calls(
    forecasts: FloatArray,
    prices_today: FloatArray,
    horizon: int,
    target: Literal["open", "close"],
    *,
    flat: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Turn forecasts into calls.

    Parameters
    ----------
    forecasts : array, shape (n, steps)
        Column j is the price j + 1 bars ahead: opens for the target "open".
    prices_today : array, shape (n,)
        The prices at the bars of the forecasts, of the same field.
    horizon : int
        Bars that a call is about.
    target : "open" or "close"
        "open" scores the move from t + 1 to t + 1 + horizon, which an order filled at the next
        open earns. "close" scores the move from today's price to t + horizon, the tutorials' form.
    flat : bool, default False
        `Rival.flat`. A flat forecast's move from t + 1 on is 0, no call at all: with the target
        "open" it is scored by the move from today's price to t + 1 instead.

    Returns
    -------
    direction, score : arrays, shape (n,)
        Score is the relative move; direction its sign, in {-1, 0, +1}.

    Raises
    ------
    ExperimentError
        When the forecasts reach less far than the target.
    """
    ahead = horizon if target == "close" else 1 if flat else 1 + horizon
    if horizon < 1 or forecasts.shape[1] < ahead:
        raise ExperimentError(
            f"a horizon of {horizon} with target {target!r} needs forecasts of {max(ahead, 1)}"
            f" bars ahead, found {forecasts.shape[1]}. Forecast more steps."
        )
    before = forecasts[:, 0] if target == "open" and not flat else prices_today
    score = forecasts[:, ahead - 1] / before - 1.0
    return np.asarray(call(score, 0.0, 0.0), dtype=np.float64), score


def write_calls(
    path: str | Path, dates: pd.DatetimeIndex, direction: FloatArray, score: FloatArray
) -> None:
    """Write calls as the CSV file that `load_calls` and `SeriesDirection` read.

    Scores come back equal to the last bit. Dates that are all at midnight are written as days.

    Raises
    ------
    ExperimentError
        When the file cannot be written.
    """
    daily = bool((dates == dates.normalize()).all())
    times = [(time.date() if daily else time).isoformat() for time in dates]
    rows = zip(times, direction.tolist(), score.tolist(), strict=True)
    lines = [f"{time},{called:g},{scored!r}\n" for time, called, scored in rows]
    write_atomic(path, "".join(["date,direction,score\n", *lines]))
