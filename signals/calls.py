"""Dated directions in a CSV file: the calls of anything that can write one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import SourceError

__all__ = ["Calls", "load_calls"]


@dataclass(frozen=True)
class Calls:
    """Directions and scores by date, oldest first."""

    path: Path
    dates: pd.DatetimeIndex
    direction: npt.NDArray[np.float64]
    """Shape (n,), each -1, 0 or +1."""
    score: npt.NDArray[np.float64]
    """Shape (n,); the direction where the file has no scores."""
    daily: bool
    """All dates are at midnight: bars are matched by day."""

    def rows(self, times: pd.DatetimeIndex) -> npt.NDArray[np.intp]:
        """Return the row of each of `times`, -1 outside the dates of the file.

        Raises
        ------
        SourceError
            For a time between the first and the last date that has no row.
        """
        wanted = times.normalize() if self.daily else times
        if self.daily and not (wanted.is_unique and self._one_bar_a_day(times)):
            raise SourceError(
                f"{self.path}: daily calls, but the bars are shorter: a call made at the end of"
                f" {wanted[0].date()} would be known at its beginning. Write calls with times."
            )
        rows = np.asarray(self.dates.get_indexer(wanted), dtype=np.intp)
        missing = (rows < 0) & (wanted >= self.dates[0]) & (wanted <= self.dates[-1])
        if missing.any():
            raise SourceError(
                f"{self.path}: no call for the bar of {wanted[missing][0]}, though the file covers"
                f" {self.dates[0]} to {self.dates[-1]}. Write one row for every bar."
            )
        return rows

    def _one_bar_a_day(self, times: pd.DatetimeIndex) -> bool:
        """Return whether daily bars look like this: stamped at midnight or just before the next."""
        time_of_day = times - times.normalize()
        return bool(
            (
                (time_of_day == pd.Timedelta(0))
                | (time_of_day >= pd.Timedelta(hours=23, minutes=59))
            ).all()
        )


def load_calls(path: str | Path) -> Calls:
    """Read a CSV file with the columns date, direction and, if wanted, score.

    Raises
    ------
    SourceError
        For a missing or unreadable file, a missing column, dates that do not parse, repeat or go
        back, or a direction other than -1, 0 and 1.
    """
    path = Path(path)
    if path == Path():
        raise SourceError("no file of calls is named: pass path='FILE.csv'.")
    try:
        state = path.stat()
    except OSError as error:
        raise SourceError(f"{path}: no such file of calls.") from error
    return _load(path.resolve(), (state.st_mtime_ns, state.st_size, state.st_ino))


@lru_cache(maxsize=16)
def _load(path: Path, state: tuple[int, int, int]) -> Calls:  # noqa: ARG001
    try:
        frame = pd.read_csv(path, dtype=str)
        frame.columns = [str(name).strip().lower() for name in frame.columns]
        dates = pd.DatetimeIndex(pd.to_datetime(frame["date"], format="ISO8601"))
        direction = frame["direction"].to_numpy(np.float64)
        score = frame["score"].to_numpy(np.float64) if "score" in frame else direction
    except KeyError as error:
        raise SourceError(
            f"{path}: expected the columns date and direction, found no {error}."
        ) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: not a file of calls: {error}") from error
    if not len(frame):
        raise SourceError(f"{path}: expected rows of date and direction, found none.")
    wrong = np.flatnonzero(~np.isin(direction, (-1.0, 0.0, 1.0)))
    if wrong.size:
        row = int(wrong[0])
        raise SourceError(
            f"{path}, line {row + 2} ({dates[row]}): direction must be -1, 0 or 1, found"
            f" {frame['direction'].iloc[row]}."
        )
    if dates.tz is not None or not (dates.is_monotonic_increasing and dates.is_unique):
        raise SourceError(f"{path}: dates must be naive, rising and unique.")
    daily = bool((dates == dates.normalize()).all())
    return Calls(path, dates, direction, score, daily)
