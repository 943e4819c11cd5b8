"""Search for hyper-parameters by the validation loss, on bars before the first test alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..signals.errors import ExperimentError, ModelError
from .config import Fold, TrainingConfig
from .course import Epoch
from .search_question import ERROR, Question, Trial, make_question
from .search_space import CHOICES, Search
from .search_storage import open_study

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

__all__ = ["Found", "Trial", "search"]

WARM_UP = 5
"""Epochs of the first fold before a trial may be given up: early losses say little."""


@dataclass(frozen=True)
class Found:
    """What a search came to. The value chose the config, so it is no estimate of its skill."""

    config: TrainingConfig
    """The config that was searched from, with the best values drawn."""
    value: float
    """Its validation loss; of equal ones the first is taken."""
    number: int
    """Of its trial."""
    trials: tuple[dict[str, Any], ...]
    """All of them: number, state, params, value, epochs, error."""
    study: str
    """The study's name: a digest of bars, config, folds, space and nextbar version."""


def search(
    bars: pd.DataFrame,
    config: TrainingConfig,
    folds: Sequence[Fold],
    search: Search,
    folder: str | Path,
    *,
    test_start: dt.date | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    on_epoch: Callable[[int, Epoch], None] | None = None,
) -> Found:
    """Train with one set of hyper-parameters after the other, and return those with the least loss.

    Every trial is trained on the training part of each fold, and judged on its validation part.
    The trials are kept in a database: the same search again, interrupted or not, runs only those
    that are missing, and comes to what it would have come to without the interruption. Two
    processes may not run the same search at the same time.

    Parameters
    ----------
    bars : DataFrame
        Bars of one symbol. Those from the first test on are cut off once the OHLCV contract is
        checked.
    config : TrainingConfig
        What the space leaves open. Its seed decides the weights, and what is drawn.
    folds : sequence of Fold
        Their validation parts must begin before the first test, and are cut off there.
    search : Search
        The space, how many trials, and where they are kept.
    folder : str or Path
        For ``search.db``, unless the search names another storage.
    test_start : date, optional
        The first bar that is not seen; by default the first `test_start` of the folds. With it the
        folds may be a walk-forward of their own, inside the bars before the test.
    on_trial : callable, optional
        Called once with every trial that is finished, in order, those of an earlier search of the
        same included: its storage may be shared by callers that keep their own books.
    on_epoch : callable, optional
        Called with the trial's number after every epoch.

    Raises
    ------
    BarsError
        When bars break the contract, or those of a fold are too few or of one class only.
    ExperimentError
        When the space contradicts the config, the storage cannot be used, or all trials failed.
    """
    question = make_question(bars, config, folds, search, test_start)
    with open_study(question.name, search.storage, Path(folder)) as study:
        trials = _run(question, study, on_trial, on_epoch)
    return _best(question, trials)


def _run(
    question: Question,
    study: optuna.Study,
    on_trial: Callable[[Trial], None] | None,
    on_epoch: Callable[[int, Epoch], None] | None,
) -> list[Trial]:
    """Run the trials that are missing; return all."""
    from optuna.pruners import MedianPruner
    from optuna.samplers import TPESampler

    study.pruner = MedianPruner(question.search.startup, WARM_UP)
    _end_interrupted(study)
    wanted, began = question.search.trials, monotonic()
    space, told = _distributions(question.search), 0
    while True:
        trials = _finished(question, study)[:wanted]
        if on_trial is not None:
            for trial in trials[told:]:
                on_trial(trial)
        told = len(trials)
        late = (
            question.search.seconds is not None and monotonic() - began >= question.search.seconds
        )
        if len(trials) == wanted or (trials and late):
            return trials
        # A seed for each trial: what is drawn does not depend on interruptions.
        seed = np.random.SeedSequence((question.config.seed, len(trials))).generate_state(1)
        study.sampler = TPESampler(seed=int(seed[0]))
        _try(question, study, study.ask(space), len(trials), on_epoch)


def _try(
    question: Question,
    study: optuna.Study,
    trial: optuna.Trial,
    number: int,
    on_epoch: Callable[[int, Epoch], None] | None,
) -> None:
    """Train one configuration and store what came of it."""
    from optuna import TrialPruned
    from optuna.trial import TrialState

    def note(step: int, epoch: Epoch, value: float) -> None:
        trial.report(value, step)
        if on_epoch:
            on_epoch(number, epoch)
        if trial.should_prune():
            raise TrialPruned

    try:
        value = question.loss(question.config_of(trial.params), note)
    except TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except ModelError as error:
        trial.set_user_attr(ERROR, str(error))
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value)


def _distributions(search: Search) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space = search.space
    drawn: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(space[name]) for name in space if name in CHOICES
    }
    if search.learning_rate:
        low, high = search.learning_rate
        drawn["learning_rate"] = FloatDistribution(low, high, log=True)
    if search.dropout:
        low, high = search.dropout
        drawn["dropout"] = FloatDistribution(low, high)
    if search.layers:
        fewest, most = search.layers
        drawn["layers"] = IntDistribution(fewest, most)
    return {name: drawn[name] for name in space}


def _end_interrupted(study: optuna.Study) -> None:
    """Mark trials that were killed on the way as failed; they are tried again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _finished(question: Question, study: optuna.Study) -> list[Trial]:
    """Return all trials but the interrupted ones, numbered anew."""
    found = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name in ("COMPLETE", "PRUNED") or ERROR in trial.user_attrs
    ]
    return [question.trial(number, trial) for number, trial in enumerate(found)]


def _best(question: Question, trials: Sequence[Trial]) -> Found:
    complete = [(trial.value, trial) for trial in trials if trial.state == "complete"]
    valued = [(value, trial) for value, trial in complete if value is not None]
    if not valued:
        raise ExperimentError(
            f"all {len(trials)} trials of the search failed. The first: {trials[0].error}"
        )
    value, best = min(valued, key=lambda pair: pair[0])
    return Found(
        config=best.config,
        value=value,
        number=best.number,
        trials=tuple(trial.as_dict() for trial in trials),
        study=question.name,
    )
