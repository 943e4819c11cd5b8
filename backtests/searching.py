"""The search of settings that goes before a comparison, on the bars before its first test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..signals.errors import ExperimentError
from ..training.search_space import Search
from .comparison import OnStep, Step
from .experiment import Experiment
from .origin import SearchOrigin
from .outputs import only_writer
from .trials import note_training

if TYPE_CHECKING:
    from ..training.course import Epoch
    from ..training.tune import Trial

__all__ = ["search_first"]


def search_first(
    experiment: Experiment,
    search: Search,
    bars: Mapping[str, pd.DataFrame],
    runs: Path,
    on_step: OnStep,
) -> Experiment:
    """Search on the first symbol; return the experiment with the best settings, and their origin.

    Only bars before the first test are seen. Every trial is noted in the ledger of `runs`, as a
    training without a test; the search itself is kept in `runs`, or where it says, and goes on
    there.

    Raises
    ------
    NextbarError
        When another process searches there, or as `nextbar.training.tune.search` does.
    """
    from ..training.tune import search as run_search  # brings tensorflow

    if experiment.model_sha256 is not None:
        raise ExperimentError("a given model has its settings: leave model or [search] out.")
    symbol = experiment.symbols[0]
    finished: list[int] = []

    def on_trial(trial: Trial) -> None:
        note_training(trial.config, symbol, trial.digest, runs)
        finished.append(trial.number)
        on_step(Step("search", trial.number + 1, search.trials, f"trial {trial.number}"))

    with only_writer(runs / "search.db"):
        found = run_search(
            bars[symbol],
            experiment.training,
            experiment.folds[:1],
            search,
            runs,
            on_trial=on_trial,
            on_epoch=_on_epoch(search, on_step),
        )
    origin = SearchOrigin(
        symbol=symbol,
        number=found.number,
        validation_loss=found.value,
        trials=found.trials,
    )
    changes = {
        "training": found.config,
        "origin": experiment.origin.model_copy(update={"search": origin}),
    }
    return experiment.model_copy(update=changes)


def _on_epoch(search: Search, on_step: OnStep) -> Callable[[int, Epoch], None]:
    def told(number: int, epoch: Epoch) -> None:
        on_step(Step("search", number, search.trials, f"trial {number}, epoch {epoch.number}"))

    return told
