"""What is asked of a source of bars: one frozen value that every source takes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd

from ..errors import SourceError

__all__ = ["Date", "Request", "parse_date"]

Date: TypeAlias = str | dt.date | None  # pd.Timestamp and datetime are dates too


@dataclass(frozen=True)
class Request:
    """One history asked for; None leaves the choice to the source."""

    symbol: str
    start: pd.Timestamp | None = None
    end: pd.Timestamp | None = None
    interval: str | None = None
    adjust: bool | None = None
    refresh: bool = False


def parse_date(value: Date, name: str) -> pd.Timestamp | None:
    """Return `value` as a naive timestamp; `name` is the argument's name for messages.

    Raises
    ------
    SourceError
        When it is no date or carries a time zone.
    """
    if value is None:
        return None
    try:
        # pandas would also read "10/11/2012", whose day and month are anyone's guess.
        stamp = pd.to_datetime(value, format="ISO8601") if isinstance(value, str) else value
        stamp = pd.Timestamp(stamp)
    except (TypeError, ValueError) as error:
        expected = f"{name} must be a date such as '2020-01-31'"
        raise SourceError(f"{expected}, found {value!r}.") from error
    if pd.isna(stamp):
        raise SourceError(f"{name} must be a date such as '2020-01-31', found {value!r}.")
    if stamp.tzinfo is not None:
        raise SourceError(f"{name}={value!s} has a time zone; bars have none: give a plain date.")
    return stamp
