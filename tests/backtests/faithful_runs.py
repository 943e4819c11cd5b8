"""A tutorial's own form beside the honest one, run once for all tests that only look at it."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from nextbar.backtests import Experiment, compare
from nextbar.backtests.cli import app
from nextbar.backtests.comparison import Comparison
from nextbar.signals import sample_bars
from nextbar.training import TrainingConfig
from nextbar.training.recipes import recipe_named
from typer.testing import CliRunner

RECIPE = recipe_named("stacked-10")
ARGS = "compare AAPL --start 2009-08-01 --recipe stacked-10 --faithful --epochs 2 --units 4"


@dataclass(frozen=True)
class Done:
    """One run of the command."""

    comparison: Comparison
    experiment: Experiment
    bars: dict[str, pd.DataFrame]
    own: TrainingConfig
    facts: dict[str, Any]
    runs: Path

    @property
    def start(self) -> int:
        first = pd.Timestamp(self.experiment.test_start)
        return int(self.bars["AAPL"].index.searchsorted(first))


def command(runs: Path, *more: str) -> str:
    args = [*ARGS.split(), "--workers", "1", "--runs", str(runs), *more]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    return result.stdout


@functools.cache
def faithful_run(folder: Path) -> Done:
    """Return the run of this process, in the folder of all its tests; nobody may change it."""
    runs = folder / "faithful" / "runs"
    facts = json.loads(command(runs, "--json"))
    experiment = Experiment.model_validate(facts["experiment"])
    bars = {"AAPL": sample_bars("AAPL").loc["2009-08-01":]}
    found = compare(experiment, bars, runs=runs)
    assert found.resumed
    assert RECIPE.faithful is not None
    own = RECIPE.faithful.model_copy(update={"epochs": 2, "units": (4,)})
    return Done(found, experiment, bars, own, facts, runs)


def copied(done: Done, folder: Path) -> Comparison:
    """Return the same comparison in a folder of its own."""
    runs = shutil.copytree(done.runs, folder / "runs")
    home = runs / done.comparison.folder.name
    return Comparison(home, done.comparison.summary, resumed=True, trials=1)
