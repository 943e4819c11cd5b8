"""From a table of text to checked bars: column names, numbers, order, adjustment."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..bars import COLUMNS, FloatArray, bad_bars, check_bars
from ..errors import BarsError, SourceError, did_you_mean
from .csv_dates import parse_dates

__all__ = ["Table", "bars_from_own_csv", "bars_from_table", "canonical"]

PRICES = list(COLUMNS[:4])
ALIASES = {
    **{name: name for name in (*COLUMNS, "date", "time", "ticker", "symbol")},
    **dict.fromkeys(("datetime", "timestamp", "unix", "unixtime", "unixtimestamp"), "date"),
    **dict.fromkeys(("gmttime", "localtime", "opentime"), "date"),
    **dict.fromkeys(("adjclose", "adjustedclose", "adjusted", "closeadj"), "adj close"),
    "vol": "volume",
}


@dataclass
class Table:
    """The fields of a file as text: names, rows as wide as the names, the line of each row."""

    names: list[str]
    rows: list[list[str]]
    lines: list[int] | None = None
    symbol: str | None = None
    notes: list[str] = field(default_factory=list[str])


def canonical(name: str) -> str | None:
    """Return what a column name means: "open", "adj close", "date" …; None if it is not known.

    Case, spaces, "<OPEN>", "1. open" and prefixes as in "AAPL.Open" do not matter.
    """
    plain = re.sub(r"^\d+\.\s*", "", name.lower())
    for part in (plain, plain.rpartition(".")[2]):
        meaning = ALIASES.get(re.sub(r"[^a-z0-9]", "", part))
        if meaning:
            return meaning
    return None


def bars_from_table(table: Table, origin: str, *, adjust: bool) -> pd.DataFrame:
    """Return the table as checked bars, sorted by date; `attrs["notes"]` say what was done to it.

    Raises
    ------
    SourceError
        Columns that are missing or named twice, several symbols.
    BarsError
        Dates that cannot be read, rows that break the contract, no "Adj Close" to adjust by.
    """
    columns = _columns(table, origin)
    if adjust and "adj close" not in columns:
        raise BarsError(
            f"{origin}: adjust=True needs a column Adj Close, found {', '.join(table.names)}: "
            "leave adjust out or use adjusted prices."
        )
    dates, times = columns["date"], columns.get("time")
    if times is not None:
        dates = [f"{date} {time}" for date, time in zip(dates, times, strict=True)]
    index, notes = parse_dates(dates, table.lines, origin)
    table.notes += notes
    order = _order(index, table.notes)
    lines = None if table.lines is None else [table.lines[i] for i in order]
    data = {name: _numbers(columns[name]) for name in COLUMNS if name in columns}
    if "volume" not in data:
        data["volume"] = np.zeros(len(index))
        table.notes.append("there is no volume column: volume is 0")
    frame = check_bars(pd.DataFrame(data, index=index).iloc[order], origin=origin, lines=lines)
    frame.attrs["adjustment"] = "raw" if "adj close" in columns else "unknown"
    if adjust:
        frame = _adjusted(frame, [columns["adj close"][i] for i in order], lines, origin)
        table.notes.append("open, high, low and close were multiplied by Adj Close / Close")
    elif "adj close" in columns:
        table.notes.append(
            "caution: raw prices used; adjust=True (--adjust) applies the Adj Close column"
        )
    frame.attrs["notes"] = list(table.notes)
    return frame


def bars_from_own_csv(text: str, attrs: dict[Any, Any], origin: str) -> pd.DataFrame:
    """Return checked bars from text that ``bars.to_csv()`` wrote, exact to the last bit."""
    # As text first: numbers read by pandas directly are a bit off before pandas 3.
    frame = pd.read_csv(io.StringIO(text), index_col="date", dtype=str)
    frame = frame.astype(np.float64)
    frame.index = pd.to_datetime(frame.index, format="ISO8601")
    frame.attrs = attrs
    return check_bars(frame, origin=origin)


def _columns(table: Table, origin: str) -> dict[str, list[str]]:
    """Return the table's columns by meaning, with the names checked."""
    places: dict[str, int] = {}
    ignored: list[str] = []
    for i, name in enumerate(table.names):
        meaning = canonical(name)
        if meaning in places:
            both = f"{table.names[places[meaning]]!r} and {name!r}"
            raise SourceError(f"{origin}: columns {both} both mean {meaning}: keep one.")
        if meaning is None:
            ignored.append(name)
        else:
            places[meaning] = i
    if "date" not in places and "time" in places:
        places["date"] = places.pop("time")
    if ignored := [name for name in ignored if name]:
        table.notes.append(f"columns not used: {', '.join(ignored)}")
    missing = [name for name in ("date", *PRICES) if name not in places]
    if missing == ["date"] and not table.names[0]:
        # A DataFrame written without an index name: the dates have an empty heading.
        places["date"] = 0
    elif missing:
        hint = did_you_mean(missing[0], [name for name in table.names if name])
        raise SourceError(f"{origin}: missing column {', '.join(missing)}.{hint}")
    if "volume" not in places and (near := [name for name in ignored if "vol" in name.lower()]):
        # "Volume BTC" beside "Volume USD": zeros or a guess would both be wrong.
        raise SourceError(f"{origin}: missing column volume, found {near[0]!r}: rename one Volume.")
    fields = list(zip(*table.rows, strict=True))
    columns = {meaning: list(fields[i]) for meaning, i in places.items()}
    _one_symbol(table, columns, origin)
    return columns


def _one_symbol(table: Table, columns: dict[str, list[str]], origin: str) -> None:
    """Take the symbol from a ticker column, which must hold one only."""
    for name in ("ticker", "symbol"):
        symbols = sorted(set(columns.get(name, [])))
        if len(symbols) > 1:
            found = ", ".join(symbols[:5])
            raise SourceError(f"{origin}: expected one symbol, found {found}: save one a file.")
        if symbols:
            table.symbol = symbols[0]


def _order(index: pd.DatetimeIndex, notes: list[str]) -> list[int]:
    """Return the row positions in date order; say so if that is not the file's order."""
    ticks = index.asi8
    if (np.diff(ticks) >= 0).all():
        return list(range(len(ticks)))
    newest_first = bool((np.diff(ticks) <= 0).all())
    found = "newest first" if newest_first else "not in date order"
    notes.append(f"sorted: the file was {found}")
    return np.argsort(ticks, kind="stable").tolist()


def _numbers(cells: list[str]) -> FloatArray | list[float | str]:
    """Return cells as floats; if some are no number, those stay text for `check_bars` to name."""
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        return [_number(cell) for cell in cells]


def _number(cell: str) -> float | str:
    try:
        return float(cell) if cell else float("nan")
    except ValueError:
        return cell


def _adjusted(
    frame: pd.DataFrame, adjusted_close: list[str], lines: list[int] | None, origin: str
) -> pd.DataFrame:
    """Return `frame` with open, high, low and close times adjusted close / close."""
    cells = [_number(cell) for cell in adjusted_close]
    faults: list[str] = []
    for i, cell in enumerate(cells):
        if isinstance(cell, str) or not 0 < cell < float("inf"):
            place = f"row {i}" if lines is None else f"line {lines[i]}"
            expected = f"Adj Close is {adjusted_close[i]!r}, expected a number above zero"
            faults.append(f"{place} ({frame.index[i].date()}): {expected}")
    if faults:
        raise bad_bars(origin, faults, "Correct these rows or leave adjust out.")
    result = frame.copy()
    with np.errstate(over="ignore"):
        factor = np.array(cells, dtype=np.float64) / frame["close"].to_numpy()
        result[PRICES] = frame[PRICES].mul(factor, axis=0)
    # A product can overflow or vanish; the contract holds for what is handed on.
    result = check_bars(result, origin=origin, lines=lines)
    result.attrs["adjustment"] = "split+dividend"
    return result
