"""What is refused before any statistic is computed, and which series are the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from ...signals.arrays import FloatArray
from ...signals.errors import ExperimentError
from .leads import NOISE

__all__ = ["Returns", "check_moves", "check_names", "checked_returns", "distinct"]

Returns: TypeAlias = "FloatArray | pd.Series[float]"


def check_moves(name: str, market: FloatArray) -> None:
    """Refuse a market without variance: nothing can be regressed on it."""
    if np.ptp(market) <= NOISE:
        raise ExperimentError(f"{name}: expected returns that vary, found only {market[0]:g}.")


def check_names(baselines: Mapping[str, Returns], required: frozenset[str], trials: int) -> None:
    """Refuse a verdict without a baseline, without a required one, or with fewer than one trial."""
    missing = sorted(required - baselines.keys())
    if missing:
        raise ExperimentError(
            f"a verdict needs the baselines {', '.join(sorted(required))}; missing:"
            f" {', '.join(missing)}. Add them to the comparison."
        )
    if not baselines:
        raise ExperimentError("a verdict needs at least one baseline, found none; add buy & hold.")
    if trials < 1:
        raise ExperimentError(f"trials: expected 1 or more configurations, found {trials}.")


def checked_returns(named: Sequence[tuple[str, Returns]]) -> list[FloatArray]:
    """Return the returns as float64 arrays, or refuse what no verdict can be built on.

    The names are those of the error messages. Refused: fewer than two days, unequal lengths or
    dates, missing values, returns of -100 % or less, and constant returns other than 0.
    """
    first, dates = named[0][0], None
    arrays: list[FloatArray] = []
    for name, values in named:
        array = _checked(name, values)
        index = values.index if isinstance(values, pd.Series) else None
        days = len(arrays[0]) if arrays else len(array)
        if len(array) != days:
            raise ExperimentError(
                f"{name}: expected the {days} days of {first}, found {len(array)} days;"
                " cut both to the same days."
            )
        if dates is not None and index is not None and not index.equals(dates):
            raise ExperimentError(
                f"{name}: expected the dates of {first}, found others; cut both to the same days."
            )
        dates = index if dates is None else dates
        arrays.append(array)
    return arrays


def distinct(
    baselines: Mapping[str, FloatArray], required: frozenset[str]
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Return the baselines with returns of their own, and for the rest whose returns they have."""
    kept: dict[str, FloatArray] = {}
    dropped: dict[str, str] = {}
    # Required ones first, else in the order given: of equal ones the first is kept.
    for name in sorted(baselines, key=lambda name: name not in required):
        for other, values in kept.items():
            if np.abs(baselines[name] - values).max() <= NOISE:
                dropped[name] = other
                break
        else:
            kept[name] = baselines[name]
    return {name: kept[name] for name in baselines if name in kept}, dropped


def _checked(name: str, values: Returns) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ExperimentError(
            f"{name}: expected one return a day on two or more days, found shape {array.shape}."
        )
    for wrong, expected in (
        (~np.isfinite(array), "finite returns"),
        (array <= -1.0, "returns above -100 %"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            raise ExperimentError(
                f"{name}: expected {expected}, found {array[row]} on day {row}; leave the day or"
                " the strategy out."
            )
    if np.ptp(array) <= NOISE and abs(array[0]) > NOISE:
        raise ExperimentError(
            f"{name}: expected returns that vary, found {array[0]} on every day; check the prices."
        )
    return array
