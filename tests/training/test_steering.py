"""What steers a training: epochs, rates, gradients, and which labels and prices are told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nextbar.signals.bars import COLUMNS
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.config import TrainingConfig
from nextbar.training.course import Course, Epoch, Steering, milestones
from nextbar.training.labels import price_labels
from nextbar.training.loop import Loop, _new, loop_for
from nextbar.training.splits import EMBARGO
from nextbar.training.task import Dates, make_task

from .tiny import BARS, VALIDATION_START, levels, task_of, tiny

repeatable_tensorflow()


def fitted(config: TrainingConfig, **given: Any) -> tuple[Loop, Course]:
    task, loop = task_of(config), loop_for(config)
    return loop, loop.fit(task.train_part, task.part(task.split.validation), config, **given)


# --- rates and epochs ----------------------------------------------------------------------------


def steered(config: TrainingConfig, losses: list[float]) -> tuple[list[float], list[bool], int]:
    """Return the rate after each epoch, which ones were the best so far, and the best."""
    optimizer = SimpleNamespace(learning_rate=config.learning_rate)
    steering, rates, best = Steering(config, optimizer), [], []
    for number, loss in enumerate(losses, start=1):
        best.append(steering.is_best(Epoch(number, len(losses), 0.0, loss, 0.5)))
        rates.append(optimizer.learning_rate)
    return rates, best, steering.best


def test_the_rate_is_halved_by_hand() -> None:
    config = tiny(plateau=2, learning_rate=0.08, least_rate=0.008)
    losses = [9, 9, 9, 9, 8, 8, 8, 8, 7, 8, 8, 8, 8, 8, 8]
    rates, best, number = steered(config, [float(loss) for loss in losses])
    # More than two epochs without a better one: the third halves, and the count begins anew.
    assert rates == [0.08] * 3 + [0.04] * 4 + [0.02] * 4 + [0.01] * 3 + [0.008]
    assert [i + 1 for i, better in enumerate(best) if better] == [1, 5, 9]
    assert number == 9


@given(
    losses=st.lists(st.integers(1, 6).map(float), min_size=1, max_size=40),
    plateau=st.one_of(st.none(), st.integers(1, 4)),
    rate=st.sampled_from([1e-1, 1e-4, 1e-7]),
)
def test_the_rate_never_rises(losses: list[float], plateau: int | None, rate: float) -> None:
    least = {} if plateau is None else {"least_rate": 1e-5}
    config = tiny(plateau=plateau, learning_rate=rate, **least)
    rates, best, number = steered(config, losses)
    assert (np.diff([rate, *rates]) <= 0).all()
    assert rates[-1] >= min(rate, 1e-5)
    assert plateau is not None or set(rates) == {rate}
    assert number == int(np.argmin(losses)) + 1
    assert best == [loss < min(losses[:i], default=np.inf) for i, loss in enumerate(losses)]


WILD = {"learning_rate": 0.6, "epochs": 12, "seed": 1}
"""A rate at which the validation loss jumps up and down."""


def test_the_rate_of_a_training_is_halved() -> None:
    config = levels(plateau=1, least_rate=0.1, patience=None, **WILD)
    loop = loop_for(config)
    rates: list[float] = []
    _, course = fitted(
        config, on_epoch=lambda _: rates.append(float(loop._optimizer.learning_rate))
    )
    expected, _, _ = steered(config, [epoch.validation_loss for epoch in course.epochs])
    np.testing.assert_allclose(rates, [0.6, *expected[:-1]], rtol=1e-6)
    assert rates[-1] < 0.6
    kept = levels(patience=None, **WILD)
    fitted(kept)
    assert float(loop._optimizer.learning_rate) == pytest.approx(0.6)


@pytest.mark.parametrize("patience", [None, 30, 2])
def test_which_weights_are_kept(patience: int | None) -> None:
    config = levels(patience=patience, **WILD)
    loop, course = fitted(config)
    task = task_of(config)
    check = task.part(task.split.validation)
    said = loop._scores(loop._scaled(check.windows))
    found = float(np.mean((loop._labels(check)[:, 0] - said) ** 2))
    losses = [epoch.validation_loss for epoch in course.epochs]
    best = int(np.argmin(losses))
    assert len(losses) == (12 if patience != 2 else best + 3) > best + 1
    assert found == pytest.approx(losses[-1] if patience is None else losses[best], rel=1e-5)
    assert losses[-1] > 1.01 * losses[best]


def test_epochs_whose_forecasts_are_kept() -> None:
    assert [milestones(n) - {0} for n in (1, 3, 8, 60)] == [
        {1}, {1, 2, 3}, {1, 2, 4, 6, 8}, {1, 15, 30, 45, 60}
    ]  # fmt: skip
    _, course = fitted(levels(epochs=3))
    assert set(course.forecasts) == {1, 2, 3}


# --- gradients -----------------------------------------------------------------------------------


def step(config: TrainingConfig, gradient: float) -> np.ndarray:
    """Return how all weights change by one step with the same gradient everywhere."""
    network, optimizer = _new(config)
    weights = network.trainable_weights
    before = [weight.numpy() for weight in weights]
    optimizer.apply([np.full(weight.shape, gradient, np.float32) for weight in weights])
    changes = [weight.numpy() - old for weight, old in zip(weights, before, strict=True)]
    return np.concatenate([np.ravel(change) for change in changes])


@pytest.mark.parametrize(
    ("optimizer", "first"),
    [("sgd", 0.5 * 0.01), ("adam", 0.01), ("rmsprop", 0.01 / np.sqrt(0.1))],
)
def test_the_first_step_of_an_optimizer(optimizer: str, first: float) -> None:
    config = tiny(optimizer=optimizer, learning_rate=0.01)
    np.testing.assert_allclose(step(config, 0.5), -first, rtol=1e-3)


@pytest.mark.parametrize("gradient", [1e-4, 0.5, 40.0])
def test_the_gradient_of_all_weights_together_is_cut(gradient: float) -> None:
    plain = step(tiny(optimizer="sgd", learning_rate=1.0), gradient)
    cut = step(tiny(optimizer="sgd", learning_rate=1.0, clip_norm=0.3), gradient)
    length = float(np.linalg.norm(plain))
    assert length == pytest.approx(gradient * np.sqrt(len(plain)), rel=1e-3)
    np.testing.assert_allclose(cut, plain * min(1.0, 0.3 / length), rtol=1e-2, atol=1e-7)


def test_the_gradient_of_a_training_is_cut() -> None:
    """With one batch and plain descent at rate 1 the weights move by the gradient."""
    once = {"epochs": 1, "batch_size": 1000, "learning_rate": 1.0, "optimizer": "sgd"}
    config = levels(clip_norm=0.01, **once)
    loop, _ = fitted(config)
    start, _ = _new(config)
    moved = [
        np.ravel(after.numpy() - before.numpy())
        for after, before in zip(
            loop.network.trainable_weights, start.trainable_weights, strict=True
        )
    ]
    assert np.linalg.norm(np.concatenate(moved)) == pytest.approx(0.01, rel=1e-3)


# --- labels that are drawn -----------------------------------------------------------------------


@pytest.mark.parametrize("augment", [0, 1, 4])
def test_labels_are_drawn_among_the_next_bars(augment: int, monkeypatch: Any) -> None:
    config = levels(augment=augment, epochs=25, patience=None)
    task, loop, told = task_of(config), loop_for(config), []
    monkeypatch.setattr(loop, "_pass", lambda x, y, rows, size: told.append(y) or 0.0)
    part = task.train_part
    course = loop.fit(part, task.part(task.split.validation), config)
    draws = max(1, augment)
    low, span = (np.asarray(w) for w in loop.network.get_layer("prices").weights)
    opens = BARS["open"].to_numpy()
    assert len(told) == 25
    for i in (0, 30, len(part.up) - 1):
        row = task.split.train[i]
        allowed = [(opens[[row + 1 + j, row + 2 + j]] - low) / span for j in range(draws)]
        seen = {int(np.argmin([np.abs(y[i] - one).max() for one in allowed])) for y in told}
        assert all(min(np.abs(y[i] - one).max() for one in allowed) < 1e-5 for y in told)
        assert seen == set(range(draws))
    # The validation part is asked for its own labels: nothing was trained, so by the same outputs.
    check = task.part(task.split.validation)
    truth = np.stack([opens[task.split.validation + ahead] for ahead in (1, 2)], axis=1)
    said = loop._scores(loop._scaled(check.windows))
    expected = float(np.mean(((truth - low) / span - said) ** 2))
    assert course.epochs[-1].validation_loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("target", ["open", "close"])
@pytest.mark.parametrize("augment", [0, 1, 2, 6])
def test_rows_with_draws_beyond_their_part_are_purged(augment: int, target: str) -> None:
    config = levels(augment=augment, horizon=3, target=target)
    split = task_of(config).split
    furthest = 3 + (target == "open") + max(0, augment - 1)
    first = int(BARS.index.get_loc(VALIDATION_START))
    assert split.train[-1] + furthest == first - 1 - EMBARGO
    assert split.last_label == split.validation[-1] + furthest
    assert not np.isnan(task_of(config).train_part.labels).any()


# --- prices that are smoothed --------------------------------------------------------------------


def smoothed(weight: float, last: int) -> np.ndarray:
    """Return the bars to row `last` with averages in place of prices, (last + 1, 5)."""
    values = BARS[list(COLUMNS)].to_numpy()[: last + 1].copy()
    for row in range(1, last + 1):
        values[row, :4] = weight * values[row, :4] + (1 - weight) * values[row - 1, :4]
    return values


def test_only_the_training_windows_are_smooth() -> None:
    config, honest = levels(smooth=0.2), levels()
    task, plain = task_of(config), task_of(honest)
    rows, part = task.split.train, task.train_part
    average = smoothed(0.2, int(rows[-1]) + 2)
    expected = np.stack([average[row - 5 : row + 1] for row in rows])
    np.testing.assert_allclose(part.windows, expected, rtol=1e-6)
    assert np.abs(part.windows[:, :, :4] - plain.train_part.windows[:, :, :4]).max() > 0.5
    for i, row in enumerate(rows):
        np.testing.assert_allclose(part.labels[i, 0], average[[row + 1, row + 2], 0], rtol=1e-9)
    np.testing.assert_array_equal(part.up, plain.train_part.up)
    check, other = (one.part(one.split.validation) for one in (task, plain))
    for name in ("windows", "up", "labels"):
        np.testing.assert_array_equal(getattr(check, name), getattr(other, name))


@pytest.mark.parametrize("head", ["direction", "position"])
def test_what_an_order_earns_is_not_smoothed(head: str) -> None:
    parts = [task_of(tiny(head=head, smooth=weight)).train_part for weight in (None, 0.2)]
    np.testing.assert_array_equal(parts[0].labels, parts[1].labels)
    assert (parts[0].windows != parts[1].windows).any()


def test_a_weight_of_one_is_no_average() -> None:
    mine, theirs = (task_of(levels(smooth=weight)).train_part for weight in (1.0, None))
    np.testing.assert_array_equal(mine.windows, theirs.windows)
    np.testing.assert_array_equal(mine.labels, theirs.labels)


def test_labels_that_reach_into_the_next_part_are_as_they_came() -> None:
    config = levels(smooth=0.2, horizon=4, flaws=("unpurged-horizon",))
    task = task_of(config)
    first = int(BARS.index.get_loc(VALIDATION_START))
    plain, smooth = price_labels(BARS, config.columns), smoothed(0.2, first - 1)
    np.testing.assert_array_equal(task.split.train, np.arange(5, first))
    found = task.train_part.labels[:, 0]
    np.testing.assert_array_equal(found[-5:], plain[first - 5 : first])
    np.testing.assert_allclose(found[-6], smooth[[first - 5, first - 1], 0], rtol=1e-9)


def test_a_move_longer_than_the_training_rows() -> None:
    config = levels(smooth=0.2, horizon=50)
    task = make_task(BARS, config, Dates(None, BARS.index[100], BARS.index[230]))
    rows = task.split.train
    assert rows[-1] < 50
    expected = smoothed(0.2, 99)[:, 0][rows[:, None] + [1, 51]]
    np.testing.assert_allclose(task.train_part.labels[:, 0], expected, rtol=1e-9)
    assert np.isnan(price_labels(BARS.iloc[:30], config.columns)[:, 1]).all()
