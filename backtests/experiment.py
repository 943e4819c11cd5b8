"""What is compared: one frozen, validated configuration, and the hash that names its run."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..signals.bars import bars_digest
from ..signals.errors import ExperimentError, did_you_mean
from ..signals.store import canonical_json, digest
from ..training.config import Fold, TrainingConfig
from ..training.rivals import rival_named
from .origin import Origin

__all__ = [
    "FEWEST_BARS",
    "SCHEMA",
    "Experiment",
    "Settings",
    "make_experiment",
    "one_line",
    "run_hash",
    "shared_dates",
]

SCHEMA = 2
"""Version of the files in a run's folder; part of the run's hash."""

FEWEST_BARS = 30
"""Bars before the first test on which rules are chosen, at least, once all are warmed up."""

EXPECTED = {
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "finite_number": "a finite number",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "a text",
    "tuple_type": "a list such as [1, 2]",
    "model_type": "a table",
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "a date such as 2010-01-31",
    ),
}
"""What is allowed, in plain words, by pydantic's name for the problem."""


class Settings(BaseModel):
    """What does not depend on the bars: the same for a plan and for the experiment made of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "compare"
    """Start of the run folder's name."""
    source: str = "sample"
    start: dt.date | None = None
    end: dt.date | None = None
    adjust: bool | None = None
    """Whether prices are adjusted for splits and dividends; None is the source's own way."""
    seeds: int = Field(5, ge=1, le=100)
    """Models of each fold that differ by their random numbers only; their mean makes the calls."""
    training: TrainingConfig = TrainingConfig()
    cash: float = Field(100_000.0, gt=0)
    cost_bps: float = Field(5.0, ge=0, lt=10_000)
    """Basis points of the traded value paid on each side: commission, spread and slippage."""
    shorts: bool = False
    """Whether a down call is a short position (else it is no position)."""
    target: float = Field(0.95, gt=0, le=1)
    """Share of the account value that a position takes; the rest is a buffer against gaps: near 1,
    openings are refused whenever the next open is above the close."""
    step: float | None = Field(1.0, ge=1e-9)
    """Lot size; None, or 0 in a file, trades fractions."""
    band: float | None = Field(None, ge=0)
    """Rebalance a position that is off by more than this share of the account; None never."""
    on_zero: Literal["flat", "hold"] = "flat"
    dead_band: float = Field(0.0, ge=0, lt=0.5)
    """No call while the probability is no further than this from 0.5."""
    ema_grid: tuple[tuple[int, int], ...] = ((5, 20), (10, 50), (20, 50), (20, 100), (50, 200))
    """Fast and slow averages among which each fold chooses on the bars before its test."""
    momentum_grid: tuple[int, ...] = (21, 63, 126, 252)
    """Look-backs in bars among which each fold chooses; 252 are a year of daily bars."""
    volatility_target: float = Field(0.15, gt=0)
    """Annual volatility above which the volatility-targeted buy & hold takes a smaller position."""
    rivals: tuple[str, ...] = ()
    """Classical forecasters that join the table, by name: average, ema_forecast, linear, knn, arima
    and prophet. Each is one more baseline that has to be beaten."""
    random_shifts: int = Field(200, ge=200, le=10_000)
    """Random callers with the LSTM's own exposure and turnover: its calls, moved round in time."""

    @property
    def look_back(self) -> int:
        """Bars that the rules need before their first decision."""
        return max(60, *(slow - 1 for _, slow in self.ema_grid), *self.momentum_grid)

    @field_validator("name")
    @classmethod
    def _file_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError(
                "expected at most 100 letters, digits, dots, dashes and underscores, found"
                f" {name[:120]!r}"
            )
        return name

    @field_validator("rivals")
    @classmethod
    def _known_rivals(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"expected each rival once, found {', '.join(names)}")
        for name in names:
            rival_named(name)
        return names

    @field_validator("step", mode="before")
    @classmethod
    def _fractions(cls, step: Any) -> Any:
        # A file cannot say None.
        return None if step == 0 else step

    @field_validator("ema_grid")
    @classmethod
    def _averages(cls, grid: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        if not grid or not all(1 <= fast < slow for fast, slow in grid):
            raise ValueError(f"expected at least one pair 1 <= fast < slow, found {list(grid)}")
        return grid

    @field_validator("momentum_grid")
    @classmethod
    def _look_backs(cls, grid: tuple[int, ...]) -> tuple[int, ...]:
        if not grid or min(grid) < 1:
            raise ValueError(f"expected look-backs of 1 bar or more, found {list(grid)}")
        return grid


class Experiment(Settings):
    """A comparison, all but the bars. Every strategy gets the same dates, costs and sizing."""

    symbols: tuple[str, ...]
    interval: str = "1d"
    folds: tuple[Fold, ...]
    """The walk-forward: models and rules are fitted anew for each, on earlier bars only."""
    model_sha256: str | None = None
    """Digest of a given model file or chain; None trains models for each symbol."""
    origin: Origin = Origin()
    """Where the settings came from, for the report."""

    @property
    def test_start(self) -> dt.date:
        """First date on which strategies decide; the first order fills at the next open."""
        return self.folds[0].test_start

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

    @field_validator("training")
    @classmethod
    def _honest(cls, training: TrainingConfig) -> TrainingConfig:
        if training.flaws:
            raise ValueError(
                f"a comparison takes no training with known flaws, found"
                f" {', '.join(training.flaws)}; `nextbar compare --recipe NAME --faithful` shows"
                " what they were worth"
            )
        return training

    @field_validator("folds")
    @classmethod
    def _ascending(cls, folds: tuple[Fold, ...]) -> tuple[Fold, ...]:
        starts = [fold.test_start for fold in folds]
        if not starts or sorted(set(starts)) != starts:
            raise ValueError(
                "expected at least one fold, each with a later test_start than the one before,"
                f" found {', '.join(map(str, starts)) or 'none'}"
            )
        return folds


def make_experiment(**fields: Any) -> Experiment:
    """Return an experiment, or raise ExperimentError in one line naming the wrong field."""
    try:
        return Experiment(**fields)
    except ValidationError as error:
        raise ExperimentError(one_line(error)) from error


def one_line(
    error: ValidationError, name: Callable[[str], str] = str, known: Iterable[str] = ()
) -> str:
    """Return what is wrong with a config: field (spelled by `name`), what is allowed, value.

    `known` are the fields that there are, for the nearest match of one that is not.
    """
    parts: list[str] = []
    for problem in error.errors():
        if "int" in problem["loc"] and isinstance(problem["input"], list):
            continue  # a list was meant: what is wrong inside it is told by itself
        field = ".".join(_place(problem["loc"], whole=problem["type"] == "value_error"))
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            reason = f"unknown.{did_you_mean(str(problem['loc'][-1]), known).rstrip('.')}"
        elif problem["type"] == "literal_error":
            words = re.findall(r"'([^']*)'", problem["msg"])
            hint = did_you_mean(str(problem["input"]), words).rstrip(".")
            reason = f"unknown {problem['input']!r}.{hint}"
        elif problem["type"] == "missing":
            reason = "is missing"
        elif problem["type"] != "value_error":
            expected = EXPECTED.get(problem["type"])
            reason = f"expected {expected.format(**problem.get('ctx', {}))}" if expected else reason
            reason += f", found {problem['input']!r}"
        parts.append(f"{name(field)}: {reason}" if field else reason)
    text = "; ".join(parts)
    return text if text.endswith("?") else f"{text}."


def _place(parts: Sequence[int | str], *, whole: bool) -> list[str]:
    """Return the names of ours in a problem's place, and the numbers of tables in a list.

    The number of a plain item is left out, unless the `whole` of it is wrong: its value is shown.
    """
    named = [part for part in parts if isinstance(part, int) or not re.search(r"^int$|\[", part)]
    if named and isinstance(named[-1], int) and not whole:
        named.pop()
    return [str(part) for part in named]


def shared_dates(bars: Mapping[str, pd.DataFrame]) -> pd.DatetimeIndex:
    """Return the dates that all symbols have: what folds are laid out on.

    Raises
    ------
    ExperimentError
        When there are none.
    """
    shared = None
    for frame in bars.values():
        index = pd.DatetimeIndex(frame.index)
        shared = index if shared is None else shared.intersection(index)
    if shared is None or shared.empty:
        raise ExperimentError(
            f"{', '.join(bars)} share no date. Compare symbols with a common history."
        )
    return shared


def run_hash(experiment: Experiment, bars: Mapping[str, pd.DataFrame]) -> str:
    """Return the digest of all that decides a run: config, bars, nextbar's version, schema.

    The origin of the settings is part of the config, for the report tells it.
    """
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
