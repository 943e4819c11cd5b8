"""A stateful pass: equal to a plain loop over cells, and the state goes on from step to step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.config import TrainingConfig
from nextbar.training.course import Course
from nextbar.training.loop import Loop, loop_for

from .tiny import levels, task_of

tf = repeatable_tensorflow()

import keras  # noqa: E402
from nextbar.training.networks import build_network  # noqa: E402

CONFIG = levels(
    stateful=True, units=(3, 2), batch_size=7, epochs=1, patience=None, optimizer="sgd",
    learning_rate=0.5,
)  # fmt: skip


def fitted(config: TrainingConfig) -> tuple[Loop, Course]:
    task, loop = task_of(config), loop_for(config)
    return loop, loop.fit(task.train_part, task.part(task.split.validation), config)


def plain(
    config: TrainingConfig, *, carry: bool = True, wrap: bool = True
) -> tuple[float, list[np.ndarray]]:
    """Train one pass with Python loops alone; return the mean loss and the weights."""
    part = task_of(config).train_part
    opens = part.windows[:, :, 0].astype(np.float64)
    low, span = opens.min(), np.ptp(opens)
    x = ((opens[:, -1:] - low) / span).astype(np.float32)
    y = ((part.labels[:, 0] - low) / span).astype(np.float32)
    keras.utils.set_random_seed(config.seed)
    network = build_network(config)
    cells = [layer.cell for layer in network.layers if hasattr(layer, "cell")]
    head, weights = network.get_layer("head"), network.trainable_weights
    n = len(x)
    steps = n // config.batch_size
    zeros = [[tf.zeros((config.batch_size, cell.units))] * 2 for cell in cells]
    states, losses = zeros, []
    for number in range(steps):
        errors = []
        with tf.GradientTape() as tape:
            for bar in range(config.window):
                rows = np.arange(config.batch_size) * steps + number * config.window + bar
                rows = rows % n if wrap else np.minimum(rows, n - 1)
                signal = tf.constant(x[rows])
                for i, cell in enumerate(cells):
                    signal, after = cell(signal, states[i])
                    states = [*states[:i], after, *states[i + 1 :]]
                errors.append((head(signal) - y[rows]) ** 2)
            loss = tf.reduce_mean(tf.stack(errors))
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign(weight - config.learning_rate * gradient)
        states = [[tf.constant(part.numpy()) for part in state] for state in states]
        states = states if carry else zeros
        losses.append(float(loss))
    return float(np.mean(losses)), [weight.numpy() for weight in weights]


def furthest(mine: list[Any], theirs: list[Any]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(mine, theirs, strict=True))


def test_equal_to_a_plain_loop() -> None:
    loop, course = fitted(CONFIG)
    found = [weight.numpy() for weight in loop.network.trainable_weights]
    loss, weights = plain(CONFIG)
    assert course.epochs[0].loss == pytest.approx(loss, rel=1e-5)
    assert furthest(found, weights) < 1e-5
    # A state that is reset, or a series that does not begin again at its end, is something else.
    for other in ({"carry": False}, {"wrap": False}):
        loss, weights = plain(CONFIG, **other)
        assert course.epochs[0].loss != pytest.approx(loss, rel=1e-3)
        assert furthest(found, weights) > 1e-3


def test_more_stretches_than_rows() -> None:
    config = CONFIG.model_copy(update={"batch_size": 5000})
    _, course = fitted(config)
    rows = len(task_of(config).split.train)
    loss, _ = plain(config.model_copy(update={"batch_size": rows}))
    assert course.epochs[0].loss == pytest.approx(loss, rel=1e-5)


def test_it_learns() -> None:
    _, course = fitted(CONFIG.model_copy(update={"epochs": 12}))
    losses = [epoch.loss for epoch in course.epochs]
    assert losses[-1] < 0.8 * losses[0]


def test_nothing_of_an_earlier_fit_stays() -> None:
    """Both kinds of dropout are at work, and their random states are overwritten as well."""
    dropout = {"dropout": 0.4, "recurrent_dropout": 0.3}
    config = CONFIG.model_copy(update=dropout | {"epochs": 3, "learning_rate": 1e-12})
    loop, first = fitted(config)
    assert len({round(epoch.loss, 6) for epoch in first.epochs}) == 3
    weights = loop.network.get_weights()
    loop, again = fitted(config)
    assert again.epochs == first.epochs
    assert furthest(weights, loop.network.get_weights()) == 0
    other = config.model_copy(update={"seed": 1})
    assert fitted(other)[1].epochs[0].loss != first.epochs[0].loss
