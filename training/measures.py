"""How well calls came true, in float64: the one home of what training is judged by."""

from __future__ import annotations

import numpy as np

from ..signals.arrays import BoolArray, FloatArray

__all__ = ["accuracy", "log_loss"]

CLIP = 1e-7
"""Probabilities are kept this far from 0 and 1 in the logarithms of the loss, as keras does."""


def accuracy(scores: FloatArray, up: FloatArray, centre: float = 0.5) -> float:
    """Return the share of the labels `up`, (n,), that `scores`, (n,), above `centre` call right."""
    called: BoolArray = scores > centre
    true: BoolArray = up > 0.5
    return float(np.mean(np.equal(called, true)))


def log_loss(scores: FloatArray, up: FloatArray) -> float:
    """Return the mean binary cross-entropy of probabilities `scores`, (n,), given `up`, (n,)."""
    scores = np.clip(scores, CLIP, 1 - CLIP)
    return float(-np.mean(up * np.log(scores) + (1 - up) * np.log(1 - scores)))
