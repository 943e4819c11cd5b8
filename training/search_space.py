"""What a search of hyper-parameters tries: frozen and validated. Does not import optuna."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..signals.errors import ExperimentError
from .config import TrainingConfig

__all__ = ["CHOICES", "RANGES", "Search"]

RANGES = ("learning_rate", "layers", "dropout")
"""Fields of the space that are a lowest and a highest value; the first on a log scale."""

CHOICES = ("units", "cell", "window", "optimizer")
"""Fields of the space that are a list of values."""


class Search(BaseModel):
    """A search, all but the bars and the config it begins from.

    An empty list keeps what the config says. Apart from `layers` every field of the space has the
    name of the config's field that it chooses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trials: int = Field(default=20, ge=1)
    """Trainings in all, those of an earlier, interrupted search included."""
    seconds: float | None = Field(default=None, ge=0)
    """No trial is begun later than this after the start, but there is always one; None sets no
    limit. 0 in a file is None."""
    storage: str | None = Field(default=None, repr=False)
    """A database URL as SQLAlchemy knows it; None is a SQLite file in the search's folder. It may
    hold a password: never write it to a result."""
    startup: int = Field(default=5, ge=1)
    """Complete trials before one that looks worse than the median is given up early."""

    learning_rate: tuple[float, ...] = (1e-4, 1e-2)
    """Lowest and highest, drawn on a log scale."""
    layers: tuple[int, ...] = (1, 3)
    """Fewest and most recurrent layers. Without `units` the config's last width is repeated."""
    units: tuple[int, ...] = (8, 16, 32, 64)
    """Widths; all layers of a network get the same one."""
    cell: tuple[Literal["lstm", "gru", "peephole"], ...] = ("lstm", "gru", "peephole")
    window: tuple[int, ...] = (11, 21, 42, 63)
    """Bars. All are judged on the same validation rows; a forecast's loss is in units of the
    training part's spread, which moves a little with the window."""
    dropout: tuple[float, ...] = (0.0, 0.5)
    """Lowest and highest."""
    optimizer: tuple[Literal["adam", "rmsprop", "sgd"], ...] = ("adam", "rmsprop", "sgd")

    @field_validator("seconds", mode="before")
    @classmethod
    def _no_limit(cls, seconds: object) -> object:
        # A file cannot say None.
        return None if seconds == 0 and seconds is not False else seconds

    @field_validator(*RANGES)
    @classmethod
    def _low_and_high(cls, ends: tuple[float, ...]) -> tuple[float, ...]:
        if ends and (len(ends) != 2 or ends[0] > ends[1]):
            raise ValueError(f"expected lowest and highest, or nothing, found {list(ends)}")
        return ends

    @field_validator(*CHOICES)
    @classmethod
    def _distinct(cls, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(choices)) != len(choices):
            raise ValueError(f"expected each value once, found {list(choices)}")
        return choices

    @model_validator(mode="after")
    def _in_bounds(self) -> Search:
        if not self.space:
            raise ValueError(
                f"nothing to search: all of {', '.join((*RANGES, *CHOICES))} are empty"
            )
        if self.learning_rate and self.learning_rate[0] <= 0:
            raise ValueError(
                f"learning_rate: expected more than 0, found {list(self.learning_rate)}"
            )
        if self.dropout and not 0 <= self.dropout[0] <= self.dropout[1] < 1:
            raise ValueError(
                f"dropout: expected fractions from 0 to below 1, found {list(self.dropout)}"
            )
        for name, least in (("layers", 1), ("units", 1), ("window", 2)):
            values: tuple[int, ...] = getattr(self, name)
            if values and min(values) < least:
                raise ValueError(f"{name}: expected {least} or more, found {list(values)}")
        return self

    @property
    def space(self) -> dict[str, tuple[Any, ...]]:
        """The fields that are searched, in the order in which they are drawn."""
        every = {name: getattr(self, name) for name in (*RANGES, *CHOICES)}
        return {name: values for name, values in every.items() if values}

    def apply(self, config: TrainingConfig, drawn: Mapping[str, Any]) -> TrainingConfig:
        """Return `config` with one value of each field of the space; the others are kept.

        Raises
        ------
        ExperimentError
            When they contradict each other or another option of `config`.
        """
        changes = dict(drawn)
        layers, width = changes.pop("layers", len(config.units)), changes.pop("units", None)
        longest = (*config.units, *[config.units[-1]] * layers) if width is None else ()
        changes["units"] = longest[:layers] or (width,) * layers
        try:
            return TrainingConfig.model_validate(config.model_dump() | changes)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ").rstrip(".")
            values = ", ".join(f"{name} = {value!r}" for name, value in drawn.items())
            raise ExperimentError(
                f"the search would try {values}: {reason}. Narrow its space."
            ) from error

    def check(self, config: TrainingConfig) -> None:
        """Raise ExperimentError when a combination of the space cannot go with `config`."""
        for drawn in self._combinations():
            self.apply(config, drawn)

    def _combinations(self) -> Iterator[dict[str, Any]]:
        """Yield all, with the ends of the ranges of numbers, which contradict nothing between."""
        values = self.space
        if self.layers:
            values["layers"] = tuple(range(self.layers[0], self.layers[1] + 1))
        for drawn in product(*values.values()):
            yield dict(zip(values, drawn, strict=True))
