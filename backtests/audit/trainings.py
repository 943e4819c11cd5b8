"""The audit of a training: the rows that it was given, in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .findings import AuditReport, Finding, date_of, make_report

__all__ = ["Rows", "TrainingTrace", "audit_training", "overlap"]

Judged = tuple[int, list[Finding]]

TOLERANCE = 1e-5
"""Relative, for statistics that float32 code computes in another order."""


@dataclass(frozen=True)
class Rows:
    """The rows of one part in time, in any order; all of shape (n,).

    `starts` are the first bars of their windows, `times` the last ones, on which the call is made,
    and `label_ends` the bars on which their labels are known.
    """

    starts: pd.DatetimeIndex
    times: pd.DatetimeIndex
    label_ends: pd.DatetimeIndex

    def __post_init__(self) -> None:
        if not len(self.starts) == len(self.times) == len(self.label_ends):
            raise ValueError("starts, times and label_ends must have one entry for each row")


@dataclass(frozen=True)
class TrainingTrace:
    """What a training was given: pass what its fit() call got, not what it should have got.

    `test` are the bars on which its result is judged. `scaler` are the statistics in use by name,
    `train_statistics` the same ones computed from the training rows alone.
    """

    train: Rows
    validation: Rows
    test: pd.DatetimeIndex
    scaler: Mapping[str, float] = field(default_factory=dict[str, float])
    train_statistics: Mapping[str, float] = field(default_factory=dict[str, float])


def audit_training(trace: TrainingTrace, *, name: str = "training", seed: int = 0) -> AuditReport:
    """Check a training's rows, labels and scaler against its validation and test parts."""
    judged = {
        "scaler": _check_scaler(trace),
        "validation": _check_validation(trace),
        "windows": _check_windows(trace),
        "labels": _check_labels(trace),
        "interval": _check_interval(trace),
    }
    every = trace.train.times.union(trace.validation.times).union(trace.test)
    first, last = (date_of(every[0]), date_of(every[-1])) if len(every) else (None, None)
    facts = {"bars": len(every), "first": first, "last": last}
    return make_report(name, "training", facts, judged, seed=seed)


def overlap(part: Rows, other: Rows) -> float:
    """Return the share of the windows of `other` that share a bar with a window of `part`."""
    if not len(part.times) or not len(other.times):
        return 0.0
    starts, ends = np.sort(part.starts.to_numpy()), np.sort(part.times.to_numpy())
    begun = np.searchsorted(starts, other.times.to_numpy(), side="right")
    over = np.searchsorted(ends, other.starts.to_numpy(), side="left")
    return float((begun > over).mean())


def _check_scaler(trace: TrainingTrace) -> Judged:
    for key, used in trace.scaler.items():
        expected = trace.train_statistics.get(key)
        if expected is None:
            continue
        if not abs(used - expected) <= TOLERANCE * max(abs(used), abs(expected)):
            cause = "fit() or adapt() got more than the training rows: give it those alone"
            return len(trace.scaler), [
                Finding(
                    "scaler", "scaler-on-all-data", "leak", f"scaler: {key}",
                    date_of(trace.train.times.max()), (used, expected), cause,
                )
            ]  # fmt: skip
    return len(trace.scaler), []


def _check_validation(trace: TrainingTrace) -> Judged:
    shared = trace.validation.times.intersection(trace.test)
    if not len(shared):
        return 1, []
    cause = "early stopping and checkpoints then choose by the test: validate on bars before it"
    values = float(len(shared)), 0.0
    first = date_of(shared.min())
    where = "training: validation rows in the test"
    return 1, [Finding("validation", "validation-is-test", "leak", where, first, values, cause)]


def _check_windows(trace: TrainingTrace) -> Judged:
    train, validation = trace.train, trace.validation
    if not len(validation.times) or not len(train.times):
        return 0, []
    first = validation.times.min()
    late = train.times >= first
    shared = overlap(train, validation)
    if not late.any() or shared == 0:
        return 1, []
    cause = "the rows were shuffled before they were split: split by date, then shuffle the first"
    where = "training: share of validation windows that share bars with training ones"
    values = shared, 0.0
    return 1, [Finding("windows", "shuffled-windows", "leak", where, date_of(first), values, cause)]


def _check_labels(trace: TrainingTrace) -> Judged:
    """Look for labels that end in the next part, on its first bar or later."""
    parts = [
        ("training", trace.train, "validation", trace.validation.times),
        ("training", trace.train, "test", trace.test),
        ("validation", trace.validation, "test", trace.test),
    ]
    findings: list[Finding] = []
    for name, rows, later_name, later in parts:
        # Parts that are mixed in time have a finding of their own.
        if not len(later) or not len(rows.times) or rows.times.max() >= later.min():
            continue
        over = rows.label_ends >= later.min()
        if over.any():
            cause = "drop the last rows before each boundary: as many as the label's horizon"
            where = f"training: last label of the {name} part, first bar of the {later_name}"
            values = date_of(rows.label_ends.max()), date_of(later.min())
            first = date_of(rows.times[over].min())
            findings.append(
                Finding("labels", "unpurged-horizon", "leak", where, first, values, cause)
            )
            break
    return sum(len(later) > 0 for *_, later in parts), findings


def _check_interval(trace: TrainingTrace) -> Judged:
    if not len(trace.test) or not len(trace.train.times):
        return 0, []
    last, first = trace.train.times.max(), trace.test.min()
    if last < first:
        return 1, []
    cause = "the result is judged on bars of the training: start the test after them"
    where = "training: last training bar, first bar of the test"
    values = date_of(last), date_of(first)
    return 1, [Finding("interval", "in-sample-model", "leak", where, date_of(first), values, cause)]
