"""Train a model on the bars before the test period, and write it as a certified model file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..signals.arrays import Float32Array, FloatArray
from ..signals.bars import check_bars
from ..signals.card import Card
from ..signals.model import CHUNK
from .certify import export_traced
from .config import TrainingConfig
from .convert import Predict, Traced
from .course import Course, Epoch
from .linear import Linear, fit_linear, linear_for
from .loop import Loop, loop_for
from .measures import accuracy
from .task import Dates, Task, make_task

__all__ = ["Epoch", "Trained", "fit_task", "train"]


@dataclass(frozen=True)
class Trained:
    """A trained model and how it came about."""

    path: Path
    card: Card
    network: Any
    """The Keras model, with the weights of the best epoch. One object serves all trainings of its
    shape in a process, so it is this model only until the next training; the file remains."""
    predict: Predict
    """Gives what `network` says, traced before; valid as long as it."""
    history: tuple[Epoch, ...]
    """Empty for a model without epochs."""
    best_epoch: int
    """The one whose weights were kept; 0 for a model without epochs."""
    forecasts: Mapping[int, FloatArray]
    """By the number of some epochs the validation part's forecast prices, shape (n, k)."""
    train_rows: int
    validation_rows: int
    validation_accuracy: float
    """Share of the validation labels that the model calls rightly."""
    validation_base_rate: float
    """Share of the commoner class among the validation labels: what no skill at all scores."""


def train(
    bars: pd.DataFrame,
    config: TrainingConfig,
    path: str | Path,
    *,
    train_start: str | pd.Timestamp | None = None,
    validation_start: str | pd.Timestamp | None = None,
    test_start: str | pd.Timestamp | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train on bars before `test_start`, choose the epoch on the validation part, and export.

    The file depends on bars, config and dates alone, down to the byte: not on what the process
    has trained before.

    Parameters
    ----------
    bars : DataFrame
        Bars. Those from `test_start` on are cut off once the OHLCV contract is checked.
    config : TrainingConfig
        Network and training; its seed and the bars decide the weights.
    path : str or Path
        The model file to write.
    train_start, validation_start, test_start : date, optional
        First bar used, by default the first one; first bar of the validation part, by default the
        last fifth of the bars before `test_start`; first bar that is not used at all, by default
        none. Rows whose label was not known more than one bar before the next part are left out.
    on_epoch : callable, optional
        Called after every epoch.

    Raises
    ------
    BarsError
        When a date is none, or there are too few bars or of one class only.
    ModelError
        When training diverges or the export's certificate fails.
    ExperimentError
        When the file cannot be written.
    """
    dates = Dates(train_start, validation_start, test_start)
    return fit_task(make_task(check_bars(bars), config, dates), path, on_epoch)


def fit_task(
    task: Task, path: str | Path, on_epoch: Callable[[Epoch], None] | None = None
) -> Trained:
    """Train the model that `task` describes, and write it to `path`."""
    model, course, architecture = _fit(task, on_epoch)
    facts = task.facts(architecture)
    card = export_traced(model.traced, path, bars=task.bars, facts=facts)
    check = task.part(task.split.validation)
    scores = _scores(model.traced, check.windows)
    up_rate = float(check.up.mean())
    return Trained(
        path=Path(path),
        card=card,
        network=model.network,
        predict=model.traced.predict,
        history=course.epochs,
        best_epoch=_kept(course.epochs, task.config),
        forecasts=course.forecasts,
        train_rows=len(task.split.train),
        validation_rows=len(task.split.validation),
        validation_accuracy=accuracy(scores, check.up, card.centre),
        validation_base_rate=max(up_rate, 1 - up_rate),
    )


def _scores(traced: Traced, windows: Float32Array) -> FloatArray:
    """Return the numbers behind the calls."""
    found = traced.predict(windows, CHUNK)
    scores: Float32Array = found[traced.outputs[-1]] if len(traced.outputs) > 1 else found
    return scores.astype(np.float64)


def _kept(epochs: Sequence[Epoch], config: TrainingConfig) -> int:
    if config.patience is None:
        return len(epochs)
    return min(epochs, key=lambda epoch: epoch.validation_loss).number if epochs else 0


def _fit(task: Task, on_epoch: Callable[[Epoch], None] | None) -> tuple[Loop | Linear, Course, str]:
    """Return the owner of the trained network, its epochs and its name for the card."""
    config = task.config
    train, check = task.train_part, task.part(task.split.validation)
    if task.kind == "logistic":
        linear = linear_for(config)
        penalty = fit_linear(linear, train, check)
        return linear, Course((), {}), f"logistic regression, C = {penalty:g}"
    loop = loop_for(config)
    course = loop.fit(train, check, config, on_epoch, task.scaled_on)
    cell = "" if config.cell == "lstm" else f" {config.cell}"
    name = f"{config.architecture}{cell} {'-'.join(map(str, config.units))}"
    placebo = ", placebo: trained on labels in random order" if task.kind == "shuffled" else ""
    return loop, course, name + placebo
