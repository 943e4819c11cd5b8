"""What ``results.json`` holds of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pandas as pd

from ..signals.bars import bars_digest, bars_per_year
from ..training.labels import direction_labels
from .common import CAUTION, STRATEGIES, pooled_returns
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
    yearly = bars_per_year(experiment.interval)
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
                "calls": _call_quality(frame, results[symbol]["lstm"], records[symbol]),
                "strategies": {k: summary(r, yearly) for k, r in results[symbol].items()},
            }
            for symbol, frame in bars.items()
        },
    }
    if len(bars) > 1:
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


def _call_quality(frame: pd.DataFrame, result: Result, record: ModelRecord) -> dict[str, Any]:
    """Return how often the up/down calls of the test bars came true, beside the base rate.

    The base rate is the share of the commoner outcome: what always calling it would have scored.
    """
    labels = direction_labels(frame, record.card.horizon, record.card.target)
    calls = pd.DataFrame({"score": result.score, "up": labels["up"]}).dropna()
    if calls.empty:
        return {"rows": 0, "accuracy": None, "base_rate": None, "up_calls": None}
    outcome = calls["up"].to_numpy() > 0.5
    called = calls["score"].to_numpy() > 0.5
    return {
        "rows": len(calls),
        "accuracy": float((called == outcome).mean()),
        "base_rate": float(max(outcome.mean(), 1 - outcome.mean())),
        "up_calls": float(called.mean()),
    }
