"""The jobs of a walk-forward, and the bars that each of them gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from ..signals.errors import BarsError, ExperimentError, did_you_mean, error_prefix
from .config import Fold, TrainingConfig
from .task import Dates, Kind, Task, make_task

__all__ = ["KINDS", "Job", "Work", "check_jobs", "cut_work", "test_of"]

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Job:
    """One model file to be made."""

    symbol: str
    fold: int
    """Number of the fold, from 0."""
    kind: Kind
    seed: int
    folder: Path

    @property
    def path(self) -> Path:
        """The model file."""
        return self.folder / f"fold{self.fold}-seed{self.seed}.onnx"

    @property
    def record(self) -> Path:
        """What is known of the model, written last: without it the model is trained again."""
        return self.path.with_suffix(".json")


@dataclass(frozen=True)
class Work:
    """A job and the bars for it."""

    job: Job
    where: str
    """Symbol, fold and date, for messages."""
    task: Task
    """With no bar from the fold's test on."""
    later: pd.DataFrame
    """The bars of the test, with a window's bars but one before them."""


def check_jobs(jobs: Sequence[Job], symbols: Mapping[str, Any], folds: Sequence[Fold]) -> None:
    """Raise ExperimentError for folds in disorder and for jobs that name what is not there."""
    for before, after in pairwise(folds):
        if not before.test_start < after.test_start:
            raise ExperimentError(
                "expected folds in the order of their tests, found a test from"
                f" {before.test_start} before one from {after.test_start}."
            )
    for job in jobs:
        if job.symbol not in symbols:
            raise ExperimentError(f"no bars of {job.symbol}.{did_you_mean(job.symbol, symbols)}")
        if job.kind not in KINDS:
            raise ExperimentError(f"no kind {job.kind!r}.{did_you_mean(job.kind, KINDS)}")
        if not 0 <= job.fold < len(folds):
            raise ExperimentError(
                f"expected a fold from 0 to {len(folds) - 1}, found {job.fold} for {job.symbol}."
            )
    if clash := [path for path, n in Counter(job.path for job in jobs).items() if n > 1]:
        raise ExperimentError(
            f"{clash[0]}: two jobs would write this file. Give every symbol and kind a folder of"
            " its own."
        )


def cut_work(
    job: Job, *, bars: Mapping[str, pd.DataFrame], config: TrainingConfig, folds: Sequence[Fold]
) -> Work:
    """Cut the bars for `job`: what it trains on ends before the test, by construction."""
    frame, fold = bars[job.symbol], folds[job.fold]
    start, end = test_of(folds, job.fold)
    where = f"{job.symbol}, fold {job.fold} (test from {fold.test_start})"
    if frame.index[0] >= start:
        raise BarsError(f"{where}: no bars before it, the first one is of {frame.index[0]}.")
    dates = Dates(
        train_start=None if fold.train_start is None else pd.Timestamp(fold.train_start),
        validation_start=pd.Timestamp(fold.validation_start),
        test_start=start,
    )
    seeded = config.model_copy(update={"seed": job.seed})
    with error_prefix(where):
        task = make_task(frame[frame.index < start], seeded, dates, job.kind)
    first = max(0, int(frame.index.searchsorted(start)) - (config.window - 1))
    later = frame.iloc[first:]
    return Work(job, where, task, later if end is None else later[later.index < end])


def test_of(folds: Sequence[Fold], number: int) -> tuple[pd.Timestamp, pd.Timestamp | None]:
    """Return when the test of a fold begins, and the moment after its end."""
    later = folds[number + 1 :]
    end = pd.Timestamp(later[0].test_start) if later else None
    return pd.Timestamp(folds[number].test_start), end
