"""One form for equal graphs, so that equal models are equal files.

tf2onnx names and orders nodes by the order of Python sets, which changes from run to run. Here the
graph is walked from its outputs, inputs first, and everything is named by its place in that walk.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    graph = model.graph
    _refuse_subgraphs(model)
    producers = {name: node for node in graph.node for name in node.output if name}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    names = {"": ""} | {value.name: value.name for value in graph.input}
    nodes: list[onnx.NodeProto] = []
    constants: dict[bytes, onnx.TensorProto] = {}

    def weight_name(tensor: onnx.TensorProto) -> str:
        array = numpy_helper.to_array(tensor)
        key = f"{array.dtype.str}{array.shape}".encode() + array.tobytes()
        if key not in constants:
            constants[key] = numpy_helper.from_array(
                np.ascontiguousarray(array).reshape(array.shape), f"w{len(constants)}"
            )
        return constants[key].name

    for node in _inputs_first(producers, [value.name for value in graph.output]):
        for source in node.input:
            if source not in names:
                names[source] = weight_name(weights[source])
        copy = onnx.helper.make_node(
            node.op_type,
            [names[source] for source in node.input],
            [f"n{len(nodes)}_{i}" if output else "" for i, output in enumerate(node.output)],
            domain=node.domain,
        )
        copy.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
        names.update(zip(node.output, copy.output, strict=True))
        nodes.append(copy)
    _keep_output_names(nodes, names, [value.name for value in graph.output])
    return _model(graph, nodes, list(constants.values()))


def _inputs_first(
    producers: dict[str, onnx.NodeProto], outputs: list[str]
) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that `outputs` need, each after the nodes that it needs."""
    done: set[str] = set()
    stack = [(name, False) for name in reversed(outputs)]
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
    kinds = sorted(node.op_type for node in model.graph.node)
    return {kind: kinds.count(kind) for kind in kinds}


def _refuse_subgraphs(model: onnx.ModelProto) -> None:
    inner = sorted({n.op_type for n in model.graph.node for a in n.attribute if a.HasField("g")})
    if inner or model.functions:
        raise ModelError(
            f"the exported graph has control flow or functions ({', '.join(inner) or 'functions'}),"
            " which is slow and has no canonical form. An LSTM must become one LSTM operator:"
            " avoid recurrent_dropout, unroll and custom cells."
        )


def _keep_output_names(
    nodes: list[onnx.NodeProto], names: dict[str, str], outputs: list[str]
) -> None:
    final = {names[output]: output for output in outputs}
    for node in nodes:
        for values in (node.input, node.output):
            for i, name in enumerate(values):
                values[i] = final.get(name, name)


def _model(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]
) -> onnx.ModelProto:
    values = [*graph.input, *graph.output]
    for value in values:
        shape = value.type.tensor_type.shape
        if shape.dim:
            shape.dim[0].dim_param = "batch"
    body = onnx.helper.make_graph(nodes, "nextbar", list(graph.input), list(graph.output), weights)
    return onnx.helper.make_model(
        body,
        producer_name="nextbar",
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
