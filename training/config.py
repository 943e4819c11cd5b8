"""What is trained and how: frozen and validated. Imports neither keras nor tensorflow."""

from __future__ import annotations

import datetime as dt
from typing import Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ..signals.heads import Head
from .choices import SCALINGS, known_name
from .contradictions import contradiction
from .heads import HEADS
from .networks import ARCHITECTURES

__all__ = [
    "FEATURES",
    "FIELDS",
    "FLAWS",
    "RATIOS",
    "FeatureName",
    "FieldName",
    "FlawName",
    "Fold",
    "TrainingConfig",
]

RatioName = Literal["return", "gap", "body", "range", "volume_change"]
"""`return` log(close/previous close), `gap` log(open/previous close), `body` log(close/open),
`range` log(high/low), `volume_change` change of log(1 + volume)."""

FieldName = Literal["open", "high", "low", "close", "mid"]
"""Prices as they are; `mid` is the mean of high and low."""

FeatureName = Literal[
    "return", "gap", "body", "range", "volume_change",
    "open", "high", "low", "close", "mid", "volume",
]  # fmt: skip

FlawName = Literal[
    "scaler-on-all-data",
    "validation-is-test",
    "unpurged-horizon",
    "label-is-input",
    "row-against-one-output",
    "relu-head",
]
"""What a tutorial does and an honest training does not; see `nextbar.training.flaws`."""

RATIOS: tuple[RatioName, ...] = get_args(RatioName)
FIELDS: tuple[FieldName, ...] = get_args(FieldName)
FEATURES: tuple[FeatureName, ...] = (*RATIOS, *FIELDS, "volume")
FLAWS: tuple[FlawName, ...] = get_args(FlawName)


class TrainingConfig(BaseModel):
    """A training run, all but the bars. The defaults are small enough for a few seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    head: str = "direction"
    """What comes out, one of `HEADS`. `direction`: the probability of an up move. `forecast`:
    prices. `position`: a share of the account from -1 to 1, trained on its own Sharpe ratio after
    costs."""
    architecture: str = "stacked"
    """One of `ARCHITECTURES`. `stacked`: one recurrent layer for each entry of `units`; `vanilla`:
    just one; `bidirectional`: each layer reads the window both ways, which ends at t;
    `convolutional`: a convolution over the bars, then recurrent layers."""
    cell: Literal["lstm", "gru", "peephole"] = "lstm"
    """Kind of the recurrent layers; `peephole`: an LSTM whose gates see the cell's state."""
    units: tuple[int, ...] = (16,)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Fraction of each recurrent layer's outputs left out while training."""
    recurrent_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of each recurrent layer's state left out from bar to bar while training."""
    filters: int = Field(default=32, ge=1)
    """Channels of the convolution, if there is one."""
    kernel: int = Field(default=3, ge=1)
    """Bars that the convolution looks at, never later ones."""
    features: tuple[FeatureName, ...] = ("return", "gap", "range")
    """Computed inside the model from raw bars. Ratios are free of the price's scale; prices and
    `volume` as they are tie the model to the levels that it has seen."""
    scaling: str = "standard"
    """One of `SCALINGS`: standard, minmax, robust, rank or window. Inside the model, fitted on the
    training part alone, except `window`: each window by itself, prices as the logarithm of their
    ratio to its last close."""
    window: int = Field(default=21, ge=2)
    """Raw bars in one input; with a ratio among the features, the first only gives the others a
    previous close."""
    horizon: int = Field(default=1, ge=1, le=10_000)
    """Bars that the predicted move lasts."""
    target: Literal["open", "close"] = "open"
    """`open`: up = open[t+1+h] > open[t+1], what a fill at the next open earns; `close`:
    close[t+h] > close[t], the tutorials' label, which no order sent at close t can earn. A
    forecast head predicts its fields at t+1 and t+1+h for the one, at t+h for the other, whose
    call compares with the first field at t."""
    fields: tuple[FieldName, ...] = ("open",)
    """Prices that a forecast head predicts; the call is made from the first."""
    steps: Literal["last", "every"] = "last"
    """Whether a forecast head predicts the ends of the move only, or every bar up to its end."""
    rollout: bool = False
    """Whether every bar up to the end is forecast from the forecasts before it: a network for one
    bar, fed with its own output."""
    turnover_penalty: float = Field(default=0.0005, ge=0)
    """What a position head pays for each unit of change in its position while training; 0.0005 is
    5 basis points."""
    epochs: int = Field(default=60, ge=1)
    patience: int | None = Field(default=8, ge=1)
    """Epochs without a better validation loss before training stops; None trains all epochs and
    keeps the last weights in place of the best ones. 0 in a file is None."""
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    clip_norm: float | None = Field(default=None, gt=0)
    """Length to which the gradient of all weights together is cut; None leaves it."""
    plateau: int | None = Field(default=None, ge=1)
    """Epochs without a better validation loss after which the learning rate is halved; None
    keeps it."""
    least_rate: float = Field(default=1e-6, gt=0)
    """Learning rate below which it is not halved."""
    augment: int = Field(default=0, ge=0)
    """Draw each training label of a forecast from this many bars, beginning with its own; 0 or 1
    take its own."""
    smooth: float | None = Field(default=None, gt=0, le=1)
    """Weight of the newest bar in an exponential average that replaces the prices of the training
    part, and of no other; None leaves them."""
    blocks: int = Field(default=1, ge=1)
    """Parts of the training rows that are scaled each by itself; the model carries the constants
    of the last one."""
    stateful: bool = False
    """Train on `batch_size` stretches side by side, each unrolled a window at a time with the
    state carried on and a loss at every bar."""
    flaws: tuple[FlawName, ...] = ()
    """A tutorial's own mistakes, to show what they were worth: the model names them on its card,
    and no verdict is given."""
    seed: int = Field(default=0, ge=0, lt=2**31)

    @field_validator("head", "architecture", "scaling")
    @classmethod
    def _known(cls, name: str, field: ValidationInfo) -> str:
        known = {"head": HEADS, "architecture": ARCHITECTURES, "scaling": SCALINGS}
        return known_name(name, known[str(field.field_name)])

    @field_validator("units")
    @classmethod
    def _some_units(cls, units: tuple[int, ...]) -> tuple[int, ...]:
        if not units or min(units) < 1:
            raise ValueError(f"expected at least one layer of at least 1 unit, found {units}")
        return units

    @field_validator("features", "fields", "flaws")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError(f"expected each name once, found {', '.join(names)}")
        return names

    @field_validator("patience", mode="before")
    @classmethod
    def _all_epochs(cls, patience: object) -> object:
        # A file cannot say None.
        return None if patience == 0 and patience is not False else patience

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        if found := contradiction(self):
            raise ValueError(found)
        return self

    @property
    def says(self) -> Head:
        """What the model file says: the call's direction, prices, or a position."""
        return HEADS[self.head].says

    @property
    def uses_volume(self) -> bool:
        """Whether the model needs a volume column."""
        return bool({"volume", "volume_change"} & set(self.features))

    @property
    def ratios(self) -> bool:
        """Whether a feature needs the bar before, so that there is one step less than bars."""
        return bool(set(RATIOS) & set(self.features))

    @property
    def price_levels(self) -> bool:
        """Whether the model sees prices as they are, on the scale of its training part."""
        return self.scaling != "window" and bool(set(FIELDS) & set(self.features))

    @property
    def columns(self) -> tuple[tuple[FieldName, int], ...]:
        """What a forecast head predicts: field and bars ahead of each output, else nothing."""
        if self.says != "forecast":
            return ()
        last = self.horizon + (self.target == "open")
        every = self.rollout or self.steps == "every"
        ahead = range(1, last + 1) if every else (1, last) if self.target == "open" else (last,)
        return tuple((field, bars) for field in self.fields for bars in ahead)


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
