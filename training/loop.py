"""The training loop on one network for each shape, built and traced once in a process.

Building, tracing and keras' own `fit()` take longer than the arithmetic of a small network. So one
network serves all fits of its shape, and every fit begins by overwriting all of its state.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ..signals.arrays import Float32Array, FloatArray
from ..signals.heads import CENTRES, OUTPUTS, Head
from ..signals.model import CHUNK
from .backend import repeatable_tensorflow
from .config import TrainingConfig
from .course import Course, Epoch, Part, Steering, finite, milestones, stretches
from .measures import accuracy
from .seeding import check_states, seeded
from .template import trace_for_reuse

__all__ = ["Loop", "loop_for"]

SCORED = 4096
"""Windows scored at once, which bounds the memory."""

SHAPE = {
    "head", "architecture", "cell", "units", "dropout", "recurrent_dropout", "filters", "kernel",
    "features", "scaling", "window", "optimizer", "clip_norm", "stateful", "flaws",
}  # fmt: skip
"""What makes another network or optimiser; the rest of a config is a single fit's."""

HEAD_SHAPE: Mapping[Head, set[str]] = {
    "direction": set(),
    "forecast": {"horizon", "target", "fields", "steps", "rollout", "augment"},
    "position": {"turnover_penalty"},
}
"""The same for each thing that a head can say."""


class Loop:
    """A network of one shape and the traced functions that train and score it."""

    def __init__(self, config: TrainingConfig) -> None:
        repeatable_tensorflow()
        import keras

        from .heads import HEADS

        self._head = HEADS[config.head]
        self.network, self._optimizer = _new(config)
        """The Keras model, from raw bars to the outputs of its head."""
        self.traced = trace_for_reuse(self.network, OUTPUTS[config.says])
        # Features and scaling learn nothing: they are computed once a fit, not once an epoch.
        self._learner = keras.Model(
            self.network.get_layer("scaling").output, self.network.get_layer("head").output
        )
        self._trace(config)

    def fit(
        self,
        train: Part,
        check: Part,
        config: TrainingConfig,
        on_epoch: Callable[[Epoch], None] | None = None,
        scaled_on: Float32Array | None = None,
    ) -> Course:
        """Train anew from ``config.seed`` and keep the weights of the best epoch.

        Nothing is left of an earlier fit: every variable of network and optimiser, the states of
        the random generators among them, is overwritten. Scalings are fitted on the training
        windows, or on those of `scaled_on`.
        """
        self._reset(config)
        x, y = self._prepared(train, config, scaled_on)
        x_check, y_check = self._scaled(check.windows), self._labels(check)[:, 0].astype(np.float64)
        steering = Steering(config, self._optimizer)
        order = np.random.default_rng(config.seed)
        history: list[Epoch] = []
        forecasts: dict[int, FloatArray] = {}
        weights: list[Any] = []
        for number in range(1, config.epochs + 1):
            loss = self._epoch(x, y, order, config)
            outputs = self._scores(x_check)
            score, prices = self._calls(check, outputs)
            checked = self._head.check_loss(config, y_check, outputs)
            right = accuracy(score, check.up, CENTRES[config.says])
            epoch = finite(Epoch(number, config.epochs, float(loss), checked, right), config)
            history.append(epoch)
            if on_epoch:
                on_epoch(epoch)
            if prices is not None and number in milestones(config.epochs):
                forecasts[number] = prices
            if steering.is_best(epoch) or config.patience is None:
                weights = self._learner.get_weights()
            elif number - steering.best >= config.patience:
                break
        self._learner.set_weights(weights)
        return Course(tuple(history), forecasts)

    def _epoch(self, x: Any, y: Any, order: np.random.Generator, config: TrainingConfig) -> Any:
        """Train on all rows once, and return the mean loss."""
        n, draws = y.shape[:2]
        in_order = self._head.in_order
        rows = stretches(order, n, config.batch_size) if in_order else order.permutation(n)
        drawn = order.integers(draws, size=n) if draws > 1 else 0
        y = y[np.arange(n), drawn]
        if config.stateful:
            return self._stateful(x[:, -1], y, config.batch_size)
        return self._pass(x, y, rows, config.batch_size)

    def _reset(self, config: TrainingConfig) -> None:
        """Give network and optimiser the state that they have when made for `config`."""
        fresh, optimizer = _new(config)
        mine = [*self.network.variables, *self._optimizer.variables]
        for variable, new in zip(mine, [*fresh.variables, *optimizer.variables], strict=True):
            variable.assign(new.value)

    def _prepared(
        self, train: Part, config: TrainingConfig, scaled_on: Float32Array | None
    ) -> tuple[Any, Float32Array]:
        """Return inputs and labels of the training rows, scaled; the last constants stay."""
        import keras

        inputs: list[Any] = []
        labels: list[Float32Array] = []
        for rows in np.array_split(np.arange(len(train.up)), config.blocks):
            block = Part(train.windows[rows], train.up[rows], train.labels[rows])
            fitted = block.windows if scaled_on is None else scaled_on
            features, scaling = (self.network.get_layer(name) for name in ("features", "scaling"))
            scaling.adapt(features(fitted).numpy())
            if config.says == "forecast":
                self.network.get_layer("prices").adapt(fitted, block.windows, block.labels[:, 0])
            inputs.append(self._scaled(block.windows))
            labels.append(self._labels(block))
        return keras.ops.concatenate(inputs), np.concatenate(labels)

    def _scaled(self, windows: Float32Array) -> Any:
        features, scaling = (self.network.get_layer(name) for name in ("features", "scaling"))
        return scaling(features(windows))

    def _labels(self, part: Part) -> Float32Array:
        """Return the labels of `part` as the last layer is told them, (n, draws, outputs)."""
        return self._head.labels(self.network, part.windows, part.labels)

    def _scores(self, x: Any) -> FloatArray:
        parts = [self._score(x[i : i + SCORED]) for i in range(0, len(x), SCORED)]
        return np.concatenate(parts).astype(np.float64)

    def _calls(self, part: Part, outputs: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Return the numbers behind the calls, and the forecasts of prices where there are any."""
        if len(self.traced.outputs) == 1:
            return outputs[:, 0], None
        found = self.traced.predict(part.windows, CHUNK)
        return found["move"].astype(np.float64), found["forecast"].astype(np.float64)

    def _trace(self, config: TrainingConfig) -> None:
        """Set `_pass`, one pass over the rows in a given order, and `_score`."""
        tf = repeatable_tensorflow()

        learner, optimizer = self._learner, self._optimizer
        loss_of = self._head.loss(config)
        features = tf.TensorSpec((None, *learner.input_shape[1:]), tf.float32)
        labels = tf.TensorSpec((None, None), tf.float32)
        order, size = tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.int64)

        def one_pass(x: Any, y: Any, order: Any, size: Any) -> Any:
            rows = tf.shape(order, tf.int64)[0]

            def step(start: Any, total: Any) -> Any:
                batch = order[start : start + size]
                with tf.GradientTape() as tape:
                    scores = learner(tf.gather(x, batch), training=True)
                    loss = loss_of(tf.gather(y, batch), scores)
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
        check_states(self._pass, [*learner.variables, *optimizer.variables], config)
        if config.stateful:
            from .stateful import stateful_pass

            self._stateful = stateful_pass(config, learner, optimizer, loss_of)


def loop_for(config: TrainingConfig) -> Loop:
    """Return the process's one loop for networks of this shape; the rest of `config` is a fit's."""
    shape = config.model_dump(include=SHAPE | HEAD_SHAPE[config.says])
    return _loop(TrainingConfig(**shape).model_dump_json())


@lru_cache(maxsize=4)
def _loop(config: str) -> Loop:
    return Loop(TrainingConfig.model_validate_json(config))


def _new(config: TrainingConfig) -> tuple[Any, Any]:
    """Return a network and its optimiser as they are before training from ``config.seed``."""
    import keras

    from .networks import build_network

    kinds = {
        "adam": keras.optimizers.Adam,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    with seeded(config.seed):
        network = build_network(config)
    optimizer = kinds[config.optimizer](config.learning_rate, global_clipnorm=config.clip_norm)
    optimizer.build(network.trainable_variables)
    return network, optimizer
