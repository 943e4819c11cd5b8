"""What is trained and how: frozen and validated. Imports neither keras nor tensorflow."""

from __future__ import annotations

import datetime as dt
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["FEATURES", "FeatureName", "Fold", "TrainingConfig"]

FeatureName = Literal["return", "gap", "body", "range", "volume"]
"""`return` log(close/previous close), `gap` log(open/previous close), `body` log(close/open),
`range` log(high/low), `volume` change of log(1 + volume)."""

FEATURES: tuple[FeatureName, ...] = get_args(FeatureName)


class TrainingConfig(BaseModel):
    """A training run, all but the bars. The defaults are small enough for a few seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    architecture: Literal["stacked"] = "stacked"
    """`stacked`: one LSTM layer for each entry of `units`, then one sigmoid."""
    units: tuple[int, ...] = (16,)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Fraction of each LSTM layer's outputs left out while training."""
    features: tuple[FeatureName, ...] = ("return", "gap", "range")
    """Computed inside the model from raw bars; all are free of the price's scale."""
    window: int = Field(default=21, ge=2)
    """Raw bars in one input; the first only gives the others a previous close."""
    horizon: int = Field(default=1, ge=1, le=10_000)
    """Bars that the predicted move lasts."""
    target: Literal["open", "close"] = "open"
    """`open`: up = open[t+1+h] > open[t+1], what a fill at the next open earns; `close`:
    close[t+h] > close[t], the tutorials' label, which no order sent at close t can earn."""
    epochs: int = Field(default=60, ge=1)
    patience: int = Field(default=8, ge=1)
    """Epochs without a better validation loss before training stops."""
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @field_validator("units")
    @classmethod
    def _some_units(cls, units: tuple[int, ...]) -> tuple[int, ...]:
        if not units or min(units) < 1:
            raise ValueError(f"expected at least one layer of at least 1 unit, found {units}")
        return units

    @model_validator(mode="after")
    def _distinct_features(self) -> TrainingConfig:
        if not self.features or len(set(self.features)) != len(self.features):
            raise ValueError(f"features must be distinct and at least one, found {self.features}")
        return self

    @property
    def uses_volume(self) -> bool:
        """Whether the model needs a volume column."""
        return "volume" in self.features


class Fold(BaseModel):
    """One step of a walk-forward: dates only, fixed before any bar of its test is looked at.

    Its test lasts until the next fold's `test_start`, or the end of the history.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_start: dt.date | None = None
    """First date used; None takes the history from its beginning (an expanding walk-forward)."""
    validation_start: dt.date
    """First date of the part on which early stopping and tuning choose."""
    test_start: dt.date
    """First date on which the fold's model decides; training sees no bar from it on."""

    @model_validator(mode="after")
    def _in_order(self) -> Fold:
        named = (self.train_start, self.validation_start, self.test_start)
        dates = [date for date in named if date]
        if sorted(set(dates)) != dates:
            raise ValueError(
                "a fold's dates must ascend: train_start, validation_start, test_start; found"
                f" {', '.join(map(str, dates))}"
            )
        return self
