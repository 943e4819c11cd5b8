"""Tiny trainings that share a few shapes: a network of one shape is traced once in a process."""

from __future__ import annotations

from typing import Any

import pandas as pd
from nextbar.signals.bars import check_bars
from nextbar.training.config import TrainingConfig
from nextbar.training.task import Dates, Kind, Task, make_task

from ..markets import random_bars

BARS = check_bars(random_bars(280, seed=3))
"""All the tests' history; read only."""

VALIDATION_START, TEST_START = BARS.index[170], BARS.index[230]
DATES = Dates(None, VALIDATION_START, TEST_START)


def tiny(**changes: Any) -> TrainingConfig:
    """Return a training of one small layer, by default of a direction."""
    base: dict[str, Any] = {"units": (3,), "window": 6, "epochs": 2, "batch_size": 32, "dropout": 0}
    return TrainingConfig(**base | changes)


def levels(**changes: Any) -> TrainingConfig:
    """Return a forecast of the next two opens from opens as they are."""
    return tiny(**{"head": "forecast", "features": ("open",), "scaling": "minmax"} | changes)


def task_of(config: TrainingConfig, kind: Kind = "lstm", bars: pd.DataFrame = BARS) -> Task:
    return make_task(bars, config, DATES, kind)
