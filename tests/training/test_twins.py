"""GRU, peepholes and recurrent dropout: one ONNX operator a layer, with what Keras says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from nextbar.signals.bars import COLUMNS
from nextbar.signals.errors import ModelError
from nextbar.signals.model import open_session, run_windows
from nextbar.signals.windows import windows_of
from nextbar.training.backend import repeatable_tensorflow, tensorflow
from nextbar.training.canonical import canonicalise, operator_counts
from nextbar.training.convert import Predict, convert, predictor, trace
from onnx import helper

from ..markets import random_bars

repeatable_tensorflow()

import keras  # noqa: E402
from keras import layers, ops  # noqa: E402
from nextbar.training.cells import CELLS, PeepholeCell, PeepholeLSTM  # noqa: E402
from nextbar.training.twins import inference_twin  # noqa: E402

WINDOW = 8
WINDOWS = np.ascontiguousarray(
    windows_of(random_bars(60, seed=3)[list(COLUMNS)].to_numpy(np.float32), WINDOW)
)


def both(layer: Any, **options: Any) -> Any:
    return layers.Bidirectional(layer, **options)


CASES: dict[str, tuple[Callable[[], list[Any]], list[str]]] = {
    "gru": (lambda: [layers.GRU(3)], ["GRU"]),
    "gru, reset before": (
        lambda: [layers.GRU(3, reset_after=False, recurrent_dropout=0.4)],
        ["GRU"],
    ),
    "gru without bias, relu, backwards": (
        lambda: [layers.GRU(3, use_bias=False, activation="relu", go_backwards=True)],
        ["GRU"],
    ),
    "peephole": (lambda: [PeepholeLSTM(3)], ["LSTM"]),
    "recurrent dropout": (lambda: [layers.LSTM(3, recurrent_dropout=0.4)], ["LSTM"]),
    "bidirectional gru": (lambda: [both(layers.GRU(3))], ["GRU"]),
    "bidirectional peephole": (lambda: [both(PeepholeLSTM(3, recurrent_dropout=0.2))], ["LSTM"]),
    "bidirectional recurrent dropout, then gru": (
        lambda: [
            both(layers.LSTM(2, recurrent_dropout=0.3, return_sequences=True)),
            layers.GRU(3, reset_after=False),
        ],
        ["LSTM", "GRU"],
    ),
    "two layers": (
        lambda: [PeepholeLSTM(3, return_sequences=True), layers.Dropout(0.5), PeepholeLSTM(3)],
        ["LSTM", "LSTM"],
    ),
    "three layers": (
        lambda: [
            both(layers.GRU(2, return_sequences=True, reset_after=False), merge_mode="sum"),
            layers.GRU(4, return_sequences=True),
            layers.GRU(1),
        ],
        ["GRU", "GRU", "GRU"],
    ),
    "convolutional, plain and other": (
        lambda: [
            layers.Conv1D(4, 3, activation="relu"),
            layers.LSTM(3, return_sequences=True),
            layers.GRU(3),
        ],
        ["LSTM", "GRU"],
    ),
}


def begin() -> tuple[Any, Any]:
    bars = keras.Input((WINDOW, 5))
    return bars, ops.log(bars[:, :, :4] / bars[:, :1, 3:4]) * 30.0


def randomise(model: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(-0.9, 0.9, weight.shape) for weight in model.weights])
    return model


def network(*stack: Any, seed: int = 0) -> Any:
    bars, signal = begin()
    for layer in stack:
        signal = layer(signal)
    return randomise(keras.Model(bars, layers.Dense(1, activation="sigmoid")(signal)), seed)


def recurrent(graph: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in graph.graph.node if node.op_type in ("GRU", "LSTM", "RNN")]


def content(graph: onnx.ModelProto) -> bytes:
    return canonicalise(graph).SerializeToString(deterministic=True)


def difference(predict: Predict, graph: onnx.ModelProto) -> float:
    """Return max |Keras - ONNX| after checking that the scores differ from window to window."""
    expected = predict(WINDOWS, 50)
    assert np.ptp(expected) > 0.01
    return float(np.abs(run_windows(open_session(content(graph)), WINDOWS) - expected).max())


@pytest.mark.parametrize("case", CASES)
def test_one_operator_a_layer_that_says_what_keras_says(case: str) -> None:
    stack, operators = CASES[case]
    model = network(*stack())
    graph = convert(model, WINDOW)
    onnx.checker.check_model(graph, full_check=True)
    assert [node.op_type for node in recurrent(canonicalise(graph))] == operators
    assert "Loop" not in operator_counts(graph)
    assert difference(predictor(model), graph) <= 1e-6


def test_two_conversions_are_the_same_bytes() -> None:
    model = network(*CASES["two layers"][0]())
    assert content(convert(model, WINDOW)) == content(convert(model, WINDOW))


def test_attributes() -> None:
    after, before = layers.GRU(3, return_sequences=True), layers.GRU(2, reset_after=False)
    nodes = recurrent(canonicalise(convert(network(after, before), WINDOW)))
    attributes = [{a.name: helper.get_attribute_value(a) for a in n.attribute} for n in nodes]
    assert [each["linear_before_reset"] for each in attributes] == [1, 0]
    assert [each["hidden_size"] for each in attributes] == [3, 2]
    assert all(each["activations"] == [b"Sigmoid", b"Tanh"] for each in attributes)


def test_the_model_is_left_as_it_was() -> None:
    model = network(both(layers.GRU(3)))
    weights, expected = model.get_weights(), np.asarray(model(WINDOWS))
    convert(model, WINDOW)
    np.testing.assert_array_equal(np.asarray(model(WINDOWS)), expected)
    for mine, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, before)
    assert all("call" not in vars(one.layer) for one in inference_twin(model).stand_ins)


def test_the_model_is_left_as_it_was_after_a_failure() -> None:
    model = network(layers.GRU(3))
    twin = inference_twin(model)
    layer = twin.stand_ins[0].layer
    with pytest.raises(ZeroDivisionError), twin.in_place():
        _ = 1 / ("call" not in vars(layer))
    assert "call" not in vars(layer)


def test_plain_models_need_no_stand_in() -> None:
    model = network(both(layers.LSTM(2, return_sequences=True)), layers.LSTM(2, dropout=0.3))
    assert inference_twin(model).stand_ins == ()


def test_weights_as_large_as_a_mark_are_not_taken_for_it() -> None:
    """Every stand-in's mark is above all weights of the model."""
    model = network(layers.GRU(1, return_sequences=True), layers.LSTM(1))
    (one,) = inference_twin(model).stand_ins
    plain = model.layers[-2].cell
    plain.recurrent_kernel.assign(np.full(plain.recurrent_kernel.shape, one.mark))
    graph = convert(model, WINDOW)
    assert [node.op_type for node in recurrent(canonicalise(graph))] == ["GRU", "LSTM"]


def test_layers_inside_models_and_called_twice() -> None:
    inner = keras.Input((WINDOW, 4))
    step = keras.Model(inner, layers.Dense(4)(layers.GRU(3)(inner)))
    bars, signal = begin()
    after = ops.concatenate([signal[:, 1:], step(signal)[:, None]], axis=1)
    model = randomise(keras.Model(bars, layers.Dense(1)(step(after))), 0)
    graph = convert(model, WINDOW)
    assert [node.op_type for node in recurrent(graph)] == ["GRU", "GRU"]
    assert difference(predictor(model), graph) <= 1e-6


def test_states_in_and_out() -> None:
    bars, signal = begin()
    _, state = layers.GRU(3, return_state=True)(signal[:, :4])
    _, *states = PeepholeLSTM(3, return_state=True)(signal[:, :4])
    gru = layers.GRU(3)(signal[:, 4:], initial_state=state)
    peephole = PeepholeLSTM(3)(signal[:, 4:], initial_state=states)
    out = layers.Dense(1)(ops.concatenate([gru, peephole], axis=-1))
    model = randomise(keras.Model(bars, out), 0)
    graph = convert(model, WINDOW)
    assert sorted(node.op_type for node in recurrent(graph)) == ["GRU", "GRU", "LSTM", "LSTM"]
    assert difference(predictor(model), graph) <= 1e-6


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (lambda: [layers.GRU(2, activation="gelu", name="g")], r"tanh in layer 'g', found gelu"),
        (lambda: [layers.Masking(), layers.GRU(2, name="g")], "one operator of layer 'g'"),
        (
            lambda: [
                both(layers.GRU(2), backward_layer=layers.LSTM(2, go_backwards=True, name="g"))
            ],
            "'forward_gru.*' have no common ONNX operator",
        ),
    ],
    ids=["activation", "mask", "two kinds"],
)
def test_what_has_no_operator(stack: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        convert(network(*stack()), WINDOW)
    assert "\n" not in str(caught.value)


def test_stateful_layers() -> None:
    bars = keras.Input(batch_shape=(1, WINDOW, 5))
    model = keras.Model(bars, layers.GRU(1, stateful=True, name="g")(bars))
    with pytest.raises(ModelError, match="found 'g' stateful"):
        inference_twin(model)


# --- the peephole layer ----------------------------------------------------------------------


def logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def test_a_peephole_step_by_hand() -> None:
    cell = PeepholeCell(2)
    cell.build((None, 3))
    rng = np.random.default_rng(5)
    kernel, state, bias, peephole = (rng.normal(size=s) for s in ((3, 8), (2, 8), (8,), (3, 2)))
    for weight, value in zip(cell.weights, (kernel, state, bias, peephole), strict=True):
        weight.assign(value)
    x, h, c = rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), rng.normal(size=(4, 2))
    i, f, g, o = np.split(x @ kernel + h @ state + bias, 4, axis=1)
    new_c = logistic(f + peephole[1] * c) * c + logistic(i + peephole[0] * c) * np.tanh(g)
    new_h = logistic(o + peephole[2] * new_c) * np.tanh(new_c)
    out, states = cell(*(np.float32(part) for part in (x,)), [np.float32(h), np.float32(c)])
    np.testing.assert_allclose(out, new_h, atol=1e-6)
    np.testing.assert_allclose(states[0], new_h, atol=1e-6)
    np.testing.assert_allclose(states[1], new_c, atol=1e-6)


def test_without_peepholes_it_is_the_lstm() -> None:
    windows = np.random.default_rng(0).normal(size=(5, WINDOW, 3)).astype(np.float32)
    mine, theirs = PeepholeLSTM(4, return_sequences=True), layers.LSTM(4, return_sequences=True)
    for layer in (mine, theirs):
        layer.build(windows.shape)
    mine.set_weights([*theirs.get_weights(), np.zeros((3, 4))])
    np.testing.assert_allclose(mine(windows), theirs(windows), atol=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_all_cells_are_called_alike(name: str) -> None:
    windows = np.random.default_rng(0).normal(size=(5, WINDOW, 3)).astype(np.float32)
    layer = CELLS[name](4, return_sequences=True, recurrent_dropout=0.5)
    again = type(layer).from_config(layer.get_config())
    keras.utils.set_random_seed(0)
    for one in (layer, again):
        assert one(windows).shape == (5, WINDOW, 4)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(windows), layer(windows))
    assert np.abs(layer(windows, training=True) - layer(windows)).max() > 1e-3
    two_ways = both(CELLS[name](4, return_sequences=False, recurrent_dropout=0.5))
    assert two_ways(windows).shape == (5, 8)


def test_dropout_of_inputs_and_gradients() -> None:
    windows = np.random.default_rng(0).normal(size=(64, WINDOW, 3)).astype(np.float32)
    keras.utils.set_random_seed(0)
    layer = PeepholeLSTM(4, dropout=0.5, seed=1)
    assert np.abs(layer(windows, training=True) - layer(windows)).max() > 1e-3
    with tensorflow().GradientTape() as tape:
        loss = ops.mean(ops.square(layer(windows)))
    gradients = tape.gradient(loss, layer.trainable_variables)
    assert len(gradients) == 4
    assert all((gradient.numpy() != 0).all() for gradient in gradients)


def test_saved_and_loaded(tmp_path: Any) -> None:
    model = keras.Sequential([keras.Input((WINDOW, 5)), both(PeepholeLSTM(2)), layers.Dense(1)])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(WINDOWS), model(WINDOWS))


# --- several outputs -------------------------------------------------------------------------


def two_headed(kind: type, columns: int) -> Any:
    bars, signal = begin()
    state = layers.GRU(3)(signal)
    forecast, move = layers.Dense(columns)(state), layers.Dense(1)(state)
    outputs = {"forecast": forecast, "move": move} if kind is dict else kind([move, forecast])
    return randomise(keras.Model(bars, outputs), 0)


@pytest.mark.parametrize(("kind", "columns"), [(dict, 3), (list, 1)])
def test_named_outputs(kind: type, columns: int) -> None:
    names = ("move", "forecast")
    model = two_headed(kind, columns)
    traced = trace(model, names)
    assert traced.outputs == names
    graph = canonicalise(traced.graph())
    outputs = [(o.name, o.type.tensor_type.shape.dim) for o in graph.graph.output]
    shapes = {name: [d.dim_param or d.dim_value for d in dims] for name, dims in outputs}
    assert list(shapes.items()) == [("move", ["batch"]), ("forecast", ["batch", columns])]
    session = open_session(graph.SerializeToString())
    found = dict(zip(names, session.run(list(names), {"bars": WINDOWS}), strict=True))
    predicted = traced.predict(WINDOWS, 20)
    assert list(predicted) == list(names)
    for name in names:
        assert np.ptp(predicted[name]) > 0.01
        np.testing.assert_allclose(found[name], predicted[name], atol=1e-6)
    nothing = traced.predict(WINDOWS[:0], 20)
    assert {name: value.shape for name, value in nothing.items()} == {
        "move": (0,),
        "forecast": (0, columns),
    }


def test_one_output_of_another_name() -> None:
    model = network(layers.GRU(2))
    traced = trace(model, ("position",))
    assert [value.name for value in traced.graph().graph.output] == ["position"]
    assert traced.predict(WINDOWS, 50).shape == (len(WINDOWS),)
    bars, signal = begin()
    traced = trace(keras.Model(bars, layers.Dense(2)(layers.LSTM(2)(signal))), ("forecast",))
    assert traced.predict(WINDOWS, 50).shape == (len(WINDOWS), 2)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("move",), r"expected one move for each window.*found output a dict of 2"),
        (("forecast",), r"the output forecast \(batch, k\), found forecast \(None, 3\), move"),
        (("move", "forcast"), r"outputs move \(batch,\), forcast \(batch,\), found forecast"),
    ],
)
def test_outputs_of_other_names(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        trace(two_headed(dict, 3), names)


def test_outputs_of_another_shape() -> None:
    bars, signal = begin()
    wide = layers.Dense(2)(layers.LSTM(2)(signal))
    with pytest.raises(ModelError, match=r"found forecast \(None, 2\), move \(None, 2\)"):
        trace(keras.Model(bars, {"forecast": wide, "move": wide}), ("forecast", "move"))
