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
