"""Bars: the one checked form of a price history that everything in nextbar is computed from."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import BarsError
from .faults import (
    COLUMNS,
    PRICES,
    Fault,
    FloatArray,
    column_faults,
    date_faults,
    number_faults,
    price_faults,
)

__all__ = [
    "COLUMNS",
    "BadBarsError",
    "FloatArray",
    "bad_bars",
    "bars_digest",
    "bars_per_year",
    "check_bars",
    "infer_interval",
    "jump_notes",
    "periods_per_year",
    "slice_bars",
]

LOWEST_GAP, HIGHEST_GAP = 0.6, 1.7
SURE = 10  # bars from which their spacing is told by their dates, not by who made them
SHORTEST_YEARS = 0.25
SHOWN = 8  # offences named in a message; the error object carries all of them
YEARLY = {"d": 252.0, "wk": 52.0, "mo": 12.0, "h": 252 * 6.5, "m": 252 * 390.0, "s": 252 * 23400.0}


class BadBarsError(BarsError):
    """Bars that break the contract; `offences` holds every one of them, the message the first."""

    def __init__(self, message: str, offences: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.offences = offences


def bad_bars(origin: str, offences: Iterable[str], advice: str = "") -> BadBarsError:
    """Return the error for `offences`: one line that names the first few and counts the rest."""
    every = tuple(offences)
    count = f"{len(every)} problems: " if len(every) > 1 else ""
    more = f"; and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    tail = f" {advice}" if advice else ""
    return BadBarsError(f"{origin}: {count}{'; '.join(every[:SHOWN])}{more}.{tail}", every)


def check_bars(
    frame: pd.DataFrame,
    *,
    origin: str = "bars",
    lines: Sequence[int] | None = None,
    advice: str = "Correct or remove these rows.",
) -> pd.DataFrame:
    """Check a price history and return it in the contract form; the input is left as it was.

    Parameters
    ----------
    frame
        Columns open, high, low, close, volume in any order and case; others are dropped.
        Its index holds the dates: naive, sorted, unique.
    origin
        What the message calls the bars: a file name, a symbol.
    lines
        The line number of each row in its file, for messages; rows are counted from 0 without it.
    advice
        The last sentence of the message when single rows are at fault.

    Returns
    -------
    DataFrame
        Columns `COLUMNS` as float64, DatetimeIndex in nanoseconds named "date", no NaN anywhere.
        `attrs` are kept; `symbol`, `interval`, `adjustment` and `notes` are filled in if missing.

    Raises
    ------
    BadBarsError
        One error for all offences: missing columns, dates that are missing, repeated, unsorted or
        carry a time zone, prices that are text, NaN, infinite or not above zero, high below low,
        open or close outside low to high, a volume that is negative or NaN.
    """
    columns, faults = column_faults(frame)
    index, dates = date_faults(frame.index)
    faults += dates
    if len(frame):
        for name, series in columns.items():
            values, found = number_faults(name, series)
            columns[name] = values
            faults += found
        faults += price_faults({k: v for k, v in columns.items() if k in PRICES})
    else:
        faults.append((-1, "there are no rows, at least one bar is needed"))
    if faults or index is None:
        # By row, the frame's own faults first; the sort is stable within a row.
        named = [_named(fault, index, lines) for fault in sorted(faults, key=lambda f: f[0])]
        raise bad_bars(origin, named, advice if any(row >= 0 for row, _ in faults) else "")
    checked = pd.DataFrame({name: columns[name] for name in COLUMNS}, index=index)
    checked.attrs = _attrs(frame, index)
    return checked


def bars_digest(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of the dates (int64 nanoseconds) and `COLUMNS` (float64) of checked bars.

    Both are hashed little-endian, column by column. Attributes, the unit of the index and the
    layout in memory do not matter.
    """
    index = cast("pd.DatetimeIndex", frame.index)
    hasher = hashlib.sha256(_nanoseconds(index).astype("<i8").tobytes())
    for name in COLUMNS:
        hasher.update(frame[name].to_numpy(dtype="<f8").tobytes())
    return hasher.hexdigest()


def infer_interval(index: pd.DatetimeIndex) -> str:
    """Return the bar spacing of a sorted `index`: "5m", "1h", "1d", "1wk", "1mo", else as "3d".

    It is the median gap, so nights, weekends and holidays do not count.

    Raises
    ------
    BarsError
        With fewer than 2 rows.
    """
    if len(index) < 2:
        raise BarsError(f"the interval of {len(index)} bars is unknown: at least 2 are needed")
    gaps = np.sort(np.diff(_nanoseconds(index)))
    # The lower median: two bars a day give as many nights as gaps between bars.
    seconds = round(int(gaps[(len(gaps) - 1) // 2]) / 1e9)
    days = seconds / 86400
    for months, shortest, longest in ((1, 28, 31), (3, 89, 92)):
        if shortest <= days <= longest:
            return f"{months}mo"
    for size, unit in ((7 * 86400, "wk"), (86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s" if days < 1 else f"{round(days)}d"


def bars_per_year(interval: str) -> float:
    """Return how many bars of `interval` a year has, for annualising.

    A year is 252 trading days of 6.5 hours, 52 weeks or 12 months, as on a stock exchange. An
    instrument traded round the clock has more: 365 days of 24 hours.

    Raises
    ------
    BarsError
        For an interval not written as a number and one of s, m, h, d, wk, mo.
    """
    match = re.fullmatch(r"([1-9]\d*)(s|m|h|d|wk|mo)", interval)
    if not match:
        raise BarsError(f"unknown interval {interval!r}: expected such as 5m, 1h, 1d, 1wk, 1mo")
    return YEARLY[match[2]] / int(match[1])


def periods_per_year(frame: pd.DataFrame) -> float:
    """Return how many of checked bars a year has, for annualising.

    `bars_per_year` of their interval, unless the dates say otherwise by more than 5 %: an
    instrument traded at weekends or for longer days than a stock has more.
    """
    usual = bars_per_year(str(frame.attrs["interval"]))
    index = cast("pd.DatetimeIndex", frame.index)
    years = (index[-1] - index[0]) / pd.Timedelta(days=365.25)
    if len(frame) < SURE or years < SHORTEST_YEARS:
        return usual
    counted = (len(frame) - 1) / years
    return usual if abs(counted / usual - 1) <= 0.05 else counted


def jump_notes(frame: pd.DataFrame) -> list[str]:
    """Return a caution, for `attrs["notes"]`, if checked bars open where a split may have been.

    That is an open below 0.6 or above 1.7 times the close before. Crashes look the same, so it is
    not an error; but an unadjusted split is a return that nobody earned.
    """
    ratio = frame["open"].to_numpy()[1:] / frame["close"].to_numpy()[:-1]
    jumps = np.flatnonzero((ratio < LOWEST_GAP) | (ratio > HIGHEST_GAP))
    if not len(jumps):
        return []
    first = int(jumps[0])
    more = f" (and {len(jumps) - 1} more)" if len(jumps) > 1 else ""
    return [
        f"caution: on {_text(frame.index[first + 1])}{more} the open is {ratio[first]:.3g} times"
        " the close before: an unadjusted split?"
    ]


def slice_bars(
    frame: pd.DataFrame,
    start: pd.Timestamp | None = None,
    end: pd.Timestamp | None = None,
    *,
    origin: str = "bars",
) -> pd.DataFrame:
    """Return the checked bars from `start` to `end`, both included; midnight ends a whole day.

    Raises
    ------
    BarsError
        When no bar is left; the message names the range there is.
    """
    index = cast("pd.DatetimeIndex", frame.index)
    keep = np.ones(len(frame), dtype=bool)
    if start is not None:
        keep &= np.asarray(index >= start)
    if end is not None:
        whole_day = end == end.normalize()
        keep &= np.asarray(index < end + pd.Timedelta(days=1) if whole_day else index <= end)
    if not keep.any():
        asked = f"{_text(start) or 'the beginning'} to {_text(end) or 'the end'}"
        has = f"{_text(index[0])} to {_text(index[-1])}"
        raise BarsError(f"{origin}: no bars from {asked}; there are bars from {has}.")
    return frame if keep.all() else frame.loc[keep]


def _named(fault: Fault, index: pd.DatetimeIndex | None, lines: Sequence[int] | None) -> str:
    """Return the offence with its row, or its line in the file, and its date."""
    row, text = fault
    if row < 0:
        return text
    place = f"row {row}" if lines is None else f"line {lines[row]}"
    date = "" if index is None else _text(index[row])
    return f"{place} ({date}): {text}" if date else f"{place}: {text}"


def _attrs(frame: pd.DataFrame, index: pd.DatetimeIndex) -> dict[Any, Any]:
    attrs = copy.deepcopy(frame.attrs)
    attrs.setdefault("symbol", "unknown")
    attrs.setdefault("interval", infer_interval(index) if len(index) > 1 else "unknown")
    if len(index) >= SURE:
        # What was resampled or thinned out still carries the attributes of its source.
        attrs["interval"] = infer_interval(index)
    attrs.setdefault("adjustment", "unknown")
    attrs.setdefault("notes", [])
    return attrs


def _nanoseconds(index: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    return index.as_unit("ns").asi8


def _text(date: pd.Timestamp | None) -> str:
    """Return the date, with the time if it is not midnight; "" for a missing one."""
    if date is None or pd.isna(date):
        return ""
    return str(date.date() if date == date.normalize() else date)
