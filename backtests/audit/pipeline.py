"""The real trainer and the real tuning of the rules, run again for an audit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...signals.bars import COLUMNS
from ...signals.model import windows_of
from ...training.labels import direction_labels
from ..experiment import Experiment
from .retraining import Retrained
from .trainings import Rows, TrainingTrace

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
        self._scalers: dict[int, tuple[dict[str, float], dict[str, float]]] = {}

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
        """Return what the training of a fold is given, on all bars.

        The rows are the task's own; the dates of windows, labels and test come from the bars and
        the experiment.
        """
        from ...training import walkforward

        job = next(job for job in self.jobs if job.fold == fold)
        config = self._experiment.training
        work = walkforward.cut_work(
            job,
            bars={job.symbol: self._frame},
            config=config,
            folds=self._experiment.folds,
        )
        ends = direction_labels(self._frame, config.horizon, config.target)["label_end"]
        index = pd.DatetimeIndex(work.task.bars.index)

        def part(rows: npt.NDArray[np.intp]) -> Rows:
            times, starts = index.take(rows), index.take(rows - (config.window - 1))
            return Rows(starts, times, pd.DatetimeIndex(ends.reindex(times)))

        split = work.task.split
        used, expected = self._scalers.get(fold, ({}, {}))
        return TrainingTrace(
            part(split.train), part(split.validation), self._test(fold), used, expected
        )

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
                self._scalers[job.fold] = self._statistics(job)
                self.records[job.fold] = record

        if first:
            self.jobs = jobs
        records = run_jobs(jobs, {symbol: bars}, config, self._experiment.folds, on_done=on_done)
        return {job.fold: str(record["sha256"]) for job, record in records.items()}

    def _statistics(self, job: Job) -> tuple[dict[str, float], dict[str, float]]:
        """Return mean and scale of each feature: in the network, and of the training rows."""
        from ...training.loop import loop_for

        config = self._experiment.training
        layers = {layer.name: layer for layer in loop_for(config).network.layers}
        if not {"features", "scaling"} <= set(layers):
            return {}, {}
        index = pd.DatetimeIndex(self._frame.index)
        rows = index.get_indexer(self.trace(job.fold).train.times)
        bars = self._frame[list(COLUMNS)].to_numpy(np.float32)
        windows = windows_of(bars, config.window)[rows - (config.window - 1)]
        features = layers["features"](windows).numpy().astype(np.float64)
        flat = features.reshape(-1, features.shape[-1])
        scaling, own = layers["scaling"], flat.std(axis=0)
        deviation = np.where(own > np.finfo(np.float32).eps, own, 1.0)

        def named(mean: Any, scale: Any) -> dict[str, float]:
            names = config.features
            return {f"mean of {name}": float(x) for name, x in zip(names, mean, strict=True)} | {
                f"deviation of {name}": float(x) for name, x in zip(names, scale, strict=True)
            }

        used = named(scaling.offset.numpy(), scaling.scale.numpy())
        return used, named(flat.mean(axis=0), deviation)


def described(rules: Mapping[str, Mapping[str, int]]) -> str:
    """Return what a fold's rules are, as text."""
    return ", ".join(
        f"{name} {'/'.join(map(str, parameters.values()))}".strip()
        for name, parameters in rules.items()
    )
