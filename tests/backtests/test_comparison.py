"""The whole comparison on small markets, with real trainings of a few epochs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nextbar.backtests import Experiment, compare, comparison
from nextbar.backtests.common import LABELS, RIVALS
from nextbar.backtests.comparison import Step
from nextbar.backtests.experiment import make_experiment, run_hash, shared_dates
from nextbar.backtests.outputs import only_writer
from nextbar.signals import load_model
from nextbar.signals.chain import load_chain, write_chain
from nextbar.signals.errors import BarsError, ExperimentError, InSampleError
from nextbar.signals.manifest import Period
from nextbar.training import TrainingConfig
from nextbar.training.splits import make_folds

from ..markets import random_bars
from ..models import write_model

QUICK = TrainingConfig(epochs=2, units=(4,), window=8, features=("return", "gap"))

CHANGING = ("returns.csv", "report.html", "results.json")


def bars_of(*symbols: str) -> dict[str, pd.DataFrame]:
    bars = {symbol: random_bars(520, seed=i) for i, symbol in enumerate(symbols)}
    for symbol, frame in bars.items():
        frame.attrs["symbol"] = symbol
    return bars


def experiment_of(*symbols: str, **changes: Any) -> Experiment:
    fields: dict[str, Any] = {
        "name": "small",
        "symbols": symbols,
        "folds": make_folds(shared_dates(bars_of("AA")), 2),
        "seeds": 2,
        "training": QUICK,
        "ema_grid": ((3, 8), (5, 15)),
        "momentum_grid": (10, 20),
    }
    return Experiment(**fields | changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs = tmp_path_factory.mktemp("runs")
    return compare(experiment_of("AA", "BB"), bars_of("AA", "BB"), runs=runs, workers=1)


def test_writes_all_of_it(done: Any) -> None:
    assert {path.name for path in done.folder.iterdir()} == {
        "cells", "experiment.json", "models", "report.html", "results.json", "returns.csv", "rules",
    }  # fmt: skip
    names = {path.name for path in (done.folder / "models" / "AA" / "lstm").iterdir()}
    cells = {f"fold{fold}-seed{seed}" for fold in (0, 1) for seed in (0, 1)}
    assert names == {"chain.json"} | {f"{c}.{kind}" for c in cells for kind in ("onnx", "json")}
    assert {path.name for path in done.folder.parent.glob("ledger*")} == {
        "ledger.jsonl",
        "ledger.head",
    }
    assert done.folder.name.startswith("small-")
    assert not done.resumed


def test_every_strategy_on_the_same_bars(done: Any) -> None:
    for part in done.summary["symbols"].values():
        assert set(part["strategies"]) == set(LABELS) - set(RIVALS)
    with (done.folder / "returns.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = set(LABELS) - {"random", *RIVALS}
    assert set(rows[0]) == {"date"} | {f"{s} {k}" for s in ("AA", "BB") for k in names}
    test = experiment_of("AA", "BB").test_start
    assert pd.Timestamp(rows[0]["date"]).date() == test
    assert all(value for row in rows for value in row.values())


def test_results_hold_nothing_of_this_machine(done: Any) -> None:
    text = (done.folder / "results.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert str(done.folder.parent) not in text
    assert json.loads(text) == done.summary


def test_equal_weight_is_the_mean_of_returns(done: Any) -> None:
    returns = pd.read_csv(done.folder / "returns.csv", index_col="date", parse_dates=True)
    mean = returns[["AA ema", "BB ema"]].mean(axis=1)
    expected = float(np.prod(1 + mean) - 1)
    assert done.summary["equal_weight"]["ema"]["total_return"] == pytest.approx(expected, rel=1e-9)


def test_every_model_saw_no_bar_of_its_test(done: Any) -> None:
    folds = experiment_of("AA").folds
    for symbol in ("AA", "BB"):
        for kind in ("lstm", "logistic", "shuffled"):
            chain = load_chain(done.folder / "models" / symbol / kind)
            assert len(chain.periods) == len(folds)
            for fold, period in zip(folds, chain.periods, strict=True):
                assert period.start == pd.Timestamp(fold.test_start)
                for name in period.models:
                    card = load_model(chain.path / name).card
                    assert pd.Timestamp(card.train_end) < pd.Timestamp(fold.test_start)
                    assert card.symbols == (symbol,)
        facts = done.summary["symbols"][symbol]["models"]
        assert facts["max_difference"] <= 1e-5
        assert facts["flipped_calls"] == 0


def test_calls_stand_beside_their_base_rate(done: Any) -> None:
    for symbol, frame in bars_of("AA", "BB").items():
        calls = done.summary["symbols"][symbol]["calls"]
        chain = load_chain(done.folder / "models" / symbol / "lstm")
        opens = frame["open"].to_numpy()
        first = frame.index.get_loc(pd.Timestamp(experiment_of("AA", "BB").test_start))
        scores = chain.score(frame.to_numpy(), pd.DatetimeIndex(frame.index))[first:-2]
        up = opens[first + 2 :] > opens[first + 1 : -1]
        assert calls["bars"] == len(up)
        assert calls["accuracy"] == pytest.approx(float(((scores > 0.5) == up).mean()))
        assert calls["base_rate"] == pytest.approx(up.mean())
        assert sum(part["bars"] for part in calls["calibration"]) == len(up)


def test_the_evidence_fits_the_returns(done: Any) -> None:
    evidence, mix = done.summary["evidence"], done.summary["equal_weight"]
    for pair in evidence["verdict"]["pairs"]:
        expected = mix["lstm"]["sharpe"] - mix[pair["baseline"]]["sharpe"]
        assert pair["difference"] == pytest.approx(expected, rel=0.01, abs=0.01)
    assert evidence["seeds"]["sharpe"]["n"] == 2
    assert evidence["random"]["callers"] >= 200
    at = {row["cost_bps"]: row["strategies"] for row in evidence["costs"]}
    for name in set(LABELS) - {"random", *RIVALS}:
        total = mix[name]["total_return"]
        assert at[5.0][name]["total_return"] == pytest.approx(total, rel=1e-9)
        assert at[20.0][name]["total_return"] <= at[0.0][name]["total_return"]
    for name in set(LABELS) - set(RIVALS):
        years = [y["total_return"] for y in evidence["years"] if y["strategy"] == name]
        expected = np.prod(np.array(years) + 1) - 1
        assert mix[name]["total_return"] == pytest.approx(expected, rel=1e-9)


def test_a_second_run_finds_the_first(done: Any) -> None:
    before = {file: file.stat().st_mtime_ns for file in done.folder.rglob("*.*")}
    ledger = (done.folder.parent / "ledger.jsonl").read_bytes()
    again = compare(experiment_of("AA", "BB"), bars_of("AA", "BB"), runs=done.folder.parent)
    assert again.resumed
    assert again.summary == done.summary
    assert {file: file.stat().st_mtime_ns for file in done.folder.rglob("*.*")} == before
    assert (done.folder.parent / "ledger.jsonl").read_bytes() == ledger


def equal_bytes(one: Path, other: Path) -> None:
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for name in files:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("last", ["models", "strategies", "evidence"])
def test_interrupted_and_resumed_is_byte_identical(last: str, done: Any, tmp_path: Path) -> None:
    steps: list[Step] = []

    def interrupt(step: Step) -> None:
        steps.append(step)
        if step.stage == last and step.done >= step.of // 2:
            raise KeyboardInterrupt

    arguments = (experiment_of("AA", "BB"), bars_of("AA", "BB"))
    folder = tmp_path / done.folder.name
    if last != "models":  # as the interrupted training and its resumption leave them
        shutil.copytree(done.folder / "models", folder / "models")
    with pytest.raises(KeyboardInterrupt):
        compare(*arguments, runs=tmp_path, workers=1, on_step=interrupt)
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*.onnx")}
    assert stamps
    assert not (folder / "results.json").exists()
    compare(*arguments, runs=tmp_path, workers=1)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    equal_bytes(folder, done.folder)


@pytest.mark.parametrize(
    "damage",
    ["models/AA/lstm/fold1-seed0.onnx", "models/AA/lstm/fold1-seed0.json", "cells/AA-ema.npz"],
)
def test_a_damaged_piece_is_made_again(damage: str, done: Any) -> None:
    (done.folder / "results.json").unlink()
    expected = (done.folder / damage).read_bytes()
    (done.folder / damage).write_bytes(b"{}")
    arguments = (experiment_of("AA", "BB"), bars_of("AA", "BB"))
    again = compare(*arguments, runs=done.folder.parent, workers=1)
    assert not again.resumed
    assert again.summary == done.summary
    assert (done.folder / damage).read_bytes() == expected


def test_bytes_do_not_depend_on_hash_seed_or_workers(done: Any, tmp_path: Path) -> None:
    """By two workers under a fixed seed what one in this process gives under its own."""
    code = (
        "import sys; from tests.backtests.test_comparison import *;"
        "compare(experiment_of('AA', 'BB'), bars_of('AA', 'BB'), runs=sys.argv[1],"
        " workers=2)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        env={"PYTHONHASHSEED": "12345", "PATH": ""},
        cwd=Path(__file__).parents[2],
    )
    equal_bytes(tmp_path / done.folder.name, done.folder)


def test_the_hash_covers_config_and_bars() -> None:
    bars = bars_of("AA")
    base = run_hash(experiment_of("AA"), bars)
    assert run_hash(experiment_of("AA"), bars_of("AA")) == base
    assert run_hash(experiment_of("AA", cost_bps=6.0), bars) != base
    assert run_hash(experiment_of("AA", seeds=3), bars) != base
    other_seed = QUICK.model_copy(update={"seed": 1})
    assert run_hash(experiment_of("AA", training=other_seed), bars) != base
    bars["AA"].iloc[3, 4] += 1
    assert run_hash(experiment_of("AA"), bars) != base


def given_model(folder: Path, train_end: str, **card: Any) -> tuple[Path, str]:
    path = write_model(folder / "given.onnx", 8, symbols=("AA",), train_end=train_end, **card)
    return path, load_model(path).sha256


def test_a_given_model(tmp_path: Path) -> None:
    path, sha256 = given_model(tmp_path, "2001-05-31")
    experiment = experiment_of("AA", model_sha256=sha256, seeds=1)
    done = compare(experiment, bars_of("AA"), runs=tmp_path / "runs", model=path)
    part = done.summary["symbols"]["AA"]
    assert part["models"]["given"]["sha256"] == sha256
    assert part["models"]["given"]["file"] == "given.onnx"
    assert set(LABELS) - set(part["strategies"]) == {"logistic", "shuffled", *RIVALS}
    assert not (done.folder / "models").exists()


def test_a_given_chain_is_a_model_too(tmp_path: Path) -> None:
    path, _ = given_model(tmp_path, "2001-05-31")
    start = pd.Timestamp("2001-07-01").to_pydatetime()
    chain = write_chain(tmp_path, [Period(start=start, end=None, models=(path.name,))])
    single = compare(
        experiment_of("AA", model_sha256=load_model(path).sha256, seeds=1),
        bars_of("AA"), runs=tmp_path / "runs", model=path,
    )  # fmt: skip
    chained = compare(
        experiment_of("AA", model_sha256=chain.sha256, seeds=1),
        bars_of("AA"), runs=tmp_path / "runs", model=tmp_path,
    )  # fmt: skip
    assert chained.folder != single.folder
    assert chained.summary["equal_weight"] == single.summary["equal_weight"]
    # Two models were tried on these days by now.
    assert (single.summary["trials"], chained.summary["trials"]) == (1, 2)


def test_a_given_model_trained_on_test_bars(tmp_path: Path) -> None:
    path, sha256 = given_model(tmp_path, "2002-02-04")
    experiment = experiment_of("AA", model_sha256=sha256, seeds=1)
    with pytest.raises(InSampleError, match="trained on bars before 2002-02-05"):
        compare(experiment, bars_of("AA"), runs=tmp_path / "runs", model=path)


def test_another_model_than_the_experiment_names(tmp_path: Path) -> None:
    path, _ = given_model(tmp_path, "2001-05-31")
    experiment = experiment_of("AA", model_sha256="0" * 64, seeds=1)
    with pytest.raises(ExperimentError, match="not the model that the experiment names"):
        compare(experiment, bars_of("AA"), runs=tmp_path / "runs", model=path)


def test_bars_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="expected bars of AA, BB, found AA"):
        compare(experiment_of("AA", "BB"), bars_of("AA"), runs=tmp_path)
    weekly = {"AA": random_bars(300, freq="W-FRI")}
    weekly["AA"].attrs["interval"] = "1wk"
    with pytest.raises(ExperimentError, match="expected bars of 1d, found 1wk"):
        compare(experiment_of("AA"), weekly, runs=tmp_path)
    dates = {"validation_start": "2004-01-01", "test_start": "2005-01-01"}
    with pytest.raises(BarsError, match="0 bars from test_start 2005-01-01"):
        compare(experiment_of("AA", folds=[dates]), bars_of("AA"), runs=tmp_path)
    with pytest.raises(BarsError, match=r"156 bars before the first test.*at least 283 are needed"):
        compare(experiment_of("AA", momentum_grid=(252,)), bars_of("AA"), runs=tmp_path)
    assert not list(tmp_path.iterdir())


FOLD = {"validation_start": "2002-01-01", "test_start": "2002-06-01"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols": ()}, "at least one symbol"),
        ({"symbols": ("AA", "AA")}, "each once"),
        ({"symbols": ("../AA",)}, "such as AAPL"),
        ({"name": "a/b"}, "letters, digits"),
        ({"ema_grid": [[60, 50]]}, "1 <= fast < slow"),
        ({"momentum_grid": []}, "look-backs of 1 bar or more"),
        ({"folds": []}, "at least one fold"),
        ({"folds": [FOLD, FOLD]}, "a later test_start than the one before"),
        ({"folds": [FOLD | {"validation_start": "2003-01-01"}]}, "must ascend"),
        ({"cost_bps": -1}, "cost_bps"),
        ({"cost_bsp": 5}, "cost_bsp"),
        ({"target": 0}, "target"),
        ({"seeds": 0}, "seeds: expected a number of at least 1"),
        ({"random_shifts": 10}, "random_shifts: expected a number of at least 200"),
    ],
)
def test_experiments_that_contradict_themselves(changes: dict[str, Any], message: str) -> None:
    fields = experiment_of("AA").model_dump() | changes
    with pytest.raises(ExperimentError, match=message) as caught:
        make_experiment(**fields)
    assert "\n" not in str(caught.value)


def test_a_model_of_other_bars_is_not_taken(done: Any, tmp_path: Path) -> None:
    bars = bars_of("AA")
    bars["AA"].iloc[:50] *= 1.01
    target = compare(experiment_of("AA"), bars, runs=tmp_path, workers=1)
    assert target.folder.name != done.folder.name
    name = "models/AA/lstm/fold0-seed0.onnx"
    stale = (done.folder / name).read_bytes()
    fresh = (target.folder / name).read_bytes()
    for kind in ("onnx", "json"):
        source = (done.folder / name).with_suffix(f".{kind}")
        (target.folder / name).with_suffix(f".{kind}").write_bytes(source.read_bytes())
    (target.folder / "results.json").unlink()
    compare(experiment_of("AA"), bars, runs=tmp_path, workers=1)
    assert stale != fresh
    assert (target.folder / name).read_bytes() == fresh


def test_an_edited_result_or_report_is_made_again(done: Any) -> None:
    arguments = (experiment_of("AA", "BB"), bars_of("AA", "BB"))
    for name, old, new in (
        ("results.json", b'"cannot tell', b'"beats them '),
        ("returns.csv", b"0.0", b"0.9"),
        ("report.html", b"<h1", b"<h2"),
    ):
        path = done.folder / name
        expected = path.read_bytes()
        assert old in expected
        path.write_bytes(expected.replace(old, new, 1))
        again = compare(*arguments, runs=done.folder.parent, workers=1)
        assert not again.resumed
        assert path.read_bytes() == expected


def test_a_stored_account_that_was_edited_is_run_again(done: Any) -> None:
    path = done.folder / "cells" / "AA-lstm.npz"
    expected = path.read_bytes()
    with np.load(io.BytesIO(expected)) as cell:
        columns = dict(cell)
    columns["returns"] = np.abs(columns["returns"])
    np.savez_compressed(path, **columns)
    (done.folder / "results.json").unlink()
    arguments = (experiment_of("AA", "BB"), bars_of("AA", "BB"))
    assert compare(*arguments, runs=done.folder.parent, workers=1).summary == done.summary
    assert path.read_bytes() == expected


def test_a_later_trial_is_told_and_changes_no_figure(tmp_path: Path) -> None:
    path, sha256 = given_model(tmp_path, "2001-05-31")
    first = experiment_of("AA", model_sha256=sha256, seeds=1)
    other = experiment_of("AA", model_sha256=sha256, seeds=1, dead_band=0.01)
    runs = tmp_path / "runs"
    assert compare(first, bars_of("AA"), runs=runs, model=path).trials == 1
    assert compare(other, bars_of("AA"), runs=runs, model=path).trials == 2
    again = compare(first, bars_of("AA"), runs=runs, model=path)
    assert (again.resumed, again.trials, again.summary["trials"]) == (True, 2, 1)


def test_short_tests_of_unequal_length(tmp_path: Path) -> None:
    path, sha256 = given_model(tmp_path, "2001-05-31")
    bars = bars_of("AA", "BB")
    bars["BB"] = bars["BB"].drop(bars["BB"].index[[410, 430]])
    bars["BB"].attrs.update(bars["AA"].attrs, symbol="BB")
    folds = [{"validation_start": "2002-03-01", "test_start": bars["AA"].index[400].date()}]
    experiment = experiment_of("AA", "BB", model_sha256=sha256, seeds=1, folds=folds)
    with pytest.warns(UserWarning, match="trained on AA, the feed is BB"):
        done = compare(experiment, bars, runs=tmp_path / "runs", model=path)
    assert done.summary["evidence"]["random"]["callers"] == 200
    assert "BB: the model was trained on AA." in done.summary["cautions"]


def test_random_callers_that_lose_everything_rest_and_rank_low(tmp_path: Path) -> None:
    path, sha256 = given_model(tmp_path, "2001-05-31")
    bars = bars_of("AA")
    jump = bars["AA"].index[300]
    bars["AA"].loc[jump:, ["open", "high", "low", "close"]] *= 3.0
    experiment = experiment_of("AA", model_sha256=sha256, seeds=1, shorts=True, target=1.0)
    done = compare(experiment, bars, runs=tmp_path / "runs", model=path)
    evidence = done.summary["evidence"]
    if evidence is None:  # the LSTM itself was short on that day
        assert "lost all of its money" in done.summary["obstacle"]
    else:
        assert evidence["random"]["sharpe"]["min"] < -0.5


@pytest.mark.parametrize("form", ["file", "chain"])
def test_flaws_on_the_card_forbid_a_verdict(form: str, tmp_path: Path) -> None:
    path, sha256 = given_model(tmp_path, "2001-05-31", known_flaws=("scaled on all bars",))
    if form == "chain":
        start = pd.Timestamp("2001-07-01").to_pydatetime()
        chain = write_chain(tmp_path, [Period(start=start, end=None, models=(path.name,))])
        path, sha256 = tmp_path, chain.sha256
    experiment = experiment_of("AA", model_sha256=sha256, seeds=1)
    with pytest.warns(UserWarning, match="names flaws on its card: scaled on all bars"):
        done = compare(experiment, bars_of("AA"), runs=tmp_path / "runs", model=path)
    assert done.summary["evidence"] is None
    assert "scaled on all bars" in done.summary["obstacle"]


def test_a_chain_that_ends_before_the_test_does(tmp_path: Path) -> None:
    path, _ = given_model(tmp_path, "2001-05-31")
    start, end = (pd.Timestamp(day).to_pydatetime() for day in ("2001-07-01", "2002-06-01"))
    chain = write_chain(tmp_path, [Period(start=start, end=end, models=(path.name,))])
    experiment = experiment_of("AA", model_sha256=chain.sha256, seeds=1)
    with pytest.raises(ExperimentError, match="the chain ends at 2002-06-01"):
        compare(experiment, bars_of("AA"), runs=tmp_path / "runs", model=tmp_path)


def test_folds_without_a_bar_and_cash_that_buys_nothing(tmp_path: Path) -> None:
    weekend = [
        {"validation_start": "2001-06-01", "test_start": "2001-10-06"},
        {"validation_start": "2001-06-04", "test_start": "2001-10-07"},
    ]
    with pytest.raises(ExperimentError, match="no bar in the test that starts on 2001-10-06"):
        compare(experiment_of("AA", folds=weekend), bars_of("AA"), runs=tmp_path)
    with pytest.raises(ExperimentError, match="5 of cash buys no unit"):
        compare(experiment_of("AA", cash=5.0), bars_of("AA"), runs=tmp_path)


@pytest.mark.parametrize("missing", ["arch", "plotly"])
def test_without_the_extra_one_line_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(comparison, "find_spec", lambda name: None if name == missing else object())
    words = rf"needs {missing}: pip install 'nextbar\[compare\]'"
    with pytest.raises(ExperimentError, match=words):
        compare(experiment_of("AA"), bars_of("AA"), runs=tmp_path)


def test_two_runs_do_not_write_one_folder(done: Any) -> None:
    (done.folder / "results.json").unlink()
    arguments = (experiment_of("AA", "BB"), bars_of("AA", "BB"))
    with (
        only_writer(done.folder),
        pytest.raises(ExperimentError, match="another run is writing here"),
    ):
        compare(*arguments, runs=done.folder.parent)
    assert compare(*arguments, runs=done.folder.parent, workers=1).summary == done.summary


def test_an_edited_ledger_stops_a_run(done: Any, tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text('{"id":"made up"}\n')
    with pytest.raises(ExperimentError, match="edited or cut"):
        compare(experiment_of("AA"), bars_of("AA"), runs=tmp_path, workers=1)
    assert not list(tmp_path.rglob("results.json"))


def test_degenerate_strategies_are_said_not_to_be_defined(tmp_path: Path) -> None:
    """A dead band of nearly a half: the LSTM, its inverse and its random twins never trade."""
    experiment = experiment_of("AA", dead_band=0.49)
    done = compare(experiment, bars_of("AA"), runs=tmp_path, workers=1)
    row = done.summary["symbols"]["AA"]["strategies"]["lstm"]
    assert (row["trades"], row["sharpe"], row["hit_rate"]) == (0, None, None)
    verdict = done.summary["evidence"]["verdict"]
    assert (verdict["overall"], verdict["reason"]) == ("does not beat", "never traded")
    assert done.summary["symbols"]["AA"]["calls"]["calls"] == 0
    assert done.summary["symbols"]["AA"]["calls"]["accuracy"] is None
    text = (done.folder / "report.html").read_text()
    assert "not defined" in text


def test_bars_and_settings_of_a_given_experiment_are_kept(done: Any) -> None:
    kept = json.loads((done.folder / "experiment.json").read_text())
    assert Experiment(**kept) == experiment_of("AA", "BB")
