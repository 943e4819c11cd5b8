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
        {"head": "forecasts"},
        {"cell": "rnn"},
        {"scaling": "z"},
        {"optimizer": "adamw"},
        {"recurrent_dropout": 1.0},
        {"filters": 0},
        {"kernel": 0},
        {"turnover_penalty": -0.1},
        {"patience": -1},
        {"clip_norm": 0.0},
        {"plateau": 0},
        {"least_rate": 0.0},
        {"augment": -1},
        {"smooth": 0.0},
        {"smooth": 1.1},
        {"blocks": 0},
        {"fields": ("volume",), "head": "forecast"},
        {"fields": ("open", "open"), "head": "forecast"},
        {"flaws": ("overfitting",)},
        {"flaws": ("validation-is-test", "validation-is-test")},
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


COLUMNS: list[tuple[dict[str, Any], list[tuple[str, int]]]] = [
    ({"head": "direction"}, []),
    ({"head": "position"}, []),
    ({}, [("open", 1), ("open", 2)]),
    ({"horizon": 5}, [("open", 1), ("open", 6)]),
    ({"target": "close"}, [("open", 1)]),
    ({"target": "close", "horizon": 5}, [("open", 5)]),
    (
        {"fields": ("close", "mid"), "horizon": 2},
        [(f, n) for f in ("close", "mid") for n in (1, 3)],
    ),
    ({"steps": "every", "horizon": 2}, [("open", 1), ("open", 2), ("open", 3)]),
    ({"steps": "every", "horizon": 2, "target": "close"}, [("open", 1), ("open", 2)]),
    (
        {"steps": "every", "fields": ("low", "high")},
        [("low", 1), ("low", 2), ("high", 1), ("high", 2)],
    ),
    (
        {"rollout": True, "features": ("open",), "scaling": "minmax", "horizon": 2},
        [("open", 1), ("open", 2), ("open", 3)],
    ),
]


@pytest.mark.parametrize(("options", "expected"), COLUMNS)
def test_columns_of_a_forecast(options: dict[str, Any], expected: list[tuple[str, int]]) -> None:
    assert list(TrainingConfig(**{"head": "forecast", **options}).columns) == expected


@pytest.mark.parametrize("options", [options for options, _ in COLUMNS])
def test_it_is_read_back(options: dict[str, Any]) -> None:
    config = TrainingConfig(**{"head": "forecast", **options})
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


def test_patience_of_0_is_all_epochs() -> None:
    assert TrainingConfig(patience=0).patience is None
    assert TrainingConfig(patience=None) == TrainingConfig.model_validate({"patience": 0})
    with pytest.raises(pydantic.ValidationError, match="patience"):
        TrainingConfig.model_validate({"patience": False})


@pytest.mark.parametrize(
    ("features", "scaling", "ratios", "levels", "volume"),
    [
        (("return", "range"), "standard", True, False, False),
        (("open", "mid"), "standard", False, True, False),
        (("open", "mid"), "window", False, False, False),
        (("return", "high"), "rank", True, True, False),
        (("volume",), "minmax", False, False, True),
        (("volume_change", "gap"), "minmax", True, False, True),
    ],
)
def test_what_the_features_need(
    features: Any, scaling: Any, ratios: bool, levels: bool, volume: bool
) -> None:
    config = TrainingConfig(features=features, scaling=scaling)
    assert (config.ratios, config.price_levels, config.uses_volume) == (ratios, levels, volume)
