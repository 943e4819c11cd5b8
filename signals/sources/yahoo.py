"""Bars from Yahoo Finance by way of yfinance, which is imported only when asked for."""

# yfinance has no type hints.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd

from ..bars import COLUMNS, check_bars
from ..errors import SourceError, did_you_mean
from .cache import through_cache
from .network import TransientError, with_retries
from .request import Request

__all__ = ["load"]

INTERVALS = ("1m", "2m", "5m", "15m", "30m", "1h", "1d", "1wk", "1mo")
PRICES = list(COLUMNS[:4])
SHOWN = 5  # dates named in a note


def load(request: Request) -> pd.DataFrame:
    """Return bars, from the cache where it has them; adjusted unless `adjust` is False.

    The dates of intraday bars are UTC: local time repeats an hour every autumn.

    Raises
    ------
    SourceError
        yfinance is not installed, an unknown interval or symbol, no network.
    """
    interval = request.interval or "1d"
    if interval not in INTERVALS:
        hint = did_you_mean(interval, INTERVALS)
        raise SourceError(f"yahoo has no interval {interval!r}.{hint}")
    request = replace(request, interval=interval, adjust=request.adjust is not False)
    return through_cache("yahoo", request, _fetch)


def _fetch(request: Request) -> pd.DataFrame:
    try:
        import yfinance
    except ImportError as error:
        advice = "pip install 'nextbar[compare]'"
        raise SourceError(f"the source yahoo needs yfinance: {advice}.") from error

    origin = f"yahoo {request.symbol}"
    reasons: list[str] = []
    raw = with_retries(lambda: _download(yfinance, request, origin, reasons))
    frame, notes = _flat(raw, origin)
    frame.attrs = {
        "symbol": request.symbol,
        "interval": request.interval,
        "adjustment": "split+dividend" if request.adjust else "raw",
        "notes": notes if request.adjust else [*notes, "adjusted for splits, not for dividends"],
    }
    advice = "Yahoo sent this: ask for another range, or save it as CSV and correct it."
    return check_bars(frame, origin=origin, advice=advice)


def _download(yfinance: Any, request: Request, origin: str, reasons: list[str]) -> pd.DataFrame:
    """Ask once; `reasons` gathers what yfinance said to each failure."""
    day = pd.Timedelta(days=1)
    span: dict[str, Any] = {
        "start": None if request.start is None else str(request.start.date()),
        # Yahoo leaves out its end date.
        "end": None if request.end is None else str((request.end + day).date()),
    }
    if span == {"start": None, "end": None}:
        span["period"] = "max"
    with _quiet() as said:
        raw = yfinance.download(
            request.symbol,
            **span,
            interval=request.interval,
            auto_adjust=request.adjust,
            keepna=True,  # what is left out is ours to report
            multi_level_index=False,
            progress=False,
            threads=False,
        )
    if raw is None or raw.empty:
        reasons += said[-1:]
        # The first tells most: after a lost connection yfinance speaks of a delisted symbol.
        reason = f" ({' '.join(reasons[0].split())[:200]})" if reasons else ""
        raise TransientError(
            f"{origin}: Yahoo sent no bars: an unknown symbol, no bars in that range, or no "
            f"network, perhaps offline{reason}."
        )
    return cast("pd.DataFrame", raw)


@contextmanager
def _quiet() -> Generator[list[str]]:
    """Collect what yfinance logs instead of showing it, and hide its deprecation warnings."""
    said: list[str] = []
    logger = logging.getLogger("yfinance")
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        logger.handlers, logger.propagate = handlers, propagate


def _flat(raw: pd.DataFrame, origin: str) -> tuple[pd.DataFrame, list[str]]:
    """Return one level of columns, naive dates and no empty rows, with notes on the changes."""
    notes: list[str] = []
    frame = raw.copy()
    if isinstance(frame.columns, pd.MultiIndex):
        levels = [frame.columns.get_level_values(i) for i in range(frame.columns.nlevels)]
        frame.columns = next(level for level in levels if "Close" in level)
    index = cast("pd.DatetimeIndex", frame.index)
    if index.tz is not None:
        # A daily bar is dated at local midnight: in UTC it could fall on the day before.
        daily = bool((index == index.normalize()).all())
        frame.index = index.tz_localize(None) if daily else index.tz_convert(None)
        if not daily:
            notes.append("dates are UTC")
    if missing := [name.title() for name in PRICES if name.title() not in frame.columns]:
        raise SourceError(f"{origin}: Yahoo sent no {', '.join(missing)}: update yfinance.")
    empty = np.asarray(frame[[name.title() for name in PRICES]].isna().all(axis=1))
    if empty.any():
        dates = ", ".join(
            str(date).removesuffix(" 00:00:00") for date in frame.index[empty][:SHOWN]
        )
        more = f" and {empty.sum() - SHOWN} more" if empty.sum() > SHOWN else ""
        notes.append(f"left out {empty.sum()} rows without prices: {dates}{more}")
    return frame.loc[~empty], notes
