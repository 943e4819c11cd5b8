"""Where bars come from. A new source is one module with a `load` function and one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..bars import jump_notes, slice_bars
from ..errors import SourceError, did_you_mean
from . import alphavantage, csv, sample, yahoo
from .request import Date, Request, parse_date
from .sample import SAMPLE_SYMBOLS, sample_bars

__all__ = ["SAMPLE_SYMBOLS", "SOURCES", "Request", "load_bars", "sample_bars"]

SOURCES: dict[str, Callable[[Request], pd.DataFrame]] = {
    "sample": sample.load,
    "csv": csv.load,
    "yahoo": yahoo.load,
    "alphavantage": alphavantage.load,
}


def load_bars(
    symbol: str | Path,
    source: str = "sample",
    *,
    start: Date = None,
    end: Date = None,
    interval: str | None = None,
    adjust: bool | None = None,
    refresh: bool = False,
) -> pd.DataFrame:
    """Load checked bars.

    Parameters
    ----------
    symbol
        An instrument's symbol; for `csv` the path of the file.
    source
        "sample" (embedded, no network), "csv", "yahoo" or "alphavantage".
    start, end
        First and last date, both included; an `end` without a time includes that whole day.
        Without `end`, a network source goes up to the last bar that can no longer change; naming
        today's date brings the unfinished bar too, which is never cached.
    interval
        Such as "1d", "1wk", "5m". None is what the file holds for `csv` and "1d" elsewhere.
    adjust
        Whether prices are adjusted for splits and dividends. None is the source's own way:
        yes for `sample` and `yahoo`, no for `csv` and `alphavantage`.
    refresh
        Fetch again although the cache has the bars (network sources).

    Returns
    -------
    DataFrame
        Bars as `check_bars` returns them; `attrs` hold symbol, interval, adjustment and notes.

    Raises
    ------
    SourceError
        Unknown source or symbol, unreadable file, no network and not in the cache.
    BarsError
        The prices break the contract, or there are none between `start` and `end`.
    """
    if source != "csv" and Path(symbol).suffix.lower() in (".csv", ".txt", ".json", ".gz"):
        raise SourceError(
            f"{symbol} looks like a file: load it with source='csv' (--csv {symbol})."
        )
    if source not in SOURCES:
        raise SourceError(f"unknown source {source!r}.{did_you_mean(source, SOURCES)}")
    if not str(symbol).strip():
        raise SourceError("the symbol is empty: name an instrument such as 'AAPL', or a csv file.")
    first, last = parse_date(start, "start"), parse_date(end, "end")
    if first is not None and last is not None and first > last:
        raise SourceError(f"start {start} is after end {end}: swap them.")
    request = Request(str(symbol), first, last, interval, adjust, refresh)
    bars = slice_bars(SOURCES[source](request), first, last, origin=str(symbol))
    if bars.attrs["adjustment"] != "split+dividend":
        bars.attrs["notes"] = [*bars.attrs["notes"], *jump_notes(bars)]
    return bars
