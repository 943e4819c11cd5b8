"""The whole comparison on small markets, with real trainings of a few epochs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests import Experiment, compare
from nextbar.backtests.common import STRATEGIES
from nextbar.backtests.comparison import Step
from nextbar.backtests.experiment import default_dates, make_experiment, run_hash
from nextbar.signals import load_model
from nextbar.signals.errors import BarsError, ExperimentError, InSampleError
from nextbar.training import TrainingConfig

from ..markets import random_bars
from ..models import write_model

QUICK = TrainingConfig(epochs=2, units=(4,), window=8, features=("return", "gap"))


def bars_of(*symbols: str) -> dict[str, pd.DataFrame]:
    bars = {symbol: random_bars(520, seed=i) for i, symbol in enumerate(symbols)}
    for symbol, frame in bars.items():
        frame.attrs["symbol"] = symbol
    return bars


def experiment_of(*symbols: str, **changes: Any) -> Experiment:
    validation, test = default_dates(bars_of(*symbols))
    fields: dict[str, Any] = {
        "name": "small",
        "symbols": symbols,
        "validation_start": validation,
        "test_start": test,
        "training": QUICK,
        "momentum_period": 60,
    }
    return Experiment(**fields | changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs = tmp_path_factory.mktemp("runs")
    return compare(experiment_of("AA", "BB"), bars_of("AA", "BB"), runs=runs)


def test_writes_all_of_it(done: Any) -> None:
    names = {file.relative_to(done.folder).as_posix() for file in done.folder.rglob("*.*")}
    assert names == {
        "experiment.json",
        "models/AA.json",
        "models/AA.onnx",
        "models/BB.json",
        "models/BB.onnx",
        "report.html",
        "results.json",
        "returns.csv",
    }
    assert done.folder.name.startswith("small-")
    assert not done.resumed


def test_every_strategy_on_the_same_bars(done: Any) -> None:
    for part in done.summary["symbols"].values():
        assert set(part["strategies"]) == set(STRATEGIES)
    with (done.folder / "returns.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"date"} | {f"{s} {k}" for s in ("AA", "BB") for k in STRATEGIES}
    test = experiment_of("AA", "BB").test_start
    assert pd.Timestamp(rows[0]["date"]).date() == test
    assert all(value for row in rows for value in row.values())


def test_results_hold_nothing_of_this_machine(done: Any) -> None:
    text = (done.folder / "results.json").read_text()
    assert "NaN" not in text
    assert str(done.folder.parent) not in text
    assert json.loads(text) == done.summary


def test_equal_weight_is_the_mean_of_returns(done: Any) -> None:
    returns = pd.read_csv(done.folder / "returns.csv", index_col="date", parse_dates=True)
    mean = returns[["AA ema", "BB ema"]].mean(axis=1)
    expected = float(np.prod(1 + mean) - 1)
    assert done.summary["equal_weight"]["ema"]["total_return"] == pytest.approx(expected, rel=1e-9)


def test_models_saw_no_test_bar(done: Any) -> None:
    test = pd.Timestamp(experiment_of("AA", "BB").test_start)
    for symbol in ("AA", "BB"):
        card = load_model(done.folder / "models" / f"{symbol}.onnx").card
        assert pd.Timestamp(card.train_end) < test
        assert card.symbols == (symbol,)
        facts = done.summary["symbols"][symbol]["model"]
        assert facts["test_windows"]["max_difference"] <= 1e-5
        test_bars = done.summary["symbols"][symbol]["bars"]["test_bars"]
        assert facts["test_windows"]["windows"] == test_bars


def test_calls_stand_beside_their_base_rate(done: Any) -> None:
    for symbol, frame in bars_of("AA", "BB").items():
        calls = done.summary["symbols"][symbol]["calls"]
        model = load_model(done.folder / "models" / f"{symbol}.onnx")
        opens = frame["open"].to_numpy()
        first = frame.index.get_loc(pd.Timestamp(experiment_of("AA", "BB").test_start))
        scores = model.score(frame.to_numpy())[first - model.card.window + 1 :][:-2]
        up = opens[first + 2 :] > opens[first + 1 : -1]
        assert calls["rows"] == len(up)
        assert calls["accuracy"] == pytest.approx(float(((scores > 0.5) == up).mean()))
        assert calls["base_rate"] == pytest.approx(max(up.mean(), 1 - up.mean()))


def test_a_second_run_finds_the_first(done: Any) -> None:
    before = {file: file.stat().st_mtime_ns for file in done.folder.rglob("*.*")}
    again = compare(experiment_of("AA", "BB"), bars_of("AA", "BB"), runs=done.folder.parent)
    assert again.resumed
    assert again.summary == done.summary
    assert {file: file.stat().st_mtime_ns for file in done.folder.rglob("*.*")} == before


def test_interrupted_and_resumed_is_byte_identical(done: Any, tmp_path: Path) -> None:
    def interrupt(step: Step) -> None:
        if step.symbol == "BB" and step.what == "epoch":
            raise KeyboardInterrupt

    arguments = (experiment_of("AA", "BB"), bars_of("AA", "BB"))
    with pytest.raises(KeyboardInterrupt):
        compare(*arguments, runs=tmp_path, on_step=interrupt)
    (folder,) = tmp_path.iterdir()
    kept = folder / "models" / "AA.onnx"
    modified = kept.stat().st_mtime_ns
    assert not (folder / "results.json").exists()
    assert not (folder / "models" / "BB.onnx").exists()
    compare(*arguments, runs=tmp_path)
    assert kept.stat().st_mtime_ns == modified
    for name in ("results.json", "returns.csv", "report.html", "models/BB.onnx"):
        assert (folder / name).read_bytes() == (done.folder / name).read_bytes()


@pytest.mark.parametrize("damage", ["models/AA.onnx", "models/AA.json"])
def test_a_damaged_model_is_trained_again(damage: str, done: Any, tmp_path: Path) -> None:
    arguments = (experiment_of("AA"), bars_of("AA"))
    first = compare(*arguments, runs=tmp_path)
    expected = (first.folder / "results.json").read_bytes()
    (first.folder / "results.json").unlink()
    (first.folder / damage).write_bytes(b"{}")
    again = compare(*arguments, runs=tmp_path)
    assert not again.resumed
    assert (again.folder / "results.json").read_bytes() == expected


@pytest.mark.parametrize("seed", ["0", "1", "12345"])
def test_bytes_do_not_depend_on_the_hash_seed(seed: str, done: Any, tmp_path: Path) -> None:
    code = (
        "import sys; from tests.backtests.test_comparison import *;"
        "compare(experiment_of('AA', 'BB'), bars_of('AA', 'BB'), runs=sys.argv[1])"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        env={"PYTHONHASHSEED": seed, "PATH": ""},
        cwd=Path(__file__).parents[2],
    )
    (folder,) = tmp_path.iterdir()
    assert folder.name == done.folder.name
    for name in ("results.json", "returns.csv", "report.html", "models/AA.onnx"):
        assert (folder / name).read_bytes() == (done.folder / name).read_bytes()


def test_the_hash_covers_config_and_bars() -> None:
    bars = bars_of("AA")
    base = run_hash(experiment_of("AA"), bars)
    assert run_hash(experiment_of("AA"), bars_of("AA")) == base
    assert run_hash(experiment_of("AA", cost_bps=6.0), bars) != base
    other_seed = QUICK.model_copy(update={"seed": 1})
    assert run_hash(experiment_of("AA", training=other_seed), bars) != base
    bars["AA"].iloc[3, 4] += 1
    assert run_hash(experiment_of("AA"), bars) != base


def given_model(folder: Path, train_end: str, **card: Any) -> tuple[Path, str]:
    path = write_model(folder / "given.onnx", 8, symbols=("AA",), train_end=train_end, **card)
    return path, load_model(path).sha256


def test_a_given_model(tmp_path: Path) -> None:
    path, sha256 = given_model(tmp_path, "2002-01-31")
    experiment = experiment_of(
        "AA", model_sha256=sha256, validation_start=None, test_start="2002-02-01"
    )
    done = compare(experiment, bars_of("AA"), runs=tmp_path / "runs", model=path)
    facts = done.summary["symbols"]["AA"]["model"]
    assert facts["sha256"] == sha256
    assert facts["file"] == "given.onnx"
    assert not (done.folder / "models").exists()


def test_a_given_model_trained_on_test_bars(tmp_path: Path) -> None:
    path, sha256 = given_model(tmp_path, "2002-02-04")
    experiment = experiment_of(
        "AA", model_sha256=sha256, validation_start=None, test_start="2002-02-04"
    )
    with pytest.raises(InSampleError, match="trained on bars up to 2002-02-04"):
        compare(experiment, bars_of("AA"), runs=tmp_path / "runs", model=path)


def test_another_model_than_the_experiment_names(tmp_path: Path) -> None:
    path, _ = given_model(tmp_path, "2002-01-31")
    experiment = experiment_of(
        "AA", model_sha256="0" * 64, validation_start=None, test_start="2002-02-04"
    )
    with pytest.raises(ExperimentError, match="not the model file"):
        compare(experiment, bars_of("AA"), runs=tmp_path / "runs", model=path)


def test_bars_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="expected bars of AA, BB, found AA"):
        compare(experiment_of("AA", "BB"), bars_of("AA"), runs=tmp_path)
    weekly = {"AA": random_bars(300, freq="W-FRI")}
    weekly["AA"].attrs["interval"] = "1wk"
    with pytest.raises(ExperimentError, match="expected bars of 1d, found 1wk"):
        compare(experiment_of("AA"), weekly, runs=tmp_path)
    late = experiment_of("AA", test_start="2005-01-01")
    with pytest.raises(BarsError, match="0 bars from test_start 2005-01-01"):
        compare(late, bars_of("AA"), runs=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols": ()}, "at least one symbol"),
        ({"symbols": ("AA", "AA")}, "each once"),
        ({"symbols": ("../AA",)}, "such as AAPL"),
        ({"name": "a/b"}, "letters, digits"),
        ({"ema_fast": 60}, "ema_fast=60 must be below ema_slow=50"),
        ({"validation_start": "2030-01-01"}, "must be before test_start"),
        ({"validation_start": None}, "validation_start is needed"),
        ({"cost_bps": -1}, "cost_bps"),
        ({"cost_bsp": 5}, "cost_bsp"),
        ({"target": 0}, "target"),
    ],
)
def test_experiments_that_contradict_themselves(changes: dict[str, Any], message: str) -> None:
    fields = experiment_of("AA").model_dump() | changes
    with pytest.raises(ExperimentError, match=message) as caught:
        make_experiment(**fields)
    assert "\n" not in str(caught.value)


def test_a_model_of_other_bars_is_not_taken(done: Any, tmp_path: Path) -> None:
    arguments = (experiment_of("AA"), bars_of("AA"))
    first = compare(*arguments, runs=tmp_path)
    expected = (first.folder / "results.json").read_bytes()
    for name in ("AA.onnx", "AA.json"):
        other = done.folder / "models" / name.replace("AA", "BB")
        (first.folder / "models" / name).write_bytes(other.read_bytes())
    (first.folder / "results.json").unlink()
    compare(*arguments, runs=tmp_path)
    assert (first.folder / "results.json").read_bytes() == expected


def given_run(bars: dict[str, pd.DataFrame], folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the results of a comparison with a given model: no training."""
    symbols = tuple(bars)
    path = write_model(folder / "given.onnx", 8, symbols=symbols, train_end="2001-12-31")
    fields = {"model_sha256": load_model(path).sha256, "validation_start": None}
    experiment = experiment_of("AA", symbols=symbols, test_start="2002-02-01", **fields, **changes)
    return compare(experiment, bars, runs=folder / "runs", model=path).summary


def test_symbols_of_other_calendars_are_not_pooled(tmp_path: Path) -> None:
    bars = bars_of("AA", "BB")
    bars["BB"].index = bars["BB"].index + pd.Timedelta(hours=16)
    summary = given_run(bars, tmp_path)
    assert "equal_weight" not in summary
    assert "calendars differ" in summary["cautions"][-1]


def test_an_account_that_lost_all_is_not_pooled(tmp_path: Path) -> None:
    bars = bars_of("AA", "BB")
    bars["BB"].iloc[420:, :4] *= 30.0
    summary = given_run(bars, tmp_path, shorts=True)
    assert "equal_weight" not in summary
    assert "lost all of its money: BB" in summary["cautions"][-1]


def test_doubtful_figures_are_named(tmp_path: Path) -> None:
    bars = bars_of("AA", "BB")
    bars["BB"].attrs["notes"] = ["caution: raw prices used"]
    summary = given_run(bars, tmp_path, cash=10.0)
    assert "BB: raw prices used" in summary["cautions"]
    assert any("AA, Buy & hold: 10 of cash buys no unit" in text for text in summary["cautions"])


def test_calls_inside_the_dead_band_do_not_count(tmp_path: Path) -> None:
    summary = given_run(bars_of("AA"), tmp_path, dead_band=0.49)
    assert summary["symbols"]["AA"]["calls"]["rows"] == 0
