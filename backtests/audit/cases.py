"""The audit of one symbol of an experiment under way: what is judged, noted and counted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ...signals.errors import ExperimentError, NextbarError
from ..experiment import Experiment
from .findings import Finding
from .subjects import Subject
from .targets import TargetCrashError

__all__ = ["SIGNAL", "Case", "Progress", "Step", "tried_folds"]

TRAINING, SIGNAL = 30, 90
"""What a training and the audit of a signal count for in the progress, about in proportion."""

SIGNALS = 6
"""Chains of calls that an experiment has: the LSTM's and those of the rules."""

Step = Callable[[str, int, int], None]


class Progress:
    """Counts units of work of about equal length."""

    def __init__(self, on_step: Step | None) -> None:
        self._on_step = on_step
        self._expected = 1
        self.done = 0

    def expect(self, units: int) -> None:
        """Say how many units there are."""
        self._expected = max(self._expected, units)
        self("training")

    def at(self, done: int, what: str) -> None:
        """Say how many units are done, and what is done now."""
        self.done = done
        self(what)

    def training(self, what: str) -> None:
        """Count a training."""
        self.at(self.done + TRAINING, what)

    def __call__(self, what: str) -> None:
        """Say what is done now."""
        if self._on_step is not None:
            self._on_step(what, self.done, max(self._expected, self.done + 1))


@dataclass
class Case:
    """The audit of one symbol: what it is about, and what has been judged."""

    subject: Subject
    symbol: str
    folder: Path
    """Temporary: for all that the audit makes."""
    tried: list[int]
    seed: int
    bars: int | None
    progress: Progress
    judged: dict[str, tuple[int, list[Finding]]] = field(
        default_factory=dict[str, tuple[int, list[Finding]]]
    )
    notes: list[str] = field(default_factory=list[str])

    @property
    def experiment(self) -> Experiment:
        """The settings."""
        return self.subject.experiment

    @property
    def frame(self) -> pd.DataFrame:
        """The symbol's bars."""
        return self.subject.bars[self.symbol]

    def units(self, trains: bool) -> int:
        """Return the units of work that are expected for all symbols."""
        folds = len(self.tried)
        trainings = 2 * folds + sum(position + 1 + folds for position in range(folds))
        return len(self.subject.bars) * (TRAINING * trainings * trains + SIGNAL * SIGNALS)

    def add(self, check: str, judged: tuple[int, list[Finding]]) -> None:
        """Add to what a check has judged."""
        runs, found = self.judged.get(check, (0, []))
        self.judged[check] = runs + judged[0], found + judged[1]

    @contextlib.contextmanager
    def judging(self, what: str) -> Generator[None]:
        """Note what cannot be judged; the row of the check says so."""
        self.judged.setdefault(what, (0, []))
        try:
            yield
        except (NextbarError, TargetCrashError) as error:
            self.notes.append(f"{what}: not judged: {error}")


def tried_folds(subject: Subject, symbol: str, every_fold: bool = False) -> list[int]:
    """Return the folds that are trained anew: the middle and the last one, or all."""
    index = subject.bars[symbol].index
    starts = [pd.Timestamp(fold.test_start) for fold in subject.experiment.folds]
    inside = [k for k, start in enumerate(starts) if index[0] < start <= index[-1]]
    if not inside:
        raise ExperimentError(f"{symbol}: no bar in the test of any fold. Load the run's own bars.")
    return inside if every_fold else sorted({inside[len(inside) // 2], inside[-1]})
