"""The training loop on one network for each shape, built and traced once in a process.

Building, tracing and keras' own `fit()` take longer than the arithmetic of a small network. So one
network serves all fits of its shape, and every fit begins by overwriting all of its state.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..signals.arrays import FloatArray
from ..signals.errors import ModelError
from ..signals.model import Float32Array
from .backend import repeatable_tensorflow
from .config import TrainingConfig
from .template import trace_for_reuse

__all__ = ["Epoch", "Loop", "Part", "accuracy", "log_loss", "loop_for"]

SCORED = 4096
"""Windows scored at once, which bounds the memory."""

CLIP = 1e-7
"""Probabilities are kept this far from 0 and 1 in the logarithms of the loss, as keras does."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows came to."""

    number: int
    """From 1."""
    of: int
    """Most epochs that there can be; training may stop before."""
    loss: float
    """Binary cross-entropy on the training rows, with dropout."""
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class Part:
    """The rows of one part of the bars: what is seen, and whether the move was up."""

    windows: Float32Array
    """Raw bars, shape (n, window, 5)."""
    up: FloatArray
    """1.0 or 0.0, shape (n,)."""


class Loop:
    """A network of one shape and the traced functions that train and score it."""

    def __init__(self, config: TrainingConfig) -> None:
        repeatable_tensorflow()
        import keras

        self.network, self._optimizer = _new(config)
        """The Keras model, from raw bars to probabilities."""
        self.traced = trace_for_reuse(self.network)
        # Features and scaling learn nothing: they are computed once a fit, not once an epoch.
        self._learner = keras.Model(
            self.network.get_layer("scaling").output, self.network.outputs[0]
        )
        self._trace()

    def fit(
        self,
        train: Part,
        check: Part,
        config: TrainingConfig,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> tuple[Epoch, ...]:
        """Train anew from ``config.seed`` and keep the weights of the best epoch.

        Nothing is left of an earlier fit: every variable of network and optimiser, the states of
        the random generators among them, is overwritten.
        """
        self._reset(config)
        x, x_check = self._scaled(train.windows, check.windows)
        y = np.asarray(train.up, np.float32)[:, None]
        order = np.random.default_rng(config.seed)
        history: list[Epoch] = []
        best: Epoch | None = None
        weights: list[Any] = []
        for number in range(1, config.epochs + 1):
            loss = self._pass(x, y, order.permutation(len(y)), config.batch_size)
            epoch = _epoch(number, config, loss, self._scores(x_check), check.up)
            history.append(epoch)
            if on_epoch:
                on_epoch(epoch)
            if best is None or epoch.validation_loss < best.validation_loss:
                best, weights = epoch, self._learner.get_weights()
            elif number - best.number >= config.patience:
                break
        self._learner.set_weights(weights)
        return tuple(history)

    def _reset(self, config: TrainingConfig) -> None:
        """Give network and optimiser the state that they have when made for `config`."""
        fresh, optimizer = _new(config)
        mine = [*self.network.variables, *self._optimizer.variables]
        for variable, new in zip(mine, [*fresh.variables, *optimizer.variables], strict=True):
            variable.assign(new.value)

    def _scaled(self, *parts: Float32Array) -> list[Any]:
        """Return the features of `parts`, scaled by the first, which is the training part."""
        features, scaling = (self.network.get_layer(name) for name in ("features", "scaling"))
        computed = [features(part) for part in parts]
        scaling.adapt(computed[0].numpy())
        return [scaling(part) for part in computed]

    def _scores(self, x: Any) -> FloatArray:
        parts = [self._score(x[i : i + SCORED]) for i in range(0, len(x), SCORED)]
        return np.concatenate(parts).astype(np.float64)[:, 0]

    def _trace(self) -> None:
        """Set `_pass`, one pass over the rows in a given order, and `_score`."""
        tf = repeatable_tensorflow()
        import keras

        learner, optimizer = self._learner, self._optimizer
        cross_entropy = keras.losses.BinaryCrossentropy()
        features = tf.TensorSpec((None, *learner.input_shape[1:]), tf.float32)
        labels = tf.TensorSpec((None, 1), tf.float32)
        order, size = tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.int64)

        def one_pass(x: Any, y: Any, order: Any, size: Any) -> Any:
            rows = tf.shape(order, tf.int64)[0]

            def step(start: Any, total: Any) -> Any:
                batch = order[start : start + size]
                with tf.GradientTape() as tape:
                    scores = learner(tf.gather(x, batch), training=True)
                    loss = cross_entropy(tf.gather(y, batch), scores)
                gradients = tape.gradient(loss, learner.trainable_variables)
                optimizer.apply(gradients, learner.trainable_variables)
                return start + size, total + loss * tf.cast(tf.shape(batch)[0], tf.float32)

            def go_on(start: Any, _: Any) -> Any:
                return start < rows

            first = (tf.constant(0, tf.int64), tf.constant(0.0))
            _, total = tf.while_loop(go_on, step, first)
            return total / tf.cast(rows, tf.float32)

        def score(x: Any) -> Any:
            return learner(x, training=False)

        signature = (features, labels, order, size)
        self._pass = tf.function(one_pass, input_signature=signature, autograph=False)
        self._score = tf.function(score, input_signature=(features,), autograph=False)


def loop_for(config: TrainingConfig) -> Loop:
    """Return the process's one loop for networks of this shape; the rest of `config` is a fit's."""
    shape = {"architecture", "units", "dropout", "features", "window"}
    return _loop(TrainingConfig(**config.model_dump(include=shape)).model_dump_json())


@lru_cache(maxsize=4)
def _loop(config: str) -> Loop:
    return Loop(TrainingConfig.model_validate_json(config))


def accuracy(scores: FloatArray, up: FloatArray) -> float:
    """Return the share of the labels `up`, (n,), that the probabilities `scores` call rightly."""
    return float(np.mean((scores > 0.5) == (up > 0.5)))


def log_loss(scores: FloatArray, up: FloatArray) -> float:
    """Return the mean binary cross-entropy of probabilities `scores`, (n,), given `up`, (n,)."""
    scores = np.clip(scores, CLIP, 1 - CLIP)
    return float(-np.mean(up * np.log(scores) + (1 - up) * np.log(1 - scores)))


def _new(config: TrainingConfig) -> tuple[Any, Any]:
    """Return a network and its optimiser as they are before training from ``config.seed``."""
    import keras

    from .networks import build_network

    keras.utils.set_random_seed(config.seed)
    network = build_network(config)
    optimizer = keras.optimizers.Adam(config.learning_rate)
    optimizer.build(network.trainable_variables)
    return network, optimizer


def _epoch(
    number: int, config: TrainingConfig, loss: Any, scores: FloatArray, up: FloatArray
) -> Epoch:
    """Return the epoch after checking that its losses are finite."""
    epoch = Epoch(
        number,
        config.epochs,
        float(loss),
        log_loss(scores, up),
        accuracy(scores, up),
    )
    if not np.isfinite([epoch.loss, epoch.validation_loss]).all():
        raise ModelError(
            f"training diverged: the loss is not finite from epoch {number} on."
            f" Lower learning_rate, now {config.learning_rate}."
        )
    return epoch
