"""From what people type to checked values: bars, dates, configs."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ValidationError

from ..signals.errors import BarsError, ExperimentError, SourceError
from ..signals.model import Model, load_model
from ..signals.sources import load_bars
from ..signals.sources.request import parse_date
from ..training.config import TrainingConfig
from .experiment import default_dates, one_line
from .facts import date_text

__all__ = [
    "dates_for",
    "from_options",
    "load_all",
    "only_one",
    "training_config",
]

ConfigT = TypeVar("ConfigT", bound=BaseModel)

FEWEST = 10
"""Fewer bars than this cannot even be split; how many a training needs depends on its window."""


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
    seed: int,
    epochs: int | None,
    window: int | None,
    horizon: int | None,
    units: str | None,
    features: str | None,
) -> TrainingConfig:
    """Return the config with what was given; the rest keeps its default."""
    given: dict[str, Any] = {"seed": seed, "epochs": epochs, "window": window, "horizon": horizon}
    if units is not None:
        given["units"] = [part.strip() for part in units.split(",")]
    if features is not None:
        given["features"] = [part.strip() for part in features.split(",")]
    return from_options(TrainingConfig, {k: v for k, v in given.items() if v is not None})


def from_options(kind: type[ConfigT], fields: Mapping[str, Any]) -> ConfigT:
    """Return a config, or raise ExperimentError in one line that names the wrong options."""
    try:
        return kind(**fields)
    except ValidationError as error:
        raise ExperimentError(one_line(error, _option)) from error


def _option(field: str) -> str:
    """Return a config's field as people type it."""
    return field if field == "symbols" else f"--{field.replace('_', '-')}"


def dates_for(
    bars: Mapping[str, pd.DataFrame],
    model: Path | None,
    config: TrainingConfig,
    validation_start: str | None,
    test_start: str | None,
    look_back: int,
) -> dict[str, Any]:
    """Return the experiment's dates and the given model's digest.

    `look_back` is the number of bars that the baselines need before the first decision.

    A given model is tested on all bars after its training, unless `test_start` says later.
    """
    validation = parse_date(validation_start, "--validation-start")
    test = parse_date(test_start, "--test-start")
    if model is None:
        validation_day, test_day = _training_dates(bars, validation, test)
        _check_warm_up(bars, test_day, max(config.window - 1, look_back))
        return {"validation_start": validation_day, "test_start": test_day}
    if validation is not None:
        raise ExperimentError("--validation-start is for training; a given model has its own.")
    if config != TrainingConfig():
        raise ExperimentError(
            "--seed, --epochs, --window, --horizon, --units and --features are for training; a"
            " given model has its own. Leave them out."
        )
    loaded = load_model(model)
    warm_up = max(loaded.card.window - 1, look_back)
    test_day = _first_unseen(bars, loaded, warm_up) if test is None else test.date()
    _check_warm_up(bars, test_day, warm_up)
    return {"model_sha256": loaded.sha256, "test_start": test_day}


def _training_dates(
    bars: Mapping[str, pd.DataFrame], validation: pd.Timestamp | None, test: pd.Timestamp | None
) -> tuple[dt.date, dt.date]:
    """Return validation and test start: what is given, else shares of the common history."""
    if test is not None:
        bars = {symbol: frame[frame.index < test] for symbol, frame in bars.items()}
    for symbol, frame in bars.items():
        if len(frame) < FEWEST:
            until = "" if test is None else f" before --test-start {test.date()}"
            raise BarsError(
                f"{symbol}: {len(frame)} bars{until} are too few to train a model. Use a longer"
                " history or a later --test-start."
            )
    first, second = default_dates(bars)
    if test is not None:
        # The last fifth before the test, as `nextbar train` has it.
        first, second = second, test.date()
    return first if validation is None else validation.date(), second


def _first_unseen(bars: Mapping[str, pd.DataFrame], model: Model, warm_up: int) -> dt.date:
    """Return the first date on which no symbol's bar is in-sample, or in a warm-up."""
    card = model.card
    starts: list[pd.Timestamp] = []
    for symbol, frame in bars.items():
        unseen = int(frame.index.searchsorted(pd.Timestamp(card.unseen_from)))
        if unseen >= len(frame):
            raise BarsError(
                f"{model.path}: trained up to {card.train_end}, and the last bar of {symbol} is of"
                f" {date_text(frame.index[-1])}. Load a later end, or train on an earlier one."
            )
        # With too few bars for the warm-up one near the end: the check of it will say so.
        ready = min(warm_up, len(frame) - 2)
        starts.append(frame.index[max(unseen, ready, 0)])
    first = max(starts)
    # A date begins at midnight: one that is partly seen is left out.
    return first.date() if first == first.normalize() else (first + pd.Timedelta(days=1)).date()


def _check_warm_up(bars: Mapping[str, pd.DataFrame], test: dt.date, needed: int) -> None:
    """Raise BarsError, before anything is trained, if a symbol has too few bars before `test`."""
    for symbol, frame in bars.items():
        before = int((frame.index < pd.Timestamp(test)).sum())
        if before < needed:
            raise BarsError(
                f"{symbol}: {before} bars before the test, which starts on {test}; the strategies"
                f" need {needed} to warm up. Load earlier bars, choose a later --test-start, or a"
                " shorter --momentum-period."
            )


def _symbol_of(path: Path) -> str:
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9._^=&-]", "-", stem).lstrip("._=&-") or "bars"
