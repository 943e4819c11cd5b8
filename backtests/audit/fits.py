"""The audit of one training by the real trainer: what its fit() gets, and what moves its model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...signals.bars import COLUMNS, check_bars
from ...signals.errors import ExperimentError, NextbarError
from ...signals.model import load_model
from ...training.labels import direction_labels
from .cards import AS_THEY_ARE
from .findings import AuditReport, Finding, date_of, make_report
from .futures import perturbed, scaled
from .retraining import audit_experiment, needs_later
from .traces import ROUNDING, differs
from .trainings import Rows, TrainingTrace

if TYPE_CHECKING:
    from ...training.config import TrainingConfig
    from ...training.task import Dates, Task

__all__ = ["audit_fit", "trace_of"]

Judged = tuple[int, list[Finding]]

EPOCHS = 2
"""Epochs of a training for the audit: what it is given does not depend on how long it learns."""


def audit_fit(
    bars: pd.DataFrame,
    config: TrainingConfig,
    dates: Dates,
    *,
    epochs: int = EPOCHS,
    name: str = "training",
    seed: int = 0,
) -> AuditReport:
    """Train as `nextbar.training.train` does, five times, and audit what the training was given.

    The rows, labels and constants of the scalings are those that the fit got, whatever the config
    or the card says of them. Changed bars from the start of the test on must not change the model.
    A model whose scores move with the level of prices is fragile.

    Parameters
    ----------
    bars : DataFrame
        Bars as `check_bars` takes them, those of the test included.
    config : TrainingConfig
        May have flaws.
    dates : Dates
        Of `nextbar.training.task`; its `test_start` must be named.
    epochs
        Most epochs of each training.
    name
        What the report calls the training.
    seed
        Of the changed futures.

    Raises
    ------
    ExperimentError
        Without a start of the test, or without bars from it on.
    BarsError, ModelError
        As `train` does.
    """
    bars = check_bars(bars)
    quick = config.model_copy(update={"epochs": min(config.epochs, epochs)})
    test = _test_of(bars, quick, dates)
    extra: dict[str, Judged] = {}

    def traces() -> dict[int, TrainingTrace]:
        extra["price level"] = _check_level(fits.path, bars)
        extra["perturbation"] = _check_far(fits, bars, seed)
        return dict(enumerate(fits.traces))

    with tempfile.TemporaryDirectory(prefix="nextbar-audit-") as folder:
        fits = _Fits(quick, dates, test, Path(folder) / "model.onnx")
        ends = {date_of(test): test}
        report = audit_experiment(fits.train, bars, ends, traces=traces, seed=seed)
    judged = {check.name: (check.runs, _of_check(report, check.name)) for check in report.checks}
    for check, (runs, found) in extra.items():
        if check != "perturbation" or not judged["repeat"][1]:
            more, there = judged.get(check, (0, []))
            judged[check] = runs + more, there + found
    judged = {check: (runs, _once(found)) for check, (runs, found) in judged.items()}
    return make_report(name, "training", report.bars, judged, seed=seed)


def _of_check(report: AuditReport, check: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.check == check]


def _test_of(bars: pd.DataFrame, config: TrainingConfig, dates: Dates) -> pd.Timestamp:
    """Return the start of the test, once it is known to be a date with bars on both sides."""
    from ...training.task import make_task

    if dates.test_start is None:
        raise ExperimentError("expected a test_start, found None: the audit needs a test.")
    make_task(bars, config, dates)
    test = pd.Timestamp(dates.test_start)
    if test > bars.index[-1]:
        raise ExperimentError(f"no bar from test_start, {test}, on. Use an earlier date.")
    return test


def trace_of(
    task: Task, bars: pd.DataFrame, test: pd.DatetimeIndex, network: Any = None
) -> TrainingTrace:
    """Return what the training of `task` is given.

    Parameters
    ----------
    task
        Its rows are those of the trace.
    bars : DataFrame
        All bars: they tell when a label was known, for the last one that a row may draw.
    test
        The bars on which the model is judged.
    network
        The Keras model just trained; without it there are no constants in the trace.
    """
    config, index = task.config, pd.DatetimeIndex(task.bars.index)
    longest = config.horizon + max(1, config.augment) - 1
    ends = direction_labels(bars, longest, config.target)["label_end"]

    def part(rows: npt.NDArray[np.intp]) -> Rows:
        times, starts = index.take(rows), index.take(rows - (config.window - 1))
        return Rows(starts, times, pd.DatetimeIndex(ends.reindex(times)))

    used, expected = ({}, {}) if network is None else _constants(task, network)
    return TrainingTrace(part(task.split.train), part(task.split.validation), test, used, expected)


def _constants(task: Task, network: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Return by name the constants that a network has, and those of the training rows alone.

    With several blocks of rows, those of the last one, which the model carries.
    """
    from ...training.choices import SCALINGS

    config, part = task.config, task.train_part
    rows = np.array_split(np.arange(len(part.up)), config.blocks)[-1]
    windows, labels = part.windows[rows], part.labels[rows, 0]
    layers: dict[str, Any] = {layer.name: layer for layer in network.layers}
    if not {"features", "scaling"} <= set(layers):  # a network of another making
        return {}, {}
    features = layers["features"](windows).numpy()
    fresh: dict[str, Any] = {"scaling": SCALINGS[config.scaling]()}
    fresh["scaling"](features)  # makes its weights
    fresh["scaling"].adapt(features)
    names: dict[str, Sequence[str]] = {"scaling": config.features}
    if "prices" in layers:
        prices = layers["prices"]
        fresh["prices"] = prices.__class__.from_config(prices.get_config())
        fresh["prices"].build(None)
        fresh["prices"].adapt(windows, windows, labels)
        names["prices"] = [f"{field} {ahead} bars ahead" for field, ahead in config.columns]
    used = [_named(layers[name], names[name]) for name in fresh]
    own = [_named(layer, names[name]) for name, layer in fresh.items()]
    return _joined(used), _joined(own)


def _named(layer: Any, names: Sequence[str]) -> dict[str, float]:
    """Return the numbers in the weights of a layer; most have a row for each of `names`."""
    found: dict[str, float] = {}
    for weight in layer.weights:
        for place, number in np.ndenumerate(weight.numpy()):
            row = [f"{place}"]
            if weight.shape[:1] == (len(names),):
                row = [names[int(place[0])], *(f"part {i + 1}" for i in place[1:])]
            found[f"{weight.name} of {', '.join(row)}"] = float(number)
    return found


def _joined(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: number for part in parts for name, number in part.items()}


class _Fits:
    """Trains on bars of any end, and keeps what each training was given."""

    def __init__(
        self, config: TrainingConfig, dates: Dates, test: pd.Timestamp, path: Path
    ) -> None:
        self._config, self._dates = config, dates
        self.test, self.path = test, path
        self.traces: list[TrainingTrace] = []

    def train(self, bars: pd.DataFrame) -> dict[str, str]:
        """Return the digest of the model's graph and weights, for `audit_experiment`.

        Not that of the file: its card counts the bars that it was given.
        """
        from ...training.fit import fit_task
        from ...training.loop import loop_for
        from ...training.task import make_task

        task = make_task(bars, self._config, self._dates)
        test = pd.DatetimeIndex(bars.index[bars.index >= self.test])
        try:
            trained = fit_task(task, self.path)
        finally:  # what the fit was given stands when the export refuses what came of it
            network = loop_for(self._config).network
            self.traces.append(trace_of(task, bars, test, network))
        return {date_of(self.test): trained.card.graph_sha256}


def _check_far(fits: _Fits, bars: pd.DataFrame, seed: int) -> Judged:
    """Train on a test of far higher prices, so that a range which takes it in has another end."""
    row = int(bars.index.searchsorted(fits.test))
    try:
        fits.train(perturbed(bars, row - 1, "ten times", seed))
    except NextbarError as error:
        return 1, [needs_later("perturbation", date_of(fits.test), fits.test, error)]
    return 1, []


def _once(found: Sequence[Finding]) -> list[Finding]:
    """Return one finding of each name: several trainings have the same ones."""
    return list({one.name: one for one in reversed(found)}.values())[::-1]


def _check_level(path: Path, bars: pd.DataFrame) -> Judged:
    """Multiply all prices by 1/4, as a later split would: the model's scores must stay."""
    model = load_model(path)
    here, there = (
        model.score(frame[list(COLUMNS)].to_numpy(np.float64))
        for frame in (bars, scaled(bars, 0.25))
    )
    rows = np.flatnonzero(differs(here, there, rounding=ROUNDING))
    if not len(rows):
        return 1, []
    first = pd.Timestamp(str(bars.index[rows[0] + model.card.window - 1]))
    pair = float(here[rows[0]]), float(there[rows[0]])
    where = "score: model, prices times 1/4"
    return 1, [
        Finding("price level", "price-level", "fragile", where, date_of(first), pair, AS_THEY_ARE)
    ]
