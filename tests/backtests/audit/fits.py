"""Small real trainings with a tutorial's mistake each, their honest twins, and model files."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from nextbar.backtests.audit import AuditReport, audit_fit, audit_target
from nextbar.training import TrainingConfig
from nextbar.training.config import FlawName
from nextbar.training.task import Dates

from ...markets import random_bars
from ...models import write_model

VALIDATION, TEST, N = 180, 240, 300


def changed(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """Return a config with changes, checked as that of a file is."""
    return TrainingConfig(**config.model_dump() | changes)


HONEST = TrainingConfig(units=(3,), window=6, epochs=1)
POSITIONS = changed(HONEST, head="position", scaling="robust")
TUTORIAL = changed(HONEST, head="forecast", features=("open",), scaling="minmax", target="close")
"""The next open from opens as they are."""

RATIOS = changed(TUTORIAL, scaling="window", target="open", horizon=3)


def bars() -> pd.DataFrame:
    return random_bars(N, seed=4)


def dates() -> Dates:
    index = bars().index
    return Dates(validation_start=index[VALIDATION], test_start=index[TEST])


@cache
def of_config(config: TrainingConfig) -> AuditReport:
    """Return the report on a training; many rows share a twin."""
    return audit_fit(bars(), config, dates())


def trained(config: TrainingConfig, *flaws: str) -> Callable[[Path], AuditReport]:
    return lambda _: of_config(changed(config, flaws=flaws))


def of_card(*flaws: FlawName) -> Callable[[Path], AuditReport]:
    """Audit a model file whose card names `flaws`, and with them that it sees prices."""
    return lambda _: named(flaws)


@cache
def named(flaws: tuple[FlawName, ...]) -> AuditReport:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_model(path, 12, known_flaws=flaws, price_levels=bool(flaws))
        return audit_target(str(path), random_bars(120))
