"""Networks by their config: layers, shapes, and that a convolution sees no later bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.config import FEATURES

from .tiny import levels, task_of, tiny

repeatable_tensorflow()

import keras  # noqa: E402
from nextbar.training.cells import CELLS  # noqa: E402
from nextbar.training.networks import ARCHITECTURES, build_network  # noqa: E402

PART = task_of(levels()).train_part


def inside(network: Any, layer: str) -> Any:
    """Return what the named layer says of the training windows."""
    probe = keras.Model(network.input, network.get_layer(layer).output)
    return np.asarray(probe(PART.windows))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layers(architecture: str, cell: str) -> None:
    units = (4,) if architecture == "vanilla" else (4, 3)
    front = {"filters": 5} if architecture == "convolutional" else {}
    network = build_network(
        tiny(architecture=architecture, cell=cell, units=units, dropout=0.25,
             recurrent_dropout=0.1, **front)
    )  # fmt: skip
    both = architecture == "bidirectional"
    layers = [
        one
        for one in network.layers
        if isinstance(one, keras.layers.Bidirectional | keras.layers.RNN)
    ]
    rows = [layer.forward_layer if both else layer for layer in layers]
    assert all(isinstance(row, CELLS[cell]) for row in rows)
    assert tuple(row.cell.units for row in rows) == units
    assert [row.return_sequences for row in rows] == [True] * (len(units) - 1) + [False]
    assert all(row.cell.recurrent_dropout == 0.1 for row in rows)
    dropouts = [one for one in network.layers if isinstance(one, keras.layers.Dropout)]
    assert [one.rate for one in dropouts] == [0.25] * len(units)
    assert layers[-1].output.shape == (None, units[-1] * (1 + both))
    convolutions = [one for one in network.layers if isinstance(one, keras.layers.Conv1D)]
    assert [one.filters for one in convolutions] == [5] * (architecture == "convolutional")
    assert network.output_shape == (None, 1)


@pytest.mark.parametrize("kernel", [1, 3, 9])
def test_a_convolution_sees_no_later_bar(kernel: int) -> None:
    network = build_network(
        tiny(architecture="convolutional", kernel=kernel, features=("open", "return"))
    )
    expected = inside(network, "convolution")
    assert expected.shape[1] == 5
    kept = PART.windows.copy()
    PART.windows[:, 4:] *= 1.5
    try:
        found = inside(network, "convolution")
    finally:
        PART.windows[:] = kept
    np.testing.assert_array_equal(found[:, :3], expected[:, :3])
    assert (found[:, 3:] != expected[:, 3:]).any()


@pytest.mark.parametrize(
    ("head", "low", "high"), [("direction", 0.0, 1.0), ("position", -1.0, 1.0)]
)
def test_what_comes_out(head: str, low: float, high: float) -> None:
    network = build_network(tiny(head=head, features=("open",)))  # as they are: far from 0
    layer = network.get_layer("head")
    layer.set_weights([layer.get_weights()[0] * 100, layer.get_weights()[1]])
    said = np.asarray(network(PART.windows))
    assert ((said >= low) & (said <= high)).all()
    assert set(np.round(inside(network, "head").ravel(), 6)) == set(np.round(said.ravel(), 6))


@pytest.mark.parametrize("steps", ["last", "every"])
def test_a_forecast_has_an_output_for_each_column(steps: str) -> None:
    config = levels(steps=steps, horizon=3, fields=("open", "mid"))
    network = build_network(config)
    said = network(PART.windows)
    assert set(said) == {"forecast", "move"}
    rows = len(PART.up)
    assert said["forecast"].shape == (rows, len(config.columns))
    assert said["move"].shape == (rows,)
    assert network.get_layer("head").units == len(config.columns) == (4 if steps == "last" else 8)


def test_all_features_at_once() -> None:
    network = build_network(levels(features=FEATURES, scaling="window"))
    assert network.get_layer("scaling").output.shape == (None, 5, len(FEATURES))
    assert np.isfinite(np.asarray(network(PART.windows)["forecast"])).all()
