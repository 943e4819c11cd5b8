"""Whether Keras and the exported graph say the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..signals.arrays import Float32Array, FloatArray
from ..signals.heads import CENTRES, OUTPUTS, Head
from ..signals.model import CHUNK, run_all
from .convert import Predict, predictor

__all__ = ["TOLERANCE", "compare", "compare_windows", "weights_of"]

TOLERANCE = 1e-5
"""Largest |Keras - ONNX| allowed, and the band round the centre in which a call may flip."""


def compare_windows(
    model: Any, session: Any, windows: Float32Array, chunk: int = CHUNK, head: Head = "direction"
) -> tuple[float, int]:
    """Return what `compare` does for a Keras model, which is traced for it."""
    return compare(predictor(model, OUTPUTS[head]), session, windows, chunk, head)


def compare(
    predict: Predict,
    session: Any,
    windows: Float32Array,
    chunk: int = CHUNK,
    head: Head = "direction",
) -> tuple[float, int]:
    """Return max |Keras - ONNX| over `windows` and the number of flipped calls.

    Prices and moves differ in units of the highest close, see `weights_of`. A call is flipped when
    the two lie on different sides of the head's centre and Keras' score is further than 1e-5 from
    it. No windows differ by 0.
    """
    names, centre = OUTPUTS[head], CENTRES[head]
    said = predict(windows, chunk)
    keras: dict[str, Float32Array] = said if len(names) > 1 else {names[0]: said}
    onnx_ = run_all(session, windows, chunk, names)
    score, weight = names[-1], weights_of(windows, head)
    flipped = (keras[score] > centre) != (onnx_[score] > centre)
    far = np.abs(keras[score] - centre) * weight > TOLERANCE
    apart = {name: np.abs(keras[name].astype(np.float64) - onnx_[name]) for name in names}
    apart[score] *= weight
    if head == "forecast":
        apart["forecast"] /= np.maximum(np.abs(keras["forecast"]), _highest(windows))
    worst = [0.0, *(float(values.max(initial=0.0)) for values in apart.values())]
    # numpy's maximum is NaN if there is a NaN; Python's max() may overlook it.
    return float(np.max(worst)), int((flipped & far).sum())


def weights_of(windows: Float32Array, head: Head) -> FloatArray:
    """Return by what a difference of two scores of each window counts, shape (n,).

    A network that sees price levels has the rounding of its highest prices in its lowest ones:
    there a move, which is relative, may differ more. So moves count by the close over the highest.
    """
    close = windows[:, -1, 3].astype(np.float64)
    return close / _highest(windows) if head == "forecast" else np.ones(len(windows))


def _highest(windows: Float32Array) -> float:
    return float(windows[:, -1, 3].max(initial=0.0))
