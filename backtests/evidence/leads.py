"""Leads of one strategy over others, with Newey-West standard errors: pure functions on arrays.

A lead is a difference of two annual Sharpe ratios. Days are rows, strategies columns; returns are
simple returns a day as fractions. Nothing is checked here: `nextbar.backtests.verdict` refuses
what has no meaning (missing values, fewer than two days, a market that never moves).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ...signals.arrays import FloatArray

__all__ = [
    "NOISE",
    "Leads",
    "above",
    "hochberg",
    "lead_over_all",
    "leads_over",
    "long_run_covariance",
    "normal_point",
]

NOISE = 1e-12
"""Returns closer than this are equal: a return is a quotient of two float64 values."""


@dataclass(frozen=True, eq=False)
class Leads:
    """How far one strategy is ahead of each of K others; every array has shape (K,) but two.

    Attributes
    ----------
    sharpe : float64, shape (K + 1,)
        Annual Sharpe ratios, those compared with after the strategy's own; 0 without variance.
    difference : float64
        The strategy's Sharpe ratio minus each other.
    covariance : float64, shape (K, K)
        Newey-West covariance of `difference`, by the delta method.
    error : float64
        Standard errors of `difference`, never below the floor.
    intercept, intercept_error : float64
        Intercept of (strategy - other) regressed on the market, per year, and its standard error.
    """

    sharpe: FloatArray
    difference: FloatArray
    covariance: FloatArray
    error: FloatArray
    intercept: FloatArray
    intercept_error: FloatArray

    @property
    def p(self) -> FloatArray:
        """The larger of two one-sided p-values, shape (K,): no lead, no intercept above 0."""
        return np.maximum(
            above(self.difference / self.error), above(self.intercept / self.intercept_error)
        )


def above(z: FloatArray) -> FloatArray:
    """Return P(Z >= z) of a standard normal Z, exact in the upper tail too."""
    return np.array([0.5 * math.erfc(value / math.sqrt(2.0)) for value in z], dtype=np.float64)


def normal_point(share: float) -> float:
    """Return the point that a standard normal exceeds with probability `share`."""
    return -NormalDist().inv_cdf(share)


def leads_over(
    returns: FloatArray,
    market: FloatArray,
    *,
    periods_per_year: float,
    lag: int,
    floor: float,
) -> Leads:
    """Return the leads of the first column of `returns`, shape (n, K + 1), over the others.

    `market`, shape (n,), is what the differences of returns are regressed on. `floor` is the
    smallest standard error that is believed, in annual Sharpe ratio.
    """
    sharpe, influence = _sharpe_ratios(returns, math.sqrt(periods_per_year))
    covariance = long_run_covariance(influence[:, :1] - influence[:, 1:], lag)
    intercept, error = _intercepts(returns[:, :1] - returns[:, 1:], market, lag)
    return Leads(
        sharpe=sharpe,
        difference=sharpe[0] - sharpe[1:],
        covariance=covariance,
        error=np.maximum(np.sqrt(np.diag(covariance)), floor),
        intercept=intercept * periods_per_year,
        intercept_error=error * periods_per_year,
    )


def long_run_covariance(values: FloatArray, lag: int) -> FloatArray:
    """Return the Newey-West covariance (Bartlett weights) of the column means of `values`.

    Shape (n, k) gives (k, k). The covariances of days up to `lag` apart are counted, with weights
    that fall to zero, so that the matrix has no negative variance.
    """
    days = len(values)
    centred = values - values.mean(axis=0)
    total = centred.T @ centred
    for apart in range(1, min(lag, days - 1) + 1):
        product = centred[apart:].T @ centred[:-apart]
        total += (1.0 - apart / (lag + 1.0)) * (product + product.T)
    return total / days**2


def hochberg(p: FloatArray, alpha: float) -> npt.NDArray[np.bool_]:
    """Return which of the hypotheses with p-values `p`, shape (k,), Hochberg's step-up rejects.

    With the p-values in rising order: if the largest is at most alpha, all are rejected; else if
    the second largest is at most alpha / 2, all but the largest; and so on.
    """
    order = np.argsort(p, kind="stable")
    passed = p[order] <= alpha / np.arange(len(p), 0, -1)
    rejected = np.zeros(len(p), dtype=np.bool_)
    rejected[order[: int(np.flatnonzero(passed).max(initial=-1)) + 1]] = True
    return rejected


def lead_over_all(
    leads: Leads, counted: npt.NDArray[np.bool_], *, alpha: float, power: float, draws: int
) -> float:
    """Return the lead over the best other strategy that would show in `power` of all histories.

    "Show" is to pass a one-sided test at `alpha` against every strategy that is `counted`. The
    others are taken to lie half their measured gap behind the best one. The errors are joint
    normal draws from a fixed seed.
    """
    rng = np.random.default_rng(0)
    order = np.argsort(-leads.sharpe[1:], kind="stable")  # so that a permutation changes nothing
    values, vectors = np.linalg.eigh(leads.covariance[np.ix_(order, order)])
    # The symmetric root is unique, so the draws do not hang on a linear algebra library's signs.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    errors = rng.standard_normal((draws, len(values))) @ root
    sharpe = leads.sharpe[1:][order]
    needed = normal_point(alpha) * leads.error[order] - errors - (sharpe[0] - sharpe) / 2.0
    return max(0.0, float(np.quantile(needed[:, counted[order]].max(axis=1), power)))


def _sharpe_ratios(returns: FloatArray, per_year: float) -> tuple[FloatArray, FloatArray]:
    """Return annual Sharpe ratios, shape (k,), and what each day adds to them, shape (n, k).

    The delta method: a day z deviations from the mean moves a ratio s by z - s (z**2 - 1) / 2.
    """
    deviation = returns.std(axis=0, ddof=1)
    moves = deviation > NOISE
    scale = np.where(moves, deviation, 1.0)
    mean = returns.mean(axis=0)
    ratio = np.where(moves, mean / scale, 0.0)
    z = (returns - mean) / scale
    return ratio * per_year, (z - ratio / 2.0 * (z**2 - 1.0)) * moves * per_year


def _intercepts(
    differences: FloatArray, market: FloatArray, lag: int
) -> tuple[FloatArray, FloatArray]:
    """Return each column's intercept on the market, a day, and its Newey-West standard error."""
    mean = market.mean()
    centred = market - mean
    variance = centred @ centred / len(market)
    slope = centred @ differences / len(market) / variance
    intercept = differences.mean(axis=0) - slope * mean
    residual = differences - intercept - np.outer(market, slope)
    weight = 1.0 - mean * centred / variance
    covariance = long_run_covariance(residual * weight[:, None], lag)
    return intercept, np.sqrt(np.maximum(np.diag(covariance), NOISE**2))
