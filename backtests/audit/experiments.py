"""Audit an experiment: train it again on other bars, and check what its run has written."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...signals.chain import write_chain
from ...signals.latest import open_model, uses_of
from ...signals.manifest import Period
from .cases import SIGNAL, Case, Progress, Step, tried_folds
from .findings import AuditReport, Finding, date_of, make_report
from .pipeline import Pipeline
from .retraining import audit_experiment
from .run_folder import (
    check_agreement,
    check_intervals,
    check_placebo,
    check_reproduction,
    in_sample,
    models_of,
    read_records,
)
from .runner import FEWEST, audit_target
from .subjects import Subject
from .tunings import check_tuning

__all__ = ["audit_run"]

SIGNAL_BARS = 300
"""Bars on which signals are run, at least; twice what the rules need before their first call."""


def audit_run(
    subject: Subject,
    *,
    seed: int = 0,
    every_fold: bool = False,
    bars: int | None = None,
    signals: bool = True,
    on_step: Step | None = None,
) -> AuditReport:
    """Audit an experiment, or a finished run of it, with the real trainer and tuning.

    Parameters
    ----------
    subject : Subject
        See `read_subject`. Its run's folder is read and never written.
    seed : int
        Of the changed futures.
    every_fold : bool
        Train every fold anew, not only the middle and the last one.
    bars : int, optional
        Last bars on which the signals are run; by default 300, or twice what the rules need.
    signals : bool
        Run the calls of its chains by the ordinary checks too: about half of the time.
    on_step : callable
        Called before each piece of work with its name, the units done, and those expected.

    Raises
    ------
    NextbarError
        When a training cannot be made on these bars, or files of the run cannot be read.
    """
    progress = Progress(on_step)
    notes, judged = subject.notes, dict[str, tuple[int, list[Finding]]]()
    for symbol in subject.bars:
        tried = tried_folds(subject, symbol, every_fold)
        with tempfile.TemporaryDirectory(prefix="nextbar-audit-") as name:
            case = Case(subject, symbol, Path(name), tried, seed, bars, progress)
            chains = _judge(case)
            for path, kind in chains if signals else ():
                _signal(case, path, kind)
        several = len(subject.bars) > 1
        for check, (runs, found) in case.judged.items():
            there = judged.get(check, (0, []))
            named = [replace(f, where=f"{symbol}, {f.where}") if several else f for f in found]
            judged[check] = there[0] + runs, there[1] + named
        notes += [f"{symbol}: {note}" if several else note for note in case.notes]
    kind = "run" if subject.folder else "experiment"
    return make_report(subject.name, kind, _facts(subject), judged, notes, seed)


def _judge(case: Case) -> list[tuple[Path, str]]:
    """Check the training and what it left; return its chains and their names."""
    subject, symbol = case.subject, case.symbol
    trains = subject.experiment.model_sha256 is None
    case.progress.expect(case.units(trains))
    pipeline = Pipeline(
        case.experiment, case.frame, case.folder, case.tried, case.progress.training, trains=trains
    )
    home = case.folder if subject.folder is None else subject.folder
    rules = home / "rules" / symbol
    chains = models_of(home, symbol)
    if subject.folder is not None:
        _check_folder(case, subject.folder, chains)
    _retrain(case, pipeline, trains)
    check_tuning(case, pipeline)
    if subject.folder is None:
        config = case.experiment.training
        from ..tuning import write_rules  # brings numba, which only an experiment needs

        write_rules(case.frame, case.experiment, rules, config.horizon, config.target)
        chains = _own_chain(case, pipeline) if trains else []
    elif trains and subject.same_bars(symbol):
        case.add("reproduction", check_reproduction(subject, symbol, pipeline))
    if not trains:
        chains = _given(case)
    own = [(path, "lstm") for path in chains if path.name not in ("logistic", "shuffled")]
    return own + [(path, path.name) for path in sorted(rules.glob("*")) if path.is_dir()]


def _retrain(case: Case, pipeline: Pipeline, trains: bool) -> None:
    """Train on all bars, shorter and changed ones, and look at what the trainings were given."""
    ends = {fold: case.experiment.folds[fold].test_start for fold in case.tried}
    report = audit_experiment(
        pipeline.retrain,
        case.frame,
        ends,
        folds=case.tried,
        traces=(lambda: {k: pipeline.trace(k) for k in case.tried}) if trains else None,
        seed=case.seed,
    )
    for check in report.checks:
        found = [finding for finding in report.findings if finding.check == check.name]
        case.add(check.name, (check.runs, found))


def _check_folder(case: Case, folder: Path, chains: list[Path]) -> None:
    """Check what the run has written: quick, so before anything is trained."""
    if chains:
        case.progress("models")
        case.add("interval", check_intervals(chains))
        case.add("skew", check_agreement(read_records(chains)))
    placebo = folder / "models" / case.symbol / "shuffled"
    if placebo.is_dir():
        with case.judging("placebo"):
            judged, line = check_placebo(case.subject, case.symbol, placebo)
            case.add("placebo", judged)
            case.notes.append(line)


def _own_chain(case: Case, pipeline: Pipeline) -> list[Path]:
    """Write a chain of the models that were trained for the audit, and check it."""
    home, starts = pipeline.jobs[0].folder, case.experiment.folds
    case.add(
        "skew", check_agreement({f"fold {k}": record for k, record in pipeline.records.items()})
    )
    dates = [pd.Timestamp(starts[job.fold].test_start).to_pydatetime() for job in pipeline.jobs]
    periods = [
        Period(start=start, end=end, models=(job.path.name,))
        for job, start, end in zip(pipeline.jobs, dates, [*dates[1:], None], strict=True)
    ]
    late = [found for job, start in zip(pipeline.jobs, dates, strict=True)
            if (found := in_sample(job.path, pd.Timestamp(start), "lstm"))]  # fmt: skip
    case.add("interval", (len(periods), late[:1]))
    if late:  # no chain of such models can be written
        case.notes.append("lstm: not judged: its models have seen their tests.")
        return []
    return [write_chain(home, periods).path]


def _given(case: Case) -> list[Path]:
    """Check the training interval of a given model against the first test."""
    start = pd.Timestamp(case.experiment.test_start)
    model = case.subject.model
    if model is not None:
        uses = uses_of(open_model(model))
        unseen = pd.Timestamp(uses.unseen_from)
    else:
        facts = case.subject.results["symbols"][case.symbol]["models"]["given"]
        unseen = pd.Timestamp(facts["unseen_from"])
        case.notes.append(
            f"lstm: not judged: the run does not keep its given model. Audit {facts['file']} by"
            " itself."
        )
    found = [] if unseen <= start else [_given_finding(unseen, start)]
    case.add("interval", (1, found))
    return [] if model is None else [model]


def _given_finding(unseen: pd.Timestamp, start: pd.Timestamp) -> Finding:
    cause = "the given model has seen bars of the test: start the test later"
    pair = date_of(unseen), date_of(start)
    where = "given model: unseen from, start of the test"
    return Finding("interval", "in-sample-model", "leak", where, pair[1], pair, cause)


def _signal(case: Case, path: Path, name: str) -> None:
    """Run a chain by the ordinary checks; one row for all of them."""
    needed = 2 * (max(case.experiment.look_back, case.experiment.training.window) + 1)
    bars = case.bars or max(SIGNAL_BARS, needed)
    done = case.progress.done

    def on_step(check: str, number: int, _: int) -> None:
        case.progress.at(done + min(number, SIGNAL), f"{name}: {check}")

    with case.judging(name):
        report = audit_target(
            str(path), case.frame.iloc[-max(bars, FEWEST) :], seed=case.seed, on_step=on_step
        )
        found = [
            replace(finding, check=f"{name}: {finding.check}", where=f"{name}, {finding.where}")
            for finding in report.findings
        ]
        case.add(name, (sum(check.runs for check in report.checks), found))
        case.notes += [f"{name}: {note}" for note in report.notes]
    case.progress.at(done + SIGNAL, name)


def _facts(subject: Subject) -> dict[str, Any]:
    frames = list(subject.bars.values())
    return {
        "symbol": ", ".join(subject.bars),
        "interval": subject.experiment.interval,
        "bars": sum(map(len, frames)),
        "first": date_of(min(frame.index[0] for frame in frames)),
        "last": date_of(max(frame.index[-1] for frame in frames)),
    }
