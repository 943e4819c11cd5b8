"""Small real ONNX LSTM models, built without tensorflow, for tests of the run time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from nextbar.signals.card import Card, Certificate, Golden, seal
from nextbar.signals.model import open_session, run_windows
from nextbar.signals.store import digest
from onnx import TensorProto, helper, numpy_helper


def lstm_graph(window: int, units: int = 4, seed: int = 0, uses_volume: bool = False) -> bytes:
    """Return an ONNX file: log(price / last close) [, log volume change] -> LSTM -> sigmoid."""
    rng = np.random.default_rng(seed)
    inputs = 5 if uses_volume else 4

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(rng.normal(0, 0.8, shape).astype(np.float32), name)

    def integers(name: str, *values: int) -> Any:
        return numpy_helper.from_array(np.array(values, np.int64), name)

    weights = [
        weight("W", 1, 4 * units, inputs),
        weight("R", 1, 4 * units, units),
        weight("B", 1, 8 * units),
        weight("D", units, 1),
        integers("zero", 0),
        integers("one", 1),
        integers("three", 3),
        integers("four", 4),
        integers("five", 5),
        integers("last", window - 1),
        integers("end", window),
        integers("axis1", 1),
        integers("axis2", 2),
        integers("flat", -1),
        numpy_helper.from_array(np.array([1.0], np.float32), "unit"),
        numpy_helper.from_array(np.array([40.0], np.float32), "gain"),
    ]
    node = helper.make_node
    nodes = [
        node("Slice", ["bars", "zero", "four", "axis2"], ["prices"]),
        node("Slice", ["bars", "three", "four", "axis2"], ["closes"]),
        node("Slice", ["closes", "last", "end", "axis1"], ["last_close"]),
        node("Div", ["prices", "last_close"], ["ratio"]),
        node("Log", ["ratio"], ["log_ratio"]),
        node("Mul", ["log_ratio", "gain"], ["scaled"]),
    ]
    features = "scaled"
    if uses_volume:
        nodes += [
            node("Slice", ["bars", "four", "five", "axis2"], ["volume"]),
            node("Add", ["volume", "unit"], ["volume1"]),
            node("Slice", ["volume1", "last", "end", "axis1"], ["last_volume"]),
            node("Div", ["volume1", "last_volume"], ["volume_ratio"]),
            node("Log", ["volume_ratio"], ["log_volume"]),
            node("Concat", ["scaled", "log_volume"], ["features"], axis=2),
        ]
        features = "features"
    nodes += [
        node("Transpose", [features], ["steps"], perm=[1, 0, 2]),
        node("LSTM", ["steps", "W", "R", "B"], ["", "hidden"], hidden_size=units),
        node("Squeeze", ["hidden", "zero"], ["state"]),
        node("MatMul", ["state", "D"], ["logit"]),
        node("Sigmoid", ["logit"], ["p"]),
        node("Reshape", ["p", "flat"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("bars", TensorProto.FLOAT, ["batch", window, 5])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch"])],
        weights,
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    return model.SerializeToString()


def card_for(graph: bytes, window: int, **changes: Any) -> Card:
    golden = np.full((1, window, 5), 100.0, np.float32)
    golden[0, :, 3] += np.linspace(-1, 1, window, dtype=np.float32)
    if not changes.get("uses_volume", False):
        golden[:, :, 4] = 0
    probability = float(run_windows(open_session(graph), golden)[0])
    facts: dict[str, Any] = {
        "architecture": "hand-built 4",
        "recurrent": "LSTM",
        "window": window,
        "horizon": 1,
        "target": "open",
        "features": (),
        "uses_volume": False,
        "symbols": ("TEST",),
        "interval": "1d",
        "train_start": "1990-01-01",
        "train_end": "1999-12-31",
        "rows_sha256": "0" * 64,
        "training_hash": "0" * 64,
        "libraries": {},
        "operators": {"LSTM": 1},
        "graph_sha256": digest(graph),
        "golden": Golden(bars=golden[0].tolist(), outputs={"probability": (probability,)}),
        "certificate": Certificate(
            windows=1, max_difference=0.0, flipped_calls=0, batch_sizes=(512, 7)
        ),
    }
    return Card(**facts | changes)


def write_model(path: Path, window: int, seed: int = 0, **changes: Any) -> Path:
    """Write a sealed model file; `changes` are fields of its card."""
    graph = lstm_graph(window, seed=seed, uses_volume=changes.get("uses_volume", False))
    path.write_bytes(seal(graph, card_for(graph, window, **changes)))
    return path
