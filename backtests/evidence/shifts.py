"""Random calls of the same exposure: the strategy's own calls at other times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...signals.errors import ExperimentError

__all__ = ["circular_shifts", "rank_among"]


def circular_shifts(
    bars: int, count: int = 200, *, seed: int = 0, minimum: int = 1
) -> npt.NDArray[np.intp]:
    """Return the numbers 0 to `bars` - 1, moved round by different random numbers of bars.

    Calls taken in the order of a row of the result, shape (count, bars), have the same exposure
    and, but for the join of the two ends, the same trades; only when they happen is random. No row
    is moved by fewer than `minimum` bars either way. With fewer such moves than `count`, all of
    them are returned.
    """
    if bars < 0 or count < 1 or minimum < 1:
        raise ExperimentError(
            "circular shifts: expected bars, a count and a minimum of 1 or more, found"
            f" {bars} bars, count {count}, minimum {minimum}."
        )
    offsets = np.arange(minimum, bars - minimum + 1)
    if len(offsets) > count:
        offsets = np.sort(np.random.default_rng(seed).choice(offsets, count, replace=False))
    return (np.arange(bars)[None, :] - offsets[:, None]) % max(bars, 1)


def rank_among(value: float, values: Sequence[float]) -> float | None:
    """Return the share of `values` at or above `value`; None without any.

    Small means that hardly any random timing did as well.
    """
    if not len(values):
        return None
    found = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(found).all() and np.isfinite(value)):
        raise ExperimentError("rank: expected finite values; leave out what is undefined.")
    return float(np.mean(found >= value))
