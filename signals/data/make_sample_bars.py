"""Make the embedded sample bars from bokeh_sampledata.

Run from this folder, with ``pip install --no-deps bokeh_sampledata==2026.1``::

    python make_sample_bars.py

The same input gives the same bytes. See CREDITS.md for where the prices come from.
"""

from __future__ import annotations

import gzip
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SYMBOLS = ("AAPL", "MSFT", "IBM", "GOOG")
PRICES = ["open", "high", "low", "close"]
# Rounding never swaps two prices, so low <= open, close <= high survives it.
DIGITS = 6


def adjusted(table: dict[str, list[Any]]) -> pd.DataFrame:
    """Return the table's bars with prices adjusted for splits and dividends, rounded."""
    bars = pd.DataFrame(table).set_index("date")
    factor = bars["adj_close"] / bars["close"]
    prices = bars[PRICES].mul(factor, axis=0).to_numpy()
    scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(prices)))
    bars[PRICES] = np.round(prices * scale) / scale
    return bars.drop(columns="adj_close")


def main() -> None:
    """Write one ``SYMBOL.csv.gz`` for each symbol beside this file."""
    # Not a dependency, so looked up by name: type checks must pass without it.
    stocks = import_module("bokeh_sampledata.stocks")
    for symbol in SYMBOLS:
        text = adjusted(getattr(stocks, symbol)).to_csv(float_format=f"%.{DIGITS}g")
        # No time stamp in the file: what is written depends on the prices alone.
        packed = gzip.compress(text.encode(), 9, mtime=0)
        Path(__file__).with_name(f"{symbol}.csv.gz").write_bytes(packed)


if __name__ == "__main__":
    main()
