"""One form for equal graphs, so that equal models are equal files.

tf2onnx names and orders nodes by the order of Python sets, which changes from run to run. Here the
graph is walked from its outputs, inputs first, and everything is named by its place in that walk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from ..signals.errors import ModelError

__all__ = ["OPSET", "canonicalise", "operator_counts"]

OPSET = 17
IR_VERSION = 8
"""The file format of opset 17, so that old runtimes read it too."""


def canonicalise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same computation with nodes, weights and names in canonical order.

    Raises
    ------
    ModelError
        For a graph with control flow (Loop, If, Scan) or functions, which have no such form here.
    """
    _refuse_subgraphs(model)
    graph = model.graph
    weights = _Weights(graph.initializer)
    names = {"": ""} | {value.name: value.name for value in graph.input}
    nodes: list[onnx.NodeProto] = []
    for node in _inputs_first(graph):
        inputs = [names[name] if name in names else weights.rename(name) for name in node.input]
        outputs = [f"n{len(nodes)}_{i}" if name else "" for i, name in enumerate(node.output)]
        names.update(zip(node.output, outputs, strict=True))
        nodes.append(_renamed(node, inputs, outputs))
    for value in graph.output:
        if value.name not in names:
            raise ModelError(
                f"the output {value.name!r} is the same for all bars: the model does not use its"
                " input."
            )
    _keep_output_names(nodes, {names[value.name]: value.name for value in graph.output})
    return _model(graph, nodes, weights.tensors)


class _Weights:
    """Weights in the order in which they are first used, equal ones once."""

    def __init__(self, tensors: Iterable[onnx.TensorProto]) -> None:
        self._given = {tensor.name: tensor for tensor in tensors}
        self._kept: dict[bytes, onnx.TensorProto] = {}

    @property
    def tensors(self) -> list[onnx.TensorProto]:
        return list(self._kept.values())

    def rename(self, name: str) -> str:
        if name not in self._given:
            raise ModelError(f"the exported graph is broken: nothing in it computes {name!r}.")
        array = np.asarray(numpy_helper.to_array(self._given[name]), order="C")
        key = f"{array.dtype.str}{array.shape}".encode() + array.tobytes()
        if key not in self._kept:
            self._kept[key] = numpy_helper.from_array(array, f"w{len(self._kept)}")
        return self._kept[key].name


def _renamed(node: onnx.NodeProto, inputs: list[str], outputs: list[str]) -> onnx.NodeProto:
    copy = onnx.helper.make_node(node.op_type, inputs, outputs, domain=node.domain)
    copy.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
    for attribute in copy.attribute:
        if attribute.HasField("t"):
            attribute.t.ClearField("name")
    return copy


def _inputs_first(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that the outputs need, each after the nodes that it needs."""
    producers = {name: node for node in graph.node for name in node.output if name}
    done: set[str] = set()
    stack = [(value.name, False) for value in reversed(graph.output)]
    while stack:
        name, ready = stack.pop()
        if name in done or name not in producers:
            continue
        node = producers[name]
        if ready:
            done.update(node.output)
            yield node
        else:
            stack.append((name, True))
            stack += [(source, False) for source in reversed(node.input)]


def operator_counts(model: onnx.ModelProto) -> dict[str, int]:
    """Return how often each operator occurs, by name."""
    return dict(sorted(Counter(node.op_type for node in model.graph.node).items()))


def _refuse_subgraphs(model: onnx.ModelProto) -> None:
    inner = sorted(
        {node.op_type for node in model.graph.node for a in node.attribute if a.g.node or a.graphs}
    )
    if inner or model.functions:
        raise ModelError(
            f"the converted graph has control flow ({', '.join(inner) or 'functions'}), which is"
            " slow and has no canonical form. Use LSTM, GRU or nextbar's PeepholeLSTM layers,"
            " which become one operator each; SimpleRNN and custom cells become loops."
        )


def _keep_output_names(nodes: list[onnx.NodeProto], final: dict[str, str]) -> None:
    for node in nodes:
        for values in (node.input, node.output):
            for i, name in enumerate(values):
                values[i] = final.get(name, name)


def _model(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]
) -> onnx.ModelProto:
    body = onnx.helper.make_graph(nodes, "nextbar", graph.input, graph.output, weights)
    for value in (*body.input, *body.output):
        shape = value.type.tensor_type.shape
        if shape.dim:
            shape.dim[0].dim_param = "batch"
    return onnx.helper.make_model(
        body,
        producer_name="nextbar",
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
