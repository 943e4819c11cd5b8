"""The audit of a training that can be run again: on fewer bars, other futures, shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...signals.arrays import FloatArray
from ...signals.bars import check_bars
from ...signals.errors import ExperimentError, NextbarError
from .findings import AuditReport, Finding, date_of, make_report
from .futures import perturbed
from .trainings import TrainingTrace, audit_training

__all__ = ["SURE", "Retrained", "audit_experiment", "audit_labels", "different", "needs_later"]

Judged = tuple[int, list[Finding]]
Traces = Mapping[Any, TrainingTrace]

AFTER = 30
"""Bars after a fold's end that a shortened history keeps: a test needs some."""

SURE = 3.3
"""Standard deviations above chance: 1 in 2000."""


@dataclass(frozen=True)
class Retrained:
    """What a fold's training gave: a digest of its model, and the settings it chose as text."""

    model: str
    choice: str = ""


def audit_experiment(
    retrain: Callable[[pd.DataFrame], Mapping[Any, Retrained | str]],
    bars: pd.DataFrame,
    ends: Mapping[Any, Any],
    *,
    folds: Sequence[Hashable] | None = None,
    traces: Traces | Callable[[], Traces] | None = None,
    name: str = "experiment",
    seed: int = 0,
) -> AuditReport:
    """Check that no fold's model or settings depend on bars after its end.

    Parameters
    ----------
    retrain
        Trains every fold that the given bars allow, with fixed dates and seeds; returns by fold
        the digest of its model, or a `Retrained` with the settings chosen too.
    bars : DataFrame
        Bars as `check_bars` takes them.
    ends
        By fold, the first bar that its training must not know: the start of its test.
    folds
        The folds whose ends to try, by default the middle and the last one; each costs two
        trainings of all folds, on top of two for the start.
    traces
        By fold, what its training was given, or a function that tells it once all is trained; see
        `audit_training`.

    Raises
    ------
    ExperimentError
        When `ends` is empty or `retrain` leaves out a fold that the bars allow.
    """
    bars = check_bars(bars)
    if not ends:
        raise ExperimentError("expected the end of at least one fold, found none.")
    limits = {fold: pd.Timestamp(end) for fold, end in ends.items()}
    order = sorted(limits, key=lambda fold: limits[fold])
    tried = list(folds) if folds is not None else list({order[len(order) // 2]: 0, order[-1]: 0})
    base, again = (_complete(retrain(bars.copy()), bars, limits) for _ in range(2))
    judged: dict[str, Judged] = {"repeat": (1, _changed("repeat", base, again, limits))}
    if not judged["repeat"][1]:
        judged |= _futures(retrain, bars, limits, tried, base, seed)
    for fold, trace in (traces() if callable(traces) else traces or {}).items():
        report = audit_training(trace, name=str(fold))
        for check in report.checks:
            runs, found = judged.get(check.name, (0, []))
            new = [finding for finding in report.findings if finding.check == check.name]
            judged[check.name] = runs + check.runs, found + new
    facts = {
        "symbol": str(bars.attrs["symbol"]),
        "bars": len(bars),
        "first": date_of(bars.index[0]),
        "last": date_of(bars.index[-1]),
    }
    return make_report(name, "experiment", facts, judged, seed=seed)


def _futures(
    retrain: Callable[[pd.DataFrame], Mapping[Any, Retrained | str]],
    bars: pd.DataFrame,
    limits: Mapping[Any, pd.Timestamp],
    tried: Sequence[Any],
    base: Mapping[Any, Retrained],
    seed: int,
) -> dict[str, Judged]:
    """Train on shortened bars and on changed later ones, at the end of each fold of `tried`."""
    found: dict[str, list[Finding]] = {"truncation": [], "perturbation": []}
    for fold in tried:
        earlier = {key: end for key, end in limits.items() if end <= limits[fold]}
        row = int(bars.index.searchsorted(limits[fold]))
        histories = {
            "truncation": bars.iloc[: row + AFTER],
            "perturbation": perturbed(bars, row - 1, "noise", seed),
        }
        for check, history in histories.items():
            if found[check]:
                continue
            try:
                made = retrain(history.copy())
            except NextbarError as error:
                found[check] = [needs_later(check, fold, limits[fold], error)]
            else:
                other = _complete(made, history, earlier)
                found[check] = _changed(check, base, other, earlier)
    return {check: (len(tried), findings) for check, findings in found.items()}


def needs_later(check: str, fold: Any, end: pd.Timestamp, error: Exception) -> Finding:
    """Return the finding for a training that fails on other bars from the `end` of its fold on."""
    cause = "training fails without the bars after the fold's end, or on other ones: it reads them"
    where = f"training: fold {fold}"
    pair = "trained", str(error)
    return Finding(check, "training-sees-future", "leak", where, date_of(end), pair, cause)


def _complete(
    made: Mapping[Any, Retrained | str], bars: pd.DataFrame, needed: Mapping[Any, pd.Timestamp]
) -> dict[Any, Retrained]:
    missing = [str(fold) for fold in needed if fold not in made]
    if missing:
        raise ExperimentError(
            f"expected a model for each fold that ends by {bars.index[-1].date()}, found none for"
            f" {', '.join(missing)}. Train every fold whose end lies within the bars."
        )
    return {
        fold: made_one if isinstance(made_one, Retrained) else Retrained(made_one)
        for fold, made_one in made.items()
    }


def _changed(
    check: str,
    base: Mapping[Any, Retrained],
    other: Mapping[Any, Retrained],
    limits: Mapping[Any, pd.Timestamp],
) -> list[Finding]:
    """Return a finding for the first fold that came out differently."""
    for fold, end in limits.items():
        here, there = base[fold], other[fold]
        if here == there:
            continue
        chosen = here.choice != there.choice
        pair = different(here.choice, there.choice) if chosen else (here.model, there.model)
        where = f"training: {'choice' if chosen else 'model'} of fold {fold}"
        if check == "repeat":
            cause = "training is not repeatable: fix its seeds and use one thread"
            return [Finding(check, "not-repeatable", "fragile", where, None, pair, cause)]
        name = "test-chosen-parameter" if chosen else "training-sees-future"
        cause = (
            "the best setting was picked by its result on the test: pick it on the validation part"
            if chosen
            else "rows, labels, scaler or dates of the fold come from the whole history"
        )
        return [Finding(check, name, "leak", where, date_of(end), pair, cause)]
    return []


def different(here: str, there: str) -> tuple[str, str]:
    """Return the parts, split at commas, in which two choices differ."""
    pairs = list(zip(here.split(", "), there.split(", "), strict=False))
    apart = [(a, b) for a, b in pairs if a != b]
    if not apart:
        return here, there
    return ", ".join(a for a, _ in apart), ", ".join(b for _, b in apart)


def audit_labels(
    fit: Callable[[FloatArray], FloatArray],
    labels: FloatArray,
    truth: FloatArray,
    *,
    repeats: int = 5,
    name: str = "training",
    seed: int = 0,
) -> AuditReport:
    """Check that shuffled training labels teach nothing about the test.

    Parameters
    ----------
    fit
        Trains on labels of shape (n,), 0 or 1, and returns the calls for the test, shape (m,):
        0 or 1, or probabilities, which count as up above 0.5.
    labels, truth
        The training labels (n,) and the test's true ones (m,).

    The mean accuracy over `repeats` shufflings may not be more than 3.3 standard deviations above
    what calls of the same shares would reach by chance.
    """
    rng = np.random.default_rng(seed)
    excess: list[float] = []
    accuracy: list[float] = []
    up = float(np.mean(truth))
    for _ in range(repeats):
        calls = np.asarray(fit(rng.permutation(labels)), np.float64) > 0.5
        share = float(calls.mean())
        accuracy.append(float((calls == (truth > 0.5)).mean()))
        excess.append(accuracy[-1] - (share * up + (1 - share) * (1 - up)))
    found: list[Finding] = []
    mean = float(np.mean(excess))
    if mean * 2 * np.sqrt(len(truth)) > SURE:
        reached = float(np.mean(accuracy))
        cause = "a feature holds the answer, or the test's labels reach the training"
        where = "training: accuracy on the test, and by chance"
        pair = reached, reached - mean
        found = [Finding("labels", "labels-in-features", "leak", where, None, pair, cause)]
    judged = {"labels": (repeats, found)}
    return make_report(name, "training", {"bars": len(truth)}, judged, seed=seed)
