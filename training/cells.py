"""Recurrent layers by name: keras' LSTM and GRU, and the LSTM with peepholes that keras lacks."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["CELLS", "PeepholeCell", "PeepholeLSTM"]


@keras.saving.register_keras_serializable(package="nextbar")
class PeepholeCell(keras.layers.LSTMCell):
    """One step of an LSTM whose gates look at the cell state c.

    With * element by element and s the logistic function, as ONNX defines its LSTM operator with
    the input P (https://onnx.ai/onnx/operators/onnx__LSTM.html; Gers, Schraudolph and
    Schmidhuber, "Learning precise timing with LSTM recurrent networks", JMLR 3, 2002)::

        i = s(x Wi + h Ri + Pi * c + bi)        f = s(x Wf + h Rf + Pf * c + bf)
        c' = f * c + i * tanh(x Wc + h Rc + bc)
        o = s(x Wo + h Ro + Po * c' + bo)       h' = o * tanh(c')

    The weights are those of keras' LSTMCell, gates in its order i, f, c, o, and `peephole`, shape
    (3, units): Pi, Pf, Po.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights; `peephole` starts as `kernel` does."""
        super().build(input_shape)
        self.peephole = self.add_weight(
            shape=(3, self.units), initializer="glorot_uniform", name="peephole"
        )

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """Return h' and the states [h', c'], each (batch, units)."""
        h, c = states
        of_inputs = self.get_dropout_mask(inputs) if training else None
        of_h = self.get_recurrent_dropout_mask(h) if training else None
        gates: Any = _masked(inputs, self.kernel, of_inputs)
        gates += _masked(h, self.recurrent_kernel, of_h)
        if self.bias is not None:
            gates += self.bias
        i, f, g, o = (gates[:, n * self.units : (n + 1) * self.units] for n in range(4))
        peephole: Any = self.peephole
        gate: Any = self.recurrent_activation
        state: Any = self.activation
        i, f = gate(i + peephole[0] * c), gate(f + peephole[1] * c)
        c = f * c + i * state(g)
        o = gate(o + peephole[2] * c)
        h = o * state(c)
        return h, [h, c]


def _masked(values: Any, kernel: Any, mask: Any) -> Any:
    """Return `values` times `kernel` after dropout by one mask, by one for each gate, or none."""
    if mask is None:
        return ops.matmul(values, kernel)
    if not isinstance(mask, list):
        return ops.matmul(values * mask, kernel)
    kernels: Any = ops.split(kernel, 4, axis=-1)
    parts = [ops.matmul(values * one, part) for one, part in zip(mask, kernels, strict=True)]
    return ops.concatenate(parts, axis=-1)


@keras.saving.register_keras_serializable(package="nextbar")
class PeepholeLSTM(keras.layers.RNN):
    """An LSTM layer of `PeepholeCell`; the arguments are those of keras.layers.LSTM."""

    def __init__(
        self,
        units: int,
        return_sequences: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = PeepholeCell(
            units,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="peephole_cell",
        )
        super().__init__(cell, return_sequences=return_sequences, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again."""
        config = super().get_config()
        del config["cell"]
        own = ("units", "dropout", "recurrent_dropout", "seed")
        return {**config, **{name: getattr(self.cell, name) for name in own}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PeepholeLSTM:  # noqa: ARG003
        """Return the layer that `get_config` describes."""
        return cls(**config)


CELLS: dict[str, Any] = {
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
    "peephole": PeepholeLSTM,
}
"""Layer classes, called as (units, return_sequences=..., recurrent_dropout=...)."""
