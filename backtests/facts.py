"""What commands tell of bars, trainings and newest calls: plain values, for tables and JSON."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..signals.bars import bars_digest
from ..signals.errors import ExperimentError, SourceError
from ..signals.latest import LatestCall, latest_call, open_model, uses_of
from ..signals.model import Model
from ..signals.sessions import Session

if TYPE_CHECKING:
    from ..signals.chain import Chain
    from ..training.fit import Trained

__all__ = ["bars_facts", "date_text", "newest_calls", "session_of", "training_facts"]


def bars_facts(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what `nextbar bars` prints of a history."""
    return {
        "rows": len(frame),
        "first": date_text(frame.index[0]),
        "last": date_text(frame.index[-1]),
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
        raise SourceError(f"--close: expected a time such as 16:00, found {close!r}.") from error


def newest_calls(
    bars: Mapping[str, pd.DataFrame], model: Path | None, session: Session, dead_band: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the newest call of each symbol, and warnings."""
    if model is None:
        raise ExperimentError("name the model file: --model FILE. `nextbar train` makes one.")
    if not 0 <= dead_band < 0.5:
        raise ExperimentError(f"--dead-band: expected 0 or more and below 0.5, found {dead_band}.")
    loaded = open_model(model)
    known = {name.upper() for name in uses_of(loaded).symbols}
    calls: list[dict[str, Any]] = []
    warnings: list[str] = []
    if flaws := uses_of(loaded).known_flaws:
        warnings.append(f"{model}: its card names flaws: {', '.join(flaws)}.")
    for symbol, frame in bars.items():
        now = session.now_for(frame)
        finished, dropped = session.split_unfinished(frame, now)
        if dropped:
            labels = ", ".join(map(date_text, dropped))
            warnings.append(f"{symbol}: dropped {labels}, whose session is not over.")
        if symbol.upper() not in known:
            trained_on = ", ".join(uses_of(loaded).symbols)
            warnings.append(f"{symbol}: the model was trained on {trained_on}.")
        call = latest_call(loaded, finished, dead_band)
        stale = session.is_stale(call.last_bar, str(frame.attrs["interval"]), now)
        if stale:
            warnings.append(f"{symbol}: the last bar, {date_text(call.last_bar)}, is stale.")
        reason = _why_none(call, loaded)
        if reason:
            warnings.append(f"{symbol}: no call: {reason}.")
        row = asdict(call) | {"symbol": symbol, "last_bar": date_text(call.last_bar)}
        row |= {"stale": stale, "reason": reason}
        if not math.isfinite(call.score):  # prices too large or small for the model
            row["score"] = None
        row["call"] = {1: "up", -1: "down", 0: "none"}[call.direction]
        calls.append(row | {"model": str(model), "model_sha256": loaded.sha256})
    return calls, warnings


def _why_none(call: LatestCall, model: Model | Chain) -> str | None:
    """Return why there is no call; None when there is one."""
    if call.direction:
        return None
    if not call.bars_since_train_end:
        single = isinstance(model, Model)
        where = "in the model's training data" if single else "before the chain's first period"
        return f"the last bar is {where}"
    if not math.isfinite(call.score):
        return "the window holds a price that the model cannot see"
    return "the score is inside the dead band"


def date_text(moment: pd.Timestamp) -> str:
    """Return the date, with the time unless it is midnight."""
    return str(moment.date()) if moment == moment.normalize() else str(moment)
