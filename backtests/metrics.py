"""Performance measures of one result: pure functions on arrays, undefined is None.

Conventions, the same everywhere:

- `equity` is the account value at each close, the starting cash first: n + 1 values for n bars.
- `returns` are the n simple returns between them, net of costs, as fractions (0.01 is 1 %).
- `rf` is a risk-free return per bar, not per year.
- `periods_per_year` is the number of bars in a year, such as 252 for daily stock prices.
- A measure that is undefined (never traded, no variance, no closed trade) is None, never NaN or
  infinite. After a return of -100 % or less the account is gone: measures of risk are None then.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from .trades import round_trips

if TYPE_CHECKING:
    from .result import Result

__all__ = [
    "METRICS",
    "Metric",
    "break_even_bps",
    "cagr",
    "calmar",
    "costs_paid",
    "exposure",
    "hit_rate",
    "max_drawdown",
    "max_drawdown_bars",
    "profit_factor",
    "return_summary",
    "sharpe",
    "sortino",
    "summary",
    "total_return",
    "turnover",
    "volatility",
]

Values = npt.NDArray[np.floating[Any]]

_NOISE = 1e-12
"""Spreads of returns below this are rounding: a return is a quotient of two float64 values."""


class Metric(NamedTuple):
    """How a measure is shown: its key in `summary`, its unit, a short label."""

    name: str
    unit: str
    label: str


METRICS = (
    Metric("total_return", "fraction", "Total return"),
    Metric("cagr", "fraction per year", "CAGR"),
    Metric("volatility", "fraction per year", "Volatility"),
    Metric("sharpe", "ratio, annualised", "Sharpe"),
    Metric("sortino", "ratio, annualised", "Sortino"),
    Metric("calmar", "ratio", "Calmar"),
    Metric("max_drawdown", "fraction", "Max drawdown"),
    Metric("max_drawdown_bars", "bars", "Longest drawdown"),
    Metric("exposure", "fraction of bars", "Exposure"),
    Metric("turnover", "times equity per year", "Turnover"),
    Metric("trades", "count", "Trades"),
    Metric("hit_rate", "fraction of trades", "Hit rate"),
    Metric("profit_factor", "ratio", "Profit factor"),
    Metric("costs_paid", "account currency", "Costs paid"),
    Metric("break_even_bps", "basis points per side", "Break-even cost"),
    Metric("rejected_orders", "count", "Rejected orders"),
)


def total_return(equity: Values) -> float:
    """Return the growth over the whole period, a fraction: last / first - 1."""
    return float(equity[-1] / equity[0] - 1.0)


def cagr(equity: Values, periods_per_year: float) -> float | None:
    """Return the compound annual growth rate, a fraction per year.

    ``(last / first) ** (periods_per_year / n) - 1`` for n returns. Time is counted in bars, so it
    differs slightly from a rate over calendar days. None without a return, when the account ended
    at or below zero, and when a very short history makes the rate too large for a float.
    """
    if len(equity) < 2 or equity[-1] <= 0:
        return None
    growth = math.log(equity[-1] / equity[0]) * periods_per_year / (len(equity) - 1)
    try:
        return math.expm1(growth)
    except OverflowError:
        return None


def volatility(returns: Values, periods_per_year: float) -> float | None:
    """Return the standard deviation (ddof 1) times sqrt(periods_per_year), a fraction per year.

    0 for an account that never moved; None with fewer than two returns or a lost account.
    """
    if len(returns) < 2 or _lost(returns):
        return None
    return float(np.std(returns, ddof=1) * math.sqrt(periods_per_year))


def sharpe(returns: Values, periods_per_year: float, rf: float = 0.0) -> float | None:
    """Return mean / standard deviation (ddof 1) of ``returns - rf``, times sqrt(periods_per_year).

    None with fewer than two returns, without variance and for a lost account.
    """
    if len(returns) < 2 or _lost(returns) or np.ptp(returns) <= _NOISE:
        return None
    excess = returns - rf
    return float(np.mean(excess) / np.std(excess, ddof=1) * math.sqrt(periods_per_year))


def sortino(returns: Values, periods_per_year: float, rf: float = 0.0) -> float | None:
    """Return mean / downside deviation of ``returns - rf``, times sqrt(periods_per_year).

    The downside deviation is ``sqrt(mean(min(returns - rf, 0) ** 2))`` over all returns, not only
    the negative ones. None without a return, without a negative one and for a lost account.
    """
    if len(returns) == 0 or _lost(returns):
        return None
    excess = returns - rf
    if np.min(excess) >= -_NOISE:
        return None
    downside = np.sqrt(np.mean(np.square(np.minimum(excess, 0.0))))
    return float(np.mean(excess) / downside * math.sqrt(periods_per_year))


def max_drawdown(equity: Values) -> float:
    """Return the deepest fall from an earlier peak, a fraction <= 0: min(equity / peak - 1).

    The starting cash is the first peak, so a loss on the first bar counts.
    """
    return float(np.min(equity / np.maximum.accumulate(equity) - 1.0))


def max_drawdown_bars(equity: Values) -> int:
    """Return the longest time under water, in bars; 0 when the account never fell.

    Counted from the last bar at the peak to the first bar at or above it again, or to the last
    bar when that never came.
    """
    at_peak = np.flatnonzero(equity >= np.maximum.accumulate(equity))
    spans = np.diff(np.append(at_peak, len(equity)))
    spans[-1] -= 1  # the end of the history is not a recovery
    spans[:-1][spans[:-1] == 1] = 0  # no fall between neighbouring peaks
    return int(np.max(spans))


def calmar(equity: Values, periods_per_year: float) -> float | None:
    """Return `cagr` / -`max_drawdown`; None when either is undefined or there was no drawdown."""
    growth, depth = cagr(equity, periods_per_year), max_drawdown(equity)
    return None if growth is None or depth >= -_NOISE else growth / -depth


def exposure(position: Values) -> float | None:
    """Return the share of bars with a position at the close, a fraction; None without a bar."""
    return float(np.count_nonzero(position) / len(position)) if len(position) else None


def turnover(traded: Values, equity: Values, periods_per_year: float) -> float | None:
    """Return the traded value per year as a multiple of the mean equity.

    ``sum(traded) / mean(equity) / years``, with ``traded`` the unsigned value of each fill and
    ``years = n / periods_per_year``. Each fill counts once: buying and later selling the whole
    account is 2. So turnover x cost per side is the yearly cost as a fraction of equity.
    0 when nothing was traded; None without a return or with a mean equity of zero or less.
    """
    mean, years = float(np.mean(equity)), (len(equity) - 1) / periods_per_year
    return float(np.sum(traded)) / mean / years if mean > 0 and years > 0 else None


def hit_rate(pnl: Values) -> float | None:
    """Return the share of closed trades with a net profit above zero; None without a trade."""
    return float(np.count_nonzero(pnl > 0) / len(pnl)) if len(pnl) else None


def profit_factor(pnl: Values) -> float | None:
    """Return the profits of the winning / the losses of the losing closed trades, net of costs.

    None without a losing trade.
    """
    losses = -float(np.sum(pnl[pnl < 0]))
    return float(np.sum(pnl[pnl > 0])) / losses if losses > 0 else None


def costs_paid(commission: Values) -> float:
    """Return the sum of all commissions, in account currency."""
    return float(np.sum(commission))


def break_even_bps(net_profit: float, costs: float, traded: Values) -> float | None:
    """Return the cost per side, in basis points, at which the net profit would have been zero.

    ``(net_profit + costs) / sum(traded) * 1e4``, the fills held fixed. Negative when the strategy
    lost money before costs; None when it never traded.
    """
    value = float(np.sum(traded))
    return (net_profit + costs) / value * 1e4 if value > 0 else None


def summary(result: Result, periods_per_year: float) -> dict[str, float | int | None]:
    """Return every measure of `METRICS` for one result, in that order.

    The first bar only opens the account: nothing can be held on it, so measures count the bars
    after it. Trades are closed round trips; profit and costs include a position still open.
    """
    equity = result.equity.to_numpy(np.float64)
    returns = result.returns.to_numpy(np.float64)[1:]
    position = result.position.to_numpy(np.float64)[1:]
    traded = result.orders["value"].to_numpy(np.float64)
    costs = costs_paid(result.orders["commission"].to_numpy(np.float64))
    trips = round_trips(result.orders, float(result.close.iloc[-1]))
    pnl = trips.loc[trips["exit"].notna(), "pnl"].to_numpy(np.float64)
    return {
        "total_return": total_return(equity),
        "cagr": cagr(equity, periods_per_year),
        "volatility": volatility(returns, periods_per_year),
        "sharpe": sharpe(returns, periods_per_year),
        "sortino": sortino(returns, periods_per_year),
        "calmar": calmar(equity, periods_per_year),
        "max_drawdown": max_drawdown(equity),
        "max_drawdown_bars": max_drawdown_bars(equity),
        "exposure": exposure(position),
        "turnover": turnover(traded, equity, periods_per_year),
        "trades": len(pnl),
        "hit_rate": hit_rate(pnl),
        "profit_factor": profit_factor(pnl),
        "costs_paid": costs,
        "break_even_bps": break_even_bps(float(equity[-1]) - result.cash, costs, traded),
        "rejected_orders": len(result.rejected),
    }


def return_summary(returns: pd.Series[float], periods_per_year: float) -> dict[str, float | None]:
    """Return the measures that need returns only, for a mix of accounts.

    `returns` starts with the bar that only opens the accounts, as in `summary`.
    """
    later = returns.to_numpy(np.float64)[1:]
    equity = np.concatenate([[1.0], np.cumprod(1.0 + later)])
    return {
        "total_return": total_return(equity),
        "cagr": cagr(equity, periods_per_year),
        "volatility": volatility(later, periods_per_year),
        "sharpe": sharpe(later, periods_per_year),
        "sortino": sortino(later, periods_per_year),
        "calmar": calmar(equity, periods_per_year),
        "max_drawdown": max_drawdown(equity),
    }


def _lost(returns: Values) -> bool:
    """Return whether the account fell to zero or below: later returns have no meaning."""
    return bool(np.min(returns) <= -1.0)
