"""The array types of the signals, spelled once."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["BoolArray", "Float32Array", "FloatArray", "Numbers"]

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Float32Array: TypeAlias = npt.NDArray[np.float32]
FloatArray: TypeAlias = npt.NDArray[np.float64]

Numbers: TypeAlias = npt.NDArray[np.floating[Any]] | float
"""An array, or the one number of a streamed bar."""
