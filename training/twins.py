"""Recurrent layers that tf2onnx turns into loops, converted as one ONNX operator each.

tf2onnx makes one operator of a plain keras LSTM, but a Loop, nine times as slow, of a GRU, of an
LSTM with recurrent dropout and of one with peepholes. So while a model is converted, a plain LSTM
of the same shape stands in for each such layer; its weights are one number, the layer's mark. In
the converted graph the operators with a mark are then made what the layer is, with its weights.

ONNX orders the gates of its LSTM as i, o, f, c and the peepholes as i, o, f, keras i, f, c, o; both
order those of the GRU as z, r, h (https://onnx.ai/onnx/operators/onnx__LSTM.html and onnx__GRU).
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..signals.arrays import Float32Array
from ..signals.errors import ModelError
from .cells import PeepholeCell

__all__ = ["StandIn", "Twin", "inference_twin"]

ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
"""Keras' names and those of ONNX, for the functions that compute the same in both."""


@dataclass(frozen=True)
class StandIn:
    """A layer that tf2onnx makes a loop of, and the LSTM in its place."""

    layer: Any
    lstm: Any
    """A plain keras LSTM, all its weights the mark."""
    mark: np.float32

    @property
    def operator(self) -> str:
        """The ONNX operator of the layer, LSTM or GRU."""
        return "GRU" if isinstance(self.layer.cell, keras.layers.GRUCell) else "LSTM"

    @property
    def kind(self) -> tuple[str, bool, bool]:
        """What two directions of one operator have in common: operator, reset_after, peepholes."""
        cell = self.layer.cell
        return self.operator, getattr(cell, "reset_after", False), isinstance(cell, PeepholeCell)

    @property
    def activations(self) -> list[str]:
        """The ONNX attribute for one direction."""
        cell = self.layer.cell
        functions = (cell.recurrent_activation, cell.activation)
        gate, state = (_activation(self.layer, function) for function in functions)
        return [gate, state] if self.operator == "GRU" else [gate, state, state]

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Do with the LSTM what the layer's `call` does; a GRU has no cell state."""
        one_state = self.operator == "GRU"
        if one_state and initial_state is not None:
            given = initial_state if isinstance(initial_state, list | tuple) else [initial_state]
            initial_state = [given[0], keras.ops.zeros_like(given[0])]
        found = self.lstm(sequences, initial_state=initial_state, mask=mask, training=training)
        return found[:2] if one_state and self.layer.return_state else found

    def weights(self) -> dict[str, Float32Array]:
        """Return W, R, B and perhaps P of the layer as ONNX has them for one direction."""
        cell = self.layer.cell
        order = (0, 1, 2) if self.operator == "GRU" else (0, 3, 1, 2)
        size = len(order) * cell.units
        bias = np.zeros((2, size), np.float32)
        if cell.bias is not None:  # one bias for input and state together, or two
            given = _array(cell.bias).reshape(-1, size)
            bias[: len(given)] = given
        kernels = {"W": cell.kernel, "R": cell.recurrent_kernel}
        found = {name: _gates(_array(kernel), order).T for name, kernel in kernels.items()}
        found["B"] = _gates(bias, order).ravel()
        if isinstance(cell, PeepholeCell):
            found["P"] = _array(cell.peephole)[[0, 2, 1]].ravel()
        return found


@dataclass(frozen=True)
class Twin:
    """A model and the LSTMs that stand in for some of its layers; none, for a plain model."""

    stand_ins: tuple[StandIn, ...]

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Let the stand-ins do the work of their layers, wherever the model calls them."""
        for one in self.stand_ins:
            vars(one.layer)["call"] = one.call  # past keras' __setattr__: the model gains nothing
        try:
            yield
        finally:
            for one in self.stand_ins:
                del vars(one.layer)["call"]

    def rewrite(self, model: onnx.ModelProto) -> None:
        """Turn the stand-ins of a converted graph, in place, into what they stand for.

        Raises
        ------
        ModelError
            When tf2onnx has not made an LSTM operator of each, or has joined two layers in one
            operator that ONNX has not.
        """
        weights: dict[str, onnx.TensorProto] = {t.name: t for t in model.graph.initializer}
        tensors = {name: numpy_helper.to_array(tensor) for name, tensor in weights.items()}
        for number, node in enumerate(model.graph.node):
            if node.op_type == "LSTM" and (found := self._found(node, tensors)):
                for name in node.input[1:4]:
                    weights.pop(name, None)
                new, its_own = _operator(node, found, f"nextbar_{number}")
                weights.update({tensor.name: tensor for tensor in its_own})
                node.CopyFrom(new)
        kept = list(weights.values())
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        self._check(model.graph)

    def _found(self, node: onnx.NodeProto, tensors: dict[str, Any]) -> list[StandIn]:
        """Return the stand-in of each direction of an LSTM operator; none for a plain LSTM's."""
        by_mark = {one.mark: one for one in self.stand_ins}
        recurrent = tensors.get(node.input[2], ())
        found = [by_mark.get(r.flat[0]) if np.ptp(r) == 0 else None for r in recurrent]
        stand_ins = [one for one in found if one]
        if stand_ins and (len(stand_ins) < len(found) or len({one.kind for one in stand_ins}) > 1):
            names = ", ".join(repr(one.layer.name) for one in stand_ins)
            raise ModelError(
                f"the two directions of {names} have no common ONNX operator. Make both layers of"
                " one kind."
            )
        return stand_ins

    def _check(self, graph: onnx.GraphProto) -> None:
        """Refuse a graph in which a mark is left."""
        left = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
        for one in self.stand_ins:
            if any((array == one.mark).any() for array in left):
                raise ModelError(
                    f"tf2onnx makes no one operator of layer {one.layer.name!r}, as of none with a"
                    " mask or in a loop. Call it on whole windows, without Masking layers."
                )


def inference_twin(model: Any) -> Twin:
    """Return the stand-ins for the layers of `model` that need one, however deep they lie.

    These are GRU layers, layers of `PeepholeCell`, and LSTM layers with recurrent dropout.

    Raises
    ------
    ModelError
        When such a layer is stateful or has an activation other than relu, sigmoid and tanh.
    """
    layers = list(_special(model))
    # Above all weights, so that no layer's own can be taken for a mark; no round number, such as
    # a constant of the graph may be.
    top = max((float(np.abs(w).max(initial=1.0)) for w in model.get_weights()), default=1.0)
    first = int(np.ceil(np.log2(top))) + 1 if layers else 0
    marks = [np.float32(1.2345679 * 2.0 ** (first + number)) for number in range(len(layers))]
    return Twin(tuple(_stand_in(layer, mark) for layer, mark in zip(layers, marks, strict=True)))


def _special(model: Any) -> Iterator[Any]:
    for layer in model._flatten_layers():  # keras has no public way to the layers inside layers
        cell = getattr(layer, "cell", None) if isinstance(layer, keras.layers.RNN) else None
        unfused = isinstance(cell, keras.layers.LSTMCell) and cell.implementation == 1
        if unfused or isinstance(cell, keras.layers.GRUCell | PeepholeCell):
            yield layer


def _stand_in(layer: Any, mark: np.float32) -> StandIn:
    if layer.stateful:
        raise ModelError(
            f"expected layers without a state of their own, found {layer.name!r} stateful. Build"
            " the model to export with stateful=False and give it the trained weights."
        )
    marked: Any = keras.initializers.Constant(float(mark))
    lstm = keras.layers.LSTM(
        layer.cell.units,
        return_sequences=layer.return_sequences,
        return_state=layer.return_state,
        go_backwards=layer.go_backwards,
        zero_output_for_mask=layer.zero_output_for_mask,
        kernel_initializer=marked,
        recurrent_initializer=marked,
        bias_initializer=marked,
        unit_forget_bias=False,
        seed=0,  # without one, keras would draw from the process's generator
        name=f"{layer.name}_stand_in",
    )
    lstm.build((None, None, layer.cell.kernel.shape[0]))
    stand_in = StandIn(layer, lstm, mark)
    _ = stand_in.activations  # raises early
    return stand_in


def _activation(layer: Any, function: Any) -> str:
    name = getattr(function, "__name__", str(function))
    if name not in ACTIVATIONS:
        raise ModelError(
            f"expected one of the activations {', '.join(ACTIVATIONS)} in layer {layer.name!r},"
            f" found {name}, for which ONNX has no such operator. Use one of these."
        )
    return ACTIVATIONS[name]


def _array(weight: Any) -> Float32Array:
    return np.asarray(weight.numpy(), np.float32)


def _gates(values: Float32Array, order: tuple[int, ...]) -> Float32Array:
    """Return the blocks of the last axis in another order."""
    parts = np.split(values, len(order), axis=-1)
    return np.concatenate([parts[i] for i in order], axis=-1)


def _operator(
    node: onnx.NodeProto, found: list[StandIn], name: str
) -> tuple[onnx.NodeProto, list[onnx.TensorProto]]:
    """Return the operator that the LSTM `node` stands for, and its weights."""
    operator, reset_after, _ = found[0].kind
    parts = [one.weights() for one in found]
    weights = {key: np.stack([part[key] for part in parts]) for key in parts[0]}
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(array), f"{name}_{key}")
        for key, array in weights.items()
    ]
    lengths, hidden, cell = (*node.input[4:], "", "", "")[:3]
    inputs = [node.input[0], *(tensor.name for tensor in tensors[:3]), lengths, hidden]
    inputs += [cell, *(tensor.name for tensor in tensors[3:])] if operator == "LSTM" else []
    outputs = list(node.output[:2] if operator == "GRU" else node.output)
    new = helper.make_node(operator, inputs, outputs, name=node.name)
    kept = [a for a in node.attribute if a.name in ("direction", "hidden_size")]
    activations = [activation for one in found for activation in one.activations]
    new.attribute.extend([*kept, helper.make_attribute("activations", activations)])
    if operator == "GRU":
        new.attribute.append(helper.make_attribute("linear_before_reset", int(reset_after)))
    return new, tensors
