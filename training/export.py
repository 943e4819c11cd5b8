"""From a Keras model to a certified model file: a file is written only if every check passes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pandas as pd
from pydantic import BaseModel, ConfigDict

from ..signals.bars import COLUMNS, bars_digest, infer_interval
from ..signals.card import Card, Certificate, Golden, seal
from ..signals.errors import ModelError
from ..signals.model import CHUNK, Float32Array, open_session, run_windows, windows_of
from ..signals.store import canonical_json, digest, write_atomic
from .backend import tensorflow
from .canonical import OPSET, canonicalise, operator_counts

__all__ = ["Facts", "compare_windows", "export"]

TOLERANCE = 1e-5
"""Largest |Keras - ONNX| allowed, and the band round 0.5 in which a call may flip."""

BATCH_SIZES = (CHUNK, 7)

LIBRARIES = ("keras", "nextbar", "numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx")


class Facts(BaseModel):
    """What only the trainer knows of a model; see `nextbar.signals.card.Card` for the meanings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    recurrent: Literal["LSTM", "GRU"] | None = "LSTM"
    horizon: int = 1
    target: Literal["open", "close"] = "open"
    features: tuple[str, ...] = ()
    uses_volume: bool = True
    training: dict[str, Any] = {}
    """All settings of the training, hashed into the card's `training_hash`."""
    known_flaws: tuple[str, ...] = ()


def export(model: Any, path: str | Path, *, bars: pd.DataFrame, facts: Facts) -> Card:
    """Certify a Keras model and write it as a nextbar model file.

    Parameters
    ----------
    model : keras.Model
        From raw bars (batch, window, 5) to the probability of an up move, (batch,) or (batch, 1).
        Scaling belongs inside it.
    path : str or Path
        The ``.onnx`` file; written whole or not at all.
    bars : DataFrame
        Every bar that training saw, labels and validation included, and no later one: the last
        one is the card's ``train_end``.
    facts : Facts
        What the card says of the training.

    Returns
    -------
    Card
        As written into the file.

    Raises
    ------
    ModelError
        When the graph cannot be converted, has other inputs, outputs or recurrent operators than
        it should, or differs from Keras on any window of `bars`: the message names the check.
    """
    window = _window_of(model)
    windows = windows_of(bars[list(COLUMNS)].to_numpy(np.float32), window)
    if not len(windows):
        raise ModelError(f"{len(bars)} bars hold no window of {window}: export needs at least one.")
    graph = canonicalise(_convert(model, window))
    operators = operator_counts(graph)
    _check_graph(graph, operators, facts.recurrent)
    content = graph.SerializeToString(deterministic=True)
    session = open_session(content)
    certificate = _certify(model, session, windows, facts)
    golden = _seen(windows[-1:], facts)
    card = Card(
        **facts.model_dump(exclude={"training"}),
        window=window,
        symbols=(str(bars.attrs.get("symbol", "")),),
        interval=infer_interval(pd.DatetimeIndex(bars.index)),
        train_start=_iso(bars.index[0]),
        train_end=_iso(bars.index[-1]),
        rows_sha256=bars_digest(bars),
        training_hash=digest(
            canonical_json([facts.training, bars_digest(bars), version("nextbar")])
        ),
        libraries={name: version(name) for name in LIBRARIES},
        operators=operators,
        graph_sha256=digest(content),
        golden=Golden(bars=golden[0].tolist(), probability=float(run_windows(session, golden)[0])),
        certificate=certificate,
    )
    write_atomic(path, seal(content, card))
    return card


def compare_windows(
    model: Any, session: Any, windows: Float32Array, chunk: int = CHUNK
) -> tuple[float, int]:
    """Return max |Keras - ONNX| over `windows` and the number of flipped calls.

    A call is flipped when the two lie on different sides of 0.5 and Keras' probability is further
    than 1e-5 from it.
    """
    keras_scores = _predict(model, windows, chunk)
    onnx_scores = run_windows(session, windows, chunk)
    flipped = (keras_scores > 0.5) != (onnx_scores > 0.5)
    far = np.abs(keras_scores - 0.5) > TOLERANCE
    difference = np.abs(keras_scores.astype(np.float64) - onnx_scores)
    return float(difference.max(initial=0.0)), int((flipped & far).sum())


def _seen(windows: Float32Array, facts: Facts) -> Float32Array:
    """Return `windows` as the loaded model will see them: without a volume it does not use."""
    if facts.uses_volume:
        return np.ascontiguousarray(windows)
    windows = windows.copy()
    windows[:, :, 4] = 0.0
    return windows


def _certify(model: Any, session: Any, windows: Float32Array, facts: Facts) -> Certificate:
    worst, flips = 0.0, 0
    for chunk in BATCH_SIZES:
        difference, flipped = compare_windows(model, session, windows, chunk)
        worst, flips = max(worst, difference), max(flips, flipped)
    blind = run_windows(session, _seen(windows, facts))
    if not np.array_equal(blind, run_windows(session, windows)):
        raise ModelError("uses_volume is False, but the model's output changes with the volume.")
    # "not <=": NaN must fail too.
    if not worst <= TOLERANCE or flips:
        raise ModelError(
            f"certificate failed: Keras and ONNX differ by up to {worst:.1e} (allowed"
            f" {TOLERANCE:.0e}) with {flips} flipped calls on {len(windows)} windows."
        )
    return Certificate(
        windows=len(windows), max_difference=worst, flipped_calls=flips, batch_sizes=BATCH_SIZES
    )


def _predict(model: Any, windows: Float32Array, chunk: int) -> Float32Array:
    # Calling the model, not model.predict(), which sets up a pipeline anew for every shape.
    tf = tensorflow()
    signature = (tf.TensorSpec((None, *windows.shape[1:]), tf.float32),)
    call = tf.function(lambda bars: _flat(model(bars, training=False)), input_signature=signature)
    parts = [call(windows[i : i + chunk]).numpy() for i in range(0, len(windows), chunk)]
    return np.concatenate(parts)


def _flat(output: Any) -> Any:
    return output[:, 0] if len(output.shape) == 2 else output


def _window_of(model: Any) -> int:
    shape = tuple(model.input_shape)
    if len(shape) != 3 or shape[1] is None or shape[2] != len(COLUMNS):
        raise ModelError(
            f"expected a model of raw bars (batch, window, {len(COLUMNS)}), found input {shape}."
            " Put features and scaling inside the model as layers."
        )
    output = tuple(model.output_shape)
    if len(output) > 2 or output[1:] not in ((), (1,)):
        raise ModelError(f"expected one probability for each window, found output {output}.")
    return int(shape[1])


def _convert(model: Any, window: int) -> onnx.ModelProto:
    tf = tensorflow()
    import tf2onnx

    signature = (tf.TensorSpec((None, window, len(COLUMNS)), tf.float32, name="bars"),)
    function = tf.function(
        lambda bars: {"probability": _flat(model(bars, training=False))}, input_signature=signature
    )
    with _converter_messages() as messages:
        try:
            graph, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=OPSET
            )
        except Exception as error:
            raise ModelError(f"tf2onnx could not convert the model: {error}") from error
    # tf2onnx only logs what it cannot convert and goes on to write a file that does not work.
    failed = [text for text in messages if "not supported" in text]
    if failed:
        raise ModelError(f"tf2onnx could not convert the model: {failed[0]}")
    return graph


@contextmanager
def _converter_messages() -> Iterator[list[str]]:
    """Collect what tf2onnx logs instead of letting it reach the terminal."""
    messages: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger = logging.getLogger("tf2onnx")
    handlers, propagate, level = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [Collector()], False
    logger.setLevel(logging.WARNING)
    try:
        yield messages
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def _check_graph(graph: onnx.ModelProto, operators: dict[str, int], recurrent: str | None) -> None:
    inputs = [value.name for value in graph.graph.input]
    outputs = [value.name for value in graph.graph.output]
    if inputs != ["bars"] or outputs != ["probability"]:
        raise ModelError(
            f"expected input 'bars' and output 'probability', the converted graph has {inputs} and"
            f" {outputs}: constants captured by a layer become inputs; make them weights."
        )
    found = [name for name in ("GRU", "LSTM") if name in operators]
    if found != ([recurrent] if recurrent else []):
        raise ModelError(
            f"declared recurrent operator {recurrent}, the converted graph has"
            f" {', '.join(found) or 'none'}."
        )
    try:
        onnx.checker.check_model(graph, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"the converted graph is not valid ONNX: {error}") from error


def _iso(moment: pd.Timestamp) -> str:
    """Return a date for bars at midnight, else date and time."""
    return str(moment.date()) if moment == moment.normalize() else moment.isoformat()
