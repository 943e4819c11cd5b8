"""Four real histories that come with the package: they load offline, in milliseconds."""

from __future__ import annotations

import gzip
from importlib import resources

import pandas as pd

from .. import data
from ..errors import SourceError, did_you_mean
from .request import Request
from .table import bars_from_own_csv

__all__ = ["SAMPLE_SYMBOLS", "load", "sample_bars"]

SAMPLE_SYMBOLS: tuple[str, ...] = ("AAPL", "MSFT", "IBM", "GOOG")
NOTES = [
    "Quandl WIKI Prices, public domain, up to 2013-03-01",
    "prices adjusted for splits and dividends; volume is as traded",
]


def sample_bars(symbol: str = "AAPL") -> pd.DataFrame:
    """Return the embedded daily bars of `symbol`: real prices, 2000 (GOOG 2004) to 2013-03-01.

    Raises
    ------
    SourceError
        For a symbol that is not one of `SAMPLE_SYMBOLS`.
    """
    name = symbol.upper()
    if name not in SAMPLE_SYMBOLS:
        hint = did_you_mean(symbol, SAMPLE_SYMBOLS)
        raise SourceError(f"no embedded sample bars for {symbol!r}.{hint}")
    packed = resources.files(data).joinpath(f"{name}.csv.gz").read_bytes()
    attrs = {
        "symbol": name,
        "interval": "1d",
        "adjustment": "split+dividend",
        "notes": list(NOTES),
    }
    return bars_from_own_csv(gzip.decompress(packed).decode(), attrs, f"sample {name}")


def load(request: Request) -> pd.DataFrame:
    """Return the sample bars asked for, all of them; `load_bars` cuts the range.

    Raises
    ------
    SourceError
        For an unknown symbol, an interval other than 1d, or prices that are not adjusted.
    """
    if request.interval not in (None, "1d"):
        found = repr(request.interval)
        raise SourceError(f"the sample bars are daily: interval must be '1d', found {found}.")
    if request.adjust is False:
        raise SourceError("the sample bars exist only as adjusted prices: leave out adjust=False.")
    return sample_bars(request.symbol)
