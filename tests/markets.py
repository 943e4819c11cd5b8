"""Made-up markets for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd


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
