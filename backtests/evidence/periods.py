"""The same returns by calendar year and by volatility, and the spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...signals.arrays import FloatArray
from ...signals.errors import ExperimentError
from ..metrics import sharpe, total_return

__all__ = [
    "REGIMES",
    "WINDOW",
    "SeedBand",
    "Slice",
    "by_period",
    "by_volatility_regime",
    "seed_band",
]

WINDOW = 60
"""Bars over which the market's volatility is measured."""
REGIMES = ("calm", "middle", "stormy")


@dataclass(frozen=True)
class Slice:
    """One strategy on some of the bars.

    Attributes
    ----------
    total_return : float
        Compounded over these bars, a fraction, even where they do not follow each other.
    mean_return : float
        Mean return a bar times the bars of a year: comparable between slices of unequal length.
    sharpe : float or None
        Annual; None without variance.
    """

    label: str
    strategy: str
    bars: int
    total_return: float
    mean_return: float
    sharpe: float | None


@dataclass(frozen=True)
class SeedBand:
    """How one figure spreads over training seeds; `sd` (ddof 1) is None with a single seed."""

    mean: float
    sd: float | None
    min: float
    median: float
    max: float
    n: int


def by_period(returns: pd.DataFrame, *, periods_per_year: float = 252) -> tuple[Slice, ...]:
    """Return each strategy in each calendar year.

    `returns`: one column of net returns per strategy, without missing values, on a DatetimeIndex.
    """
    if not isinstance(returns.index, pd.DatetimeIndex):
        raise ExperimentError(f"returns by year: expected dates, found {returns.index.dtype}.")
    labels = np.array([str(year) for year in returns.index.year], dtype=np.str_)
    return _slices(returns, labels, periods_per_year)


def by_volatility_regime(
    returns: pd.DataFrame, market: pd.Series[float], *, periods_per_year: float = 252
) -> tuple[Slice, ...]:
    """Return each strategy in calm, middle and stormy markets.

    A bar's regime is the third into which falls the market's standard deviation over the 60 bars
    before it, so it was known before the bar. The two limits between the thirds are those of the
    whole history: they describe, and nobody could have traded on them. The first 60 bars belong
    to no regime. `market` has the days of `returns`.
    """
    if not returns.index.equals(market.index):
        raise ExperimentError("returns and market: expected the same days, found others.")
    before = market.rolling(WINDOW).std().shift(1).to_numpy(np.float64)
    known = np.isfinite(before)
    if not known.any():
        return ()
    limits = np.quantile(before[known], [1 / 3, 2 / 3])
    labels = np.array(REGIMES)[np.searchsorted(limits, before[known])]
    part = pd.DataFrame(returns.to_numpy(np.float64)[known], columns=returns.columns)
    found = _slices(part, labels, periods_per_year)
    return tuple(sorted(found, key=lambda piece: REGIMES.index(piece.label)))


def seed_band(values: Sequence[float]) -> SeedBand | None:
    """Return the spread of one figure over seeds; None without a value."""
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return None
    if not np.isfinite(found).all():
        raise ExperimentError("seeds: expected a finite figure for every seed; leave out the rest.")
    return SeedBand(
        mean=float(found.mean()),
        sd=float(found.std(ddof=1)) if len(found) > 1 else None,
        min=float(found.min()),
        median=float(np.median(found)),
        max=float(found.max()),
        n=len(found),
    )


def _slices(
    returns: pd.DataFrame, labels: npt.NDArray[np.str_], per_year: float
) -> tuple[Slice, ...]:
    if returns.isna().to_numpy().any():
        raise ExperimentError("returns: expected a value on every day, found missing ones.")
    table = returns.to_numpy(np.float64)
    return tuple(
        _slice(str(label), str(name), table[labels == label, column], per_year)
        for label in np.unique(labels)
        for column, name in enumerate(returns.columns)
    )


def _slice(label: str, strategy: str, values: FloatArray, per_year: float) -> Slice:
    return Slice(
        label=label,
        strategy=strategy,
        bars=len(values),
        total_return=total_return(np.concatenate([[1.0], np.cumprod(1.0 + values)])),
        mean_return=float(values.mean()) * per_year,
        sharpe=sharpe(values, per_year),
    )
