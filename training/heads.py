"""Heads: what a network says, what it is told, and what it is punished for.

Imports keras only to build or train a network.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..signals import heads
from ..signals.arrays import Float32Array, FloatArray
from .measures import log_loss

if TYPE_CHECKING:
    from .config import TrainingConfig

__all__ = ["HEADS", "Head"]

SMALL = 1e-6
"""Least deviation of a batch, which is 0 while a network stays out of the market."""

Loss = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Head:
    """One way to end a network. Another is added by one entry of `HEADS`."""

    says: heads.Head
    """What the model file says, and with it what labels there are and how calls are made."""
    activation: str
    """Of the last layer."""
    loss: Callable[[TrainingConfig], Loss]
    """Gives the loss of labels and outputs of a batch, in keras' operations. It may depend on the
    options that are for what the head says, such as `turnover_penalty` for a position."""
    check_loss: Callable[[TrainingConfig, FloatArray, FloatArray], float]
    """The same of all validation rows, in float64."""
    labels: Callable[[Any, Float32Array, FloatArray], Float32Array]
    """From a network, windows (n, window, 5) and labels (n, draws, k) to what the last layer is to
    say, (n, draws, outputs)."""
    finish: Callable[[TrainingConfig, Any, Any], Any]
    """From bars and the last layer's outputs to the named outputs of the model file."""
    in_order: bool = False
    """Whether the rows of a batch must follow each other in time."""


def _cross_entropy(_: TrainingConfig) -> Loss:
    import keras

    return keras.losses.BinaryCrossentropy()


def _check_cross_entropy(_: TrainingConfig, labels: FloatArray, outputs: FloatArray) -> float:
    return log_loss(outputs[:, 0], labels[:, 0])


def _squared_error(_: TrainingConfig) -> Loss:
    from keras import ops

    def loss(labels: Any, outputs: Any) -> Any:
        # Labels of another width are spread over the outputs, as numpy does: a tutorial's mistake.
        return ops.mean(ops.square(labels - outputs))

    return loss


def _check_squared_error(_: TrainingConfig, labels: FloatArray, outputs: FloatArray) -> float:
    return float(np.mean(np.square(labels - outputs)))


def _sharpe_loss(config: TrainingConfig) -> Loss:
    """Return minus the Sharpe ratio a bar of the positions, after a cost for each change.

    The loss of Deep Momentum Networks (Lim, Zohren and Roberts 2019, arXiv 1904.04912), on one
    history and without their scaling by volatility. The labels are the moves that orders earn.
    """
    from keras import ops

    def loss(labels: Any, outputs: Any) -> Any:
        changes = ops.concatenate([outputs[:1], outputs[1:] - outputs[:-1]], axis=0)
        turnover: Any = ops.abs(changes)
        earned = outputs * labels - config.turnover_penalty * turnover
        mean: Any = ops.mean(earned)
        # Inside the root, whose slope at 0 is infinite.
        variance: Any = ops.var(earned)
        deviation: Any = ops.sqrt(variance + SMALL**2)
        return -mean / deviation

    return loss


def _check_sharpe_loss(config: TrainingConfig, labels: FloatArray, outputs: FloatArray) -> float:
    changes = np.abs(np.diff(outputs, axis=0, prepend=0.0))
    earned = outputs * labels - config.turnover_penalty * changes
    return float(-earned.mean() / np.sqrt(earned.var() + SMALL**2))


def _same(_: Any, __: Float32Array, labels: FloatArray) -> Float32Array:
    return labels.astype(np.float32)


def _scaled_prices(network: Any, windows: Float32Array, labels: FloatArray) -> Float32Array:
    outputs = network.get_layer("head").units
    if labels.shape[2] > len(network.get_layer("prices").columns):
        scaling = network.get_layer("scaling")  # a whole row, scaled as the inputs are
        offset, scale = (np.asarray(weight) for weight in (scaling.offset, scaling.scale))
        return ((labels - offset) / scale).astype(np.float32)
    draws = [
        network.get_layer("prices").scaled(windows, labels[:, draw])[:, :outputs]
        for draw in range(labels.shape[1])
    ]
    return np.stack(draws, axis=1)


def _as_it_is(_: TrainingConfig, __: Any, outputs: Any) -> Any:
    return outputs


def _prices(config: TrainingConfig, bars: Any, outputs: Any) -> Any:
    from .prices import PriceOutput

    layer = PriceOutput(
        config.columns, config.scaling, config.price_levels, config.target == "open", name="prices"
    )
    return layer([outputs, bars])


HEADS: dict[str, Head] = {
    "direction": Head(
        "direction", "sigmoid", _cross_entropy, _check_cross_entropy, _same, _as_it_is
    ),
    "forecast": Head(
        "forecast", "linear", _squared_error, _check_squared_error, _scaled_prices, _prices
    ),
    "position": Head(
        "position", "tanh", _sharpe_loss, _check_sharpe_loss, _same, _as_it_is, in_order=True
    ),
}
"""By the name in a config."""
