"""Tests over many strategies at once, since the best of many looks good by luck alone.

Hansen's test of superior predictive ability and Romano and Wolf's StepM, both on mean daily
returns. Each difference of returns is first divided by its own Newey-West deviation, so that a
strategy with large returns does not drown the others: arch itself compares plain means.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...signals.errors import ExperimentError
from .leads import NOISE, long_run_covariance
from .sharpes import BLOCK, SEED

__all__ = ["Superiority", "step_m", "superior_predictive_ability"]


@dataclass(frozen=True)
class Superiority:
    """p-values of "no strategy is better than the benchmark"; None with a reason if undefined.

    `consistent` is the one to read; `lower` and `upper` bound it. `strategies` were compared.
    """

    lower: float | None
    consistent: float | None
    upper: float | None
    strategies: int
    reason: str | None


def superior_predictive_ability(
    benchmark: pd.Series[float], models: pd.DataFrame, *, draws: int = 5_000
) -> Superiority:
    """Return Hansen's p-values for the frame `models`: one column of daily returns per strategy.

    Columns may be strategies, or strategies of several symbols when each is given as its returns
    minus its own symbol's benchmark and `benchmark` is 0. Stationary bootstrap, mean block 10,
    fixed seed. Columns equal to the benchmark are left out.
    """
    from arch.bootstrap import SPA

    gains = _scaled_gains(benchmark, models)
    if gains.empty:
        return Superiority(None, None, None, 0, "every strategy equals the benchmark")
    test = SPA(np.zeros(len(gains)), -gains.to_numpy(), block_size=BLOCK, reps=draws, seed=SEED)
    test.compute()
    lower, consistent, upper = (float(p) for p in test.pvalues)
    return Superiority(lower, consistent, upper, gains.shape[1], None)


def step_m(
    benchmark: pd.Series[float], models: pd.DataFrame, *, size: float = 0.05, draws: int = 5_000
) -> tuple[Hashable, ...]:
    """Return the columns of `models` that are better than `benchmark`, in their order.

    The chance that one of them is not is at most `size`. See `superior_predictive_ability`.
    """
    from arch.bootstrap import StepM

    gains = _scaled_gains(benchmark, models)
    if gains.empty:
        return ()
    test = StepM(
        np.zeros(len(gains)), -gains.to_numpy(), size, block_size=BLOCK, reps=draws, seed=SEED
    )
    test.compute()
    superior = set(test.superior_models)
    return tuple(name for i, name in enumerate(gains.columns) if i in superior)


def _scaled_gains(benchmark: pd.Series[float], models: pd.DataFrame) -> pd.DataFrame:
    """Return models minus benchmark, each column over its Newey-West deviation a day."""
    if not models.index.equals(benchmark.index):
        raise ExperimentError("benchmark and models: expected the same days, found others.")
    gains = models.sub(benchmark, axis=0)
    values = gains.to_numpy(np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        raise ExperimentError(
            f"benchmark and models: expected finite returns on two or more days, found"
            f" {int((~np.isfinite(values)).sum())} missing on {len(values)} days."
        )
    differs = np.ptp(values, axis=0) > NOISE
    deviation = np.sqrt(np.diag(long_run_covariance(values[:, differs], BLOCK)) * len(values))
    return gains.loc[:, differs] / deviation
