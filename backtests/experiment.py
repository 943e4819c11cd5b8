"""What is compared: one frozen, validated configuration, and the hash that names its run."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..signals.bars import bars_digest
from ..signals.errors import ExperimentError, did_you_mean
from ..signals.store import canonical_json, digest
from ..training.config import TrainingConfig

__all__ = ["SCHEMA", "Experiment", "default_dates", "make_experiment", "one_line", "run_hash"]

SCHEMA = 1
"""Version of the files in a run's folder; part of the run's hash."""

EXPECTED = {
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "finite_number": "a finite number",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "a date such as 2010-01-31",
    ),
}
"""What is allowed, in plain words, by pydantic's name for the problem."""


class Experiment(BaseModel):
    """A comparison, all but the bars. Every strategy gets the same dates, costs and sizing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "compare"
    """Start of the run folder's name."""
    symbols: tuple[str, ...]
    source: str = "sample"
    interval: str = "1d"
    start: dt.date | None = None
    end: dt.date | None = None
    adjust: bool | None = None
    """Whether prices are adjusted for splits and dividends; None is the source's own way."""
    validation_start: dt.date | None = None
    """First date of the validation part; None with a given model, which has its own."""
    test_start: dt.date
    """First date on which strategies decide; the first order fills at the next open."""
    model_sha256: str | None = None
    """Digest of a given model file; None trains one model for each symbol."""
    training: TrainingConfig = TrainingConfig()
    cash: float = Field(100_000.0, gt=0)
    cost_bps: float = Field(5.0, ge=0, lt=10_000)
    """Basis points of the traded value paid on each side: commission, spread and slippage."""
    shorts: bool = False
    """Whether a down call is a short position (else it is no position)."""
    target: float = Field(0.95, gt=0, le=1)
    """Share of the account value that a position takes; the rest is a buffer against gaps: near 1,
    openings are refused whenever the next open is above the close."""
    step: float | None = Field(1.0, gt=0)
    """Lot size; None trades fractions."""
    band: float | None = Field(None, ge=0)
    """Rebalance a position that is off by more than this share of the account; None never."""
    on_zero: Literal["flat", "hold"] = "flat"
    dead_band: float = Field(0.0, ge=0, lt=0.5)
    """No call while the probability is no further than this from 0.5."""
    ema_fast: int = Field(20, ge=1)
    ema_slow: int = Field(50, ge=2)
    momentum_period: int = Field(252, ge=1)
    """Look-back of the momentum rule in bars; 252 are a year of daily bars."""

    @field_validator("name")
    @classmethod
    def _file_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"expected letters, digits, dot, dash and underscore, found {name!r}")
        return name

    @field_validator("symbols")
    @classmethod
    def _distinct(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if not symbols or len(set(symbols)) != len(symbols):
            raise ValueError(f"expected at least one symbol, each once, found {list(symbols)}")
        for symbol in symbols:
            # Symbols name files of the run.
            if not re.fullmatch(r"[A-Za-z0-9^][A-Za-z0-9._^=&-]*", symbol):
                raise ValueError(
                    f"expected a symbol such as AAPL, ^GSPC or BTC-USD, found {symbol!r}"
                )
        return symbols

    @model_validator(mode="after")
    def _in_order(self) -> Experiment:
        if self.ema_fast >= self.ema_slow:
            raise ValueError(f"ema_fast={self.ema_fast} must be below ema_slow={self.ema_slow}")
        if self.model_sha256 is None and self.validation_start is None:
            raise ValueError("validation_start is needed to train a model")
        if self.validation_start and self.validation_start >= self.test_start:
            raise ValueError(
                f"validation_start {self.validation_start} must be before test_start"
                f" {self.test_start}"
            )
        return self


def make_experiment(**fields: Any) -> Experiment:
    """Return an experiment, or raise ExperimentError in one line naming the wrong field."""
    try:
        return Experiment(**fields)
    except ValidationError as error:
        raise ExperimentError(one_line(error)) from error


def one_line(error: ValidationError, name: Callable[[str], str] = str) -> str:
    """Return what is wrong with a config: field (spelled by `name`), what is allowed, value."""
    parts: list[str] = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"] if isinstance(part, str))
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "literal_error":
            known = re.findall(r"'([^']*)'", problem["msg"])
            hint = did_you_mean(str(problem["input"]), known).rstrip(".")
            reason = f"unknown {problem['input']!r}.{hint}"
        elif problem["type"] != "value_error":
            expected = EXPECTED.get(problem["type"])
            reason = f"expected {expected.format(**problem.get('ctx', {}))}" if expected else reason
            reason += f", found {problem['input']!r}"
        parts.append(f"{name(field)}: {reason}" if field else reason)
    text = "; ".join(parts)
    return text if text.endswith("?") else f"{text}."


def default_dates(bars: Mapping[str, pd.DataFrame]) -> tuple[dt.date, dt.date]:
    """Return validation and test start: 60 % and 80 % into the dates that all symbols share.

    Raises
    ------
    ExperimentError
        When the symbols share fewer than 10 dates.
    """
    shared = None
    for frame in bars.values():
        index = pd.DatetimeIndex(frame.index)
        shared = index if shared is None else shared.intersection(index)
    if shared is None or len(shared) < 10:
        raise ExperimentError(
            f"{', '.join(bars)} share {0 if shared is None else len(shared)} dates: too few to"
            " split. Compare symbols with a common history."
        )
    return shared[int(len(shared) * 0.6)].date(), shared[int(len(shared) * 0.8)].date()


def run_hash(experiment: Experiment, bars: Mapping[str, pd.DataFrame]) -> str:
    """Return the digest of all that decides a run: config, bars, nextbar's version, schema."""
    content: dict[str, Any] = {
        "experiment": experiment.model_dump(mode="json"),
        "bars": {
            symbol: [bars_digest(frame), frame.attrs["adjustment"], list(frame.attrs["notes"])]
            for symbol, frame in bars.items()
        },
        "nextbar": version("nextbar"),
        "schema": SCHEMA,
    }
    return digest(canonical_json(content))
