"""The real trainer and the real tuning of the rules, run again for an audit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..experiment import Experiment
from .fits import trace_of
from .retraining import Retrained
from .trainings import TrainingTrace

if TYPE_CHECKING:
    from ...training.walkforward import Job

__all__ = ["Pipeline", "described"]


class Pipeline:
    """Trains chosen folds of one symbol as a comparison does: LSTM, first seed; and the rules."""

    def __init__(
        self,
        experiment: Experiment,
        frame: pd.DataFrame,
        folder: Path,
        tried: Sequence[int],
        tick: Callable[[str], None],
        *,
        trains: bool = True,
    ) -> None:
        self._experiment = experiment
        self._frame = frame
        self._folder = folder
        self._tried = tried
        self._tick = tick
        self._trains = trains
        self.first: dict[int, Retrained] = {}
        """What the first training, on all bars, gave."""
        self.jobs: list[Job] = []
        """The first training's jobs; their files stay until the folder goes."""
        self.records: dict[int, Mapping[str, Any]] = {}
        """The first training's records."""
        self.rules: dict[int, dict[str, dict[str, int]]] = {}
        """The first tuning: by fold and strategy the parameters."""
        self._traces: dict[int, TrainingTrace] = {}

    def retrain(self, bars: pd.DataFrame) -> dict[int, Retrained]:
        """Train and tune the chosen folds that `bars` reach, for `audit_experiment`."""
        folds = self._experiment.folds
        ready = [k for k in self._tried if pd.Timestamp(folds[k].test_start) <= bars.index[-1]]
        chosen = {fold: self.tuned(bars, fold) for fold in ready}
        trained = self._trained(bars, ready) if self._trains else dict.fromkeys(ready, "")
        made = {fold: Retrained(trained[fold], described(chosen[fold])) for fold in ready}
        if not self.first:
            self.first, self.rules = made, chosen
        return made

    def trace(self, fold: int) -> TrainingTrace:
        """Return what the first training of a fold was given, on all bars."""
        return self._traces[fold]

    def _trace(self, job: Job) -> TrainingTrace:
        """Return the trace of the job just trained; the rows are its task's own."""
        from ...training import walkforward
        from ...training.loop import loop_for

        work = walkforward.cut_work(
            job,
            bars={job.symbol: self._frame},
            config=self._experiment.training,
            folds=self._experiment.folds,
        )
        network = loop_for(self._experiment.training).network
        return trace_of(work.task, self._frame, self._test(job.fold), network)

    def _test(self, fold: int) -> pd.DatetimeIndex:
        starts = [pd.Timestamp(one.test_start) for one in self._experiment.folds]
        index = pd.DatetimeIndex(self._frame.index)
        test = index[index >= starts[fold]]
        return test[test < starts[fold + 1]] if fold + 1 < len(starts) else test

    def tuned(self, bars: pd.DataFrame, fold: int) -> dict[str, dict[str, int]]:
        """Return by strategy the parameters that the tuning on `bars` chooses for a fold."""
        experiment, config = self._experiment, self._experiment.training
        # Folds are tuned one by one: those that lie after the bars have none to choose on.
        alone = experiment.model_copy(update={"folds": (experiment.folds[fold],)})
        from ..tuning import fold_rules  # brings numba, which only an experiment needs

        rules = fold_rules(bars, alone, config.horizon, config.target)
        return {name: dict(chosen[0].parameters) for name, chosen in rules.items()}

    def _trained(self, bars: pd.DataFrame, ready: Sequence[int]) -> dict[int, str]:
        """Return by fold the digest of its model."""
        from ...training.walkforward import Job, run_jobs

        symbol, config = str(self._frame.attrs["symbol"]), self._experiment.training
        home = Path(tempfile.mkdtemp(dir=self._folder))
        jobs = [Job(symbol, fold, "lstm", config.seed, home) for fold in ready]
        first = not self.first

        def on_done(job: Job, record: Mapping[str, Any]) -> None:
            self._tick("training")
            if first:  # the network is this job's until the next one begins
                self._traces[job.fold] = self._trace(job)
                self.records[job.fold] = record

        if first:
            self.jobs = jobs
        records = run_jobs(jobs, {symbol: bars}, config, self._experiment.folds, on_done=on_done)
        return {job.fold: str(record["sha256"]) for job, record in records.items()}


def described(rules: Mapping[str, Mapping[str, int]]) -> str:
    """Return what a fold's rules are, as text."""
    return ", ".join(
        f"{name} {'/'.join(map(str, parameters.values()))}".strip()
        for name, parameters in rules.items()
    )
