"""A rollout is the network for one bar fed with its own forecasts: by hand, and in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nextbar.signals import load_model
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.certify import Facts, export
from nextbar.training.course import Part
from nextbar.training.loop import loop_for

from .tiny import BARS, levels, task_of

repeatable_tensorflow()

import keras  # noqa: E402
from nextbar.training.networks import build_network  # noqa: E402

CONFIG = levels(rollout=True, units=(3, 2), horizon=3, dropout=0.4)
PART = task_of(CONFIG).train_part


@pytest.fixture(scope="module")
def network() -> Any:
    """Return a network with scalings of the training part and weights that tell bars apart."""
    made = build_network(CONFIG)
    rng = np.random.default_rng(0)
    made.set_weights([rng.normal(0, 0.7, weight.shape) for weight in made.get_weights()])
    made.get_layer("head").set_weights([np.array([[9.0], [-6.0]]), np.zeros(1)])
    made.get_layer("scaling").adapt(np.asarray(made.get_layer("features")(PART.windows)))
    made.get_layer("prices").adapt(PART.windows, PART.windows, PART.labels[:, 0])
    return made


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(layer: Any, x: np.ndarray) -> np.ndarray:
    """Return what an LSTM says after each step of `x`, (n, steps, k), from a state of zero."""
    kernel, recurrent, bias = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    h = c = np.zeros((len(x), layer.units))
    said = []
    for step in range(x.shape[1]):
        i, f, g, o = np.split(x[:, step] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        said.append(h)
    return np.stack(said, axis=1)


def one_bar(network: Any, x: np.ndarray) -> np.ndarray:
    """Return the forecast of the next bar, scaled, (n, 1), after a series of any length."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.LSTM):
            x = lstm(layer, x)
    kernel, bias = (np.asarray(weight, np.float64) for weight in network.get_layer("head").weights)
    return x[:, -1] @ kernel + bias


def by_hand(network: Any, windows: np.ndarray, *, sliding: bool = False) -> np.ndarray:
    """Return forecast prices, (n, k): the state is zero before the window, and is carried on.

    So the series is the window and all forecasts so far; `sliding` drops its oldest bar each time.
    """
    low, span = (float(np.asarray(weight)[0]) for weight in network.get_layer("scaling").weights)
    x = (windows[:, :, :1].astype(np.float64) - low) / span
    said: list[np.ndarray] = []
    for _ in CONFIG.columns:
        said.append(one_bar(network, x))
        x = np.concatenate([x[:, sliding:], said[-1][:, None]], axis=1)
    return np.concatenate(said, axis=1) * span + low


def test_it_is_the_recursion(network: Any) -> None:
    assert CONFIG.columns == (("open", 1), ("open", 2), ("open", 3), ("open", 4))
    found = network(PART.windows)
    expected = by_hand(network, PART.windows)
    np.testing.assert_allclose(np.asarray(found["forecast"]), expected, rtol=2e-6)
    today = PART.windows[:, -1, 0].astype(np.float64)
    move = (expected[:, -1] - expected[:, 0]) / today
    np.testing.assert_allclose(np.asarray(found["move"]), move, atol=3e-6)
    assert np.ptp(expected, axis=0).min() > 0.5
    # With a window that slides on it would be another recursion.
    slid = by_hand(network, PART.windows, sliding=True)
    np.testing.assert_allclose(slid[:, 0], expected[:, 0], rtol=1e-9)
    assert np.abs(slid[:, 1:] - expected[:, 1:]).max(axis=0).min() > 0.01


def test_dropout_is_for_training_only(network: Any) -> None:
    first, again = (np.asarray(network(PART.windows)["forecast"]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    noisy = np.asarray(network(PART.windows, training=True)["forecast"])
    assert np.abs(noisy - first).max() > 0.01


def test_the_first_column_is_the_network_for_one_bar(network: Any) -> None:
    single = build_network(levels(units=(3, 2), target="close", dropout=0.4))
    layers = [[layer for layer in model.layers if layer.weights] for model in (single, network)]
    mine = [layer for layer in layers[1] if layer.name != "rollout" and "dropout" not in layer.name]
    for one, other in zip(layers[0], mine, strict=True):
        one.set_weights([w[:1] if one.name == "prices" else w for w in other.get_weights()])
    found = np.asarray(single(PART.windows)["forecast"])
    expected = np.asarray(network(PART.windows)["forecast"])[:, :1]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_file_rolls_out_as_keras_does(network: Any, tmp_path: Path) -> None:
    facts = Facts(head="forecast", columns=CONFIG.columns, architecture="", uses_volume=False)
    card = export(network, path := tmp_path / "m.onnx", bars=BARS, facts=facts)
    assert card.certificate.max_difference <= 1e-5
    assert card.operators["LSTM"] >= 2
    assert not {"Loop", "Scan", "If"} & set(card.operators)
    found = load_model(path).forecast(BARS.to_numpy())[: len(PART.windows)]
    windows = task_of(CONFIG).part(np.arange(5, 5 + len(found))).windows
    np.testing.assert_allclose(found, by_hand(network, windows), rtol=1e-5)


def test_training_is_for_one_bar() -> None:
    """Losses and weights are those of a network that forecasts the next open alone."""
    rolled, single = levels(rollout=True), levels(target="close")
    task = task_of(rolled)
    parts = (task.train_part, task.part(task.split.validation))
    first = [Part(part.windows, part.up, part.labels[..., :1]) for part in parts]
    weights: list[list[np.ndarray]] = []
    losses: list[list[float]] = []
    for config, (train, check) in ((rolled, parts), (single, first)):
        loop = loop_for(config)
        epochs = loop.fit(train, check, config).epochs
        losses.append([loss for epoch in epochs for loss in (epoch.loss, epoch.validation_loss)])
        weights.append(loop._learner.get_weights())
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    for mine, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
