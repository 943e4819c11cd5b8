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

INTRADAY = ("s", "m", "h")


@dataclass(frozen=True)
class Session:
    """The daily close of an exchange, in its own time."""

    close: dt.time = dt.time(16, 0)
    timezone: str = "America/New_York"

    def now(self) -> dt.datetime:
        """Return the exchange's time, naive like the bars."""
        return dt.datetime.now(self._zone()).replace(tzinfo=None)

    def now_for(self, bars: pd.DataFrame) -> dt.datetime:
        """Return the time now as `bars` tell it: UTC for intraday ones whose notes say so."""
        if self._never_closes(bars):
            return Session(timezone="UTC").now()
        utc = any("UTC" in note for note in bars.attrs["notes"])
        intraday = str(bars.attrs["interval"]).endswith(INTRADAY)
        return (Session(timezone="UTC") if utc and intraday else self).now()

    def end_of(self, label: pd.Timestamp, interval: str) -> pd.Timestamp:
        """Return when the bar with this label is over.

        Daily bars end at the session's close. Longer ones are taken to be labelled at the start
        of their week or month, shorter ones at their start, as data vendors do: for bars labelled
        at their end this waits one bar too long, and never calls an unfinished one.
        """
        following = _following(label, interval)
        if interval.endswith(INTRADAY):
            return following
        last = following.normalize() - pd.DateOffset(days=1)
        return pd.Timestamp.combine(last.date(), self.close)

    def split_unfinished(
        self, bars: pd.DataFrame, now: dt.datetime
    ) -> tuple[pd.DataFrame, list[pd.Timestamp]]:
        """Return the finished bars and the labels of those that are not over at `now`."""
        if self._never_closes(bars):
            return Session(dt.time.max, "UTC")._split(bars, now)
        return self._split(bars, now)

    def _never_closes(self, bars: pd.DataFrame) -> bool:
        """Return whether bars at weekends show a market round the clock, whose day ends in UTC."""
        dates = pd.DatetimeIndex(bars.index[-30:])
        usual = self == Session()
        return (
            usual
            and str(bars.attrs["interval"]).endswith("d")
            and bool((dates.day_of_week >= 5).any())
        )

    def _split(
        self, bars: pd.DataFrame, now: dt.datetime
    ) -> tuple[pd.DataFrame, list[pd.Timestamp]]:
        dates = pd.DatetimeIndex(bars.index)
        interval = str(bars.attrs["interval"])
        finished = len(dates)
        # A single bar has no interval to tell when it ends.
        while len(dates) > 1 and finished and self.end_of(dates[finished - 1], interval) > now:
            finished -= 1
        return bars.iloc[:finished], list(dates[finished:])

    def is_stale(self, label: pd.Timestamp, interval: str, now: dt.datetime) -> bool:
        """Return whether a newer finished bar than `label` should be there by `now`."""
        late = self.end_of(label, interval) + STALE_AFTER
        return now > max(late, self.end_of(_following(label, interval), interval))

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise SourceError(
                f"unknown time zone {self.timezone!r}: expected a name such as Europe/Berlin."
            ) from error


def _following(label: pd.Timestamp, interval: str) -> pd.Timestamp:
    """Return the label one interval, such as 5m, 1d, 2wk or 3mo, after `label`."""
    unit = interval.lstrip("0123456789")
    number = int(interval.removesuffix(unit))
    if unit == "mo":
        return label + pd.DateOffset(months=number)
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "wk": 7 * 86_400}[unit]
    return label + pd.Timedelta(seconds=seconds * number)
