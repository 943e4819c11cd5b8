"""How often was tried: the runs of the trial ledger that saw the same days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from ..signals.ledger import append_trial
from ..signals.store import canonical_json, digest
from ..training.config import TrainingConfig
from .experiment import Experiment
from .outputs import only_writer

__all__ = ["LEDGER", "Trials", "count_trials", "note_training"]

LEDGER = "ledger.jsonl"

PATIENCE = 30.0
"""Seconds to wait for another run that writes the ledger."""


@dataclass(frozen=True)
class Trials:
    """What was ever evaluated on these days, this run included."""

    number: int
    """Different LSTM configurations; seeds of one configuration are one."""
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

    A trial counts when it shares a symbol and a day of the test with this one. Writing comes
    before the verdict is seen. A rerun adds nothing.
    """
    trial: dict[str, Any] = {
        "id": name,
        "kind": "comparison",
        "nextbar": version("nextbar"),
        "config": experiment.model_sha256 or _digest(experiment.training),
        "symbols": list(experiment.symbols),
        "test_start": str(experiment.test_start),
        "test_end": str(max(frame.index[-1] for frame in bars.values())),
        "sharpe": sharpe,
    }
    every = _append(runs, trial)
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


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    apart = other["test_end"] < one["test_start"] or one["test_end"] < other["test_start"]
    return not apart and bool(set(one["symbols"]) & set(other["symbols"]))
