"""The end of a forecast head: from the network's numbers to prices, and to a move."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ..signals.arrays import Float32Array, FloatArray
from .config import FieldName
from .features import LEVEL
from .scalings import affine_constants

__all__ = ["PriceOutput"]


@keras.saving.register_keras_serializable(package="nextbar")
class PriceOutput(keras.layers.Layer):
    """Turn k scaled numbers into the prices of k columns, and the move that the call is made from.

    On `levels` a number is a price, scaled as the training part's prices of the same field are; so
    prices outside the range of the training part are strange to the model. Else it is the scaled
    logarithm of the price's ratio to the window's last close.

    The move is relative, of the first field: when `traded`, from its first column, the bar at whose
    open an order is filled, to its last one; else to it from the bar t itself.
    """

    def __init__(
        self,
        columns: Sequence[tuple[FieldName, int]],
        scaling: str,
        levels: bool,
        traded: bool,
        trainable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=trainable, **kwargs)
        self.columns = tuple((field, ahead) for field, ahead in columns)
        self.scaling, self.levels, self.traded = scaling, levels, traded
        first = [i for i, (field, _) in enumerate(self.columns) if field == self.columns[0][0]]
        self._exit = first[-1]

    def build(self, input_shape: Any) -> None:  # noqa: ARG002
        """Make the two weights, one number for each column."""
        shape = (len(self.columns),)
        self.offset = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, name="offset"
        )
        self.scale = self.add_weight(shape=shape, initializer="ones", trainable=False, name="scale")

    def adapt(self, levels: Float32Array, windows: Float32Array, prices: FloatArray) -> None:
        """Take the constants from the prices in `levels`, bars of shape (..., window, 5).

        Off levels from training `windows`, (n, window, 5), and their labels `prices`, (n, k).
        """
        if self.levels:
            fields = [np.asarray(LEVEL[field](levels))[..., None] for field, _ in self.columns]
            offset, scale = affine_constants(self.scaling, np.concatenate(fields, axis=-1))
        else:
            offset, scale = affine_constants("standard", _relative(windows, prices))
        self.offset.assign(offset)
        self.scale.assign(scale)

    def scaled(self, windows: Float32Array, prices: FloatArray) -> Float32Array:
        """Return what the network should say for `prices` to come out, shape (n, k)."""
        values = prices if self.levels else _relative(windows, prices)
        offset, scale = (np.asarray(weight, np.float64) for weight in (self.offset, self.scale))
        return ((values - offset) / scale).astype(np.float32)

    def call(self, inputs: Sequence[Any]) -> dict[str, Any]:
        """Return ``forecast``, (batch, k), and ``move``, (batch,), for numbers and raw bars."""
        numbers, bars = inputs
        values = numbers * self.scale + self.offset
        today = LEVEL[self.columns[0][0]](bars)[:, -1]
        if self.levels:
            start = values[:, 0] if self.traded else today
            # Over today's price, not over a forecast, which may be near 0 or below.
            move = (values[:, self._exit] - start) / today
            return {"forecast": values, "move": move}
        close = bars[:, -1, 3]
        start = values[:, 0] if self.traded else ops.log(today / close)
        growth: Any = ops.exp(values[:, self._exit] - start)
        return {"forecast": close[:, None] * ops.exp(values), "move": growth - 1.0}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again."""
        own = {"columns": [list(column) for column in self.columns], "scaling": self.scaling}
        return {**super().get_config(), **own, "levels": self.levels, "traded": self.traded}


def _relative(windows: Float32Array, prices: FloatArray) -> FloatArray:
    return np.log(prices / windows[:, -1, 3].astype(np.float64)[:, None])
