"""Dates as text, in the ways files write them; what cannot be told apart is refused."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd

from ..bars import bad_bars
from ..errors import BarsError

__all__ = ["parse_dates"]

SCAN = 2000  # rows that decide which way of writing dates is the file's own
ISO_ADVICE = "write dates as 2020-01-31 or 2020-01-31 15:30"
ZONE = re.compile(r"(?<=\d)\s*(?:Z|UTC|GMT|[ECMP][SD]T)$|\d[T ]\d.*[+-]\d\d:?(?:\d\d)?$", re.I)
CLOCK = {
    "": "",
    "9:9": " %H:%M",
    "9:9:9": " %H:%M:%S",
    "9:9:9.9": " %H:%M:%S.%f",
    "9:9 A": " %I:%M %p",
    "9:9:9 A": " %I:%M:%S %p",
}
DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


def parse_dates(
    cells: list[str], lines: list[int] | None, origin: str
) -> tuple[pd.DatetimeIndex, list[str]]:
    """Return the dates (naive, nanoseconds, in the order of `cells`) and notes on the reading.

    Raises
    ------
    BarsError
        Time zones, dates that cannot be read, or days and months that cannot be told apart.
    """
    _refuse_zones(cells, lines, origin)
    column = pd.Series(cells, dtype=object)
    notes: list[str] = []
    epoch = _epoch(cells)
    if epoch:
        notes.append(f"dates read as epoch {'seconds' if epoch == 's' else 'milliseconds'}, UTC")
        readings = {"epoch": _from_epoch(column, epoch)}
    else:
        column = column.str.replace(r"[T\s]+", " ", regex=True)
        formats = _formats(column.iloc[:SCAN])
        readings = {form: _read(column, form) for form in formats}
    form = _choose(readings, origin)
    index = readings[form]
    missing = np.flatnonzero(np.asarray(index.isna()))
    if len(missing):
        faults = [f"{_place(int(i), lines)}: {cells[i]!r} is not a date" for i in missing]
        raise bad_bars(origin, faults, f"Expected dates like most of the file's: {ISO_ADVICE}.")
    if len(readings) > 1:
        order = re.sub(r"%[^dmYy]|[^dmYy]", "", form.split(" ")[0])
        words = {"d": "day", "m": "month", "Y": "year", "y": "year"}
        notes.append(f"dates read as {'/'.join(words[letter] for letter in order)}")
    return index, notes


def _refuse_zones(cells: list[str], lines: list[int] | None, origin: str) -> None:
    for i, cell in enumerate(cells):
        if ZONE.search(cell):
            raise BarsError(
                f"{origin}: {_place(i, lines)}: {cell!r} has a time zone, bars have none: convert "
                f"all dates to one zone and write them without it ({ISO_ADVICE})."
            )


def _epoch(cells: list[str]) -> str | None:
    """Return "s" or "ms" if most cells are seconds or milliseconds since 1970."""
    widths = Counter(
        len(match[1]) if (match := re.fullmatch(r"(\d+)(?:\.\d*)?", cell)) else 0
        for cell in cells[:SCAN]
    )
    return {9: "s", 10: "s", 13: "ms"}.get(widths.most_common(1)[0][0])


def _from_epoch(column: pd.Series[str], unit: str) -> pd.DatetimeIndex:
    numbers = pd.to_numeric(column, errors="coerce")
    # A stray 20200102 among seconds would be a day in 1970.
    numbers = numbers.where(numbers >= (1e8 if unit == "s" else 1e11))
    # Whole milliseconds: floats of nanoseconds would lose the last digits.
    scale = 1000 if unit == "s" else 1
    ticks = np.asarray((numbers * scale).round(), dtype=np.float64)
    return _bounded(pd.to_datetime(pd.Series(ticks), unit="ms", errors="coerce"))


def _formats(sample: pd.Series[str]) -> list[str]:
    """Return the formats that the commonest shape of date can have; a shape is as 9/9/9 9:9."""
    shapes = sample.str.replace(r"\d+", "9", regex=True).str.replace(r"[A-Za-z]+", "A", regex=True)
    shape = str(shapes.mode().iloc[0])
    parts = re.findall(r"\d+|[A-Za-z]+", str(sample[shapes == shape].iloc[0]))
    day, _, clock = shape.partition(" ")
    if day == "9" and len(parts[0]) in DIGITS:
        # Stooq writes 20200131 and 093000 in two columns.
        packed = " %H%M%S" if len(parts[-1]) > 4 else " %H%M"
        return [DIGITS[len(parts[0])] + (packed if clock == "9" else CLOCK.get(clock, ""))]
    if not re.fullmatch(r"9([-/.])[9A]\1[9]", day) or len(parts[0]) == 4 or clock not in CLOCK:
        return ["ISO8601"]
    mark, year = day[1], "%Y" if len(parts[2]) == 4 else "%y"
    orders = [("%d", "%m", year), ("%m", "%d", year)]
    if year == "%y":
        orders.append(("%y", "%m", "%d"))
    if "A" in day:
        orders = [("%d", "%b", year)]
    return [mark.join(order) + CLOCK[clock] for order in orders]


def _read(column: pd.Series[str], form: str) -> pd.DatetimeIndex:
    if form == "ISO8601":
        column = column.str.replace(r"^(\d{4})[/.](\d+)[/.]", r"\1-\2-", regex=True)
        column = column.str.replace(r"-(\d)(?=[- ]|$)", r"-0\1", regex=True)
    return _bounded(pd.to_datetime(column, format=form, errors="coerce"))


def _bounded(dates: pd.Series[pd.Timestamp]) -> pd.DatetimeIndex:
    """Return dates in nanoseconds, which reach from 1678 to 2261; others are no dates."""
    index = pd.DatetimeIndex(dates)
    inside = (index > pd.Timestamp.min) & (index < pd.Timestamp.max)
    return pd.DatetimeIndex(index.where(inside)).as_unit("ns")


def _choose(readings: dict[str, pd.DatetimeIndex], origin: str) -> str:
    """Return the reading that fits: fewest unreadable dates, then all in order, up or down."""
    failures = {form: int(np.count_nonzero(index.isna())) for form, index in readings.items()}
    best = [form for form, count in failures.items() if count == min(failures.values())]
    if len(best) > 1:
        gaps = {form: np.diff(readings[form].dropna().asi8) for form in best}
        ordered = [form for form, gap in gaps.items() if (gap > 0).all() or (gap < 0).all()]
        best = ordered or best
    if len(best) > 1 and "." in best[0].split(" ")[0]:
        return best[0]  # 02.01.2017: with dots the day comes first everywhere
    if len(best) > 1 and not min(failures.values()):
        raise BarsError(f"{origin}: day and month of the dates cannot be told apart: {ISO_ADVICE}.")
    return best[0]


def _place(row: int, lines: list[int] | None) -> str:
    return f"row {row}" if lines is None else f"line {lines[row]}"
