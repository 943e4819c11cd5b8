"""The whole comparison, through backtrader, on markets whose truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from nextbar.backtests import Experiment, compare
from nextbar.training import TrainingConfig

from ..markets import PLANTED, planted_bars, random_bars

CONFIG = TrainingConfig(
    units=(8,), window=5, epochs=12, learning_rate=0.01, batch_size=128, dropout=0.0
)


def test_a_planted_rule_earns_more_than_every_baseline(tmp_path: Path) -> None:
    bars = planted_bars(4500, seed=2)
    experiment = Experiment(
        symbols=("TEST",),
        validation_start=bars.index[2400].date(),
        test_start=bars.index[3000].date(),
        training=CONFIG,
    )
    done = compare(experiment, {"TEST": bars}, runs=tmp_path)
    part = done.summary["symbols"]["TEST"]
    assert part["calls"]["accuracy"] >= 0.9 * PLANTED
    rows = part["strategies"]
    assert rows["lstm"]["total_return"] > 0
    for baseline in ("ema", "momentum", "buy_and_hold"):
        assert rows["lstm"]["sharpe"] > rows[baseline]["sharpe"]
    # Profit per unit traded is above what trading costs.
    assert rows["lstm"]["break_even_bps"] > 2 * experiment.cost_bps


def test_random_walks_earn_nothing_on_average(tmp_path: Path) -> None:
    """Mean 0 before costs, so the mean over markets may be above 0 by chance only.

    Six independent accounts of which each ends within about 25 %: the mean of their total returns
    has a standard error near 0.06; a bound of 0.12 is passed by chance once in 40 sets.
    """
    symbols = [f"W{i}" for i in range(6)]
    bars = {symbol: random_bars(900, seed=300 + i) for i, symbol in enumerate(symbols)}
    index = bars["W0"].index
    experiment = Experiment(
        symbols=tuple(symbols),
        validation_start=index[450].date(),
        test_start=index[600].date(),
        training=CONFIG.model_copy(update={"epochs": 4}),
        shorts=True,
        cost_bps=5.0,
    )
    done = compare(experiment, bars, runs=tmp_path)
    rows = [done.summary["symbols"][symbol]["strategies"]["lstm"] for symbol in symbols]
    assert sum(row["trades"] for row in rows) > 100
    assert sum(row["total_return"] for row in rows) / len(rows) < 0.12
    costs = sum(row["costs_paid"] for row in rows) / (len(rows) * experiment.cash)
    assert costs == pytest.approx(0.0005 * 0.95 * 2 * sum(r["trades"] for r in rows) / 6, rel=0.3)
