"""Chronological splits, purged by the time each label was known: the one home of that rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..signals.errors import BarsError

__all__ = ["FloatArray", "Split", "chronological_split"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

FEWEST_ROWS = 30
"""Fewer training or validation rows than this say nothing."""


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
) -> Split:
    """Split the rows of `labels` at two dates.

    A row belongs to a part when its bar is in it and its label was known before the next part
    began: a row whose label ends on or after the boundary is purged. Rows without a full window
    of `window` bars behind them are left out.

    Raises
    ------
    BarsError
        When a part has too few rows, or rows of one class only.
    """
    dates, label_end = labels.index, labels["label_end"]
    row = np.arange(len(labels))
    ready = row >= window - 1
    train = ready & (dates < validation_start) & (label_end < validation_start).to_numpy()
    later = (dates >= validation_start) & (dates < test_start)
    validation = ready & later & (label_end < test_start).to_numpy()
    up = labels["up"].to_numpy()
    for name, part, before in (
        ("training", train, validation_start),
        ("validation", validation, test_start),
    ):
        _check_part(name, up[part], before, window)
    last = int(np.flatnonzero(dates <= label_end[train | validation].max())[-1])
    return Split(np.flatnonzero(train), np.flatnonzero(validation), last)


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
