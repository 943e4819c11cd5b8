"""Whether a lead over buy & hold was there in the first half of the days only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...signals.arrays import FloatArray
from ..verdict import ALPHA, FEWEST_DAYS, FLOOR, LAG
from .checks import Returns, check_moves, checked_returns
from .leads import Leads, leads_over, normal_point

__all__ = ["Halves", "halves_of"]


@dataclass(frozen=True)
class Halves:
    """The Sharpe lead in each half of the days, with standard errors and the p-value of the first.

    `decayed` is None when a half has fewer days than a verdict needs.
    """

    first: float
    first_error: float
    first_p: float
    second: float
    second_error: float
    days: tuple[int, int]
    decayed: bool | None
    sentence: str


def halves_of(
    lstm: Returns,
    baseline: Returns,
    *,
    label: str = "buy & hold",
    periods_per_year: float = 252,
) -> Halves:
    """Return the lead over `baseline`, shape (n,) as `lstm`, in each half, and whether it decayed.

    Fixed in advance: the halves meet at day n // 2. Decayed means that the first half's lead is
    significant (the verdict's p-value of one pair, at most 5 %), and the second's is zero or less,
    or lower than the first's by more than 1.645 standard errors of the difference. The baseline is
    the market of the intercept. It describes; it never changes the verdict.

    Raises
    ------
    ExperimentError
        Returns that `checked_returns` refuses, or a half without two days or without a move.
    """
    own, other = checked_returns([("the LSTM", lstm), (label, baseline)])
    middle = len(own) // 2
    first = _lead(own[:middle], other[:middle], f"{label}, first half", periods_per_year)
    second = _lead(own[middle:], other[middle:], f"{label}, second half", periods_per_year)
    early, late = float(first.difference[0]), float(second.difference[0])
    errors = float(first.error[0]), float(second.error[0])
    p = float(first.p[0])
    days = middle, len(own) - middle
    fell = early - late > normal_point(ALPHA) * math.hypot(*errors)
    decayed = p <= ALPHA and (late <= 0 or fell) if middle >= FEWEST_DAYS else None
    numbers = f"lead over {label} {early:+.2f} in the first half, {late:+.2f} in the second"
    return Halves(
        first=early,
        first_error=errors[0],
        first_p=p,
        second=late,
        second_error=errors[1],
        days=days,
        decayed=decayed,
        sentence=f"{_WORDS[decayed]}: {numbers}",
    )


_WORDS = {
    True: "decayed",
    False: "no decay shown",
    None: f"too short to halve (each half needs {FEWEST_DAYS} days)",
}


def _lead(own: FloatArray, other: FloatArray, name: str, periods_per_year: float) -> Leads:
    checked_returns([("the LSTM", own), (name, other)])
    check_moves(name, other)
    return leads_over(
        np.column_stack([own, other]),
        other,
        periods_per_year=periods_per_year,
        lag=LAG,
        floor=FLOOR,
    )
