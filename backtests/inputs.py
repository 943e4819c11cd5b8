"""From what people type to checked values: bars, dates, configs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import pandas as pd
from pydantic import BaseModel, ValidationError

from ..signals.errors import ExperimentError, SourceError, did_you_mean
from ..signals.sources import load_bars
from ..signals.sources.request import parse_date
from ..training.config import TrainingConfig
from .experiment import one_line

__all__ = [
    "from_options",
    "load_all",
    "only_one",
    "parts",
    "training_config",
]

OPTIONS = ("seed", "epochs", "window", "horizon", "units", "features")
"""Fields of the training with an option of their own."""

ConfigT = TypeVar("ConfigT", bound=BaseModel)


def load_all(
    symbols: Sequence[str] | None,
    csv: Sequence[Path] | None,
    source: str,
    start: str | None,
    end: str | None,
    interval: str | None,
    adjust: bool | None,
    refresh: bool,
) -> dict[str, pd.DataFrame]:
    """Return checked bars by symbol, from files when `csv` is given, else from `source`."""
    if source == "csv" and not csv:
        raise SourceError("name a file of bars with --csv FILE; --source is for symbols.")
    for option, date in (("--start", start), ("--end", end)):
        parse_date(date, option)  # names it as typed
    options: dict[str, Any] = {"interval": interval, "adjust": adjust, "refresh": refresh}
    loaded: dict[str, pd.DataFrame] = {}
    for symbol, name in _names(symbols, csv).items():
        loaded[symbol] = load_bars(name, "csv" if csv else source, start=start, end=end, **options)
        loaded[symbol].attrs["symbol"] = symbol
    return loaded


def _names(symbols: Sequence[str] | None, csv: Sequence[Path] | None) -> dict[str, str]:
    """Return by symbol what its source calls it: the symbol as typed, or the path of its file."""
    if csv and symbols:
        raise SourceError("name symbols or --csv files, not both: a file's name is its symbol.")
    if not csv and not symbols:
        raise SourceError("name at least one symbol, such as AAPL, or a file with --csv.")
    names: dict[str, str] = {}
    typed = [(symbol.upper(), symbol) for symbol in symbols or ()]
    for symbol, name in typed + [(_symbol_of(path), str(path)) for path in csv or ()]:
        if symbol in names and csv:
            raise SourceError(
                f"{names[symbol]} and {name} would both be {symbol}: a file's name is its symbol."
                " Rename one."
            )
        if symbol in names:
            raise SourceError(f"{symbol} is named twice: name each symbol once.")
        names[symbol] = name
    return names


def only_one(bars: Mapping[str, pd.DataFrame]) -> tuple[str, pd.DataFrame]:
    """Return the only symbol and its bars; several are an error."""
    if len(bars) != 1:
        raise SourceError(f"expected one symbol, found {', '.join(bars)}.")
    return next(iter(bars.items()))


def training_config(
    seed: int | None,
    epochs: int | None,
    window: int | None,
    horizon: int | None,
    units: str | None,
    features: str | None,
    settings: Sequence[str] | None = None,
    *,
    base: TrainingConfig | None = None,
) -> TrainingConfig:
    """Return the config with what was given; the rest is as in `base`, or keeps its default.

    `settings` are texts such as ``head=forecast``, for any field; ``none`` is None.
    """
    given: dict[str, Any] = {"seed": seed, "epochs": epochs, "window": window, "horizon": horizon}
    given |= {"units": units and parts(units), "features": features and parts(features)}
    typed = {name: value for name, value in given.items() if value is not None}
    for text in settings or ():
        name, value = _setting(text)
        if name in typed:
            raise ExperimentError(f"{name} is given twice: leave one of them out.")
        typed[name] = value
    try:
        return from_options(TrainingConfig, ({} if base is None else base.model_dump()) | typed)
    except ExperimentError as error:
        if base is None:
            raise
        hint = "What a recipe says is changed with --setting NAME=VALUE."
        raise ExperimentError(f"{error} {hint}") from error


def _setting(text: str) -> tuple[str, Any]:
    """Return name and value of ``name=value``: a list where the field is one."""
    name, sign, value = (part.strip() for part in text.partition("="))
    fields = TrainingConfig.model_fields
    if not sign:
        raise ExperimentError(f"--setting: expected NAME=VALUE, found {text!r}.")
    if name not in fields:
        raise ExperimentError(f"--setting: unknown {name!r}.{did_you_mean(name, fields)}")
    if isinstance(fields[name].default, tuple):
        return name, [] if value.lower() == "none" else parts(value)
    optional = type(None) in get_args(fields[name].annotation)
    return name, None if optional and value.lower() in ("none", "0") else value


def parts(text: str) -> list[str]:
    """Return what stands between commas; brackets round all of it are left out."""
    return [part.strip() for part in text.strip("[] ").split(",") if part.strip()]


def from_options(kind: type[ConfigT], fields: Mapping[str, Any]) -> ConfigT:
    """Return a config, or raise ExperimentError in one line that names the wrong options."""
    try:
        return kind(**fields)
    except ValidationError as error:
        raise ExperimentError(one_line(error, partial(_option, kind))) from error


def _option(kind: type[BaseModel], field: str) -> str:
    """Return a config's field as people type it."""
    if kind is TrainingConfig and field not in OPTIONS:
        return f"--setting {field}"
    return field if field == "symbols" else f"--{field.replace('_', '-')}"


def _symbol_of(path: Path) -> str:
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9._^=&-]", "-", stem).lstrip("._=&-") or "bars"
