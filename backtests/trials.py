"""How often was tried: the runs of the trial ledger that saw the same days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from ..signals.bars import bars_digest
from ..signals.ledger import append_trial, read_trials
from ..signals.store import canonical_json, digest
from ..training.config import TrainingConfig
from .experiment import Experiment
from .outputs import only_writer

__all__ = ["LEDGER", "Trials", "count_trials", "note_training", "trials_by_now"]

LEDGER = "ledger.jsonl"

PATIENCE = 30.0
"""Seconds to wait for another run that writes the ledger."""


@dataclass(frozen=True)
class Trials:
    """What was ever evaluated on these days, this run included."""

    number: int
    """Different configurations: whatever changes the LSTM's calls or what they earn is another."""
    sharpes: Sequence[float]
    """Their annual Sharpe ratios, where defined."""


def count_trials(
    experiment: Experiment,
    bars: Mapping[str, pd.DataFrame],
    name: str,
    runs: Path,
    sharpe: float | None,
) -> Trials:
    """Write this run, whose hash is `name`, into the ledger of `runs`, and count.

    A trial counts when it shares a symbol or the bars of one, and a day of the test, with this
    one. Writing comes before the verdict is seen. A rerun adds nothing.
    """
    trial = _trial(experiment, bars, name, sharpe)
    return _count(_append(runs, trial), trial)


def trials_by_now(
    experiment: Experiment, bars: Mapping[str, pd.DataFrame], name: str, runs: Path
) -> int:
    """Return what `count_trials` would count today; nothing is written."""
    trial = _trial(experiment, bars, name, None)
    return _count([*read_trials(runs / LEDGER), trial], trial).number


def _trial(
    experiment: Experiment, bars: Mapping[str, pd.DataFrame], name: str, sharpe: float | None
) -> dict[str, Any]:
    return {
        "id": name,
        "kind": "comparison",
        "nextbar": version("nextbar"),
        "config": _decisive(experiment),
        "symbols": list(experiment.symbols),
        "bars": [bars_digest(frame) for frame in bars.values()],
        "test_start": str(experiment.test_start),
        "test_end": str(max(frame.index[-1] for frame in bars.values())),
        "sharpe": sharpe,
    }


def _count(every: Sequence[Mapping[str, Any]], trial: Mapping[str, Any]) -> Trials:
    same = {
        other["config"]: other["sharpe"]
        for other in every
        if other["kind"] == "comparison" and _overlap(trial, other)
    }
    return Trials(len(same), [ratio for ratio in same.values() if ratio is not None])


def note_training(config: TrainingConfig, symbol: str, name: str, runs: Path) -> None:
    """Write a training without a test into the ledger: choosing on validation costs no trial."""
    _append(
        runs,
        {
            "id": name,
            "kind": "training",
            "nextbar": version("nextbar"),
            "config": _digest(config),
            "symbols": [symbol],
        },
    )


def _append(runs: Path, trial: Mapping[str, Any]) -> list[dict[str, Any]]:
    with only_writer(runs / LEDGER, PATIENCE):
        return append_trial(runs / LEDGER, trial)


def _digest(config: TrainingConfig) -> str:
    return digest(canonical_json(config.model_dump(mode="json", exclude={"seed"})))


def _decisive(experiment: Experiment) -> str:
    """Return the digest of all that decides the LSTM's calls and what they earn, but the bars."""
    said = {"name", "source", "symbols", "origin"}
    rules = {"ema_grid", "momentum_grid", "volatility_target", "random_shifts"}
    settings = experiment.model_dump(mode="json", exclude=said | rules)
    return digest(canonical_json(settings))


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    apart = other["test_end"] < one["test_start"] or one["test_end"] < other["test_start"]
    shared = (set(one[key]) & set(other[key]) for key in ("symbols", "bars"))
    return not apart and any(shared)
