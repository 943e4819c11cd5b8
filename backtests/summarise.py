"""What ``results.json`` holds of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from ..signals.bars import bars_digest, periods_per_year
from ..training.labels import direction_labels
from .common import CAUTION, STRATEGIES, pooled_returns, why_not_pooled
from .experiment import SCHEMA, Experiment
from .metrics import return_summary, summary
from .models import ModelRecord
from .result import Result

__all__ = ["summarise"]


def summarise(
    experiment: Experiment,
    name: str,
    bars: Mapping[str, pd.DataFrame],
    records: Mapping[str, ModelRecord],
    results: Mapping[str, Mapping[str, Result]],
) -> dict[str, Any]:
    """Return all facts and figures as plain JSON values: no times, paths or NaN."""
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "name": experiment.name,
        "hash": name,
        "nextbar": version("nextbar"),
        "caution": CAUTION,
        "experiment": experiment.model_dump(mode="json"),
        "symbols": {
            symbol: {
                "bars": _describe(frame, experiment),
                "model": records[symbol].facts,
                "calls": _call_quality(
                    frame, results[symbol]["lstm"], records[symbol], experiment.dead_band
                ),
                "strategies": {
                    name: summary(result, periods_per_year(frame))
                    for name, result in results[symbol].items()
                },
            }
            for symbol, frame in bars.items()
        },
    }
    content["cautions"] = [
        caution for symbol, frame in bars.items() for caution in _cautions(frame, results[symbol])
    ]
    if len(bars) > 1 and (obstacle := why_not_pooled(results)):
        content["cautions"].append(f"no figures for all symbols together: {obstacle}.")
    elif len(bars) > 1:
        yearly = sum(periods_per_year(frame) for frame in bars.values()) / len(bars)
        content["equal_weight"] = {
            strategy: return_summary(pooled_returns(results, strategy), yearly)
            for strategy in STRATEGIES
        }
    return content


def _describe(frame: pd.DataFrame, experiment: Experiment) -> dict[str, Any]:
    test = frame.index[frame.index >= pd.Timestamp(experiment.test_start)]
    return {
        "sha256": bars_digest(frame),
        "rows": len(frame),
        "first": str(frame.index[0]),
        "last": str(frame.index[-1]),
        "adjustment": frame.attrs["adjustment"],
        "notes": list(frame.attrs["notes"]),
        "test_first": str(test[0]),
        "test_last": str(test[-1]),
        "test_bars": len(test),
    }


def _cautions(frame: pd.DataFrame, results: Mapping[str, Result]) -> list[str]:
    """Return what makes a symbol's figures doubtful, in words."""
    symbol = frame.attrs["symbol"]
    found = [
        f"{symbol}: {note.removeprefix('caution: ')}"
        for note in frame.attrs["notes"]
        if note.startswith("caution: ")
    ]
    for name, result in results.items():
        who = f"{symbol}, {STRATEGIES[name]}"
        if refused := len(result.rejected):
            found.append(f"{who}: {refused} orders refused for lack of cash; lower the target.")
        elif result.direction.any() and result.orders.empty:
            found.append(
                f"{who}: {result.cash:g} of cash buys no unit near {result.close.iloc[0]:g}; use"
                " fractions or more cash."
            )
    return found


def _call_quality(
    frame: pd.DataFrame, result: Result, record: ModelRecord, dead_band: float
) -> dict[str, Any]:
    """Return how often the up/down calls of the test bars came true, beside the base rate.

    The base rate is the share of the commoner outcome: what always calling it would have scored.
    """
    labels = direction_labels(frame, record.card.horizon, record.card.target)
    calls = pd.DataFrame({"score": result.score, "up": labels["up"]}).dropna()
    scores = calls["score"].to_numpy(np.float64)
    made = np.abs(scores - 0.5) > dead_band
    if not made.any():
        return {"rows": 0, "accuracy": None, "base_rate": None, "up_calls": None}
    outcome = calls["up"].to_numpy(np.float64)[made] > 0.5
    called = scores[made] > 0.5
    return {
        "rows": len(called),
        "accuracy": float((called == outcome).mean()),
        "base_rate": float(max(outcome.mean(), 1 - outcome.mean())),
        "up_calls": float(called.mean()),
    }
