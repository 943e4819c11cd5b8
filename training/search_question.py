"""What a search asks and what one trial of it comes to, seen from the bars before the test."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from importlib.metadata import version
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ..signals.bars import bars_digest, check_bars
from ..signals.errors import BarsError, ExperimentError, ModelError
from ..signals.store import canonical_json, digest
from .config import Fold, TrainingConfig
from .course import Epoch
from .flaws import sees_test
from .loop import loop_for
from .search_space import Search
from .task import Dates, Task, make_task

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["ERROR", "Question", "Trial", "make_question"]

ERROR = "error"
"""Attribute of a stored trial that failed by itself: why. An interrupted one has none."""

State = Literal["complete", "pruned", "failed"]

STATES: Mapping[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
"""By optuna's names."""


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried."""

    number: int
    """From 0. Trials that were interrupted have none: they are tried again."""
    state: State
    """`pruned`: given up, as it looked worse than the median; `failed`: the training diverged."""
    params: dict[str, Any]
    """What was drawn, by the names of the space's fields."""
    value: float | None
    """Validation loss, the mean over folds; of a pruned trial as far as it came; None if failed."""
    epochs: int
    """Over all folds."""
    config: TrainingConfig
    digest: str
    """Of all that decides the value: the same again gives the same digest."""
    error: str | None = None
    """Why it failed."""

    def as_dict(self) -> dict[str, Any]:
        """Return what a report shows."""
        shown = ("number", "state", "params", "value", "epochs", "error")
        return {name: getattr(self, name) for name in shown}


@dataclass(frozen=True)
class Question:
    """What is asked: trials of one question are never mixed with another's."""

    bars: pd.DataFrame
    config: TrainingConfig
    parts: tuple[Dates, ...]
    search: Search

    @cached_property
    def name(self) -> str:
        """Digest of all of it, but how many trials are run and where they are kept."""
        free = {"trials", "seconds", "storage"}
        asked = {
            "bars": bars_digest(self.bars),
            "config": self.config.model_dump(mode="json"),
            "folds": [[str(date) for date in astuple(part)] for part in self.parts],
            "search": self.search.model_dump(mode="json", exclude=free),
            "nextbar": version("nextbar"),
        }
        return digest(canonical_json(asked))

    def config_of(self, params: Mapping[str, Any]) -> TrainingConfig:
        """Return the config that a trial with these `params` trains."""
        return self.search.apply(self.config, params)

    def trial(self, number: int, stored: FrozenTrial) -> Trial:
        """Return a finished trial as the caller knows it."""
        config = self.config_of(stored.params)
        return Trial(
            number=number,
            state=STATES[stored.state.name],
            params=stored.params,
            value=stored.value,
            epochs=len(stored.intermediate_values),
            config=config,
            digest=digest(canonical_json([self.name, config.model_dump(mode="json")])),
            error=stored.user_attrs.get(ERROR),
        )

    def loss(self, config: TrainingConfig, note: Callable[[int, Epoch, float], None]) -> float:
        """Return the validation loss of the weights that a training keeps, the mean over folds.

        `note` gets a number that grows with every epoch, the epoch, and the mean so far.

        Raises
        ------
        ModelError
            When training diverges.
        """
        before: list[float] = []
        for number, part in enumerate(self.parts):
            kept: list[float] = []

            def told(epoch: Epoch, number: int = number, kept: list[float] = kept) -> None:
                # Without patience the last weights are kept, with it the best.
                every = config.patience is None or not kept
                last = epoch.validation_loss
                kept.append(last if every else min(last, kept[-1]))
                note(number * config.epochs + epoch.number, epoch, fmean([*before, kept[-1]]))

            fit_loop(make_task(self.bars, config, part), told)
            before.append(kept[-1])
        if not math.isfinite(loss := fmean(before)):
            raise ModelError("training diverged: the validation loss is not finite.")
        return loss


def make_question(
    bars: pd.DataFrame,
    config: TrainingConfig,
    folds: Sequence[Fold],
    search: Search,
    test_start: dt.date | None = None,
) -> Question:
    """Cut `bars` at the first test, and refuse what a trial would stumble over.

    Raises
    ------
    BarsError
        When bars break the contract, or those of a fold are too few or of one class only.
    ExperimentError
        When the space contradicts the config, a fold validates after the first test began,
        or a flaw of the config needs the test.
    """
    if not folds:
        raise ExperimentError("expected at least one fold to search on, found none.")
    if sees_test(config):
        raise ExperimentError(
            f"a search sees no bar of the test, and the flaws {', '.join(config.flaws)} need them:"
            " search without flaws."
        )
    end = pd.Timestamp(test_start or min(fold.test_start for fold in folds))
    bars = check_bars(bars)
    bars = bars[bars.index < end]
    if bars.empty:
        raise BarsError(f"no bars before the first test, {end.date()}. Use a later date.")
    question = Question(bars, config, tuple(_part(fold, end) for fold in folds), search)
    search.check(config)
    for window in search.window or (config.window,):
        for part in question.parts:
            make_task(bars, config.model_copy(update={"window": window}), part)
    return question


def _part(fold: Fold, end: pd.Timestamp) -> Dates:
    """Return the fold's dates, none of them after `end`."""
    validation, test = pd.Timestamp(fold.validation_start), pd.Timestamp(fold.test_start)
    if validation >= end:
        raise ExperimentError(
            f"a search ends where the first test begins, on {end.date()}, and a fold validates from"
            f" {validation.date()} on. Search on folds that validate earlier."
        )
    first = None if fold.train_start is None else pd.Timestamp(fold.train_start)
    return Dates(first, validation, min(test, end))


def fit_loop(task: Task, on_epoch: Callable[[Epoch], None]) -> None:
    """Train the network of `task`; nothing of it is kept but what `on_epoch` is told."""
    check = task.part(task.split.validation)
    loop_for(task.config).fit(task.train_part, check, task.config, on_epoch)
