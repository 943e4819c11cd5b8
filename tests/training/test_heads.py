"""Heads: what is punished, how batches are made, and that each one learns what is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.signals.bars import COLUMNS, check_bars
from nextbar.signals.windows import windows_of
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.config import TrainingConfig
from nextbar.training.course import Part, stretches
from nextbar.training.labels import direction_labels, make_labels
from nextbar.training.loop import Loop, loop_for
from nextbar.training.measures import log_loss

from ..markets import random_bars
from .tiny import levels, task_of, tiny

tf = repeatable_tensorflow()

from nextbar.training.heads import HEADS  # noqa: E402

POSITION = tiny(head="position", features=("return",), learning_rate=0.02, epochs=25)


def loss_of(config: TrainingConfig, labels: np.ndarray, outputs: np.ndarray) -> tuple[float, float]:
    """Return the loss that trains, and the one that checks."""
    head = HEADS[config.head]
    single = (array.astype(np.float32) for array in (labels, outputs))
    return float(head.loss(config)(*single)), head.check_loss(config, labels, outputs)


# --- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [0.0, 0.0005, 0.02])
@given(seed=st.integers(0, 1000), rows=st.integers(2, 60))
@settings(deadline=None, max_examples=10)
def test_sharpe_loss_by_hand(penalty: float, seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    moves, positions = rng.normal(0.001, 0.02, rows), rng.uniform(-1, 1, rows)
    earned, before = [], 0.0
    for move, position in zip(moves, positions, strict=True):
        earned.append(position * move - penalty * abs(position - before))
        before = position
    mean = sum(earned) / rows
    deviation = (sum((one - mean) ** 2 for one in earned) / rows) ** 0.5
    config = tiny(head="position", turnover_penalty=penalty)
    for found in loss_of(config, moves[:, None], positions[:, None]):
        assert found == pytest.approx(-mean / deviation, rel=2e-3, abs=2e-4)


@pytest.mark.parametrize("position", [0.0, 0.25])
def test_a_batch_without_a_deviation_has_a_slope(position: float) -> None:
    """Out of the market, or in one that moves by the same each bar."""
    config = tiny(head="position", turnover_penalty=0.0)
    outputs = tf.Variable(np.full((8, 1), position, np.float32))
    with tf.GradientTape() as tape:
        loss = HEADS["position"].loss(config)(tf.fill((8, 1), 2.0**-7), outputs)
    assert float(loss) == pytest.approx(-position * 2.0**-7 / 1e-6, rel=1e-4)
    assert np.isfinite(tape.gradient(loss, outputs)).all()


def test_turnover_costs_more_the_dearer_it_is() -> None:
    rng = np.random.default_rng(0)
    moves, positions = rng.normal(0.001, 0.02, (50, 1)), rng.uniform(-1, 1, (50, 1))
    costs = [tiny(head="position", turnover_penalty=cost) for cost in (0, 0.001, 0.01)]
    for kind in (0, 1):
        losses = [loss_of(config, moves, positions)[kind] for config in costs]
        assert losses == sorted(losses)
        assert losses[-1] - losses[0] > 0.1
    still = loss_of(costs[0], moves, np.ones((50, 1)))[1]
    assert loss_of(costs[2], moves, np.ones((50, 1)))[1] - still == pytest.approx(0.01, abs=0.01)


def test_other_losses_by_hand() -> None:
    rng = np.random.default_rng(0)
    labels, outputs = rng.normal(0, 1, (20, 3)), rng.normal(0, 1, (20, 3))
    expected = sum((labels - outputs).ravel() ** 2) / 60
    assert loss_of(levels(), labels, outputs) == pytest.approx((expected, expected), rel=1e-5)
    up, said = rng.integers(0, 2, (20, 1)).astype(float), rng.uniform(0.01, 0.99, (20, 1))
    expected = log_loss(said[:, 0], up[:, 0])
    assert loss_of(tiny(), up, said) == pytest.approx((expected, expected), rel=1e-5)


# --- batches -------------------------------------------------------------------------------------


@given(seed=st.integers(0, 100), rows=st.integers(1, 300), size=st.integers(1, 320))
def test_stretches(seed: int, rows: int, size: int) -> None:
    found = stretches(np.random.default_rng(seed), rows, size)
    size = min(size, rows)
    assert len(found) == rows // size * size
    assert len(np.unique(found)) == len(found)
    assert 0 <= found.min() <= found.max() < rows
    assert (np.diff(found.reshape(-1, size), axis=1) == 1).all()


def test_stretches_reach_every_row_in_any_order() -> None:
    random = np.random.default_rng(0)
    drawn = [stretches(random, 70, 32) for _ in range(60)]
    assert set(np.concatenate(drawn)) == set(range(70))
    assert len({bool(rows[0] < rows[-1]) for rows in drawn}) == 2


def batches(loop: Loop, config: TrainingConfig, monkeypatch: Any) -> list[np.ndarray]:
    """Return the rows of all batches of two epochs."""
    seen: list[np.ndarray] = []

    def one_pass(x: Any, y: Any, rows: np.ndarray, size: int) -> float:
        seen.extend(rows[i : i + size] for i in range(0, len(rows), size))
        return 0.0

    monkeypatch.setattr(loop, "_pass", one_pass)
    task = task_of(config)
    loop.fit(task.train_part, task.part(task.split.validation), config)
    return seen


def test_rows_of_a_batch_follow_each_other_for_positions(monkeypatch: Any) -> None:
    config = POSITION.model_copy(update={"epochs": 2})
    seen = batches(loop_for(config), config, monkeypatch)
    assert {len(rows) for rows in seen} == {32}
    assert all((np.diff(rows) == 1).all() for rows in seen)
    assert len({int(rows[0]) for rows in seen}) > len(seen) / 2  # another start each epoch


def test_rows_of_other_heads_are_mixed(monkeypatch: Any) -> None:
    config = levels()
    seen = batches(loop_for(config), config, monkeypatch)
    rows = len(task_of(config).split.train)
    assert sorted(np.concatenate(seen)) == sorted([*range(rows)] * 2)
    assert not any((np.diff(part) == 1).all() for part in seen if len(part) > 3)


# --- what is learned -----------------------------------------------------------------------------


def part_of(bars: pd.DataFrame, config: TrainingConfig) -> Part:
    labels = make_labels(bars, config)[5:]
    known = ~np.isnan(labels).any(axis=(1, 2))
    windows = windows_of(bars[list(COLUMNS)].to_numpy(np.float32), 6)[known]
    up = direction_labels(bars, config.horizon, config.target)["up"].to_numpy()[5:][known]
    return Part(np.ascontiguousarray(windows), up, labels[known])


def told(loop: Loop, part: Part) -> Any:
    return loop.traced.predict(part.windows, 512)


@pytest.mark.parametrize("drift", [0.008, -0.008])
def test_positions_go_with_the_trend(drift: float) -> None:
    bars = random_bars(220, seed=1)
    trend = np.exp(drift * np.arange(220))[:, None]
    bars[["open", "high", "low", "close"]] *= trend
    part, loop = part_of(bars, POSITION), loop_for(POSITION)
    loop.fit(part, part, POSITION)
    positions = np.sign(drift) * told(loop, part)
    assert positions.min() > 0.1
    assert positions.mean() > 0.3


def test_positions_turn_with_the_trend() -> None:
    """The market falls and rises by turns; the last moves tell which."""
    rng = np.random.default_rng(0)
    side = np.repeat(np.resize([1.0, -1.0], 12), 25)
    bars = random_bars(300, seed=2)
    close = 100 * np.exp(np.cumsum(0.01 * side + rng.normal(0, 0.003, 300)))
    open_ = np.append(100.0, close[:-1])
    both = np.stack([open_, close])
    bars = bars.assign(open=open_, close=close, high=both.max(axis=0), low=both.min(axis=0))
    part, loop = part_of(bars, POSITION), loop_for(POSITION)
    course = loop.fit(part, part, POSITION)
    positions = told(loop, part)
    up = part.up > 0.5
    assert positions[up].mean() > 0.3
    assert positions[~up].mean() < -0.3
    assert course.epochs[-1].validation_accuracy > 0.85
    assert course.epochs[-1].validation_loss < -0.5


WAVE = levels(units=(8,), epochs=60, patience=60, learning_rate=0.02)


def test_a_wave_is_forecast() -> None:
    """A sine goes on as its last bars say: far better than by saying that nothing changes."""
    price = 100 + 10 * np.sin(2 * np.pi * np.arange(260) / 25)
    same = dict.fromkeys(("open", "high", "low", "close"), price)
    bars = check_bars(random_bars(260).assign(**same))
    train, check = part_of(bars[:200], WAVE), part_of(bars[194:], WAVE)
    loop = loop_for(WAVE)
    course = loop.fit(train, check, WAVE)
    said, truth = told(loop, check), check.labels[:, 0]
    today = check.windows[:, -1, :1]
    error, naive = (
        np.sqrt(np.mean((guess - truth) ** 2, axis=0)) for guess in (said["forecast"], today)
    )
    assert (error < 0.2 * naive).all(), error / naive
    assert course.epochs[-1].validation_accuracy > 0.9
    # The loss is the squared error in the scale of the training part, from 90 to 110.
    best = min(epoch.validation_loss for epoch in course.epochs)
    assert best == pytest.approx(np.mean(error**2) / 20**2, rel=2e-2)
    assert set(course.forecasts) == {1, 15, 30, 45, 60}
    assert course.forecasts[60].shape == truth.shape
