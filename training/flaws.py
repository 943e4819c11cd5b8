"""The mistakes of the source tutorials, by name: which are leaks, and what each one does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .config import FlawName, TrainingConfig

__all__ = ["KNOWN_FLAWS", "Flaw", "sees_test"]


@dataclass(frozen=True)
class Flaw:
    """A mistake that a model names on its card."""

    leak: bool
    """Whether it lets the training see bars of the test."""
    meaning: str


KNOWN_FLAWS: Mapping[FlawName, Flaw] = {
    "scaler-on-all-data": Flaw(True, "the scaling was fitted on all bars, those of the test too"),
    "validation-is-test": Flaw(
        True, "the test steers the learning rate and chooses the epoch, as its own validation part"
    ),
    "unpurged-horizon": Flaw(
        True, "labels of the last training rows end inside the next part: their rows were kept"
    ),
    "label-is-input": Flaw(False, "one label in so many is the newest input itself"),
    "row-against-one-output": Flaw(
        False, "the whole next row is the label of one output, which learns the row's mean"
    ),
    "relu-head": Flaw(False, "the last layer cannot say less than the training part's lowest"),
}


def sees_test(config: TrainingConfig) -> bool:
    """Return whether a training with these flaws needs the bars of its own test."""
    return any(KNOWN_FLAWS[name].leak for name in config.flaws)
