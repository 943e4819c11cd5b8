"""Rivals and forecasts in a comparison: real fits, on prices known by then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests import compare
from nextbar.backtests.experiment import make_experiment
from nextbar.backtests.forecast_results import _move_note, known_price
from nextbar.backtests.models import Models
from nextbar.backtests.rivals import run_rivals
from nextbar.backtests.verdict_tables import comparison_tables
from nextbar.signals import load_bars, load_model
from nextbar.signals.calls import load_calls
from nextbar.signals.errors import ExperimentError
from nextbar.training.config import Fold, TrainingConfig
from nextbar.training.labels import field_prices

from ..markets import random_bars
from ..models import write_model

FOLDS = (
    Fold(validation_start="2001-01-01", test_start="2001-06-01"),
    Fold(validation_start="2001-03-01", test_start="2001-09-03"),
)
RIVALS = ("average", "ema_forecast", "linear")


def frame(seed: int = 0) -> pd.DataFrame:
    bars = random_bars(560, seed)
    bars.index = pd.bdate_range("2000-01-03", periods=len(bars), name="date")
    return bars


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A comparison with a given model and three rivals."""
    folder = tmp_path_factory.mktemp("runs")
    model = write_model(folder / "model.onnx", 8, symbols=("TEST",))
    experiment = make_experiment(
        symbols=("TEST",),
        source="csv",
        folds=FOLDS,
        model_sha256=load_model(model).sha256,
        ema_grid=((5, 15),),
        momentum_grid=(20,),
        rivals=RIVALS,
    )
    return compare(experiment, {"TEST": frame()}, runs=folder, model=model), experiment, folder


def test_rivals_join_table_verdict_and_report(done: Any) -> None:
    found, _, _ = done
    names = {f"rival_{name}" for name in RIVALS}
    facts = found.summary["symbols"]["TEST"]
    assert names <= set(facts["strategies"])
    pairs = {pair["baseline"] for pair in found.summary["evidence"]["verdict"]["pairs"]}
    assert names <= pairs
    assert set(facts["forecasts"]["quality"]) == names
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert "EMA forecast" in page
    assert "Nearest neighbours" not in page, "only those that take part are explained"


def test_a_flat_forecast_is_flat_and_the_naive_one_better(done: Any) -> None:
    quality = done[0].summary["symbols"]["TEST"]["forecasts"]["quality"]
    one_step = {name: quality[f"rival_{name}"]["rmse"] for name in RIVALS}
    assert one_step["ema_forecast"] < one_step["average"] / 2
    assert quality["rival_average"]["theils_u"] > 1
    assert quality["rival_average"]["naive_rmse"] < one_step["ema_forecast"]


def test_the_calls_are_in_a_file_and_were_known_in_time(done: Any, tmp_path: Path) -> None:
    found, experiment, _ = done
    models = Models({}, 1, "open", "direction", (), {})
    whole = run_rivals(frame(), experiment, models, tmp_path)
    stored = load_calls(found.folder / "rivals" / "TEST" / "linear.csv")
    np.testing.assert_array_equal(stored.direction, whole["rival_linear"].calls.direction)
    later = frame()
    changed = later.index.get_loc("2001-10-01")
    later.iloc[changed:, :4] *= 3.0
    other = run_rivals(later, experiment, models, tmp_path)
    start = later.index.searchsorted(pd.Timestamp("2001-06-01"))
    for name, run in whole.items():
        mine, theirs = run.forecast[: changed - start], other[name].forecast[: changed - start]
        np.testing.assert_array_equal(mine, theirs)
        assert not np.array_equal(run.forecast, other[name].forecast)


def test_the_naive_price_is_the_close_where_that_is_nearer() -> None:
    bars = load_bars("IBM")

    def error(repeated: np.ndarray[Any, Any], field: str) -> float:
        return float(np.sqrt(np.mean((repeated[:-1] - field_prices(bars, field)[1:]) ** 2)))

    for field in ("open", "high", "low", "close", "mid"):
        own, close = field_prices(bars, field), bars["close"].to_numpy()
        least = min(error(own, field), error(close, field))
        naive = known_price(bars, field)
        assert error(naive, field) == least, "a weaker naive forecast would flatter every other"
        np.testing.assert_array_equal(naive, close if field in ("open", "mid") else own)


@pytest.mark.parametrize(("field", "repeated"), [("mid", "close"), ("high", "high")])
def test_the_note_says_what_is_repeated(field: str, repeated: str) -> None:
    note = _move_note(Models({}, 1, "open", "forecast", ((field, 1),), {}))
    assert f"the naive forecast repeats the {repeated} of bar t." in note
    assert ("errs about a tenth less" in note) == (field == "high")


def test_names_are_checked() -> None:
    with pytest.raises(ExperimentError, match="Did you mean 'arima'"):
        make_experiment(symbols=("A",), folds=FOLDS, rivals=("arma",))
    with pytest.raises(ExperimentError, match="once"):
        make_experiment(symbols=("A",), folds=FOLDS, rivals=("knn", "knn"))


def test_no_comparison_with_known_flaws() -> None:
    flawed = TrainingConfig(flaws=("scaler-on-all-data",))
    with pytest.raises(ExperimentError, match=r"scaler-on-all-data.*--faithful"):
        make_experiment(symbols=("A",), folds=FOLDS, training=flawed)


def test_the_terminal_shows_every_forecaster_beside_the_naive_one(done: Any) -> None:
    summary = done[0].summary
    (table,) = [t for t in comparison_tables(summary) if str(t.title).startswith("Forecasts")]
    rows = list(table.columns[0].cells)
    assert rows == ["Mean of 100", "EMA forecast", "Linear regression"]
    assert [str(column.header) for column in table.columns][-1] == "MASE at 2"
    naive = list(table.columns[2].cells)
    assert len(set(naive)) == 1, "the same bars for all"
