"""What the manifest of a chain holds, and the checks that need nothing but the manifest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    field_validator,
    model_validator,
)

from .card import Card
from .errors import ModelError
from .heads import Head
from .rules import check_rule

__all__ = [
    "MANIFEST_SCHEMA",
    "FileFacts",
    "Manifest",
    "Period",
    "Rule",
    "check_files",
    "check_periods",
    "facts_of",
]

MANIFEST_SCHEMA = 1
"""Version of the manifest's fields; one of another version is refused."""

ALIKE = ("head", "columns", "interval", "horizon", "target", "uses_volume")
"""What the models of a chain must have in common; windows and symbols may differ."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Rule(_Frozen):
    """A baseline by name, such as ``Rule(name="ema", parameters={"fast": 10, "slow": 30})``.

    Known are ema (fast, slow), momentum (period), mean, reversal and constant (direction).
    Parameters left out are filled in.
    """

    name: str
    parameters: dict[str, StrictInt] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Rule:
        full = check_rule(self.name, self.parameters)
        object.__setattr__(self, "parameters", full)
        return self

    def __hash__(self) -> int:
        return hash((self.name, tuple(sorted(self.parameters.items()))))


class Period(_Frozen):
    """Dates, and the models or the rule that make the calls on them."""

    start: dt.datetime
    """First moment, naive, of the bars."""
    end: dt.datetime | None
    """The moment after the last one; None for an open end, which only the last period may have."""
    models: tuple[str, ...] = ()
    """File names inside the folder of the chain, with ``/`` between folders, one for each seed."""
    rule: Rule | None = None

    @field_validator("start", "end")
    @classmethod
    def _naive(cls, moment: dt.datetime | None) -> dt.datetime | None:
        if moment is not None and moment.tzinfo is not None:
            raise ValueError(f"expected a date without a time zone, found {moment}")
        return moment

    @model_validator(mode="after")
    def _one_of_two(self) -> Period:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"the period from {self.start} ends at {self.end}, before it starts")
        if bool(self.models) == (self.rule is not None):
            raise ValueError(f"the period from {self.start} needs either models or a rule")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"the period from {self.start} names a model twice")
        return self


class FileFacts(_Frozen):
    """What a chain needs to know of a model file before it is loaded; see `Card`."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    window: int = Field(ge=1)
    horizon: int
    target: str
    head: Head = "direction"
    columns: tuple[tuple[str, int], ...] = ()
    uses_volume: bool
    symbols: tuple[str, ...]
    interval: str
    unseen_from: dt.datetime
    known_flaws: tuple[str, ...] = ()


class Manifest(_Frozen):
    """The content of ``chain.json``."""

    schema_version: Literal[1] = MANIFEST_SCHEMA
    files: dict[str, FileFacts]
    periods: tuple[Period, ...]


def facts_of(card: Card, sha256: str) -> FileFacts:
    """Return the facts of a model file of that digest."""
    return FileFacts(
        sha256=sha256,
        window=card.window,
        horizon=card.horizon,
        target=card.target,
        head=card.head,
        columns=card.columns,
        uses_volume=card.uses_volume,
        symbols=card.symbols,
        interval=card.interval,
        unseen_from=card.unseen_from,
        known_flaws=card.known_flaws,
    )


def check_periods(periods: Sequence[Period], origin: str) -> None:
    """Raise ModelError unless each period begins where the one before ends, all of one kind."""
    if not periods:
        raise ModelError(f"{origin}: expected at least one period, found none.")
    for before, after in pairwise(periods):
        if after.start < before.start:
            found = "not in order"
        elif before.end is None or before.end > after.start:
            found = "overlapping"
        elif before.end < after.start:
            found = "with a gap between them"
        else:
            continue
        raise ModelError(
            f"{origin}: expected each period to begin where the one before ends, found the periods"
            f" from {before.start} to {before.end} and from {after.start} {found}."
        )
    counts = sorted({len(period.models) for period in periods})
    if len(counts) > 1:
        mixed = "models and rules" if not counts[0] else " and ".join(map(str, counts)) + " models"
        raise ModelError(
            f"{origin}: expected all periods alike, found {mixed}. Give every period the same"
            " number of models, or a rule."
        )


def check_files(periods: Sequence[Period], files: Mapping[str, FileFacts], origin: str) -> None:
    """Raise ModelError unless the models fit each other and none is used on dates it has seen."""
    for period in periods:
        for name in period.models:
            if name not in files:
                raise ModelError(f"{origin}: the manifest says nothing of {name}. Write it anew.")
            if files[name].unseen_from > period.start:
                raise ModelError(
                    f"{origin}: {name} has seen bars before {files[name].unseen_from}, but its"
                    f" period begins at {period.start}. Train it on earlier bars."
                )
    for field in ALIKE:
        values = {name: getattr(facts, field) for name, facts in files.items()}
        first = next(iter(values), "")
        for name, value in values.items():
            if value != values[first]:
                raise ModelError(
                    f"{origin}: expected models of one {field}, found {values[first]!r} in {first}"
                    f" and {value!r} in {name}."
                )
