"""One pass over a series in stretches side by side, with the state carried on: as streams learn."""

# pyright: reportMissingTypeStubs=false, reportMissingModuleSource=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from .config import TrainingConfig

__all__ = ["stateful_pass"]

Pass = Callable[[Any, Any, Any], Any]
"""From the inputs of all rows, (n, features), their labels, (n, k), and the number of stretches to
the mean loss."""


def stateful_pass(config: TrainingConfig, learner: Any, optimizer: Any, loss_of: Any) -> Pass:
    """Return a traced pass that trains the layers of `learner`, whose cells are used bar by bar.

    Every stretch begins at its own place, is read ``config.window`` bars at a time, and goes on
    into the next one, at the series' end from its beginning; a pass makes as many steps as there
    would be with batches of windows. The state is kept within a pass.
    """
    rows = [layer for layer in learner.layers if hasattr(layer, "cell")]
    readers = [
        keras.layers.RNN(layer.cell, return_sequences=True, return_state=True) for layer in rows
    ]
    # The learner's own, one behind each cell: their random states are overwritten for each fit.
    dropouts = [layer for layer in learner.layers if isinstance(layer, keras.layers.Dropout)]
    head = learner.get_layer("head")
    unroll = config.window

    def read(x: Any, states: Any) -> tuple[Any, Any]:
        signal, after = x, []
        for i, (reader, state) in enumerate(zip(readers, states, strict=True)):
            signal, *state = reader(signal, initial_state=list(state), training=True)
            after.append([tf.stop_gradient(part) for part in state])
            signal = dropouts[i](signal, training=True) if dropouts else signal
        return head(signal), after

    def one_pass(x: Any, y: Any, stretches: Any) -> Any:
        n = tf.shape(x)[0]
        stretches = tf.minimum(stretches, n)
        steps = tf.maximum(n // stretches, 1)
        starts = tf.range(stretches) * steps
        states = [
            [tf.zeros((stretches, size)) for size in tf.nest.flatten(layer.cell.state_size)]
            for layer in rows
        ]

        def step(number: Any, total: Any, states: Any) -> Any:
            at = (starts[:, None] + number * unroll + tf.range(unroll)[None]) % n
            with tf.GradientTape() as tape:
                outputs, states = read(tf.gather(x, at), states)
                loss = loss_of(tf.gather(y, at), outputs)
            variables = learner.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
            return number + 1, total + loss, states

        def go_on(number: Any, *_: Any) -> Any:
            return number < steps

        _, total, _ = tf.while_loop(go_on, step, (tf.constant(0), tf.constant(0.0), states))
        return total / tf.cast(steps, tf.float32)

    width = learner.input_shape[-1]
    signature = (
        tf.TensorSpec((None, width), tf.float32),
        tf.TensorSpec((None, None), tf.float32),
        tf.TensorSpec((), tf.int32),
    )
    return tf.function(one_pass, input_signature=signature, autograph=False)
