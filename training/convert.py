"""From a Keras model to a plain ONNX graph, by tf2onnx."""

# pyright: reportMissingTypeStubs=false, reportMissingModuleSource=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import onnx

from ..signals.arrays import Float32Array
from ..signals.bars import COLUMNS
from ..signals.errors import ModelError
from .backend import tensorflow
from .canonical import OPSET

__all__ = ["PROBABILITY", "WIDE", "Predict", "Traced", "convert", "predictor", "trace", "window_of"]

PROBABILITY = ("probability",)
"""The names of the outputs of a model that calls the direction."""

WIDE = ("forecast",)
"""Outputs with a row of numbers for each window; all others have one number, as shape (batch,)."""

Predict = Callable[[Float32Array, int], Any]
"""From windows, shape (n, window, 5), and how many to take at once, to what the model says of them.

One output is given as a float32 array, (n,), or (n, k) if it is one of `WIDE`; several are given as
a dict of name to such an array.
"""


@dataclass(frozen=True)
class Traced:
    """What the export needs of a Keras model; all of it follows the model's weights."""

    window: int
    predict: Predict
    graph: Callable[[], onnx.ModelProto]
    """Gives the converted graph."""
    outputs: tuple[str, ...] = PROBABILITY
    """Names of the outputs, in the graph's order."""


def trace(model: Any, outputs: Sequence[str] = PROBABILITY) -> Traced:
    """Return `model` ready for the export.

    Parameters
    ----------
    model : keras.Model
        From raw bars (batch, window, 5) to one tensor, or a dict, list or tuple of them.
    outputs : sequence of str
        What they are called in the graph: the keys of the dict, or names in the order of the list.
        Those in `WIDE` have the shape (batch, k), all others (batch,) or (batch, 1).

    Raises
    ------
    ModelError
        As `window_of` does.
    """
    window = window_of(model, outputs)
    graph = partial(convert, model, window, outputs)
    return Traced(window, predictor(model, outputs), graph, tuple(outputs))


def window_of(model: Any, outputs: Sequence[str] = PROBABILITY) -> int:
    """Return how many bars `model` looks at.

    Raises
    ------
    ModelError
        When it is not from raw bars (batch, window, 5) to the named `outputs`; see `trace`.
    """
    try:
        # A Sequential model has no `input` before its first call, though its layers are built.
        sequential = isinstance(model, tensorflow().keras.Sequential)
        given, found = (
            (model.inputs[0], model.outputs[0]) if sequential else (model.input, model.output)
        )
        shape, _ = _shape(given), _shape(found)
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
    by_name = _by_name(found, outputs)
    if not by_name or not all(_fits(name, _shape(value)) for name, value in by_name.items()):
        raise ModelError(_other_outputs(found, outputs))
    return window


def _shape(value: Any) -> tuple[int | None, ...] | str:
    if hasattr(value, "shape"):
        return tuple(value.shape)
    return f"a {type(value).__name__} of {len(value)}"


def _by_name(found: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return a model's outputs by name, none if there are others than the `names`."""
    if isinstance(found, dict):
        given: dict[str, Any] = found
        return {name: given[name] for name in names} if sorted(given) == sorted(names) else {}
    if isinstance(found, list | tuple):
        several: Sequence[Any] = found
        return dict(zip(names, several, strict=True)) if len(several) == len(names) > 1 else {}
    return {names[0]: found} if len(names) == 1 else {}


def _fits(name: str, shape: tuple[int | None, ...] | str) -> bool:
    if name in WIDE:
        return len(shape) == 2 and shape[0] is None and isinstance(shape[1], int)
    return shape in ((None,), (None, 1))


def _other_outputs(found: Any, names: Sequence[str]) -> str:
    if len(names) == 1 and names[0] not in WIDE:
        return (
            f"expected one {names[0]} for each window, (batch,) or (batch, 1), found output"
            f" {_shape(found)}. Export a model with this one output."
        )
    wanted = [f"{name} {'(batch, k)' if name in WIDE else '(batch,)'}" for name in names]
    shapes: Any = _shape(found)
    if isinstance(found, dict):
        shapes = ", ".join(f"{name} {_shape(value)}" for name, value in found.items())
    return (
        f"expected a model with the output{'s' * (len(names) > 1)} {', '.join(wanted)}, found"
        f" {shapes}. Give the model a dict of these names as its outputs."
    )


def convert(model: Any, window: int, outputs: Sequence[str] = PROBABILITY) -> onnx.ModelProto:
    """Return the graph of `model` with the input ``bars`` and the `outputs` in this order.

    GRU and `nextbar.training.cells.PeepholeLSTM` layers and those with recurrent dropout become one
    operator each, as LSTM layers do; see `nextbar.training.twins`.

    Raises
    ------
    ModelError
        When tf2onnx fails or reports an error, or a layer has no ONNX form.
    """
    tf = tensorflow()
    import tf2onnx

    from .twins import inference_twin

    signature = (tf.TensorSpec((None, window, len(COLUMNS)), tf.float32, name="bars"),)
    twin = inference_twin(model)
    function = tf.function(_named(model, outputs), input_signature=signature, autograph=False)
    with _converter_errors() as errors, twin.in_place():
        try:
            graph, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=OPSET
            )
        except Exception as error:
            raise ModelError(_failed(str(error))) from error
    # tf2onnx only logs what it cannot convert and goes on to write a file that does not work.
    if errors:
        raise ModelError(_failed(errors[0]))
    twin.rewrite(graph)
    found = {value.name: value for value in graph.graph.output}
    del graph.graph.output[:]
    graph.graph.output.extend(found[name] for name in outputs)
    return graph


def _named(model: Any, outputs: Sequence[str]) -> Callable[[Any], dict[str, Any]]:
    """Return `model` at inference as a function from bars to outputs by name, in their shapes."""

    def named(bars: Any) -> dict[str, Any]:
        found = _by_name(model(bars, training=False), outputs)
        flat = {name for name, value in found.items() if len(value.shape) == 2} - set(WIDE)
        return {name: value[:, 0] if name in flat else value for name, value in found.items()}

    return named


def predictor(model: Any, outputs: Sequence[str] = PROBABILITY) -> Predict:
    """Return the function that gives what Keras says, with the weights of the time of call.

    It is traced once, at its first call: `model.predict()` sets up a pipeline anew for every shape.
    """
    tf = tensorflow()
    signature = (tf.TensorSpec((None, window_of(model, outputs), len(COLUMNS)), tf.float32),)

    @cache
    def traced() -> Any:
        named = _named(model, outputs)
        function = tf.function(named, input_signature=signature, autograph=False)
        return function.get_concrete_function()

    def predict(windows: Float32Array, chunk: int) -> Any:
        call, starts = traced(), range(0, len(windows), chunk)
        parts = [call(tf.constant(windows[i : i + chunk])) for i in starts]
        found = {
            name: np.concatenate([part[name].numpy() for part in parts])
            if parts
            else np.empty((0, *spec.shape[1:]), np.float32)
            for name, spec in call.structured_outputs.items()
        }
        return found if len(outputs) > 1 else found[outputs[0]]

    return predict


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
