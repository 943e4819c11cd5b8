"""What ``results.json`` holds of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..signals.bars import bars_digest, periods_per_year
from ..signals.heads import CENTRES
from ..training.labels import direction_labels
from .common import LABELS, why_not_pooled
from .contenders import first_test_bar
from .evidence.calls import calibration, call_statistics
from .experiment import SCHEMA, Experiment
from .forecast_results import forecast_facts
from .judgement import judge, mix, mixed_summary
from .metrics import sharpe, summary
from .result import Result
from .table import Part
from .trials import Trials, count_trials

__all__ = ["summarise"]


def summarise(
    experiment: Experiment, name: str, parts: Mapping[str, Part], runs: Path
) -> dict[str, Any]:
    """Return all facts and figures as plain JSON values: no times, paths or NaN.

    The run, whose hash is `name`, is written into the trial ledger of the folder `runs`.
    """
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "name": experiment.name,
        "hash": name,
        "nextbar": version("nextbar"),
        "experiment": experiment.model_dump(mode="json"),
        "symbols": {symbol: _symbol(part, experiment) for symbol, part in parts.items()},
        "cautions": [
            *(caution for part in parts.values() for caution in _cautions(part)),
            *_refusals(parts),
        ],
        "obstacle": _flaws(parts)
        or why_not_pooled({symbol: part.results for symbol, part in parts.items()}),
    }
    return content | _judged(experiment, name, parts, runs, content["obstacle"])


def _judged(
    experiment: Experiment,
    name: str,
    parts: Mapping[str, Part],
    runs: Path,
    obstacle: str | None,
) -> dict[str, Any]:
    """Return the equal-weight mix, the evidence and the verdict; None without a sensible mix."""
    bars = {symbol: part.frame for symbol, part in parts.items()}
    if obstacle is not None:
        trials = count_trials(experiment, bars, name, runs, None)
        return {"equal_weight": None, "evidence": None, "trials": trials.number}
    mixed = mix(
        bars,
        {symbol: part.results for symbol, part in parts.items()},
        {symbol: part.shadows for symbol, part in parts.items()},
    )
    own = sharpe(mixed.strategies["lstm"].to_numpy(np.float64), mixed.periods_per_year)
    trials: Trials = count_trials(experiment, bars, name, runs, own)
    return {
        "equal_weight": mixed_summary(mixed),
        "evidence": judge(mixed, trials.number, trials.sharpes),
        "trials": trials.number,
    }


def _symbol(part: Part, experiment: Experiment) -> dict[str, Any]:
    yearly = periods_per_year(part.frame)
    strategies = {
        name: summary(part.results[name], yearly) for name in LABELS if name in part.results
    }
    start = first_test_bar(part.frame, experiment)
    forecasts = forecast_facts(part.frame, part.models, part.forecasts, start)
    return ({"forecasts": forecasts} if forecasts else {}) | {
        "bars": _describe(part.frame, experiment),
        "models": part.models.facts,
        "rules": {name: [rule.parameters for rule in rules] for name, rules in part.rules.items()},
        "calls": _call_quality(part, experiment.dead_band),
        "strategies": strategies | {"random": part.shadows.random_summary},
        "seeds": [sharpe(row[1:], yearly) for row in part.shadows.seeds],
    }


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


def _flaws(parts: Mapping[str, Part]) -> str | None:
    """Return which leaks a given model is known to carry: it never gets a verdict."""
    given = next(iter(parts.values())).models.facts.get("given", {})
    flaws = "; ".join(given.get("known_flaws", []))
    return f"the model's card names its flaws: {flaws}" if flaws else None


def _refusals(parts: Mapping[str, Part]) -> list[str]:
    """Return one line for all orders that were refused for lack of cash."""
    counts = {
        f"{symbol} {LABELS[name]} {len(result.rejected)}": len(result.rejected)
        for symbol, part in parts.items()
        for name, result in part.results.items()
        if len(result.rejected)
    }
    if not counts:
        return []
    names = ", ".join(counts)
    total = sum(counts.values())
    were = "order was" if total == 1 else "orders were"
    return [f"{total} {were} refused for lack of cash; lower the target ({names})."]


def _cautions(part: Part) -> list[str]:
    """Return what makes a symbol's figures doubtful, in words."""
    frame, results = part.frame, part.results
    symbol = frame.attrs["symbol"]
    trained_on = part.models.facts.get("given", {}).get("symbols", [symbol])
    found = [
        f"{symbol}: {note.removeprefix('caution: ')}"
        for note in frame.attrs["notes"]
        if note.startswith("caution: ")
    ]
    if symbol not in trained_on:
        found.append(f"{symbol}: the model was trained on {', '.join(trained_on)}.")
    if frame.attrs["interval"].endswith(("wk", "mo")):
        found.append(f"{symbol}: the verdict's rule was measured on days, not on longer bars.")
    found += _idle(symbol, results)
    for name, result in results.items():
        who = f"{symbol}, {LABELS[name]}"
        if result.direction.any() and result.rejected.empty and result.orders.empty:
            found.append(
                f"{who}: {result.cash:g} of cash buys no unit near {result.close.iloc[0]:g}; use"
                " fractions or more cash."
            )
    return found


def _idle(symbol: str, results: Mapping[str, Result]) -> Iterator[str]:
    """Yield what shows that the LSTM has learnt nothing that its account depends on."""
    lstm, placebo = results["lstm"], results.get("shuffled")
    called = set(lstm.direction.astype(int))
    if called <= {-1, 0}:
        yield f"{symbol}: the LSTM called up on no bar of the test."
    elif called == {1}:
        yield f"{symbol}: the LSTM called up on every bar of the test."
    elif placebo is not None and placebo.returns.equals(lstm.returns):
        yield (
            f"{symbol}: the LSTM earned what the same network earns on labels in random order, on"
            " every bar: it has learnt nothing."
        )


def _call_quality(part: Part, dead_band: float) -> dict[str, Any]:
    """Return how the LSTM's calls of the test bars came true, and how its scores are calibrated."""
    labels = direction_labels(part.frame, part.models.horizon, part.models.target)
    scores = pd.DataFrame({"score": part.results["lstm"].score}).join(labels["up"])
    score, up = scores["score"].to_numpy(np.float64), scores["up"].to_numpy(np.float64)
    centre = CENTRES[part.models.head]
    found = call_statistics(score, up, part.models.horizon, dead_band, centre=centre)
    bins = calibration(score, up) if part.models.head == "direction" else ()
    return asdict(found) | {"calibration": [asdict(bin_) for bin_ in bins]}
