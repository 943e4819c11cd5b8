"""What can be wrong with a price history: every check returns the faults it finds, none raises."""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from .arrays import FloatArray
from .errors import did_you_mean

__all__ = [
    "COLUMNS",
    "PRICES",
    "Fault",
    "FloatArray",
    "column_faults",
    "date_faults",
    "number_faults",
    "price_faults",
]

Fault: TypeAlias = tuple[int, str]  # the row's position, -1 for the frame as a whole; what is wrong

COLUMNS: tuple[str, ...] = ("open", "high", "low", "close", "volume")
PRICES: tuple[str, ...] = COLUMNS[:4]
# Adjusted prices are products, rounded each on its own: a close that was the high may end a few
# units in the last place above it. Anything larger is a wrong price.
TOLERANCE = 1e-9


def column_faults(frame: pd.DataFrame) -> tuple[dict[str, Any], list[Fault]]:
    """Return the contract's columns by lower-case name, and what is wrong with the names."""
    if frame.columns.nlevels > 1:
        advice = "keep one symbol with frame.xs(symbol, axis=1, level='Ticker')"
        return {}, [(-1, f"the columns have {frame.columns.nlevels} levels: {advice}")]
    names = [str(name).strip() for name in frame.columns]
    places = {name: [i for i, n in enumerate(names) if n.lower() == name] for name in COLUMNS}
    faults: list[Fault] = []
    for name, found in places.items():
        if not found:
            hint = did_you_mean(name, names) if names else " There are no columns."
            faults.append((-1, f"missing column {name}.{hint}".rstrip(".")))
        elif len(found) > 1:
            both = " and ".join(repr(names[i]) for i in found)
            faults.append((-1, f"columns {both} both mean {name}: keep one"))
    return {n: frame.iloc[:, found[0]] for n, found in places.items() if found}, faults


def date_faults(index: pd.Index[Any]) -> tuple[pd.DatetimeIndex | None, list[Fault]]:
    """Return the index in nanoseconds (None if it holds no dates) and its faults."""
    if not isinstance(index, pd.DatetimeIndex):
        advice = "use frame.set_index(pd.to_datetime(frame['date'])) or the like"
        return None, [(-1, f"the index holds {index.dtype}, not dates: {advice}")]
    faults: list[Fault] = []
    if index.tz is not None:
        advice = "index.tz_localize(None) keeps the local time, index.tz_convert(None) gives UTC"
        faults.append((-1, f"the dates carry the time zone {index.tz}: {advice}"))
        index = index.tz_localize(None)
    try:
        # Built anew without a frequency, which would not survive a file.
        index = pd.DatetimeIndex(index.as_unit("ns").to_numpy(), name="date")
    except pd.errors.OutOfBoundsDatetime:
        return None, [*faults, (-1, "a date is outside the years 1678 to 2261")]
    missing = np.asarray(index.isna())
    faults += [(int(i), "there is no date") for i in np.flatnonzero(missing)]
    return index, faults + _order_faults(index, missing)


def _order_faults(index: pd.DatetimeIndex, missing: npt.NDArray[np.bool_]) -> list[Fault]:
    """Return the repeated and the unsorted dates."""
    ticks = index.asi8
    faults = [
        (int(i), "the date is a duplicate")
        for i in np.flatnonzero(np.asarray(index.duplicated()) & ~missing)
    ]
    back = np.diff(ticks) < 0
    if missing.any():
        back &= ~(missing[1:] | missing[:-1])
    advice = "use frame.sort_index()"
    if back.all() and len(back) > 1:
        return [*faults, (-1, f"the newest bar comes first: {advice}")]
    late = [int(i) + 1 for i in np.flatnonzero(back)]
    return faults + [(i, f"the date is before the previous row's: {advice}") for i in late]


def number_faults(name: str, column: pd.Series[Any]) -> tuple[FloatArray, list[Fault]]:
    """Return `column` as float64, NaN for what is no number, and its faulty cells."""
    faults: list[Fault] = []
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        if pd.api.types.is_complex_dtype(column):
            return np.full(len(column), np.nan), [(-1, f"{name} holds complex numbers")]
        values = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    else:
        values = np.full(len(column), np.nan)
        for i, cell in enumerate(column.tolist()):
            value = _as_float(cell)
            if value is not None:
                values[i] = value
            elif cell is not None and cell is not pd.NA and cell is not pd.NaT:
                faults.append((i, f"{name} is {_cell(cell)}, not a number"))
    bad = np.isnan(values)
    bad[[i for i, _ in faults]] = False
    if bad.all():
        return values, [(-1, f"every {name} is NaN")]
    faults += [(int(i), f"{name} is missing (NaN)") for i in np.flatnonzero(bad)]
    faults += [(int(i), f"{name} is infinite") for i in np.flatnonzero(np.isinf(values))]
    wrong, rule = (values < 0, "negative") if name == "volume" else (values <= 0, "not above zero")
    rows = np.flatnonzero(wrong & np.isfinite(values))
    return values, faults + [(int(i), f"{name} {_number(values[i])} is {rule}") for i in rows]


def price_faults(prices: dict[str, FloatArray]) -> list[Fault]:
    """Return the rows whose prices contradict each other; cells already at fault are left out."""
    if not {"high", "low"} <= prices.keys():
        return []
    sound = {name: np.isfinite(v) & (v > 0) for name, v in prices.items()}
    high, low = prices["high"], prices["low"]
    both = sound["high"] & sound["low"]
    crossed = both & (high < low * (1 - TOLERANCE))
    faults = [
        (int(i), f"high {_number(high[i])} is below low {_number(low[i])}")
        for i in np.flatnonzero(crossed)
    ]
    for name in ("open", "close"):
        if name not in prices:
            continue
        value = prices[name]
        outside = (value * (1 - TOLERANCE) > high) | (value < low * (1 - TOLERANCE))
        for i in np.flatnonzero(outside & both & sound[name] & ~crossed):
            span = f"low {_number(low[i])} to high {_number(high[i])}"
            faults.append((int(i), f"{name} {_number(value[i])} is outside {span}"))
    return faults


def _as_float(cell: object) -> float | None:
    """Return a number as a float, None for text, True and whatever else is not one."""
    if not isinstance(cell, bool) and isinstance(cell, (Real, Decimal)):
        try:
            return float(cell)
        except (OverflowError, ValueError):
            return None
    return None


def _number(value: float) -> str:
    return f"{value:.10g}" if math.isfinite(value) else str(value)


def _cell(cell: object) -> str:
    shown = repr(cell)
    text = shown if len(shown) <= 30 else f"{shown[:27]}…{shown[-1]}"
    return f"text {text}" if isinstance(cell, str) else text
