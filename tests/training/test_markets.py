"""Made-up markets whose truth is known: what is there is found, and nothing is found in noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nextbar.signals import load_model
from nextbar.training import TrainingConfig, train

from ..markets import PLANTED, planted_bars, random_bars

COST = 0.0005
"""5 bps a side."""


def moves(bars: pd.DataFrame) -> np.ndarray:
    """Return log(open[t+2] / open[t+1]), what a decision at close t earns: two fewer than bars."""
    return np.diff(np.log(bars["open"].to_numpy()))[1:]


def net_of(position: np.ndarray, move: np.ndarray) -> np.ndarray:
    return position * move - COST * np.abs(np.diff(position, prepend=0.0))


def scores(path: Path, bars: pd.DataFrame) -> np.ndarray:
    """Return one score for each bar, NaN before the first full window."""
    model = load_model(path)
    return np.concatenate([np.full(model.card.window - 1, np.nan), model.score(bars.to_numpy())])


def test_a_planted_rule_is_found_and_earns(tmp_path: Path) -> None:
    bars = planted_bars(4500, seed=1)
    config = TrainingConfig(
        units=(8,), window=5, epochs=12, learning_rate=0.01, batch_size=128, dropout=0.0
    )
    test = 3000
    trained = train(bars, config, tmp_path / "m.onnx", test_start=bars.index[test])
    assert trained.card.train_end < str(bars.index[test].date())
    score = scores(trained.path, bars)[test:-2]
    move = moves(bars.iloc[test:])
    close = bars["close"].to_numpy()
    rule = (close[test:] > close[test - 1 : -1])[:-2]
    planted = np.mean(rule == (move > 0))
    assert planted == pytest.approx(PLANTED, abs=0.03)
    assert np.mean((score > 0.5) == (move > 0)) >= 0.9 * planted
    # Long while the call is up, else flat.
    net = net_of((score > 0.5).astype(float), move)
    # Not by luck, more than 5 standard errors; and not by being long, more than holding.
    assert net.mean() > 5 * net.std() / np.sqrt(len(net))
    assert net.sum() > net_of(np.ones(len(move)), move).sum()


def nothing_found(seeds: range, n: int, config: TrainingConfig, folder: Path) -> None:
    """Follow the calls, long or short, on random walks: no more than chance allows is earned.

    The log returns are independent with mean 0, so a position decided before them earns 0 on
    average whatever it is, and costs only take away. Even without costs the mean over all bars
    would be above twice its standard error once in 44 sets of seeds.
    """
    nets: list[np.ndarray] = []
    peeks: list[np.ndarray] = []
    for seed in seeds:
        bars = random_bars(n, seed=1000 + seed)
        config = config.model_copy(update={"seed": seed})
        test = n // 2
        trained = train(bars, config, folder / f"{seed}.onnx", test_start=bars.index[test])
        move = moves(bars.iloc[test:])
        position = np.where(scores(trained.path, bars)[test:-2] > 0.5, 1.0, -1.0)
        nets.append(net_of(position, move))
        knows = np.random.default_rng(seed).random(len(move)) < 0.2
        peeks.append(net_of(np.where(knows, np.sign(move), position), move))
    net = np.concatenate(nets)
    bound = 2 * net.std() / np.sqrt(len(net))
    assert net.mean() <= bound
    # The bound is tight enough to tell: one that knew a fifth of the moves ahead would be above.
    assert np.concatenate(peeks).mean() > bound


def test_nothing_is_found_in_a_random_walk(tmp_path: Path) -> None:
    config = TrainingConfig(units=(4,), window=8, epochs=4, learning_rate=0.01)
    nothing_found(range(6), 800, config, tmp_path)


@pytest.mark.slow
def test_nothing_is_found_in_many_random_walks(tmp_path: Path) -> None:
    nothing_found(range(20), 3000, TrainingConfig(epochs=25), tmp_path)
