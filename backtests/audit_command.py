"""The command that audits a target: `nextbar audit`."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import console
from . import options as o

if TYPE_CHECKING:
    from .audit import AuditReport

__all__ = ["audit"]

EXAMPLE = "nextbar audit my_strategy.py:MyStrategy AAPL"

Audited = Annotated[
    str,
    typer.Argument(
        help="A run's folder, an experiment file (.toml), a model file, a chain folder,"
        " FILE.py:NAME or MODULE:NAME: a strategy, an indicator, or a function of bars.",
        metavar="TARGET",
    ),
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param", help="A setting, such as fast=10; may be repeated.", show_default=False
    ),
]
Last = Annotated[
    int | None,
    typer.Option(
        "--bars",
        help="Use only this many last bars: 800; of an experiment, for its signals alone.",
        min=1,
        show_default=False,
    ),
]
EveryBar = Annotated[
    bool, typer.Option("--every-bar", help="Cut at every bar, not at about 45: slow and sure.")
]
EveryFold = Annotated[
    bool,
    typer.Option("--every-fold", help="Train all folds of an experiment anew, not two: slow."),
]
Seed = Annotated[int, typer.Option(help="Seed of the changed futures.", min=0)]


LAST = 800

BESIDE_AN_EXPERIMENT = {
    "target", "symbols", "csv", "refresh", "bars", "every_fold", "seed", "as_json",
}  # fmt: skip
"""What may be said beside an experiment: it holds all the rest."""


def audit(
    context: o.Context,
    target: Audited,
    symbols: o.Symbols = None,
    param: Params = None,
    source: o.Source = "sample",
    csv: o.Csv = None,
    start: o.Start = None,
    end: o.End = None,
    interval: o.Interval = None,
    adjust: o.Adjust = None,
    refresh: o.Refresh = False,
    bars: Last = None,
    every_bar: EveryBar = False,
    every_fold: EveryFold = False,
    seed: Seed = 0,
    as_json: o.AsJson = False,
) -> None:
    """Look for look-ahead in a strategy, an indicator, a model, a feature or an experiment.

    Runs it on cut, changed and streamed bars (AAPL by default), and trains an experiment's models
    anew on such bars. Exits with 1 on a leak.
    """
    from .audit import TargetCrashError, audit_target
    from .audit.present import AuditProgress, show_report
    from .audit.subjects import is_experiment

    try:
        if is_experiment(target):
            _check_alone({key for key in context.params if o.was_typed(context, key)})
            report = _of_experiment(target, symbols, csv, refresh, bars, every_fold, seed)
        else:
            settings = _settings(param or ())
            frame = _frame(symbols, csv, source, start, end, interval, adjust, refresh)
            with AuditProgress() as progress:
                report = audit_target(
                    target,
                    frame.iloc[-(bars or LAST) :],
                    params=settings,
                    seed=seed,
                    every_bar=every_bar,
                    on_step=progress,
                )
    except TargetCrashError as error:
        console.warn(f"error: {error}")
        raise typer.Exit(3) from error
    if as_json:
        console.say(json.dumps(report.as_json()))
    else:
        show_report(report, console.show)
    raise typer.Exit(report.exit_code)


def _frame(symbols: list[str] | None, csv: list[Path] | None, source: str, *rest: Any) -> Any:
    from .inputs import load_all, only_one

    if not symbols and not csv and source == "sample":
        symbols = ["AAPL"]
    return only_one(load_all(symbols, csv, source, *rest))[1]


def _of_experiment(
    target: str,
    symbols: list[str] | None,
    csv: list[Path] | None,
    refresh: bool,
    bars: int | None,
    every_fold: bool,
    seed: int,
) -> AuditReport:
    from .audit import audit_run, read_subject
    from .audit.present import AuditProgress

    subject = read_subject(target, symbols=symbols, csv=csv, refresh=refresh)
    with AuditProgress() as progress:
        return audit_run(subject, seed=seed, every_fold=every_fold, bars=bars, on_step=progress)


def _check_alone(typed: set[str]) -> None:
    from ..signals.errors import ExperimentError

    if extra := sorted(typed - BESIDE_AN_EXPERIMENT):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in extra)
        raise ExperimentError(
            f"{options}: an experiment holds its own settings and bars. Leave them out."
        )


def _settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Return the settings in NAME=VALUE texts: numbers, True, None, or text."""
    from ..signals.errors import ExperimentError

    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ExperimentError(f"--param {pair}: expected NAME=VALUE, such as fast=10.")
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    return settings
