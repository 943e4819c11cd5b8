"""A kept graph filled with new weights is the graph that a new conversion gives, byte for byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nextbar.signals.model import open_session, run_windows
from nextbar.signals.windows import windows_of
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.canonical import canonicalise
from nextbar.training.config import RATIOS, TrainingConfig
from nextbar.training.convert import Traced, convert

from ..markets import random_bars

repeatable_tensorflow()

import keras  # noqa: E402
from nextbar.training import template  # noqa: E402
from nextbar.training.cells import PeepholeLSTM  # noqa: E402
from nextbar.training.networks import build_linear, build_network  # noqa: E402
from nextbar.training.scalings import StandardScaling  # noqa: E402
from nextbar.training.template import trace_for_reuse  # noqa: E402

WINDOW = 5


def content(graph: Any) -> bytes:
    return canonicalise(graph).SerializeToString(deterministic=True)


def randomise(network: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [weight.shape for weight in network.weights]
    network.set_weights([rng.uniform(0.1, 2.0, shape).astype(np.float32) for shape in shapes])


def fails(*_: Any) -> Any:
    raise AssertionError("converted anew")


def check(network: Any, traced: Traced, seeds: int = 2) -> None:
    seen: set[bytes] = set()
    for seed in range(seeds):
        randomise(network, seed)
        filled = content(traced.graph())
        assert filled == content(convert(network, WINDOW, traced.outputs))
        seen.add(filled)
    assert len(seen) == seeds


@pytest.mark.parametrize(
    "network",
    [
        lambda: build_network(TrainingConfig(units=(3,), window=WINDOW)),
        lambda: build_network(TrainingConfig(units=(4, 3), window=WINDOW, features=RATIOS)),
        lambda: build_linear(TrainingConfig(window=WINDOW, features=("return", "gap"))),
    ],
    ids=["one layer", "two layers", "linear"],
)
def test_filled_is_as_converted(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    traced = trace_for_reuse(model)
    with monkeypatch.context() as patch:
        patch.setattr(template, "convert", fails)
        traced.graph()
    check(model, traced)


def recurrent(*stack: Any) -> Any:
    inputs = keras.Input((WINDOW, 5))
    signal = StandardScaling()(keras.ops.log(inputs[:, :, :4] / inputs[:, :1, :4]))
    for layer in stack:
        signal = layer(signal)
    heads = {"forecast": keras.layers.Dense(2), "move": keras.layers.Dense(1)}
    return keras.Model(inputs, {name: head(signal) for name, head in heads.items()})


@pytest.mark.parametrize(
    "stack",
    [
        lambda: [
            keras.layers.GRU(3, return_sequences=True),
            keras.layers.GRU(2, reset_after=False),
        ],
        lambda: [keras.layers.Bidirectional(PeepholeLSTM(3))],
        lambda: [keras.layers.LSTM(3, recurrent_dropout=0.2)],
        lambda: [
            keras.layers.Conv1D(3, 2, padding="causal", activation="relu"),
            keras.layers.Bidirectional(keras.layers.GRU(2, use_bias=False)),
        ],
    ],
    ids=["gru", "bidirectional peephole", "recurrent dropout", "convolutional gru"],
)
def test_stand_ins_and_named_outputs(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = recurrent(*stack())
    traced = trace_for_reuse(model, ("forecast", "move"))
    assert traced.outputs == ("forecast", "move")
    with monkeypatch.context() as patch:
        patch.setattr(template, "convert", fails)
        traced.graph()
    check(model, traced)


def test_equal_weights_are_stored_once_all_the_same() -> None:
    network = build_network(TrainingConfig(units=(3,), window=WINDOW))
    traced = trace_for_reuse(network)
    network.set_weights([np.full_like(weight, 0.5) for weight in network.get_weights()])
    assert content(traced.graph()) == content(convert(network, WINDOW))


def test_zeros_are_not_left_out() -> None:
    """A new conversion drops an addition of zeros; the kept graph computes the same with it."""
    network = build_network(TrainingConfig(units=(3,), window=WINDOW))
    traced = trace_for_reuse(network)
    randomise(network, 0)
    weights = network.get_weights()
    for i in (0, 3, 4, 6):  # the scaling's mean, the recurrent kernel and both biases
        weights[i][:] = 0.0
    network.set_weights(weights)
    windows = np.ascontiguousarray(windows_of(random_bars(40).to_numpy(np.float32), WINDOW))
    expected = traced.predict(windows, 40)
    for graph in (traced.graph(), convert(network, WINDOW)):
        found = run_windows(open_session(content(graph)), windows)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@keras.saving.register_keras_serializable(package="nextbar-tests")
class Folded(keras.layers.Layer):
    """A layer whose two weights the converter folds into one constant."""

    def build(self, input_shape: Any) -> None:
        self.a = self.add_weight(shape=(1,), name="a")
        self.b = self.add_weight(shape=(1,), name="b")

    def call(self, x: Any) -> Any:
        return keras.ops.sigmoid(keras.ops.log(x[:, -1, 3] / x[:, 0, 3]) * (self.a + self.b))


def test_a_model_whose_weights_are_computed_with_is_converted_anew() -> None:
    inputs = keras.Input((WINDOW, 5))
    network = keras.Model(inputs, Folded()(inputs))
    check(network, trace_for_reuse(network))


def test_too_many_weights_are_converted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "MOST_MARKS", 4)
    network = build_linear(TrainingConfig(window=WINDOW, features=("return",)))
    before = network.get_weights()
    traced = trace_for_reuse(network)
    for mine, theirs in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    check(network, traced)
