"""Equal graphs give equal bytes, and the canonical form computes the same."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.signals.bars import COLUMNS
from nextbar.signals.errors import ModelError
from nextbar.signals.model import open_session, run_windows
from nextbar.signals.windows import windows_of
from nextbar.training.canonical import OPSET, canonicalise, operator_counts
from nextbar.training.convert import convert
from nextbar.training.fit import Trained
from onnx import TensorProto, helper, numpy_helper

from ..markets import random_bars
from ..models import lstm_graph
from .conftest import SMALL

HAND_BUILT = onnx.ModelProto.FromString(lstm_graph(8))


@pytest.fixture(scope="module")
def converted(small: Trained) -> onnx.ModelProto:
    """Return a graph as tf2onnx writes it."""
    return convert(small.network, SMALL.window)


def canonical_bytes(model: onnx.ModelProto) -> bytes:
    return canonicalise(model).SerializeToString(deterministic=True)


def shuffled(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Return the same computation with other names in another order."""
    draw = random.Random(seed)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    graph = other.graph
    kept = {"", *(value.name for value in (*graph.input, *graph.output))}
    names: dict[str, str] = {}

    def renamed(name: str) -> str:
        if name in kept:
            return name
        return names.setdefault(name, f"x{draw.randrange(10**9)}_{len(names)}")

    for tensor in graph.initializer:
        tensor.name = renamed(tensor.name)
    for node in graph.node:
        node.name = f"node{draw.random()}"
        node.doc_string = "about it"
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        attributes = list(node.attribute)
        draw.shuffle(attributes)
        del node.attribute[:]
        node.attribute.extend(attributes)
        for attribute in node.attribute:
            if attribute.HasField("t"):
                attribute.t.name = f"t{draw.random()}"
    for part in (graph.node, graph.initializer):
        values = list(part)
        draw.shuffle(values)
        del part[:]
        part.extend(values)
    return other


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_order_and_names_do_not_matter(converted: onnx.ModelProto, seed: int) -> None:
    other = shuffled(converted, seed)
    assert other.SerializeToString() != converted.SerializeToString()
    assert canonical_bytes(other) == canonical_bytes(converted)


def test_twice_is_once(converted: onnx.ModelProto) -> None:
    once = canonicalise(converted)
    assert canonical_bytes(once) == once.SerializeToString(deterministic=True)


def test_the_given_graph_is_left_alone(converted: onnx.ModelProto) -> None:
    before = converted.SerializeToString(deterministic=True)
    canonicalise(converted)
    assert converted.SerializeToString(deterministic=True) == before


def test_computes_the_same(converted: onnx.ModelProto) -> None:
    canonical = canonicalise(converted)
    onnx.checker.check_model(canonical, full_check=True)
    values = random_bars(200, seed=9)[list(COLUMNS)].to_numpy(np.float32)
    windows = np.ascontiguousarray(windows_of(values, SMALL.window))
    before = run_windows(open_session(converted.SerializeToString()), windows)
    after = run_windows(open_session(canonical.SerializeToString()), windows)
    np.testing.assert_array_equal(after, before)
    assert np.ptp(after) > 0


def test_form(converted: onnx.ModelProto) -> None:
    canonical = canonicalise(converted)
    graph = canonical.graph
    assert [value.name for value in graph.input] == ["bars"]
    assert [value.name for value in graph.output] == ["probability"]
    assert [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        SMALL.window,
        5,
    ]
    assert [(entry.domain, entry.version) for entry in canonical.opset_import] == [("", OPSET)]
    contents = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
    keys = {(array.dtype.str, array.shape, array.tobytes()) for array in contents}
    assert len(keys) == len(contents)  # equal weights once
    assert operator_counts(canonical) == operator_counts(converted)
    assert list(operator_counts(canonical)) == sorted(operator_counts(canonical))


def test_a_changed_weight_or_attribute_changes_the_bytes() -> None:
    before = canonical_bytes(HAND_BUILT)
    other = onnx.ModelProto()
    other.CopyFrom(HAND_BUILT)
    weight = numpy_helper.to_array(other.graph.initializer[0]).copy()
    weight.flat[0] = np.nextafter(weight.flat[0], np.float32(9))
    other.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(weight, other.graph.initializer[0].name)
    )
    assert canonical_bytes(other) != before
    other.CopyFrom(HAND_BUILT)
    (lstm,) = [node for node in other.graph.node if node.op_type == "LSTM"]
    lstm.attribute.append(helper.make_attribute("direction", "reverse"))
    assert canonical_bytes(other) != before


def test_nodes_without_effect_are_dropped() -> None:
    other = onnx.ModelProto()
    other.CopyFrom(HAND_BUILT)
    other.graph.node.insert(0, helper.make_node("Neg", ["bars"], ["unused"]))
    assert canonical_bytes(other) == canonical_bytes(HAND_BUILT)


def test_names_of_constants_do_not_matter() -> None:
    def with_constant(name: str) -> bytes:
        other = onnx.ModelProto()
        other.CopyFrom(HAND_BUILT)
        weights = [tensor for tensor in other.graph.initializer if tensor.name != "gain"]
        (gain,) = (tensor for tensor in other.graph.initializer if tensor.name == "gain")
        value = numpy_helper.from_array(numpy_helper.to_array(gain), name)
        del other.graph.initializer[:]
        other.graph.initializer.extend(weights)
        other.graph.node.insert(0, helper.make_node("Constant", [], ["gain"], value=value))
        return canonical_bytes(other)

    assert with_constant("one") == with_constant("another")


def test_several_outputs_keep_names_and_order() -> None:
    """One of them feeds the other, and they stand in the order of the given graph."""
    contents: set[bytes] = set()
    for names in (("move", "probability"), ("probability", "move")):
        other = onnx.ModelProto()
        other.CopyFrom(HAND_BUILT)
        other.graph.node.append(helper.make_node("Neg", ["probability"], ["move"]))
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in names]
        del other.graph.output[:]
        other.graph.output.extend(values)
        canonical = canonicalise(other)
        onnx.checker.check_model(canonical, full_check=True)
        assert [value.name for value in canonical.graph.output] == list(names)
        windows = np.ones((3, 8, 5), np.float32)
        session = open_session(canonical.SerializeToString())
        found = session.run(["move", "probability"], {"bars": windows})
        np.testing.assert_array_equal(found[0], -found[1])
        contents.add(canonical_bytes(other))
    assert len(contents) == 2


def edited(change: Any) -> onnx.ModelProto:
    other = onnx.ModelProto()
    other.CopyFrom(HAND_BUILT)
    change(other)
    return other


def with_loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["z"], body=body))


def with_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f")


def without_a_source(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[1] = "nowhere"


def with_constant_output(model: onnx.ModelProto) -> None:
    model.graph.node[-1].output[0] = "unused"
    model.graph.initializer.append(helper.make_tensor("probability", TensorProto.FLOAT, [1], [0.5]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_loop, r"control flow \(Loop\).* GRU"),
        (with_function, r"control flow \(functions\)"),
        (without_a_source, "nothing in it computes 'nowhere'"),
        (with_constant_output, "'probability' is the same for all bars"),
    ],
)
def test_what_has_no_canonical_form(change: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        canonicalise(edited(change))
