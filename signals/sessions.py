"""When a bar is over: a bar whose session still runs is not a bar yet."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from .errors import SourceError

__all__ = ["Session"]

STALE_AFTER = dt.timedelta(days=4)
"""A long weekend: Friday's bar is the newest until Tuesday's session ends."""


@dataclass(frozen=True)
class Session:
    """The daily close of an exchange, in its own time."""

    close: dt.time = dt.time(16, 0)
    timezone: str = "America/New_York"

    def now(self) -> dt.datetime:
        """Return the exchange's time, naive like the bars."""
        return dt.datetime.now(self._zone()).replace(tzinfo=None)

    def end_of(self, label: pd.Timestamp, interval: str) -> pd.Timestamp:
        """Return when the bar with this label is over.

        Daily bars end at the session's close. Longer ones are taken to be labelled at the start
        of their week or month, shorter ones at their start, as data vendors do: for bars labelled
        at their end this waits one bar too long, and never calls an unfinished one.
        """
        number = int("".join(c for c in interval if c.isdigit()))
        unit = interval.lstrip("0123456789")
        if unit in ("s", "m", "h"):
            seconds = {"s": 1, "m": 60, "h": 3600}[unit] * number
            return label + pd.Timedelta(seconds=seconds)
        days = {"d": pd.DateOffset(days=number), "wk": pd.DateOffset(weeks=number)}
        last = label.normalize() + days.get(unit, pd.DateOffset(months=number))
        return pd.Timestamp.combine((last - pd.DateOffset(days=1)).date(), self.close)

    def split_unfinished(
        self, bars: pd.DataFrame, now: dt.datetime
    ) -> tuple[pd.DataFrame, list[pd.Timestamp]]:
        """Return the finished bars and the labels of those that are not over at `now`."""
        interval = str(bars.attrs["interval"])
        dates = pd.DatetimeIndex(bars.index)
        # Only the last few bars can be unfinished.
        unfinished = [label for label in dates[-3:] if self.end_of(label, interval) > now]
        return bars.iloc[: len(bars) - len(unfinished)], unfinished

    def is_stale(self, label: pd.Timestamp, interval: str, now: dt.datetime) -> bool:
        """Return whether a newer finished bar than `label` should be there by `now`."""
        return now - self.end_of(label, interval) > STALE_AFTER

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise SourceError(
                f"unknown time zone {self.timezone!r}: expected a name such as Europe/Berlin."
            ) from error
