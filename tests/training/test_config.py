"""A configuration is checked before anything is trained."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from nextbar.training import TrainingConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"units": ()},
        {"units": (16, 0)},
        {"features": ()},
        {"features": ("return", "return")},
        {"features": ("returns",)},
        {"window": 1},
        {"horizon": 0},
        {"target": "high"},
        {"dropout": 1.0},
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"epochs": 0},
        {"seed": -1},
        {"architecture": "transformer"},
        {"epoch": 3},
    ],
)
def test_wrong_values(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match=next(iter(wrong))):
        TrainingConfig(**wrong)


def test_frozen_and_volume() -> None:
    config = TrainingConfig()
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.seed = 1  # type: ignore[misc]
    assert not config.uses_volume
    assert TrainingConfig(features=("volume_change",)).uses_volume
