"""From what people type to checked values: bars, dates, a training config, newest calls."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import ValidationError

from ..signals.bars import bars_digest
from ..signals.errors import BarsError, ExperimentError, SourceError
from ..signals.latest import latest_call
from ..signals.model import load_model
from ..signals.sessions import Session
from ..signals.sources import load_bars
from ..training.config import TrainingConfig
from .experiment import default_dates, one_line

if TYPE_CHECKING:
    from ..training.fit import Trained

__all__ = [
    "bars_facts",
    "dates_for",
    "load_all",
    "newest_calls",
    "only_one",
    "session_of",
    "training_config",
    "training_facts",
]


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
    if csv and symbols:
        raise SourceError("name symbols or --csv files, not both: a file's name is its symbol.")
    if not csv and not symbols:
        raise SourceError("name at least one symbol, such as AAPL, or a file with --csv.")
    if csv:
        names = {_symbol_of(path): str(path) for path in csv}
        source = "csv"
    else:
        names = {symbol: symbol for symbol in symbols or ()}
    wanted = len(csv or symbols or ())
    if len(names) != wanted:
        raise SourceError(f"{wanted} histories were named, but only {len(names)} different ones.")
    options: dict[str, Any] = {"interval": interval, "adjust": adjust, "refresh": refresh}
    loaded: dict[str, pd.DataFrame] = {}
    for symbol, name in names.items():
        loaded[symbol] = load_bars(name, source, start=start, end=end, **options)
        loaded[symbol].attrs["symbol"] = symbol
    return loaded


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
    try:
        return TrainingConfig(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise ExperimentError(one_line(error)) from error


def dates_for(
    bars: Mapping[str, pd.DataFrame],
    model: Path | None,
    validation_start: str | None,
    test_start: str | None,
) -> dict[str, Any]:
    """Return the experiment's dates and the given model's digest.

    A given model is tested on all bars after its training, unless `test_start` says later.
    """
    if model is None:
        validation, test = default_dates(bars)
        return {
            "validation_start": validation_start or validation,
            "test_start": test_start or test,
        }
    if validation_start is not None:
        raise ExperimentError("--validation-start is for training; a given model has its own.")
    loaded = load_model(model)
    later = [frame.index[frame.index >= loaded.card.unseen_from] for frame in bars.values()]
    if not all(map(len, later)):
        raise BarsError(
            f"{model}: trained up to {loaded.card.train_end}, and not every symbol has bars after"
            " that. Load a later end, or train on an earlier one."
        )
    first = max(index[0] for index in later)
    return {"model_sha256": loaded.sha256, "test_start": test_start or first.date()}


def bars_facts(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what `nextbar bars` prints of a history."""
    return {
        "rows": len(frame),
        "first": _date_text(frame.index[0]),
        "last": _date_text(frame.index[-1]),
        "interval": frame.attrs["interval"],
        "adjustment": frame.attrs["adjustment"],
        "last_close": float(frame["close"].iloc[-1]),
        "sha256": bars_digest(frame),
        "notes": list(frame.attrs["notes"]),
    }


def training_facts(trained: Trained) -> dict[str, Any]:
    """Return what `nextbar train` prints of a training."""
    best = trained.history[trained.best_epoch - 1]
    return {
        "file": str(trained.path),
        "train_start": trained.card.train_start,
        "train_end": trained.card.train_end,
        "train_rows": trained.train_rows,
        "validation_rows": trained.validation_rows,
        "epochs": len(trained.history),
        "best_epoch": trained.best_epoch,
        "validation_accuracy": round(best.validation_accuracy, 4),
        "validation_base_rate": round(trained.validation_base_rate, 4),
        "certificate": trained.card.certificate.model_dump(mode="json"),
    }


def session_of(close: str, timezone: str) -> Session:
    """Return the session whose end is given as ``16:00``."""
    try:
        return Session(dt.time.fromisoformat(close), timezone)
    except ValueError as error:
        raise SourceError(f"expected a time such as 16:00, found {close!r}.") from error


def newest_calls(
    bars: Mapping[str, pd.DataFrame], model: Path | None, session: Session, dead_band: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the newest call of each symbol, and warnings."""
    if model is None:
        raise ExperimentError("name the model file: --model FILE. `nextbar train` makes one.")
    loaded, now = load_model(model), session.now()
    calls: list[dict[str, Any]] = []
    warnings: list[str] = []
    for symbol, frame in bars.items():
        finished, dropped = session.split_unfinished(frame, now)
        if dropped:
            labels = ", ".join(map(_date_text, dropped))
            warnings.append(f"{symbol}: dropped {labels}, whose session is not over.")
        if symbol not in loaded.card.symbols:
            warnings.append(f"{symbol}: the model was trained on {', '.join(loaded.card.symbols)}.")
        call = latest_call(loaded, finished, dead_band)
        if session.is_stale(call.last_bar, str(frame.attrs["interval"]), now):
            warnings.append(f"{symbol}: the last bar, {_date_text(call.last_bar)}, is stale.")
        row = asdict(call) | {"symbol": symbol, "last_bar": _date_text(call.last_bar)}
        row["call"] = {1: "up", -1: "down", 0: "none"}[call.direction]
        calls.append(row | {"model": str(model), "model_sha256": loaded.sha256})
    return calls, warnings


def _date_text(moment: pd.Timestamp) -> str:
    """Return the date, with the time unless it is midnight."""
    return str(moment.date()) if moment == moment.normalize() else str(moment)


def _symbol_of(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._^=&-]", "-", path.stem)
