"""A network's converted graph, kept: later weights are put in their places without converting anew.

Conversion takes as long as a small training and gives the same graph each time but for the weights,
which it only reorders, or inverts where a layer divides by them. Where each weight goes is seen by
converting once with numbers that tell. Only where a whole tensor is 0 or 1 does a new conversion
differ: it leaves the operation out.
"""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from ..signals.arrays import Float32Array
from .convert import PROBABILITY, Traced, convert, trace

__all__ = ["trace_for_reuse"]

FIRST_MARK = 2**22
"""Larger than any constant of a graph, and all whole numbers up to 2^24 are float32 numbers."""

MOST_MARKS = 2**24 - FIRST_MARK


@dataclass(frozen=True)
class _Place:
    """A tensor of the graph that holds weights."""

    tensor: int
    """Which of the graph's initialisers it is."""
    values: Float32Array
    """What it holds besides weights: the zeros of a bias that keras does not have."""
    here: npt.NDArray[np.bool_]
    """Which of its elements are weights."""
    source: npt.NDArray[np.intp]
    """The places of these in the flat list of the network's weights and then of their inverses."""


def trace_for_reuse(model: Any, outputs: Sequence[str] = PROBABILITY) -> Traced:
    """Return `model` traced, with a graph that costs next to nothing after this call.

    `outputs` are named as for `trace`. The weights of `model` are lost. A model whose weights do
    not all come out, each in its place, or that has too many, is converted anew every time.
    """
    traced = trace(model, outputs)
    shapes: list[tuple[int, ...]] = [tuple(weight.shape) for weight in model.weights]
    sizes = [int(np.prod(shape)) for shape in shapes]
    if sum(sizes) > MOST_MARKS:
        return traced
    marks = (np.arange(sum(sizes)) + FIRST_MARK).astype(np.float32)
    parts = np.split(marks, np.cumsum(sizes)[:-1])
    model.set_weights([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
    graph = convert(model, traced.window, outputs)
    known: Float32Array = np.concatenate([marks, np.reciprocal(marks)])
    tensors = enumerate(graph.graph.initializer)
    places = [place for i, t in tensors if (place := _place(i, t, known)) is not None]
    found = np.concatenate([place.source for place in places] or [np.empty(0, np.intp)])
    if len(np.unique(found % len(marks))) < len(marks):
        return traced

    def fill() -> onnx.ModelProto:
        flat = np.concatenate([np.ravel(weight) for weight in model.get_weights()])
        with np.errstate(divide="ignore"):
            flat = np.concatenate([flat, np.reciprocal(flat)])
        filled = onnx.ModelProto()
        filled.CopyFrom(graph)
        for place in places:
            values = place.values.copy()
            values[place.here] = flat[place.source]
            tensor = filled.graph.initializer[place.tensor]
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return filled

    return replace(traced, graph=fill)


def _place(number: int, tensor: onnx.TensorProto, known: Float32Array) -> _Place | None:
    """Return where the `known` numbers are in an initialiser; None when it holds none."""
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return None
    values = np.array(numpy_helper.to_array(tensor), np.float32)
    order = np.argsort(known)
    nearest = order[np.searchsorted(known, values, sorter=order).clip(max=len(known) - 1)]
    here = known[nearest] == values
    return _Place(number, values, here, nearest[here]) if here.any() else None
