"""From a Keras model to a plain ONNX graph, by tf2onnx."""

# pyright: reportMissingTypeStubs=false, reportMissingModuleSource=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import onnx

from ..signals.bars import COLUMNS
from ..signals.errors import ModelError
from ..signals.model import Float32Array
from .backend import tensorflow
from .canonical import OPSET

__all__ = ["Predict", "Traced", "convert", "predictor", "trace", "window_of"]

Predict = Callable[[Float32Array, int], Float32Array]
"""From windows, shape (n, window, 5), and how many to take at once, to probabilities, (n,)."""


@dataclass(frozen=True)
class Traced:
    """What the export needs of a Keras model; all of it follows the model's weights."""

    window: int
    predict: Predict
    graph: Callable[[], onnx.ModelProto]
    """Gives the converted graph."""


def trace(model: Any) -> Traced:
    """Return `model` ready for the export.

    Raises
    ------
    ModelError
        As `window_of` does.
    """
    window = window_of(model)
    return Traced(window, predictor(model), partial(convert, model, window))


def window_of(model: Any) -> int:
    """Return how many bars `model` looks at.

    Raises
    ------
    ModelError
        When it is not from raw bars (batch, window, 5) to one number for each window.
    """
    try:
        # A Sequential model has no `input` before its first call, though its layers are built.
        sequential = isinstance(model, tensorflow().keras.Sequential)
        given, wanted = (
            (model.inputs[0], model.outputs[0]) if sequential else (model.input, model.output)
        )
        shape, output = _shape(given), _shape(wanted)
    except (AttributeError, ValueError) as error:
        raise ModelError(
            "expected a functional or sequential Keras model, found one that is neither or was"
            " never called. Build it from keras.Input((window, 5))."
        ) from error
    match shape:
        case (None, int(window), 5):
            pass
        case _:
            raise ModelError(
                f"expected a model of raw bars (batch, window, {len(COLUMNS)}), found input"
                f" {shape}. Begin it with keras.Input((window, {len(COLUMNS)})), and put features"
                " and scaling inside it as layers."
            )
    if output not in ((None,), (None, 1)):
        raise ModelError(
            "expected one probability for each window, (batch,) or (batch, 1), found output"
            f" {output}. Export a model with this one output."
        )
    return window


def _shape(value: Any) -> tuple[int | None, ...] | str:
    if hasattr(value, "shape"):
        return tuple(value.shape)
    return f"a {type(value).__name__} of {len(value)}"


def convert(model: Any, window: int) -> onnx.ModelProto:
    """Return the graph of `model` with the input ``bars`` and the output ``probability``.

    Raises
    ------
    ModelError
        When tf2onnx fails or reports an error.
    """
    tf = tensorflow()
    import tf2onnx

    signature = (tf.TensorSpec((None, window, len(COLUMNS)), tf.float32, name="bars"),)

    def named(bars: Any) -> dict[str, Any]:
        return {"probability": _flat(model(bars, training=False))}

    function = tf.function(named, input_signature=signature, autograph=False)
    with _converter_errors() as errors:
        try:
            graph, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=OPSET
            )
        except Exception as error:
            raise ModelError(_failed(str(error))) from error
    # tf2onnx only logs what it cannot convert and goes on to write a file that does not work.
    if errors:
        raise ModelError(_failed(errors[0]))
    return graph


def predictor(model: Any) -> Predict:
    """Return the function that gives Keras' probabilities, with the weights of the time of call.

    It is traced once, at its first call: `model.predict()` sets up a pipeline anew for every shape.
    """
    tf = tensorflow()
    signature = (tf.TensorSpec((None, window_of(model), len(COLUMNS)), tf.float32),)

    def scores(bars: Any) -> Any:
        return _flat(model(bars, training=False))

    @cache
    def traced() -> Any:
        function = tf.function(scores, input_signature=signature, autograph=False)
        return function.get_concrete_function()

    def predict(windows: Float32Array, chunk: int) -> Float32Array:
        call, starts = traced(), range(0, len(windows), chunk)
        parts = [call(tf.constant(windows[i : i + chunk])).numpy() for i in starts]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    return predict


def _flat(output: Any) -> Any:
    return output[:, 0] if len(output.shape) == 2 else output


def _failed(reason: str) -> str:
    return (
        f"tf2onnx could not convert the model: {' '.join(reason.split())}. Replace the layer or"
        " operation that it names, for instance log1p(x) by log(x + 1)."
    )


@contextmanager
def _converter_errors() -> Generator[list[str]]:
    """Collect the errors that tf2onnx logs, and keep all that it logs off the terminal."""
    errors: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(record.getMessage())

    logger = logging.getLogger("tf2onnx")
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [Collector(logging.ERROR)], False
    logger.setLevel(logging.ERROR)
    try:
        yield errors
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
