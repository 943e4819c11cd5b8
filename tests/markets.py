"""Made-up markets for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

PLANTED = 0.67
"""How often the planted rule is right."""


def random_bars(
    n: int, seed: int = 0, *, freq: str = "B", start: str = "2001-01-01", sigma: float = 0.01
) -> pd.DataFrame:
    """Return n bars of a random walk with gaps, obeying the contract."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, sigma, n)))
    before = np.concatenate([[100.0], close[:-1]])
    open_ = before * np.exp(rng.normal(0, sigma / 3, n))
    wick = np.abs(rng.normal(0, sigma / 3, (2, n)))
    frame = pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) * (1 + wick[0]),
            "low": np.minimum(open_, close) * (1 - wick[1]),
            "close": close,
            "volume": rng.integers(1_000, 9_000, n).astype(float),
        },
        index=pd.date_range(start, periods=n, freq=freq, name="date"),
    )
    frame.attrs.update(symbol="TEST", interval="1d", adjustment="raw", notes=[])
    return frame


def planted_bars(n: int, seed: int) -> pd.DataFrame:
    """Return bars where open[t+2] moves away from open[t+1] as close[t] did from close[t-1].

    It does so with probability PLANTED; nothing else tells anything.
    """
    rng = np.random.default_rng(seed)
    body = rng.normal(0, 0.02, n)
    size = rng.uniform(0.005, 0.015, n)
    agrees = np.where(rng.random(n) < PLANTED, 1.0, -1.0)
    log_open = np.full(n, np.log(100.0))
    for t in range(3, n):
        seen = log_open[t - 2] + body[t - 2] - log_open[t - 3] - body[t - 3]
        log_open[t] = log_open[t - 1] + np.sign(seen) * agrees[t] * size[t]
    open_, close = np.exp(log_open), np.exp(log_open + body)
    wick = 1 + np.abs(rng.normal(0, 0.003, (2, n)))
    frame = random_bars(n).assign(open=open_, close=close)
    frame["high"] = np.maximum(open_, close) * wick[0]
    frame["low"] = np.minimum(open_, close) / wick[1]
    return frame


SD = 0.0105
"""Standard deviation of a day's log move in the markets below, as of a large share."""

NIGHT = 0.2
"""Share of a day's variance that comes overnight."""


def walk_bars(n: int, seed: int, *, drift: float = 0.0003) -> pd.DataFrame:
    """Return n daily bars of a random walk with the volatility of shares and `drift` a day."""
    rng = np.random.default_rng(seed)
    shocks, variance = _shocks(n, rng)
    return _between_closes(drift + shocks, variance, rng)


def trending_bars(n: int, seed: int, *, drift: float, hold: float) -> pd.DataFrame:
    """Return a random walk whose drift is `drift` up or down, drawn anew once in `hold` days."""
    rng = np.random.default_rng(seed)
    shocks, variance = _shocks(n, rng)
    return _between_closes(drift * _spells(n, hold, rng) + shocks, variance, rng)


def planted_walk(
    n: int,
    seed: int,
    *,
    accuracy: float,
    hold: float = 10,
    until: int | None = None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a walk with a planted rule, and the rule's state at each close: +1 or -1.

    The state, drawn anew once in `hold` days, is +1 on days with long wicks, -1 on days with short
    ones. The shock from open[t+1] to open[t+2] has the sign of the state at t with chance
    `accuracy`, on bars before `until`. All else is as in `walk_bars`.
    """
    rng = np.random.default_rng(seed)
    shocks, variance = _shocks(n, rng)
    state = _spells(n, hold, rng)
    right = np.where(rng.random(n) < accuracy, 1.0, -1.0)
    # shocks[t] is the move from open[t] to open[t + 1], which the state at t - 1 foretells.
    foretold = np.abs(shocks) * np.concatenate([[1.0], state[:-1]]) * right
    shocks = np.where(np.arange(n) < (until or n), foretold, shocks)
    moves = np.log1p(np.maximum(0.0003 + shocks, -0.5))
    log_open = np.log(100.0) + np.cumsum(moves) - moves
    log_close = log_open + moves - _gaps(moves, variance, rng)
    wicks = np.sqrt(variance) * np.where(state > 0, rng.uniform(0.5, 1.5, (2, n)), 0.05)
    high = np.maximum(log_open, log_close) + wicks[0]
    low = np.minimum(log_open, log_close) - wicks[1]
    return _daily_bars(log_open, high, low, log_close, rng), state


def _spells(n: int, hold: float, rng: np.random.Generator) -> np.ndarray:
    """Return +1 or -1, drawn anew with chance 1 / `hold` a day."""
    anew = rng.random(n) < 1 / hold
    anew[0] = True
    drawn = np.maximum.accumulate(np.where(anew, np.arange(n), 0))
    return np.where(rng.random(n) < 0.5, 1.0, -1.0)[drawn]


def _shocks(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return GARCH(1,1) (0.08, 0.90) shocks with t(5) innovations, and their variances."""
    drawn = rng.standard_t(5, n) * np.sqrt(3 / 5)
    variance = np.full(n, SD**2)
    for t in range(1, n):
        last = variance[t - 1]
        variance[t] = 0.02 * SD**2 + 0.08 * last * drawn[t - 1] ** 2 + 0.9 * last
    return np.sqrt(variance) * drawn, variance


def _between_closes(
    returns: np.ndarray, variance: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Return bars with these simple returns from close to close; each begins with a gap.

    High and low are those of a Brownian path from open to close.
    """
    moves = np.log1p(np.maximum(returns, -0.5))
    log_close = np.log(100.0) + np.cumsum(moves)
    log_open = log_close - moves + _gaps(moves, variance, rng)
    middle, across = (log_open + log_close) / 2, (log_close - log_open) ** 2
    drawn = np.log(1.0 - rng.random((2, len(moves))))
    reach = np.sqrt(across - 2 * ((1 - NIGHT) * variance) * drawn) / 2
    return _daily_bars(log_open, middle + reach[0], middle - reach[1], log_close, rng)


def _gaps(moves: np.ndarray, variance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the overnight part of log moves that have these variances."""
    noise = np.sqrt(NIGHT * (1 - NIGHT) * variance) * rng.standard_normal(len(moves))
    return NIGHT * moves + noise


def _daily_bars(
    log_open: np.ndarray,
    log_high: np.ndarray,
    log_low: np.ndarray,
    log_close: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    open_, high, low, close = map(np.exp, (log_open, log_high, log_low, log_close))
    frame = pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(high, np.maximum(open_, close)),
            "low": np.minimum(low, np.minimum(open_, close)),
            "close": close,
            "volume": np.round(rng.lognormal(13.0, 0.3, len(open_))),
        },
        index=pd.date_range("1980-01-01", periods=len(open_), freq="B", name="date"),
    )
    frame.attrs.update(symbol="TEST", interval="1d", adjustment="raw", notes=[])
    return frame
