"""What an audit found: frozen, sorted by grade, ready for JSON and for an exit code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

__all__ = ["CAUTION", "LEAKS", "AuditReport", "Check", "Finding", "Grade", "date_of"]

Grade = Literal["leak", "fragile"]

LEAKS = {
    "future-bar": "a value knows a later bar",
    "centred-window": "a centred window reaches into the future",
    "backfill": "missing values are filled from later ones",
    "whole-sample-scaler": "a value is scaled by statistics of the whole sample",
    "whole-sample-threshold": "calls are cut at a threshold of the whole sample",
    "whole-sample-size": "positions are sized by statistics of the whole sample",
    "batch-mixing": "a batch is normalised as a whole",
    "wrapped-index": "the first bars read the last ones",
    "higher-timeframe": "a longer bar is seen before it closes",
    "same-bar-fill": "orders fill at a price of the bar they were decided on",
    "window-skew": "batched and streaming runs read different windows",
    "in-sample-model": "a model calls bars of its own training",
    "train-serve-skew": "the served model is not the trained one",
    "scaler-on-all-data": "the scaler was fitted beyond the training part",
    "validation-is-test": "the validation part is the test part",
    "shuffled-windows": "training windows overlap later validation windows",
    "unpurged-horizon": "training labels were known after the next part began",
    "test-chosen-parameter": "a setting was chosen with bars of the test",
    "training-sees-future": "training depends on bars after its end",
    "labels-in-features": "shuffled labels are still predicted",
    "stale-window": "the newest bar is left out",
    "price-level": "calls depend on the price level",
    "delay-collapse": "the profit rests on a single bar",
    "label-is-input": "a label is the newest input itself",
    "row-against-one-output": "a whole row is the label of one output",
    "relu-head": "the last layer cannot say less than a lowest value",
    "known-flaw": "the model's card names a mistake",
    "last-bar": "it knows which bar is the last",
    "long-memory": "values depend on where the history starts",
    "not-repeatable": "two equal runs differ",
}
"""Name of each finding and what it says."""

CAUTION = (
    "A clean audit is no proof: revised data, survivors picked in hindsight, and choices made"
    " after seeing the test cannot be seen in a program."
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with the first place where it shows."""

    check: str
    """The check that saw it."""
    name: str
    """A key of `LEAKS`."""
    grade: Grade
    """A `leak` makes results worthless; `fragile` ones may be honest but need a look."""
    where: str
    """Level and name: of a line, of orders, of a part of the training."""
    first: str | None
    """ISO date of the first bar concerned."""
    values: tuple[float | str | None, float | str | None]
    """What was found on all bars, and what it should have equalled: that of the other run."""
    cause: str
    """The likely cause in one sentence."""

    @property
    def title(self) -> str:
        """What the name says."""
        return LEAKS[self.name]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "check": self.check,
            "name": self.name,
            "title": self.title,
            "grade": self.grade,
            "where": self.where,
            "first": self.first,
            "values": list(map(plain, self.values)),
            "cause": self.cause,
        }


@dataclass(frozen=True)
class Check:
    """One check and how much it looked at."""

    name: str
    runs: int
    """Runs of the target, or comparisons, that were judged."""
    result: Literal["clean", "fragile", "leak", "not judged"]


@dataclass(frozen=True)
class AuditReport:
    """All of an audit. `target` and `bars` say what was audited on what."""

    target: str
    kind: str
    bars: dict[str, Any]
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    seed: int = 0

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings of grade leak."""
        return tuple(finding for finding in self.findings if finding.grade == "leak")

    @property
    def exit_code(self) -> int:
        """1 when there is a leak, else 0."""
        return 1 if self.leaks else 0

    def as_json(self) -> dict[str, Any]:
        """Return plain values, without times or NaN."""
        return {
            "target": self.target,
            "kind": self.kind,
            "bars": self.bars,
            "result": "leak" if self.leaks else "fragile" if self.findings else "clean",
            "findings": [finding.as_json() for finding in self.findings],
            "checks": [vars(check) for check in self.checks],
            "notes": list(self.notes),
            "seed": self.seed,
            "caution": CAUTION,
        }


def make_report(
    target: str,
    kind: str,
    bars: dict[str, Any],
    judged: dict[str, tuple[int, list[Finding]]],
    notes: list[str] | None = None,
    seed: int = 0,
) -> AuditReport:
    """Return a report from the runs and findings of each check, leaks first."""
    findings = [finding for _, found in judged.values() for finding in found]
    findings.sort(key=lambda finding: finding.grade != "leak")
    checks = tuple(
        Check(name, runs, _result(runs, found)) for name, (runs, found) in judged.items()
    )
    return AuditReport(target, kind, bars, tuple(findings), checks, tuple(notes or ()), seed)


def _result(runs: int, found: list[Finding]) -> Literal["clean", "fragile", "leak", "not judged"]:
    if any(finding.grade == "leak" for finding in found):
        return "leak"
    if found:
        return "fragile"
    return "clean" if runs else "not judged"


def date_of(moment: pd.Timestamp) -> str:
    """Return an ISO date, with the time when it is not midnight."""
    return str(moment.date()) if moment == moment.normalize() else moment.isoformat()


def plain(value: float | str | None) -> float | str | None:
    """Return a value that JSON knows: None for NaN, text for infinities."""
    if value is None or isinstance(value, str):
        return value
    if math.isnan(value):
        return None
    return float(value) if math.isfinite(value) else str(value)
