"""Rules are chosen inside their fold: by its own past, net of costs, and by nothing later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests.tuning import fold_periods, fold_rules, write_rules
from nextbar.signals.chain import load_chain
from nextbar.signals.errors import BarsError
from nextbar.training.splits import make_folds

from ..markets import random_bars
from .test_comparison import experiment_of


def trending(n: int, wave: int) -> pd.DataFrame:
    """Return bars whose close goes up for `wave` bars and down for as many."""
    frame = random_bars(n, seed=3, sigma=0.002)
    slope = np.where(np.arange(n) // wave % 2 == 0, 0.01, -0.01)
    path = 100 * np.exp(np.cumsum(slope))
    return frame.mul(pd.Series(path / 100, frame.index), axis=0)


def test_each_fold_sees_its_own_past_only() -> None:
    bars = random_bars(600, seed=4)
    experiment = experiment_of(
        "TEST", folds=make_folds(pd.DatetimeIndex(bars.index), 3), momentum_grid=(3, 10, 40)
    )
    before = fold_rules(bars, experiment, 1, "open")
    for k, fold in enumerate(experiment.folds):
        later = bars.index >= pd.Timestamp(fold.test_start)
        changed = bars.copy()
        changed.attrs.update(bars.attrs)
        changed.loc[later] = bars.loc[later].to_numpy()[::-1] * 3
        after = fold_rules(changed, experiment, 1, "open")
        for name, rules in before.items():
            assert after[name][: k + 1] == rules[: k + 1]


def test_the_look_back_that_fits_the_market_is_chosen() -> None:
    bars = trending(800, wave=12)
    folds = make_folds(pd.DatetimeIndex(bars.index), 2)
    # Twenty bars are nearly one wave: that look-back is always late.
    for grid in ((20, 4, 150), (4, 150, 20)):
        experiment = experiment_of("TEST", folds=folds, momentum_grid=grid)
        chosen = fold_rules(bars, experiment, 1, "open")["momentum"]
        assert {rule.parameters["period"] for rule in chosen} == {4}


def test_costs_decide_as_well() -> None:
    bars = random_bars(700, seed=8)
    folds = make_folds(pd.DatetimeIndex(bars.index), 1)
    grid = (2, 3, 100)
    dear = experiment_of("TEST", folds=folds, momentum_grid=grid, cost_bps=300.0)
    assert fold_rules(bars, dear, 1, "open")["momentum"][0].parameters["period"] == 100


def test_the_majority_is_that_of_the_known_labels() -> None:
    rising = random_bars(500, seed=1, sigma=0.004)
    rising = rising.mul(pd.Series(np.exp(0.002 * np.arange(500)), rising.index), axis=0)
    falling = rising.mul(pd.Series(np.exp(-0.004 * np.arange(500)), rising.index), axis=0)
    folds = make_folds(pd.DatetimeIndex(rising.index), 2)
    for bars, direction in ((rising, 1), (falling, -1)):
        bars.attrs.update(random_bars(5).attrs)
        rules = fold_rules(bars, experiment_of("TEST", folds=folds), 1, "open")["majority"]
        assert [rule.parameters["direction"] for rule in rules] == [direction] * 2


def test_rules_become_chains(tmp_path: Path) -> None:
    bars = random_bars(500, seed=2)
    folds = make_folds(pd.DatetimeIndex(bars.index), 2)
    experiment = experiment_of("TEST", folds=folds)
    fitted = write_rules(bars, experiment, tmp_path, 1, "open")
    assert set(fitted) == {"ema", "momentum", "mean", "reversal", "majority"}
    for name, rules in fitted.items():
        chain = load_chain(tmp_path / name)
        assert chain.rules == rules
        spans = [(p.start, p.end) for p in chain.periods]
        assert spans == list(fold_periods(folds))


def test_too_few_bars_say_how_many_are_needed() -> None:
    bars = random_bars(500, seed=2)
    folds = make_folds(pd.DatetimeIndex(bars.index), 2)
    experiment = experiment_of("TEST", folds=folds, momentum_grid=(20, 140))
    with pytest.raises(BarsError, match=r"150 bars to choose a momentum rule.*171 are needed"):
        fold_rules(bars, experiment, 1, "open")
