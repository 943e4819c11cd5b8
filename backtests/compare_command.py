"""The commands `demo` and `compare`: a plan, its bars, the comparison, and what is shown of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import console
from . import options as o

if TYPE_CHECKING:
    import pandas as pd

    from .plan import Plan

__all__ = ["compare", "demo"]

DEMO: dict[str, Any] = {"name": "demo", "folds": 3, "seeds": 2}
"""Fewer folds and seeds than a comparison has, to be done in a minute or two."""

BESIDE_A_FILE = {"symbols", "runs", "workers", "refresh", "as_json"}
"""What may be said beside an experiment file."""


def demo(runs: o.Runs = Path("runs"), workers: o.Workers = None, as_json: o.AsJson = False) -> None:
    """Do the whole job on the embedded bars: train, export, backtest, compare, judge.

    Smaller than `nextbar compare`: 3 folds and 2 seeds.
    """
    from ..signals.sources import SAMPLE_SYMBOLS
    from .plan import Plan

    plan = Plan(symbols=SAMPLE_SYMBOLS, **DEMO)
    _compare(plan, _bars(plan, refresh=False), runs, workers, as_json)


def compare(
    context: o.Context,
    symbols: o.Compared = None,
    source: o.Source = "sample",
    csv: o.Csv = None,
    model: o.ReadyModel = None,
    start: o.Start = None,
    end: o.End = None,
    interval: o.Interval = None,
    adjust: o.Adjust = None,
    refresh: o.Refresh = False,
    folds: o.Folds = 8,
    first_test: o.FirstTest = None,
    rolling: o.Rolling = False,
    seeds: o.Seeds = 5,
    cost_bps: o.CostBps = 5.0,
    cash: o.Cash = 100_000.0,
    target: o.Target = 0.95,
    shorts: o.Shorts = False,
    fractional: o.Fractional = False,
    band: o.Band = None,
    hold: o.Hold = False,
    dead_band: o.DeadBand = 0.0,
    seed: o.Seed = 0,
    epochs: o.Epochs = None,
    window: o.Window = None,
    horizon: o.Horizon = None,
    units: o.Units = None,
    features: o.Features = None,
    name: o.Name = "compare",
    runs: o.Runs = Path("runs"),
    workers: o.Workers = None,
    as_json: o.AsJson = False,
) -> None:
    """Compare an LSTM with nine baselines, walking forward, and say what the history can show.

    Name symbols, or an experiment file (.toml) that holds all settings.
    """
    from ..signals.sources.request import parse_date
    from .inputs import from_options, training_config
    from .plan import Plan, read_plan

    typed = {key for key in context.params if o.was_typed(context, key)}
    if symbols and any(symbol.endswith(".toml") for symbol in symbols):
        _check_alone(symbols, typed)
        plan = read_plan(symbols[0])
    else:
        fields: dict[str, Any] = {
            "name": name,
            "symbols": tuple(symbol.upper() for symbol in symbols or ()),
            "csv": tuple(map(str, csv or ())),
            "source": "csv" if csv else source,
            "model": None if model is None else str(model),
            "start": parse_date(start, "--start"),
            "end": parse_date(end, "--end"),
            "interval": interval,
            "adjust": adjust,
            "folds": folds,
            "first_test": parse_date(first_test, "--first-test"),
            "rolling": rolling,
            "training": training_config(seed, epochs, window, horizon, units, features),
            "cost_bps": cost_bps,
            "cash": cash,
            "target": target,
            "shorts": shorts,
            "step": None if fractional else 1.0,
            "band": band,
            "on_zero": "hold" if hold else "flat",
            "dead_band": dead_band,
        }
        plan = from_options(Plan, fields | ({"seeds": seeds} if "seeds" in typed else {}))
    _compare(plan, _bars(plan, refresh=refresh), runs, workers, as_json)


def _check_alone(symbols: list[str], typed: set[str]) -> None:
    from ..signals.errors import ExperimentError

    if len(symbols) > 1:
        raise ExperimentError(f"found {', '.join(symbols)}: name one experiment file alone.")
    if extra := sorted(typed - BESIDE_A_FILE):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in extra)
        raise ExperimentError(
            f"{options}: an experiment file holds all settings. Write them into the file, so that"
            " it says what was run."
        )


def _bars(plan: Plan, *, refresh: bool) -> dict[str, pd.DataFrame]:
    from .inputs import load_all

    return load_all(
        list(plan.symbols),
        [Path(file) for file in plan.csv],
        plan.source,
        None if plan.start is None else str(plan.start),
        None if plan.end is None else str(plan.end),
        plan.interval,
        plan.adjust,
        refresh,
    )


def _compare(
    plan: Plan, bars: Mapping[str, pd.DataFrame], runs: Path, workers: int | None, as_json: bool
) -> None:
    from .comparison import compare
    from .plan import experiment_of
    from .verdict_tables import show_comparison

    experiment = experiment_of(plan, bars)
    with console.Steps() as steps:
        done = compare(
            experiment, bars, runs=runs, model=plan.model, workers=workers, on_step=steps
        )
    if as_json:
        where = {"folder": str(done.folder), "resumed": done.resumed}
        console.say(json.dumps(where | done.summary, indent=2))
    else:
        show_comparison(done)
