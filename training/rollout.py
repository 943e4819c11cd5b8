"""Recursive forecasts: a network for one bar, fed with its own output as many times as asked."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from .config import TrainingConfig

__all__ = ["rolled_out"]


class Rollout(keras.layers.Layer):
    """Go on from the states at a window's end; the converter unrolls the bars to come."""

    def __init__(self, cells: Sequence[Any], head: Any, steps: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self._cells, self._head, self._steps = list(cells), head, steps

    def call(self, inputs: Sequence[Any]) -> Any:
        """Return (batch, steps) from the first forecast, (batch, 1), and the cells' states."""
        first, *flat = inputs
        states = [flat[i : i + 2] for i in range(0, len(flat), 2)]
        forecasts = [first]
        for _ in range(1, self._steps):
            signal = forecasts[-1]
            for i, cell in enumerate(self._cells):
                signal, states[i] = cell(signal, states[i], training=False)
            forecasts.append(self._head(signal))
        return ops.concatenate(forecasts, axis=-1)


def rolled_out(config: TrainingConfig, scaled: Any, activation: str) -> Any:
    """Return the forecasts of all bars, scaled, (batch, k); the layer "head" gives the first."""
    signal, cells, states = scaled, [], []
    for number, units in enumerate(config.units, start=1):
        layer = keras.layers.LSTM(
            units,
            return_sequences=number < len(config.units),
            return_state=True,
            recurrent_dropout=config.recurrent_dropout,
        )
        signal, *state = layer(signal)
        cells.append(layer.cell)
        states += state
        if config.dropout:
            signal = keras.layers.Dropout(config.dropout)(signal)
    head = keras.layers.Dense(1, activation=activation, name="head")
    first = head(signal)
    return Rollout(cells, head, len(config.columns), name="rollout")([first, *states])
