"""Experiment files and options: the same plan, and one line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nextbar.backtests.experiment import SCHEMA
from nextbar.backtests.plan import Plan, experiment_of, read_plan
from nextbar.signals.errors import BarsError, ExperimentError
from nextbar.signals.sources import load_bars
from nextbar.training.config import Fold, TrainingConfig

from ..markets import random_bars

FULL = """
schema = 2
name = "mine"
symbols = ["AA"]
folds = 3
seeds = 2
cost_bps = 2.5
ema_grid = [[3, 8], [5, 15]]
momentum_grid = [10, 20]

[training]
units = [4]
window = 8
epochs = 2
"""

DATES = """
schema = 2
symbols = ["AA"]

[[folds]]
validation_start = 2001-09-03
test_start = 2002-01-01

[[folds]]
validation_start = 2002-01-02
test_start = 2002-06-03
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "experiment.toml"
    path.write_text(text)
    return path


def bars_of(n: int = 520) -> dict[str, pd.DataFrame]:
    return {"AA": random_bars(n)}


def test_a_number_of_folds_becomes_dates(tmp_path: Path) -> None:
    experiment = experiment_of(read_plan(written(tmp_path, FULL)), bars_of())
    assert len(experiment.folds) == 3
    assert experiment.folds[0].test_start == bars_of()["AA"].index[156].date()
    assert (experiment.seeds, experiment.cost_bps, experiment.name) == (2, 2.5, "mine")
    assert experiment.training == TrainingConfig(units=(4,), window=8, epochs=2)
    assert experiment_of(read_plan(written(tmp_path, FULL)), bars_of()) == experiment


def test_folds_may_be_dates(tmp_path: Path) -> None:
    experiment = experiment_of(read_plan(written(tmp_path, DATES)), bars_of())
    assert [str(fold.test_start) for fold in experiment.folds] == ["2002-01-01", "2002-06-03"]


def test_rolling_folds_train_on_as_many_dates(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, FULL.replace("folds = 3", "folds = 3\nrolling = true")))
    index = bars_of()["AA"].index
    for fold in experiment_of(plan, bars_of()).folds:
        assert fold.train_start is not None
        dates = (index >= pd.Timestamp(fold.train_start)) & (index < pd.Timestamp(fold.test_start))
        assert dates.sum() == 156


def test_the_defaults_fit_the_embedded_bars() -> None:
    bars = {symbol: load_bars(symbol) for symbol in ("AAPL", "GOOG")}
    experiment = experiment_of(Plan(symbols=tuple(bars)), bars)
    assert len(experiment.folds) == 8
    assert experiment.seeds == 5
    assert str(experiment.test_start) == "2007-03-13"


WRONG = {
    "an unknown key": ("seeds = 2", "sedes = 2", "sedes: unknown. Did you mean 'seeds'?"),
    "an unknown key of the training": (
        "epochs = 2", "epoch = 2", "training.epoch: unknown. Did you mean 'epochs'?",
    ),
    "an older schema": ("schema = 2", "schema = 1", "expected schema = 2, found 1"),
    "no schema": ("schema = 2", "", "expected schema = 2, found none"),
    "a wrong value": ("seeds = 2", "seeds = 0", "seeds: expected a number of at least 1, found 0"),
    "a wrong type": ("seeds = 2", 'seeds = "many"', "seeds: expected a whole number, found 'many'"),
    "no TOML": ("seeds = 2", "seeds = ", "not a TOML file"),
    "an unknown feature": (
        "epochs = 2", 'features = ["retrun"]', "unknown 'retrun'. Did you mean 'return'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_one_line(name: str, tmp_path: Path) -> None:
    old, new, words = WRONG[name]
    assert old in FULL
    with pytest.raises(ExperimentError) as caught:
        read_plan(written(tmp_path, FULL.replace(old, new)))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "experiment.toml" in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="cannot be read"):
        read_plan(tmp_path / "experiment.toml")


def test_the_schema_is_the_files() -> None:
    assert Plan.model_fields["schema_version"].default == SCHEMA == 2


@pytest.mark.parametrize(
    ("changes", "n", "error", "words"),
    [
        ({"folds": 200}, 520, ExperimentError, "too few for 200 folds: .* 400 from it on"),
        ({"folds": 0}, 520, ExperimentError, "expected at least 1 fold, found 0"),
        ({}, 90, BarsError, "90 bars, and 120 are needed before the first test"),
        ({"momentum_grid": (252,)}, 250, BarsError, "250 bars, and 283 are needed"),
        (
            {"folds": (Fold(validation_start="2001-05-01", test_start="2001-09-01"),),
             "rolling": True},
            520, ExperimentError, "leave them out",
        ),
        (
            {"folds": (), "symbols": ("AA",)}, 520, ExperimentError, "at least one fold",
        ),
    ],
)  # fmt: skip
def test_plans_that_do_not_fit(
    changes: dict[str, Any], n: int, error: type[Exception], words: str
) -> None:
    fields: dict[str, Any] = {"ema_grid": ((3, 8),), "momentum_grid": (10,)}
    with pytest.raises(error, match=words):
        experiment_of(Plan(**fields | changes), bars_of(n))


def test_five_minute_bars_of_few_days_are_refused_in_words() -> None:
    bars = random_bars(400, freq="5min")
    bars.attrs["interval"] = "5m"
    plan = Plan(ema_grid=((3, 8),), momentum_grid=(10,), folds=2)
    with pytest.raises(ExperimentError, match=r"days are too few for 2 folds|a later test_start"):
        experiment_of(plan, {"AA": bars})


def test_a_file_says_fractions_with_0(tmp_path: Path) -> None:
    assert read_plan(written(tmp_path, FULL.replace("seeds = 2", "step = 0"))).step is None


WRONG_FOLDS = {
    "no date": ("test_start = 2002-01-01", "", "folds.0.test_start: is missing"),
    "a typo": ("test_start = 2002-01-01", "test_strat = 2002-01-01", "Did you mean 'test_start'?"),
    "backwards": ("2002-01-01\n", "2001-01-01\n", "folds.0: a fold's dates must ascend"),
}


@pytest.mark.parametrize("name", WRONG_FOLDS)
def test_a_wrong_fold_is_named(name: str, tmp_path: Path) -> None:
    old, new, words = WRONG_FOLDS[name]
    assert old in DATES
    with pytest.raises(ExperimentError) as caught:
        read_plan(written(tmp_path, DATES.replace(old, new, 1)))
    assert words in str(caught.value)
    for noise in ("tuple", "whole number", "function-after"):
        assert noise not in str(caught.value)


def test_a_given_model_has_its_own_training(tmp_path: Path) -> None:
    plan = Plan(model=str(tmp_path / "x.onnx"), seeds=3)
    with pytest.raises(ExperimentError, match="a given model has its own"):
        experiment_of(plan, bars_of())
