"""The classical forecasters: each learns from prices before a date and then foretells at every bar.

All are fitted by one signature, ``fit(prices, steps) -> Forecast``. A forecast at bar t is made of
the prices up to and including t and of what was learned at the fit, of nothing else.
"""

# scikit-learn, statsmodels and prophet ship no types.
# pyright: reportMissingTypeStubs=false, reportMissingImports=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ..signals.arrays import FloatArray

__all__ = [
    "DECAY",
    "NEIGHBOURS",
    "ORDERS",
    "PERIOD",
    "WINDOW",
    "Forecast",
    "fit_arima",
    "fit_average",
    "fit_ema",
    "fit_linear",
    "fit_neighbours",
    "fit_prophet",
]

Forecast: TypeAlias = Callable[[FloatArray, int], FloatArray]
"""``forecast(prices, first)``: at every bar from row `first` on, the next prices.

`prices` is the whole history, shape (n,), oldest first and the prices of the fit included; the
result has the shape (n - first, steps), its column j the price j + 1 bars ahead, in the unit of
`prices`.
"""

PERIOD = 100
"""Prices of the standard average."""

DECAY = 0.5
"""Share of the exponential average that is carried over from one bar to the next."""

WINDOW = 10
"""Prices that the regression looks at, and returns that the nearest neighbours look at."""

NEIGHBOURS = 25
"""Similar windows whose outcomes are averaged: a forecast of fewer is mostly noise."""

ORDERS = ((1, 1, 0), (2, 1, 0), (0, 1, 1))
"""The ARIMA orders (p, d, q) of which Akaike's criterion chooses; d = 1 is part of the code.

No mixed one: on prices near a random walk its two parts cancel, and then the last digit of a price
decides whether the search ends.
"""


def fit_average(prices: FloatArray, steps: int) -> Forecast:  # noqa: ARG001
    """Foretell the mean of the last `PERIOD` prices, any number of bars ahead."""

    def forecast(prices: FloatArray, first: int) -> FloatArray:
        means = _windows(prices[first - PERIOD + 1 :], PERIOD).mean(axis=1)
        return _repeat(means, steps)

    return forecast


def fit_ema(prices: FloatArray, steps: int) -> Forecast:  # noqa: ARG001
    """Foretell the exponential average, any number of bars ahead.

    It is ``DECAY * average + (1 - DECAY) * price``, and starts from the first price (`signals`'
    own `ema` starts from a mean, as backtrader's does).
    """

    def forecast(prices: FloatArray, first: int) -> FloatArray:
        averages = pd.Series(prices).ewm(alpha=1.0 - DECAY, adjust=False).mean()
        return _repeat(averages.to_numpy(np.float64)[first:], steps)

    return forecast


def fit_linear(prices: FloatArray, steps: int) -> Forecast:
    """Regress each of the next `steps` prices on the last `WINDOW`, all over the latest minus 1.

    Over the latest, because a price of 10 years ago would otherwise weigh by its level. A straight
    line of prices is still foretold exactly.
    """
    from sklearn.linear_model import LinearRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums depend on the number of threads
        model: Any = LinearRegression().fit(
            _levels(prices)[:-steps], _moves(prices[WINDOW - 1 :], steps)
        )

    def forecast(prices: FloatArray, first: int) -> FloatArray:
        with threadpool_limits(1):
            moves = model.predict(_levels(prices[first - WINDOW + 1 :]))
        return prices[first:, None] * (1.0 + moves)

    return forecast


def fit_neighbours(prices: FloatArray, steps: int) -> Forecast:
    """Foretell the mean of what followed the `NEIGHBOURS` most similar windows of the fit.

    Windows are of the last `WINDOW` simple returns, each over its standard deviation in the fit.
    """
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # A tree measures each distance by itself: no sum depends on threads or on the other rows.
    neighbours = KNeighborsRegressor(NEIGHBOURS, algorithm="kd_tree")
    model: Any = make_pipeline(StandardScaler(), neighbours)
    model.fit(_windows(_returns(prices), WINDOW)[:-steps], _moves(prices[WINDOW:], steps))

    def forecast(prices: FloatArray, first: int) -> FloatArray:
        windows = _windows(_returns(prices[first - WINDOW :]), WINDOW)
        return prices[first:, None] * (1.0 + model.predict(windows))

    return forecast


def fit_arima(prices: FloatArray, steps: int) -> Forecast:
    """Foretell by an ARIMA of log prices with drift, of the order with the least AIC.

    Between fits its parameters stay, and every new price is filtered by them. An order whose
    likelihood does not converge is left out; when none is left, or prices never change, the
    forecast is a random walk with the drift of the fit.
    """
    from threadpoolctl import threadpool_limits

    returns = _log_returns(prices)
    drift, scale = float(returns.mean()), float(returns.std())
    fitted = _least_aic((returns - drift) / scale) if scale > 0 else None

    def forecast(prices: FloatArray, first: int) -> FloatArray:
        ahead = np.zeros((len(prices) - first, steps))
        if fitted is not None:
            with threadpool_limits(1):
                result = fitted.apply((_log_returns(prices) - drift) / scale)
            ahead = _returns_ahead(result.filter_results, first, steps)
        return prices[first:, None] * np.exp((drift + scale * ahead).cumsum(axis=1))

    return forecast


def _least_aic(returns: FloatArray) -> Any:
    """Return the fitted ARMA of least AIC, the first of `ORDERS` among equals; None if none is."""
    from statsmodels.tsa.arima.model import ARIMA
    from threadpoolctl import threadpool_limits

    best: Any = None
    # Poor starting values and a stopped search are warned of; what counts is the flag at the end.
    with threadpool_limits(1), warnings.catch_warnings(action="ignore"):
        for p, _, q in ORDERS:  # d = 1: of returns, it is a model of log prices
            result: Any = ARIMA(returns, order=(p, 0, q), trend="c").fit()
            converged = result.mle_retvals["converged"] and np.isfinite(result.aic)
            if converged and (best is None or result.aic < best.aic):
                best = result
    return best


def _returns_ahead(filtered: Any, first: int, steps: int) -> FloatArray:
    """Return the expected returns after each price from `first` on, shape (n - first, steps).

    Column t of `predicted_state` is the state after the return that price t ended: there is one
    return less than prices.
    """
    design, transition = filtered.design[0, :, 0], filtered.transition[..., 0]
    state = filtered.predicted_state[:, first:]
    ahead: list[FloatArray] = []
    for _ in range(steps):
        ahead.append(filtered.obs_intercept[0, 0] + design @ state)
        state = transition @ state
    return np.stack(ahead, axis=1)


def fit_prophet(prices: FloatArray, steps: int) -> Forecast:
    """Foretell by carrying on Prophet's trend; prices after the fit do not change it.

    Rows are its time. It has no seasons: prices without dates have none. A trend that falls to a
    hundredth of the least price of the fit stays there, as it would go on below 0.
    """
    with _quiet():
        from prophet import Prophet

        # Samples of uncertainty are the only random part.
        parts = ("yearly_seasonality", "weekly_seasonality", "daily_seasonality")
        model: Any = Prophet(uncertainty_samples=0, **dict.fromkeys(parts, False))
        model.fit(_times(0, len(prices)).assign(y=prices))
    least = prices.min() / 100

    def forecast(prices: FloatArray, first: int) -> FloatArray:
        with _quiet():
            curve = model.predict(_times(first + 1, len(prices) + steps))["yhat"]
        return _windows(np.maximum(curve.to_numpy(np.float64), least), steps).copy()

    return forecast


@contextmanager
def _quiet() -> Generator[None]:
    """Keep what Prophet says of itself off the terminal; its errors are raised all the same.

    For one thread at a time: logging is switched off for all.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # cmdstanpy resets the level of its own logger
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def _times(first: int, end: int) -> pd.DataFrame:
    # Seconds, as more of them than of days fit into a date; only their order counts.
    seconds = np.arange(first, end).astype("datetime64[s]")
    return pd.DataFrame({"ds": seconds.astype("datetime64[ns]")})


def _windows(values: FloatArray, length: int) -> FloatArray:
    return np.lib.stride_tricks.sliding_window_view(values, length)


def _repeat(values: FloatArray, steps: int) -> FloatArray:
    return np.repeat(values[:, None], steps, axis=1)


def _levels(prices: FloatArray) -> FloatArray:
    """Return the `WINDOW` - 1 prices before each over it, minus 1."""
    windows = _windows(prices, WINDOW)
    return windows[:, :-1] / windows[:, -1:] - 1.0


def _moves(prices: FloatArray, steps: int) -> FloatArray:
    """Return the `steps` prices after each over it, minus 1; rows without all of them left out."""
    windows = _windows(prices, steps + 1)
    return windows[:, 1:] / windows[:, :1] - 1.0


def _returns(prices: FloatArray) -> FloatArray:
    return prices[1:] / prices[:-1] - 1.0


def _log_returns(prices: FloatArray) -> FloatArray:
    return np.diff(np.log(prices))
