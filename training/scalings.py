"""Scalings as layers inside the model: by the training part, or each window by itself."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ..signals.arrays import FloatArray
from .choices import SCALINGS

__all__ = [
    "SCALINGS",
    "AffineScaling",
    "MinMaxScaling",
    "RankScaling",
    "RobustScaling",
    "StandardScaling",
    "WindowScaling",
    "affine_constants",
]

RANKS = 100
"""Parts of equally many training values in which `RankScaling` finds a value's place."""

NARROWEST = 1e-2
"""Share of the interquartile range that such a part spans at least, where values repeat."""

SMALLEST = float(np.finfo(np.float32).eps)
"""A column that varies by no more than this, relative to its size, does not vary."""

Constants = tuple[FloatArray, FloatArray]


def _standard(flat: FloatArray) -> Constants:
    return flat.mean(axis=0), flat.std(axis=0)


def _minmax(flat: FloatArray) -> Constants:
    return flat.min(axis=0), np.ptp(flat, axis=0)


def _robust(flat: FloatArray) -> Constants:
    low, middle, high = np.quantile(flat, (0.25, 0.5, 0.75), axis=0)
    return middle, high - low


AFFINE: Mapping[str, Callable[[FloatArray], Constants]] = {
    "standard": _standard,
    "minmax": _minmax,
    "robust": _robust,
}


def affine_constants(name: str, values: FloatArray) -> Constants:
    """Return offset and scale of each column of `values`, (..., k), as two arrays of shape (k,).

    ``standard``: mean and standard deviation; ``minmax``: minimum and range; ``robust``: median
    and interquartile range. Another name, whose scaling has no constants of this kind, takes
    minimum and range. The scale of a column that never changes is 1; float32 rounding is no change.
    """
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    offset, scale = AFFINE.get(name, _minmax)(flat)
    least = SMALLEST * np.maximum(1.0, np.abs(offset))
    return offset, np.where(scale > least, scale, 1.0)


class AffineScaling(keras.layers.Layer):
    """Subtract an offset and divide by a scale, per feature.

    The two are weights of the model (keras' own Normalization holds captured tensors, which
    tf2onnx turns into extra inputs). They are 0 and 1 until `adapt` is called.
    """

    rule = "standard"

    def __init__(self, trainable: bool = False, **kwargs: Any) -> None:
        super().__init__(trainable=trainable, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the two weights, one number for each feature."""
        shape = (input_shape[-1],)
        self.offset = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, name="offset"
        )
        self.scale = self.add_weight(shape=shape, initializer="ones", trainable=False, name="scale")

    def adapt(self, features: np.ndarray) -> None:
        """Take the constants from training features, shape (n, steps, n_features)."""
        offset, scale = affine_constants(self.rule, features)
        self.offset.assign(offset)
        self.scale.assign(scale)

    def call(self, features: Any) -> Any:
        """Return the scaled features."""
        return (features - self.offset) / self.scale


@keras.saving.register_keras_serializable(package="nextbar")
class StandardScaling(AffineScaling):
    """Subtract the training mean and divide by the training standard deviation, per feature."""


@keras.saving.register_keras_serializable(package="nextbar")
class MinMaxScaling(AffineScaling):
    """Map the range of the training part to 0 to 1, per feature; later values may lie outside."""

    rule = "minmax"


@keras.saving.register_keras_serializable(package="nextbar")
class RobustScaling(AffineScaling):
    """Subtract the training median and divide by the interquartile range, per feature."""

    rule = "robust"


@keras.saving.register_keras_serializable(package="nextbar")
class RankScaling(keras.layers.Layer):
    """Replace each value by its rank among the training values, 0 to 1, by 101 quantiles.

    Between two quantiles the rank rises evenly: with steps, the last digit of a number, which
    differs from batch to batch, would decide between two ranks.
    """

    def __init__(self, trainable: bool = False, **kwargs: Any) -> None:
        super().__init__(trainable=trainable, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the two weights: where each hundredth of the values begins, and 1 / its width."""
        shape = (input_shape[-1], RANKS)
        self.begins, self.slopes = (
            self.add_weight(shape=shape, initializer=start, trainable=False, name=name)
            for name, start in (("begins", "zeros"), ("slopes", "ones"))
        )

    def adapt(self, features: np.ndarray) -> None:
        """Take the quantiles from training features, shape (n, steps, n_features)."""
        flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
        quantiles = np.quantile(flat, np.linspace(0, 1, RANKS + 1), axis=0).T
        _, scale = affine_constants("robust", features)
        self.begins.assign(quantiles[:, :-1])
        # Multiplied with, not divided by: the converter would round the quotient anew.
        self.slopes.assign(1.0 / np.maximum(np.diff(quantiles), NARROWEST * scale[:, None]))

    def call(self, features: Any) -> Any:
        """Return the ranks."""
        # The converter knows sums, but no search in a sorted list.
        parts = ops.clip((features[..., None] - self.begins) * self.slopes, 0.0, 1.0)
        total: Any = ops.sum(parts, axis=-1)
        return total * (1.0 / RANKS)


@keras.saving.register_keras_serializable(package="nextbar")
class WindowScaling(keras.layers.Layer):
    """Subtract each window's own mean and divide by its own deviation, per feature."""

    def adapt(self, features: np.ndarray) -> None:
        """Learn nothing."""

    def call(self, features: Any) -> Any:
        """Return the scaled features; one that stays the same all through a window is 0."""
        centred = features - ops.mean(features, axis=1, keepdims=True)
        deviation: Any = ops.sqrt(ops.mean(ops.square(centred), axis=1, keepdims=True))
        return centred / (deviation + SMALLEST)
