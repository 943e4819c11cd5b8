"""Rules fitted inside the folds: each on the bars before its fold's test, by the same measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from ..signals.bars import periods_per_year
from ..signals.chain import write_chain
from ..signals.errors import BarsError
from ..signals.manifest import Period, Rule
from ..signals.rules import first_call, rule_directions
from ..training.config import Fold
from ..training.labels import direction_labels
from .experiment import FEWEST_BARS, Experiment
from .metrics import sharpe
from .simulate import account_returns, rules_of, simulate_many

__all__ = ["fold_periods", "fold_rules", "write_rules"]


def write_rules(
    frame: pd.DataFrame, experiment: Experiment, folder: Path, horizon: int, target: str
) -> dict[str, tuple[Rule, ...]]:
    """Fit every rule in every fold, write each as a chain ``folder/<name>``, and return them."""
    fitted = fold_rules(frame, experiment, horizon, target)
    for name, rules in fitted.items():
        periods = [
            Period(start=start, end=end, rule=rule)
            for rule, (start, end) in zip(rules, fold_periods(experiment.folds), strict=True)
        ]
        write_chain(folder / name, periods)
    return fitted


def fold_periods(
    folds: Sequence[Fold],
) -> Iterator[tuple[pd.Timestamp, pd.Timestamp | None]]:
    """Yield the test of each fold: its first moment, and the next fold's or None for the last."""
    starts = [pd.Timestamp(fold.test_start) for fold in folds]
    yield from pairwise([*starts, None])  # pyright: ignore[reportReturnType]


def fold_rules(
    frame: pd.DataFrame, experiment: Experiment, horizon: int, target: str
) -> dict[str, tuple[Rule, ...]]:
    """Return by strategy the rule that each fold's earlier bars choose.

    EMA cross and momentum take the entry of their grid with the best Sharpe ratio, net of the
    experiment's costs, on the bars before the fold's test on which all entries make calls; of
    equal ones the first. The majority class is the commoner label among those known by then.
    The others have nothing to choose.

    Raises
    ------
    BarsError
        When fewer than 30 bars are left to choose on: it says how many are needed.
    """
    grids = {
        "ema": [
            Rule(name="ema", parameters={"fast": fast, "slow": slow})
            for fast, slow in experiment.ema_grid
        ],
        "momentum": [
            Rule(name="momentum", parameters={"period": period})
            for period in experiment.momentum_grid
        ],
        "mean": [Rule(name="mean")],
        "reversal": [Rule(name="reversal")],
    }
    past = [_before(frame, fold) for fold in experiment.folds]
    fitted = {
        name: tuple(_best(bars, grid, experiment) for bars in past) for name, grid in grids.items()
    }
    fitted["majority"] = tuple(_majority(bars, horizon, target) for bars in past)
    return fitted


def _before(frame: pd.DataFrame, fold: Fold) -> pd.DataFrame:
    known = frame[frame.index < pd.Timestamp(fold.test_start)]
    return known if fold.train_start is None else known.loc[pd.Timestamp(fold.train_start) :]


def _best(bars: pd.DataFrame, grid: Sequence[Rule], experiment: Experiment) -> Rule:
    if len(grid) == 1:
        return grid[0]
    start = max(first_call(rule) for rule in grid)
    if len(bars) - start < FEWEST_BARS:
        raise BarsError(
            f"{bars.attrs['symbol']}: {len(bars)} bars to choose a {grid[0].name} rule on, at least"
            f" {start + FEWEST_BARS} are needed. Load earlier bars, use later folds or shorter"
            " look-backs."
        )
    close = bars["close"].to_numpy(np.float64)
    directions = np.array([rule_directions(rule, close)[start:] for rule in grid], np.int8)
    done = simulate_many(bars.iloc[start:], directions, [experiment.cost_bps], rules_of(experiment))
    yearly = periods_per_year(bars)
    ratios = [
        sharpe(returns[1:], yearly) for returns in account_returns(done.equity, experiment.cash)
    ]
    return grid[int(np.argmax([-np.inf if ratio is None else ratio for ratio in ratios]))]


def _majority(bars: pd.DataFrame, horizon: int, target: str) -> Rule:
    up = direction_labels(bars, horizon, "close" if target == "close" else "open")["up"].mean()
    return Rule(name="constant", parameters={"direction": 1 if up >= 0.5 else -1})
