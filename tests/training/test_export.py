"""The certificate: a file is written if every check passes, else nothing is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pydantic
import pytest
from nextbar.signals import load_model
from nextbar.signals.bars import COLUMNS, bars_digest
from nextbar.signals.errors import BarsError, ExperimentError, ModelError
from nextbar.signals.model import open_session
from nextbar.signals.windows import windows_of
from nextbar.training import Facts, certify, export
from nextbar.training import convert as converter
from nextbar.training.backend import repeatable_tensorflow
from nextbar.training.canonical import canonicalise, operator_counts
from nextbar.training.convert import convert
from nextbar.training.parity import compare_windows
from onnx import numpy_helper

from ..markets import random_bars

repeatable_tensorflow()

import keras  # noqa: E402
from keras import ops  # noqa: E402
from nextbar.training.features import BarFeatures  # noqa: E402

WINDOW = 6
FACTS = Facts(architecture="user's own", uses_volume=False, training={"seed": 3})


@keras.saving.register_keras_serializable(package="nextbar-tests")
class Function(keras.layers.Layer):
    """A layer that is one function."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, inputs: Any) -> Any:
        return self.function(inputs)


def network(
    *,
    bars: tuple[int | None, ...] = (WINDOW, 5),
    features: Any = None,
    recurrent: Any = None,
    head: Any = None,
) -> Any:
    """Return an untrained model from parts, each with a plain default."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(bars, name="whatever")
    signal = (features or BarFeatures(("return", "range")))(inputs)
    # Enlarged, so that the scores of an untrained network differ from bar to bar.
    signal = Function(lambda x: x * 30.0)(signal)
    signal = (recurrent or keras.layers.LSTM(3))(signal)
    return keras.Model(inputs, (head or keras.layers.Dense(1, activation="sigmoid"))(signal))


def lstm() -> Any:
    return keras.layers.LSTM(3)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return random_bars(90, seed=6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def refused(model: Any, path: Path, bars: pd.DataFrame, facts: Facts = FACTS) -> str:
    """Return the ModelError's one line, after checking that nothing was written."""
    with pytest.raises(ModelError) as caught:
        export(model, path, bars=bars, facts=facts)
    assert os.listdir(path.parent) == []  # noqa: PTH208
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("shape", [(), (1,)], ids=["(batch,)", "(batch, 1)"])
def test_a_users_own_model(shape: tuple[int, ...], path: Path, frame: pd.DataFrame) -> None:
    dense = keras.layers.Dense(1, activation="sigmoid")
    model = network(head=dense if shape else Function(lambda x: ops.sigmoid(ops.sum(x, axis=1))))
    assert model.output_shape == (None, *shape)
    card = export(model, path, bars=frame, facts=FACTS)
    assert os.listdir(path.parent) == ["model.onnx"]  # noqa: PTH208
    loaded = load_model(path)
    assert loaded.card == card
    values = frame.to_numpy()
    expected = np.asarray(model(windows_of(values.astype(np.float32), WINDOW))).reshape(-1)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(loaded.score(values), expected, rtol=0, atol=1e-6)
    assert card.certificate.windows == len(frame) - WINDOW + 1
    assert card.certificate.max_difference <= 1e-6
    assert card.certificate.flipped_calls == 0
    assert len(card.certificate.batch_sizes) >= 2


def test_the_card_says_what_was_done(path: Path, frame: pd.DataFrame) -> None:
    facts = Facts(
        architecture="own", horizon=3, target="close", features=("a", "b"), known_flaws=("peeks",)
    )
    card = export(network(), path, bars=frame, facts=facts)
    assert card.window == WINDOW
    assert (card.horizon, card.target, card.features) == (3, "close", ("a", "b"))
    assert card.known_flaws == ("peeks",)
    assert card.uses_volume
    assert (card.symbols, card.interval) == (("TEST",), "1d")
    assert card.train_start == str(frame.index[0].date())
    assert card.train_end == str(frame.index[-1].date())
    assert card.rows_sha256 == bars_digest(frame)
    content = onnx.ModelProto.FromString(path.read_bytes())
    assert card.operators == operator_counts(content)
    assert card.operators["LSTM"] == 1
    assert card.libraries == {name: version(name) for name in certify.LIBRARIES}
    last = frame[list(COLUMNS)].to_numpy(np.float32)[-WINDOW:]
    np.testing.assert_array_equal(np.array(card.golden.bars, np.float32), last)
    score = load_model(path).score(frame.to_numpy())[-1]
    assert card.golden.outputs["probability"][0] == pytest.approx(score, abs=1e-6)


def test_what_the_training_hash_depends_on(path: Path, frame: pd.DataFrame) -> None:
    model = network()

    def hash_of(bars: pd.DataFrame = frame, **settings: Any) -> str:
        facts = FACTS.model_copy(update={"training": settings})
        return export(model, path, bars=bars, facts=facts).training_hash

    assert hash_of(seed=1) == hash_of(seed=1)
    assert len({hash_of(seed=1), hash_of(seed=2), hash_of(frame.iloc[1:], seed=1)}) == 3


def test_intraday_dates_have_their_time(path: Path) -> None:
    bars = random_bars(40, freq="5min", start="2001-01-02 09:30")
    card = export(network(), path, bars=bars, facts=FACTS)
    assert card.interval == "5m"
    assert card.train_start == "2001-01-02T09:30:00"
    assert card.train_end == bars.index[-1].isoformat()


def test_volume_that_is_not_used_is_not_in_the_golden_window(
    path: Path, frame: pd.DataFrame
) -> None:
    card = export(network(), path, bars=frame, facts=FACTS)
    assert {bar[4] for bar in card.golden.bars} == {0.0}


def test_a_model_without_recurrence(path: Path, frame: pd.DataFrame) -> None:
    facts = FACTS.model_copy(update={"recurrent": None})
    card = export(network(recurrent=keras.layers.Flatten()), path, bars=frame, facts=facts)
    assert card.recurrent is None
    assert load_model(path).card == card


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(WINDOW, 4), (None, 5), (WINDOW * 5,)])
def test_wrong_input_shape(shape: tuple[int | None, ...], path: Path, frame: Any) -> None:
    inputs = keras.Input(shape)
    outputs = keras.layers.Dense(1)(inputs if len(shape) == 1 else lstm()(inputs))
    message = refused(keras.Model(inputs, outputs), path, frame)
    assert "expected a model of raw bars (batch, window, 5)" in message


def test_fixed_batch_size(path: Path, frame: pd.DataFrame) -> None:
    inputs = keras.Input(batch_shape=(1, WINDOW, 5))
    message = refused(keras.Model(inputs, keras.layers.Dense(1)(lstm()(inputs))), path, frame)
    assert "found input (1, 6, 5)" in message


def test_two_inputs(path: Path, frame: pd.DataFrame) -> None:
    inputs = [keras.Input((WINDOW, 5)), keras.Input((WINDOW, 5))]
    message = refused(keras.Model(inputs, lstm()(inputs[0] + inputs[1])), path, frame)
    assert "expected a model of raw bars" in message


@pytest.mark.parametrize("kind", ["two", "dict", "list", "three classes", "sequence"])
def test_wrong_outputs(kind: str, path: Path, frame: pd.DataFrame) -> None:
    inputs = keras.Input((WINDOW, 5))
    one, steps = lstm()(inputs), keras.layers.LSTM(1, return_sequences=True)(inputs)
    outputs = {
        "two": [keras.layers.Dense(1)(one), keras.layers.Dense(1)(one)],
        "dict": {"up": keras.layers.Dense(1)(one)},
        "list": [keras.layers.Dense(1)(one)],
        "three classes": one,
        "sequence": steps,
    }
    message = refused(keras.Model(inputs, outputs[kind]), path, frame)
    assert "expected one probability for each window" in message


@pytest.mark.parametrize("model", [keras.Sequential([keras.layers.Dense(1)]), object()])
def test_a_model_of_unknown_shape(model: Any, path: Path, frame: pd.DataFrame) -> None:
    assert "neither or was never called" in refused(model, path, frame)


def test_keras_normalization(path: Path, frame: pd.DataFrame) -> None:
    scaling = keras.layers.Normalization()
    scaling.adapt(frame.to_numpy(np.float32))
    message = refused(network(features=scaling), path, frame)
    assert "constants captured by a layer become inputs" in message


def test_a_layer_that_becomes_a_loop(path: Path, frame: pd.DataFrame) -> None:
    message = refused(network(recurrent=keras.layers.SimpleRNN(3)), path, frame)
    assert "control flow (Loop" in message


@pytest.mark.parametrize(
    ("layer", "operator"),
    [
        (lambda: keras.layers.LSTM(3, recurrent_dropout=0.2), "LSTM"),
        (lambda: keras.layers.GRU(3), "GRU"),
    ],
    ids=["recurrent dropout", "GRU"],
)
def test_layers_that_become_one_operator(
    layer: Any, operator: Any, path: Path, frame: pd.DataFrame
) -> None:
    facts = FACTS.model_copy(update={"recurrent": operator})
    card = export(network(recurrent=layer()), path, bars=frame, facts=facts)
    assert card.operators[operator] == 1
    assert not {"Loop", "Scan"} & set(card.operators)


@pytest.mark.parametrize(
    ("declared", "layer", "found"),
    [("LSTM", keras.layers.Flatten, "none"), ("GRU", lstm, "LSTM"), (None, lstm, "LSTM")],
)
def test_declared_recurrence_is_there(
    declared: Any, layer: Any, found: str, path: Path, frame: pd.DataFrame
) -> None:
    facts = FACTS.model_copy(update={"recurrent": declared})
    message = refused(network(recurrent=layer()), path, frame, facts)
    assert f"declared recurrent operator {declared}, the converted graph has {found}" in message


def test_volume_used_against_the_declaration(path: Path, frame: pd.DataFrame) -> None:
    model = network(features=BarFeatures(("return", "volume_change")))
    assert "uses_volume is False" in refused(model, path, frame)
    export(model, path, bars=frame, facts=FACTS.model_copy(update={"uses_volume": True}))


def test_an_operation_that_the_converter_only_logs(
    path: Path, frame: pd.DataFrame, capfd: pytest.CaptureFixture[str]
) -> None:
    message = refused(
        network(head=Function(lambda x: ops.sigmoid(ops.log1p(x[:, :1])))), path, frame
    )
    assert "Log1p" in message
    assert "log(x + 1)" in message
    assert capfd.readouterr() == ("", "")


def test_output_that_is_no_probability(path: Path, frame: pd.DataFrame) -> None:
    model = network(head=Function(lambda x: ops.sum(x, axis=1) * 9))
    assert "expected a probability from 0 to 1, found" in refused(model, path, frame)


def test_nan_output(path: Path, frame: pd.DataFrame) -> None:
    model = network(head=Function(lambda x: ops.sigmoid(ops.log(ops.sum(x, axis=1) - 99))))
    assert "a probability from 0 to 1, found nan" in refused(model, path, frame)


def test_keras_nan_that_the_runtime_swallows(path: Path, frame: pd.DataFrame) -> None:
    model = network(features=Function(lambda x: ops.log(x[:, :, :4] - 1e6)))
    assert "certificate failed: Keras and ONNX differ by up to nan" in refused(model, path, frame)


@pytest.mark.parametrize(("shift", "flips"), [(3e-4, False), (3.0, True)])
def test_a_difference_beyond_the_tolerance(
    shift: float, flips: bool, path: Path, frame: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(model: Any, window: int, outputs: Any) -> onnx.ModelProto:
        graph = convert(model, window, outputs)
        for tensor in graph.graph.initializer:
            weight = numpy_helper.to_array(tensor)
            if weight.dtype == np.float32 and weight.shape == (3, 1):
                tensor.CopyFrom(numpy_helper.from_array(weight + np.float32(shift), tensor.name))
        return graph

    monkeypatch.setattr(converter, "convert", shifted)
    message = refused(network(), path, frame)
    assert "certificate failed: Keras and ONNX differ by up to" in message
    assert ("with 0 flipped calls" in message) is not flips
    assert "on 85 windows" in message


def unknown_operator(graph: onnx.ModelProto) -> None:
    next(node for node in graph.graph.node if node.op_type == "Log").op_type = "Logg"


def wrong_shape(graph: onnx.ModelProto) -> None:
    transpose = next(node for node in graph.graph.node if node.op_type == "Transpose")
    transpose.attribute[0].ints[:] = [0, 7, 1]


@pytest.mark.parametrize("damage", [unknown_operator, wrong_shape])
def test_a_graph_that_is_not_valid(
    damage: Any, path: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(model: Any, window: int, outputs: Any) -> onnx.ModelProto:
        damage(graph := convert(model, window, outputs))
        return graph

    monkeypatch.setattr(converter, "convert", damaged)
    assert "the converted graph is not valid ONNX: " in refused(network(), path, frame)


def test_compare_windows(frame: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    session = open_session(canonicalise(convert(model, WINDOW)).SerializeToString())
    windows = np.ascontiguousarray(windows_of(frame[list(COLUMNS)].to_numpy(np.float32), WINDOW))
    caplog.set_level("WARNING", "tensorflow")
    # As often as a walk-forward does: tensorflow warns of functions that are traced again.
    for _ in range(8):
        difference, flips = compare_windows(model, session, windows)
        assert 0 <= difference < 1e-6
        assert flips == 0
    assert not caplog.records
    scores = np.asarray(model(windows))[:, 0]
    bias = model.layers[-1].weights[1]
    bias.assign(bias - 8.0)  # all calls down now, the session still says up where it said up
    difference, flips = compare_windows(model, session, windows)
    assert difference > 0.1
    assert flips == (scores > 0.5).sum()


def test_bars_too_few_or_bad(path: Path, frame: pd.DataFrame) -> None:
    assert "5 bars hold no window of 6" in refused(network(), path, frame.iloc[:5])
    broken = frame.copy()
    broken.iloc[3, 0] = np.nan
    with pytest.raises(BarsError, match="row 3"):
        export(network(), path, bars=broken, facts=FACTS)
    assert not path.exists()


def test_a_folder_that_cannot_be_written(path: Path, frame: pd.DataFrame) -> None:
    path.write_text("a file where a folder is expected")
    with pytest.raises(ExperimentError, match="cannot write"):
        export(network(), path / "model.onnx", bars=frame, facts=FACTS)
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208


def test_a_failed_export_leaves_the_old_file(path: Path, frame: pd.DataFrame) -> None:
    path.write_bytes(b"old")
    with pytest.raises(ModelError, match="Loop"):
        export(network(recurrent=keras.layers.SimpleRNN(3)), path, bars=frame, facts=FACTS)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208


@pytest.mark.parametrize(
    "wrong", [{"horizon": 0}, {"recurrent": "RNN"}, {"mood": 1}, {"training": {"x": object()}}]
)
def test_facts_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match=next(iter(wrong))):
        Facts(**({"architecture": "own"} | wrong))


USED_BEFORE = """
import sys
import keras, numpy as np
inputs = keras.Input((6, 5))
outputs = keras.layers.Dense(1, activation="sigmoid")(keras.layers.LSTM(3)(inputs))
model = keras.Model(inputs, outputs)
model.compile(loss="mse")
model.fit(np.ones((8, 6, 5)), np.ones(8), verbose=0)  # on all threads

import pandas as pd
from nextbar.training import Facts, TrainingConfig, export, train
bars = pd.read_csv(sys.argv[1], index_col=0, parse_dates=True)
export(model, sys.argv[2], bars=bars, facts=Facts(architecture="own"))
try:
    train(bars, TrainingConfig(window=6), sys.argv[2])
except ValueError as error:
    print(error)
"""


def test_export_of_a_model_trained_on_all_threads(path: Path) -> None:
    random_bars(300).to_csv(bars := path.with_suffix(".csv"))
    done = subprocess.run(
        [sys.executable, "-c", USED_BEFORE, str(bars), str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert load_model(path).card.architecture == "own"
    # Only nextbar's own training insists on one thread.
    assert "Train in a new process" in done.stdout


@pytest.mark.parametrize("rows", [90, WINDOW])
def test_a_model_that_mixes_its_batch_is_refused(rows: int, path: Path, frame: Any) -> None:
    """The classic slip, a mean without an axis, lets later windows reach earlier calls."""

    def scaled(bars: Any) -> Any:
        returns = ops.log(bars[:, 1:, 3:4] / bars[:, :-1, 3:4])
        return (returns - ops.mean(returns)) / (ops.std(returns) + 1e-9)

    text = refused(network(features=Function(scaled)), path, frame.iloc[:rows])
    assert "with the other windows of its batch" in text

    def honest(bars: Any) -> Any:
        returns = ops.log(bars[:, 1:, 3:4] / bars[:, :-1, 3:4])
        return (returns - ops.mean(returns, axis=1, keepdims=True)) * 10.0

    export(network(features=Function(honest)), path, bars=frame.iloc[:rows], facts=FACTS)


def test_a_sequential_model_is_exported(path: Path, frame: pd.DataFrame) -> None:
    layers = [keras.Input((WINDOW, 5)), BarFeatures(("return",)), lstm()]
    model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    assert export(model, path, bars=frame, facts=FACTS).window == WINDOW
