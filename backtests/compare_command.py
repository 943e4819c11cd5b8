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

    from ..training.config import TrainingConfig
    from ..training.recipes import Recipe
    from .comparison import Comparison
    from .experiment import Experiment
    from .plan import Plan

__all__ = ["compare", "demo"]

DEMO: dict[str, Any] = {"name": "demo", "folds": 3, "seeds": 2}
"""Fewer folds and seeds than a comparison has, to be done in a minute or two."""

BESIDE_A_FILE = {"symbols", "listed", "runs", "workers", "refresh", "as_json", "storage"}
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
    listed: o.Listed = None,
    recipe: o.Recipe = None,
    full: o.Full = False,
    faithful: o.Faithful = False,
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
    setting: o.Setting = None,
    rivals: o.Rivals = None,
    storage: o.Storage = None,
    trials: o.Trials = None,
    name: o.Name = "compare",
    runs: o.Runs = Path("runs"),
    workers: o.Workers = None,
    as_json: o.AsJson = False,
) -> None:
    """Compare an LSTM with nine baselines, walking forward, and say what the history can show.

    Name symbols, or an experiment file (.toml) that holds all settings. With --recipe the LSTM is
    a tutorial's; options that are typed as well take the place of the recipe's.
    """
    from ..signals.sources.request import parse_date
    from ..training.recipes import recipe_named
    from .inputs import from_options, parts, training_config
    from .plan import Plan, read_plan
    from .recipe_plan import (
        check_own_form,
        check_recipe_options,
        on_own_split,
        recipe_fields,
        search_typed,
    )

    typed = {key for key in context.params if o.was_typed(context, key)}
    named = [*(symbols or ()), *(part for text in listed or () for part in parts(text))]
    chosen: Recipe | None = None
    own: TrainingConfig | None = None
    if any(symbol.endswith(".toml") for symbol in named):
        _check_alone(named, typed)
        plan = read_plan(named[0])
    else:
        chosen = None if recipe is None else recipe_named(recipe)
        check_recipe_options(chosen, typed)
        fields = {} if chosen is None else recipe_fields(chosen, full=full or faithful)
        dials = (epochs, window, horizon, units, features, setting)
        given = (seed if "seed" in typed else None, *dials)
        fields |= {
            "symbols": tuple(symbol.upper() for symbol in named),
            "csv": tuple(map(str, csv or ())),
            "source": "csv" if csv else source,
            "model": None if model is None else str(model),
            "start": parse_date(start, "--start"),
            "end": parse_date(end, "--end"),
            "interval": interval,
            "adjust": adjust,
            "first_test": parse_date(first_test, "--first-test"),
            "rolling": rolling,
            "training": training_config(*given, base=fields.get("training")),
            "cost_bps": cost_bps,
            "cash": cash,
            "target": target,
            "shorts": shorts,
            "step": None if fractional else 1.0,
            "band": band,
            "on_zero": "hold" if hold else "flat",
            "dead_band": dead_band,
        }
        own_words = {"folds": folds, "seeds": seeds, "name": name, "rivals": parts(rivals or "")}
        plan = from_options(Plan, fields | {k: v for k, v in own_words.items() if k in typed})
        if faithful and chosen is not None:
            own = training_config(*given, base=chosen.faithful)
            check_own_form(chosen, own)
    plan = plan.model_copy(update={"search": search_typed(plan.search, typed, storage, trials)})
    bars = _bars(plan, refresh=refresh)
    if chosen is not None and (full or faithful):
        plan = on_own_split(plan, chosen, bars)
    _compare(plan, bars, runs, workers, as_json, chosen, own)


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
    plan: Plan,
    bars: Mapping[str, pd.DataFrame],
    runs: Path,
    workers: int | None,
    as_json: bool,
    recipe: Recipe | None = None,
    own: TrainingConfig | None = None,
) -> None:
    """Run a plan and show it; then `own`, a recipe's flawed form, if it is asked for."""
    from .comparison import compare
    from .plan import experiment_of
    from .recipe_plan import with_recipe
    from .recipe_tables import show_origin
    from .verdict_tables import show_comparison

    experiment = experiment_of(plan, bars)
    if recipe is not None:
        experiment = with_recipe(experiment, recipe, plan)
    with console.Steps() as steps:
        if plan.search is not None:
            from .searching import search_first

            experiment = search_first(experiment, plan.search, bars, runs, steps)
        done = compare(
            experiment, bars, runs=runs, model=plan.model, workers=workers, on_step=steps
        )
    if not as_json:
        show_comparison(done)  # before what may fail
    faithful = None if own is None else _faithful(own, experiment, bars, done)
    if as_json:
        where: dict[str, Any] = {"folder": str(done.folder), "resumed": done.resumed}
        flawed = {} if faithful is None else {"faithful": faithful}
        console.say(json.dumps(where | done.summary | flawed, indent=2))
    else:
        show_origin(experiment.origin, faithful)


def _faithful(
    own: TrainingConfig,
    experiment: Experiment,
    bars: Mapping[str, pd.DataFrame],
    done: Comparison,
) -> dict[str, Any]:
    from .faithful import faithful_facts

    with console.TrainingProgress() as progress:
        return faithful_facts(own, experiment, bars, done, progress.epoch)
