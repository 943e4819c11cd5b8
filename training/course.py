"""The course of a training: what goes in, what each epoch came to, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..signals.arrays import Float32Array, FloatArray
from ..signals.errors import ModelError
from .config import TrainingConfig

__all__ = ["Course", "Epoch", "Part", "Steering", "finite", "milestones", "stretches"]

KEPT = 5
"""Epochs whose forecasts of the validation part are kept, for a picture."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training rows came to."""

    number: int
    """From 1."""
    of: int
    """Most epochs that there can be; training may stop before."""
    loss: float
    """The head's loss on the training rows, with dropout."""
    validation_loss: float
    validation_accuracy: float
    """Share of the validation part's up and down moves that are called rightly."""


@dataclass(frozen=True)
class Course:
    """How a training went."""

    epochs: tuple[Epoch, ...]
    forecasts: Mapping[int, FloatArray]
    """By the number of some epochs, the validation part's forecasts, (n, k); of prices only."""


@dataclass(frozen=True)
class Part:
    """The rows of one part of the bars: what is seen, and what came after."""

    windows: Float32Array
    """Raw bars, shape (n, window, 5)."""
    up: FloatArray
    """Whether the move that is called was up: 1.0 or 0.0, shape (n,)."""
    labels: FloatArray
    """What the head is told, shape (n, draws, k): prices, moves, or `up` itself. An epoch takes
    one of the draws for each row."""


class Steering:
    """What the validation loss decides: the best epoch, and when the learning rate is halved."""

    def __init__(self, config: TrainingConfig, optimizer: Any) -> None:
        self._config, self._optimizer = config, optimizer
        self._least, self._rate, self._waited = np.inf, config.learning_rate, 0
        self.best = 0

    def is_best(self, epoch: Epoch) -> bool:
        """Take notice of an epoch, and return whether its loss is the least so far."""
        if epoch.validation_loss < self._least:
            self._least, self.best, self._waited = epoch.validation_loss, epoch.number, 0
            return True
        self._waited += 1
        if self._config.plateau is not None and self._waited > self._config.plateau:
            least = min(self._rate, self._config.least_rate)  # never up again
            self._rate, self._waited = max(self._rate / 2, least), 0
            self._optimizer.learning_rate = self._rate
        return False


def stretches(random: np.random.Generator, rows: int, size: int) -> npt.NDArray[np.intp]:
    """Return stretches of `size` rows in random order, each of rows in a row, from a random start.

    Rows that fill no whole stretch are left out this time.
    """
    size = min(size, rows)
    starts = random.integers(rows % size + 1) + size * np.arange(rows // size)
    return np.concatenate([start + np.arange(size) for start in random.permutation(starts)])


def milestones(epochs: int) -> set[int]:
    """Return the numbers of the epochs whose forecasts are kept."""
    return {1, *(epochs * k // (KEPT - 1) for k in range(1, KEPT))}


def finite(epoch: Epoch, config: TrainingConfig) -> Epoch:
    """Return `epoch` after checking that its losses are finite."""
    if not np.isfinite([epoch.loss, epoch.validation_loss]).all():
        raise ModelError(
            f"training diverged: the loss is not finite from epoch {epoch.number} on."
            f" Lower learning_rate, now {config.learning_rate}."
        )
    return epoch
