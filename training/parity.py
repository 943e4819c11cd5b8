"""Whether Keras and the exported graph say the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..signals.heads import CENTRES, OUTPUTS, Head
from ..signals.model import CHUNK, Float32Array, run_all
from .convert import Predict, predictor

__all__ = ["TOLERANCE", "compare", "compare_windows"]

TOLERANCE = 1e-5
"""Largest |Keras - ONNX| allowed, and the band round 0.5 in which a call may flip."""


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

    Prices differ relatively. A call is flipped when the two lie on different sides of the head's
    centre and Keras' score is further than 1e-5 from it. No windows differ by 0.
    """
    names = OUTPUTS[head]
    said = predict(windows, chunk)
    keras: dict[str, Float32Array] = said if len(names) > 1 else {names[0]: said}
    onnx_ = run_all(session, windows, chunk, names)
    scores, centre = keras[names[-1]], CENTRES[head]
    flipped = (scores > centre) != (onnx_[names[-1]] > centre)
    far = np.abs(scores - centre) > TOLERANCE
    worst = [0.0, *(_difference(name, keras[name], onnx_[name]) for name in names)]
    # numpy's maximum is NaN if there is a NaN; Python's max() may overlook it.
    return float(np.max(worst)), int((flipped & far).sum())


def _difference(name: str, keras: Float32Array, onnx_: Float32Array) -> float:
    difference = np.abs(keras.astype(np.float64) - onnx_)
    if name == "forecast":
        difference /= np.abs(keras)
    return float(difference.max(initial=0.0))
