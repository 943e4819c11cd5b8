"""Model files: what a bad one says, what a good one computes, and that none can do harm."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nextbar.signals import load_model, sample_model
from nextbar.signals.card import SCHEMA, Card, Golden, seal
from nextbar.signals.errors import BarsError, ModelError
from nextbar.signals.model import CHUNK, Model, run_windows
from nextbar.signals.store import canonical_json, digest
from nextbar.signals.windows import windows_of
from onnx import TensorProto, helper, numpy_helper

from ..markets import random_bars
from ..models import card_for, lstm_graph, write_model

WINDOW = 16
GRAPH = lstm_graph(WINDOW)
CARD = card_for(GRAPH, WINDOW)
SEALED = seal(GRAPH, CARD)
MODULE_FIXTURE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def refusal(path: Path) -> str:
    """Return the message of the ModelError, which is one line that begins with the path."""
    with pytest.raises(ModelError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert message.endswith((".", "?"))
    return message


def refused(folder: Path, content: bytes) -> str:
    (path := folder / "bad.onnx").write_bytes(content)
    return refusal(path)


def resealed(graph: bytes, **changes: Any) -> bytes:
    """Return `graph` under the seal of someone who can compute one, with a changed card."""
    card = CARD.model_dump() | {"graph_sha256": digest(graph)} | changes
    return seal(graph, Card(**card))


def sealed_text(text: str) -> bytes:
    """Return GRAPH sealed with any text for a card."""
    entries = [
        onnx.StringStringEntryProto(key="nextbar.card", value=text),
        onnx.StringStringEntryProto(key="nextbar.seal", value=digest(text)),
    ]
    return GRAPH + onnx.ModelProto(metadata_props=entries).SerializeToString()


def changed_graph(change: Any) -> bytes:
    model = onnx.ModelProto.FromString(GRAPH)
    change(model)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", WINDOW)


@pytest.fixture(scope="module")
def model(path: Path) -> Model:
    return load_model(path)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return random_bars(3 * CHUNK // 2, seed=3).to_numpy()


# --- files that are no model -----------------------------------------------------------------


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write_model(tmp_path / "apple.onnx", WINDOW)
    assert "no such model file. Did you mean 'apple.onnx'?" in refusal(tmp_path / "aple.onnx")
    assert "Known: apple.onnx" in refusal(tmp_path / "zzzzzz")


@pytest.mark.parametrize("name", ["nowhere/m.onnx", "text/m.onnx"])
def test_missing_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a file where a folder is expected")
    assert "nextbar train" in refusal(tmp_path / name)


def test_folder(tmp_path: Path) -> None:
    assert "found a folder" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "found a device or pipe" in refusal(tmp_path / "pipe.onnx")


def test_a_failing_disk_is_a_model_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = write_model(path.with_name("disk.onnx"), WINDOW)

    def broken(self: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", broken)
    assert "cannot be read: Input/output error" in refusal(fresh)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found none in 0 bytes"),
        (b"epoch,loss\n1,0.69\n", "not an ONNX file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "not an ONNX file"),
        (GRAPH, "without a nextbar card"),
    ],
    ids=["empty", "text", "Keras file", "foreign model"],
)
def test_foreign_files(content: bytes, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path, content)


@given(content=st.binary(max_size=300))
@settings(MODULE_FIXTURE, max_examples=150)
def test_random_bytes(content: bytes, tmp_path: Path) -> None:
    refused(tmp_path, content)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    # All lengths in the card and the seal, where a cut may fall between two whole messages.
    body = len(GRAPH)
    lengths = {*range(0, body, 13), *range(body - 40, len(SEALED))}
    for length in sorted(lengths):
        refused(tmp_path, SEALED[:length])


@given(data=st.data())
@settings(MODULE_FIXTURE, max_examples=300)
def test_every_changed_byte_is_refused(data: st.DataObject, tmp_path: Path) -> None:
    position = data.draw(st.integers(0, len(SEALED) - 1))
    content = bytearray(SEALED)
    content[position] ^= data.draw(st.integers(1, 255))
    refused(tmp_path, bytes(content))


MUTATE = """
import random, sys
from nextbar.signals import load_model
from nextbar.signals.errors import ModelError
from pathlib import Path

draw, source, path = random.Random(0), Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
for i in range(400):
    content = bytearray(source)
    for _ in range(draw.choice([1, 2, 8, 64])):
        at = draw.randrange(len(content) + 1)
        piece = draw.randbytes(draw.choice([0, 1, 4]))
        content[at : at + draw.choice([0, 1, 4, 100])] = piece
    path.write_bytes(content)
    try:
        load_model(path)
    except ModelError:
        continue
    if bytes(content) != source:
        sys.exit(f"mutation {i} was loaded")
print("survived")
"""


@pytest.mark.parametrize("content", [SEALED, GRAPH], ids=["sealed", "foreign"])
def test_mutated_files_never_end_the_process(content: bytes, tmp_path: Path) -> None:
    (source := tmp_path / "source.onnx").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", MUTATE, str(source), str(tmp_path / "mutated.onnx")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "survived"), done.stderr


# --- files that were changed -----------------------------------------------------------------


def test_one_digit_of_the_card(tmp_path: Path) -> None:
    content = SEALED.replace(b'"train_end":"1999-12-31"', b'"train_end":"1989-12-31"')
    assert content != SEALED
    assert "card or its place in the file was changed" in refused(tmp_path, content)


def test_one_byte_of_the_weights(tmp_path: Path) -> None:
    weight = numpy_helper.to_array(onnx.ModelProto.FromString(GRAPH).graph.initializer[0])
    at = SEALED.index(weight.tobytes())
    content = SEALED[:at] + bytes([SEALED[at] ^ 1]) + SEALED[at + 1 :]
    assert "graph or weights was changed" in refused(tmp_path, content)


def test_card_of_another_graph(tmp_path: Path) -> None:
    other = lstm_graph(WINDOW, seed=1)
    assert "graph or weights was changed" in refused(tmp_path, other + SEALED[len(GRAPH) :])


def test_saved_again_by_another_tool(tmp_path: Path) -> None:
    saved = onnx.ModelProto.FromString(SEALED)
    saved.producer_name = "someone"
    onnx.save(saved, tmp_path / "saved.onnx")
    assert "was changed after the export" in refusal(tmp_path / "saved.onnx")


def test_something_appended(tmp_path: Path) -> None:
    appended = SEALED + onnx.ModelProto(producer_name="someone").SerializeToString()
    assert "card or its place in the file was changed" in refused(tmp_path, appended)


def test_a_second_card_does_not_win(tmp_path: Path) -> None:
    second = onnx.StringStringEntryProto(key="nextbar.card", value="{}")
    appended = SEALED + onnx.ModelProto(metadata_props=[second]).SerializeToString()
    assert "card or its place in the file was changed" in refused(tmp_path, appended)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": SCHEMA + 1}, f"does not fit schema {SCHEMA}: schema_version"),
        ({"mood": "bullish"}, "mood: Extra inputs are not permitted"),
        ({"window": 0}, "window: "),
        ({"graph_sha256": "abc"}, "graph_sha256: "),
    ],
)
def test_card_of_another_schema(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    text = canonical_json(CARD.model_dump(mode="json") | change)
    assert message in refused(tmp_path, sealed_text(text))


@pytest.mark.parametrize("text", ["", "[]", "{}", "{\n", "null"])
def test_card_that_is_none(text: str, tmp_path: Path) -> None:
    assert f"does not fit schema {SCHEMA}" in refused(tmp_path, sealed_text(text))


# --- files whose card does not tell the truth ------------------------------------------------


def external(name: str = "W") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    return tensor


def in_an_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external())


def in_a_sparse_initializer(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add(values=external())


def in_a_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=external()))


def in_a_list_of_tensors(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="Custom")
    node.attribute.add(name="list", tensors=[external()])


def in_a_subgraph(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [external()])
    outer = helper.make_graph(
        [helper.make_node("If", ["x"], ["y"], then_branch=inner)], "outer", [], []
    )
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=outer))


def in_a_function(model: onnx.ModelProto) -> None:
    function = model.functions.add(name="f")
    function.node.append(helper.make_node("Constant", [], ["c"], value=external()))


@pytest.mark.parametrize(
    "place",
    [
        in_an_initializer,
        in_a_sparse_initializer,
        in_a_constant,
        in_a_list_of_tensors,
        in_a_subgraph,
        in_a_function,
    ],
)
def test_external_data_is_refused(place: Any, tmp_path: Path) -> None:
    graph = changed_graph(place)
    assert "keeps weights in other files" in refused(tmp_path, resealed(graph))


def renamed(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for value in (*model.graph.input, *model.graph.output):
        value.name = new if value.name == old else value.name


def second_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, ["batch", 1]))


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch"]))


def column_of_probabilities(model: onnx.ModelProto) -> None:
    del model.graph.node[-1]
    renamed(model, "p", "probability")
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1])
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda model: renamed(model, "bars", "x"), "'x'"),
        (lambda model: renamed(model, "probability", "y"), "'y'"),
        (second_output, "'p'"),
        (second_input, "'x'"),
        (column_of_probabilities, r"'probability': \('tensor\(float\)', \[1\]\)"),
    ],
    ids=["input name", "output name", "two outputs", "two inputs", "output shape"],
)
def test_other_inputs_or_outputs(change: Any, found: str, tmp_path: Path) -> None:
    operators = {"LSTM": 1}
    message = refused(tmp_path, resealed(changed_graph(change), operators=operators))
    assert "expected the input 'bars', float32 (batch, 16, 5)" in message
    assert re.search(f"found .*{found}", message)


def test_window_of_the_card_is_that_of_the_graph(tmp_path: Path) -> None:
    assert "found {'bars': ('tensor(float)', [16, 5])}" in refused(
        tmp_path, resealed(GRAPH, window=WINDOW + 1)
    )


def test_wrong_golden_answer(tmp_path: Path) -> None:
    wrong = CARD.golden.outputs["probability"][0] + 0.001
    false = CARD.golden.model_copy(update={"outputs": {"probability": (wrong,)}})
    message = refused(tmp_path, resealed(GRAPH, golden=false))
    assert f"expected probability [{wrong}], found [0." in message


@pytest.mark.parametrize("bars", [(), CARD.golden.bars[1:], CARD.golden.bars * 2])
def test_golden_window_of_another_length(bars: Any, tmp_path: Path) -> None:
    assert "on its golden window" in refused(
        tmp_path, resealed(GRAPH, golden=Golden(bars=bars, outputs={"probability": (0.5,)}))
    )


def test_golden_answer_that_is_nan(tmp_path: Path) -> None:
    zero = CARD.golden.model_copy(update={"bars": ((0.0,) * 5,) * WINDOW})
    assert "found [nan]" in refused(tmp_path, resealed(GRAPH, golden=zero))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"operators": {"LSTM": 2}}, "found {'LSTM': 1}"),
        ({"operators": {"Gemm": 1, "LSTM": 1}}, "found {'Gemm': 0, 'LSTM': 1}"),
        ({"recurrent": "GRU"}, "GRU being the recurrent one; found {'LSTM': 1} and LSTM"),
        ({"recurrent": None}, "found {'LSTM': 1} and LSTM"),
    ],
)
def test_other_operators_than_declared(changes: Any, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path, resealed(GRAPH, **changes))


def test_a_loop_beside_the_lstm_is_refused(tmp_path: Path) -> None:
    inner = helper.make_graph([], "inner", [], [])
    loop = helper.make_node("Loop", ["", ""], ["x"], body=inner)
    graph = changed_graph(lambda model: model.graph.node.append(loop))
    assert "and LSTM, Loop" in refused(tmp_path, resealed(graph))


def test_graph_that_the_runtime_refuses(tmp_path: Path) -> None:
    def unknown(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "Sliced"

    message = refused(tmp_path, resealed(changed_graph(unknown)))
    assert re.search(r"onnxruntime [\d.]+ refuses it: .*Sliced", message)


def test_graph_that_fails_when_it_runs(tmp_path: Path) -> None:
    def reshape(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([7]), "seven"))
        model.graph.node[-1].input[1] = "seven"

    assert "refuses it: " in refused(tmp_path, resealed(changed_graph(reshape)))


# --- loading ---------------------------------------------------------------------------------


def test_loading_again_is_free(path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_model(str(path)) is model
    monkeypatch.chdir(path.parent)
    assert load_model(path.name) is model


def test_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", WINDOW)
    first = load_model(path)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    other = write_model(tmp_path / "other.onnx", WINDOW, seed=1)
    other.replace(path)
    # Same size, same time: what a fast writer or a copying tool leaves.
    os.utime(path, ns=times)
    second = load_model(path)
    assert second.sha256 != first.sha256 == digest(SEALED)


def test_a_mended_file_is_loaded(tmp_path: Path) -> None:
    refused(tmp_path, SEALED[:-1])
    (tmp_path / "bad.onnx").write_bytes(SEALED)
    assert load_model(tmp_path / "bad.onnx").card == CARD


def test_pickles_as_its_path(path: Path, model: Model) -> None:
    pickled = pickle.dumps(model)
    assert str(path.resolve()).encode() in pickled
    assert len(pickled) < 300 + len(str(path))
    assert pickle.loads(pickled) is model


def _score_in_child(model: Model, path: Path, values: np.ndarray, pipe: Any) -> None:
    again = load_model(path)
    pipe.send((model.score(values), again.score(values), again.session is model.session))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_can_score(path: Path, model: Model, values: np.ndarray) -> None:
    expected = model.score(values)
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=_score_in_child, args=(model, path, values, there)
    )
    child.start()
    assert here.poll(60), "the child hangs"
    inherited, own, shared = here.recv()
    child.join(60)
    assert child.exitcode == 0
    assert not shared
    np.testing.assert_array_equal(inherited, expected)
    np.testing.assert_array_equal(own, expected)


# --- scores ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, CHUNK, CHUNK + WINDOW])
def test_one_score_for_each_full_window(n: int, model: Model, values: np.ndarray) -> None:
    scores = model.score(values[:n])
    assert scores.shape == (max(0, n - WINDOW + 1),)
    assert scores.dtype == np.float64
    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize("shape", [(40,), (40, 3), (40, 6), (2, 40, 5)])
def test_other_shapes_are_refused(shape: tuple[int, ...], model: Model) -> None:
    with pytest.raises(BarsError, match=re.escape(f"found shape {shape}")):
        model.score(np.ones(shape))


def test_a_model_without_volume_needs_no_volume(
    model: Model, values: np.ndarray, tmp_path: Path
) -> None:
    np.testing.assert_array_equal(model.score(values[:, :4]), model.score(values))
    user = load_model(write_model(tmp_path / "volume.onnx", WINDOW, uses_volume=True))
    with pytest.raises(BarsError, match=r"volume; found shape \(768, 4\)"):
        user.score(values[:, :4])


def test_batch_equals_single(model: Model, values: np.ndarray) -> None:
    scores = model.score(values)
    single = [model.score(values[i : i + WINDOW])[0] for i in range(len(scores))]
    np.testing.assert_allclose(scores, single, rtol=0, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 100, 10_000])
def test_chunks_do_not_matter(chunk: int, model: Model, values: np.ndarray) -> None:
    bars = values.astype(np.float32)
    bars[:, 4] = 0
    scores = run_windows(model.session, windows_of(bars, WINDOW), chunk)
    np.testing.assert_allclose(scores, model.score(values), rtol=0, atol=1e-6)


def test_no_windows_no_call() -> None:
    assert run_windows(None, np.empty((0, WINDOW, 5), np.float32)).shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-300, 1e-40])
@pytest.mark.parametrize("column", range(4))
def test_unusable_prices_are_masked(
    bad: float, column: int, model: Model, values: np.ndarray
) -> None:
    broken = values[:100].copy()
    broken[40, column] = bad
    scores = model.score(broken)
    assert np.flatnonzero(np.isnan(scores)).tolist() == list(range(40 - WINDOW + 1, 41))
    whole = np.isfinite(scores)
    np.testing.assert_allclose(scores[whole], model.score(values[:100])[whole], atol=1e-6)


def test_masked_bars_in_every_chunk(model: Model, values: np.ndarray) -> None:
    broken = values.copy()
    broken[::50, 0] = np.nan
    scores = model.score(broken)
    touched = windows_of(np.isnan(broken[:, :1]), WINDOW).any(axis=(1, 2))
    assert (np.isnan(scores) == touched).all()
    assert np.isnan(model.score(np.full((40, 5), np.nan))).all()
    np.testing.assert_allclose(scores[~touched], model.score(values)[~touched], atol=1e-6)


@pytest.mark.parametrize("volume", [np.nan, np.inf, -1.0, 1e300])
def test_volume_is_looked_at_only_if_used(
    volume: float, model: Model, values: np.ndarray, tmp_path: Path
) -> None:
    broken = values[:60].copy()
    broken[30, 4] = volume
    np.testing.assert_array_equal(model.score(broken), model.score(values[:60]))
    broken[0, 0] = np.nan
    np.testing.assert_allclose(model.score(broken)[1:], model.score(values[:60])[1:], atol=1e-6)
    broken[0, 0] = values[0, 0]
    user = load_model(write_model(tmp_path / "volume.onnx", WINDOW, uses_volume=True))
    assert np.flatnonzero(np.isnan(user.score(broken))).tolist() == list(range(15, 31))


def trained_or_tiny() -> list[Any]:
    trained = sample_model()
    missing = pytest.mark.skipif(not trained.exists(), reason="no sample model yet")
    return [pytest.param("tiny"), pytest.param("sample", marks=missing)]


@pytest.fixture(scope="module", params=trained_or_tiny())
def either(request: pytest.FixtureRequest, model: Model) -> Model:
    return model if request.param == "tiny" else load_model(sample_model())


@given(t=st.integers(0, 99), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_later_bars_do_not_matter(either: Model, t: int, seed: int) -> None:
    before = random_bars(100, seed=7).to_numpy()
    after = before.copy()
    after[t + 1 :] = random_bars(100, seed=seed).to_numpy()[t + 1 :] * 3
    known = max(0, t + 1 - either.card.window + 1)
    np.testing.assert_allclose(
        either.score(after)[:known], either.score(before)[:known], rtol=0, atol=1e-6
    )


@given(exponent=st.floats(-3, 5), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_the_price_scale_does_not_matter(either: Model, exponent: float, seed: int) -> None:
    bars = random_bars(60, seed=seed).to_numpy()
    scaled = bars * np.array([10**exponent] * 4 + [1.0])
    # float32 rounds prices to 6e-8 of their size, which both models enlarge up to a hundredfold.
    np.testing.assert_allclose(either.score(scaled), either.score(bars), rtol=0, atol=2e-5)
