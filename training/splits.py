"""Chronological splits, purged by the time each label was known and one bar more: the one home."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..signals.arrays import FloatArray
from ..signals.errors import BarsError, ExperimentError
from .config import Fold

__all__ = ["EMBARGO", "Split", "chronological_split", "make_folds"]

IntArray = npt.NDArray[np.intp]

EMBARGO = 1
"""Whole bars between the bar on which a part's last label was known and the next part's first.

With 0 the last label would end on the very bar before, and a price that is stamped, corrected or
carried over by one bar would be in both parts.
"""

VALIDATION_SHARE = 0.25
"""Share of the dates before a fold's test that its validation part takes."""

FEWEST_ROWS = 30
"""Fewer training or validation rows than this say nothing."""

FEWEST_DATES = round(FEWEST_ROWS / VALIDATION_SHARE)
"""Dates before the first test of a walk-forward, at least."""


@dataclass(frozen=True)
class Split:
    """Row numbers of the bars on which a decision is learned from, and checked."""

    train: IntArray
    validation: IntArray
    last_label: int
    """Row of the bar on which the last label of both became known."""


def chronological_split(
    labels: pd.DataFrame,
    *,
    window: int,
    validation_start: pd.Timestamp,
    test_start: pd.Timestamp,
    purge: bool = True,
) -> Split:
    """Split the rows of `labels` at two dates.

    A row belongs to a part when its bar is in it and its label was known more than `EMBARGO` bars
    before the first bar of the next part, or before the end of the bars where there is none: the
    other rows are purged. Rows without a full window of `window` bars behind them are left out.
    Without `purge`, a tutorial's mistake, all rows whose label is known at all stay.

    Raises
    ------
    BarsError
        When a part has too few rows, or rows of one class only.
    """
    dates, label_end = pd.DatetimeIndex(labels.index), labels["label_end"]
    ready = np.arange(len(labels)) >= window - 1
    later = (dates >= validation_start) & (dates < test_start)
    train = ready & (dates < validation_start) & _known(labels, validation_start, purge)
    validation = ready & later & _known(labels, test_start, purge)
    up = labels["up"].to_numpy()
    for name, part, before in (
        ("training", train, validation_start),
        ("validation", validation, test_start),
    ):
        _check_part(name, up[part], before, window)
    last = int(np.flatnonzero(dates <= label_end[train | validation].max())[-1])
    return Split(np.flatnonzero(train), np.flatnonzero(validation), last)


def _known(labels: pd.DataFrame, boundary: pd.Timestamp, purge: bool) -> npt.NDArray[np.bool_]:
    """Return which labels were known more than `EMBARGO` bars before the first at `boundary`."""
    if not purge:
        return labels["label_end"].notna().to_numpy(dtype=np.bool_)
    dates = pd.DatetimeIndex(labels.index)
    latest = int(dates.searchsorted(boundary)) - 1 - EMBARGO
    if latest < 0:
        return np.zeros(len(labels), dtype=np.bool_)
    return (labels["label_end"] <= dates[latest]).to_numpy(dtype=np.bool_)  # NaT is never before


def _check_part(name: str, up: FloatArray, before: pd.Timestamp, window: int) -> None:
    if len(up) < FEWEST_ROWS:
        raise BarsError(
            f"{len(up)} {name} rows before {before.date()}, at least {FEWEST_ROWS} are needed, each"
            f" with {window} bars behind it. Use a longer history, later dates or a shorter window."
        )
    if len(np.unique(up)) < 2:
        raise BarsError(
            f"all {len(up)} {name} rows before {before.date()} have the same label: there is"
            " nothing to learn. Use a longer history."
        )


def make_folds(
    dates: pd.DatetimeIndex,
    number: int,
    *,
    first_test: pd.Timestamp | None = None,
    rolling: bool = False,
) -> tuple[Fold, ...]:
    """Return `number` folds whose tests are of equal length and cover all dates from the first on.

    Parameters
    ----------
    dates : DatetimeIndex
        The dates that all symbols share; only their values are used, no prices.
    number : int
        Folds; one is a single split.
    first_test : Timestamp, optional
        First date of the first test; by default 30 % of `dates` lie before it.
    rolling : bool, default False
        Train every fold on as many dates as the first one has; the default uses all earlier ones.

    Raises
    ------
    ExperimentError
        When there are too few dates before or after `first_test`: it says how many are needed.
    """
    begin = int(len(dates) * 0.3) if first_test is None else int(dates.searchsorted(first_test))
    needed = FEWEST_DATES
    if number < 1:
        raise ExperimentError(f"expected at least 1 fold, found {number}.")
    if begin < needed or len(dates) - begin < 2 * number:
        raise ExperimentError(
            f"{len(dates)} shared dates, {begin} of them before the first test, are too few for"
            f" {number} folds: at least {needed} are needed before the first test and"
            f" {2 * number} from it on. Load a longer history or use fewer folds."
        )
    starts = [begin + (len(dates) - begin) * k // number for k in range(number)]
    folds: list[Fold] = []
    for start in starts:
        first = start - begin if rolling else 0
        validation = start - int((start - first) * VALIDATION_SHARE)
        try:
            fold = Fold(
                train_start=dates[first].date() if rolling else None,
                validation_start=dates[validation].date(),
                test_start=dates[start].date(),
            )
        except ValueError as error:
            days = len(dates.normalize().unique())
            raise ExperimentError(
                f"the parts of a fold begin on days of their own, and {days} days are too few for"
                f" {number} folds. Load a longer history or use fewer folds."
            ) from error
        folds.append(fold)
    return tuple(folds)
