"""The commands as people type them: what they print, write and find again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nextbar.backtests import console
from nextbar.backtests.cli import COMMANDS, app
from nextbar.signals.sessions import Session
from typer.testing import CliRunner

from ..markets import random_bars
from ..models import write_model

# keras 3.15 reads its variables with numpy 1's `__array__`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

QUICK = ("--epochs", "2", "--units", "4", "--window", "8")
PROCESS = (sys.executable, "-c", "from nextbar.backtests.cli import main; main()")
NAMES = [body.__name__ for body in COMMANDS]


def invoke(*args: object) -> Any:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def ok(*args: object) -> Any:
    result = invoke(*args)
    assert result.exit_code == 0, result.output
    return result


def write_bars(folder: Path, name: str = "TEST", n: int = 520, **options: Any) -> Path:
    path = folder / f"{name}.csv"
    random_bars(n, **options).to_csv(path)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    def stop(text: str) -> None:
        monkeypatch.setattr(Session, "now", lambda _: datetime.fromisoformat(text))

    return stop


@pytest.mark.parametrize("name", NAMES)
def test_help_has_an_example(name: str, here: Path) -> None:
    text = ok(name, "--help").stdout
    assert f"Example: nextbar {name}" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("args", [(), ("--help",)])
def test_without_a_command_help_is_shown(args: tuple[str, ...]) -> None:
    text = ok(*args).stdout
    assert all(name in text for name in NAMES)


def test_version() -> None:
    assert re.fullmatch(r"nextbar \d+\.\d+\.\d+\n", ok("--version").stdout)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["comprae"], "Did you mean 'compare'?"),
        (["--vresion"], "Did you mean '--version'?"),
        (["compare", "--sorce", "x"], "nextbar compare has no option --sorce. Did you mean"),
        (["compare", "--zzz"], "`nextbar compare --help` names all"),
        (["bars", "AAPLE"], "Did you mean 'AAPL'?"),
        (["bars", "AAPL", "--source", "yaho"], "Did you mean 'yahoo'?"),
        (["train", "AAPL", "--features", "retrun"], "--features: unknown 'retrun'. Did you mean"),
        (["train", "AAPL", "--epochs", "x"], "--epochs: expected a whole number, found 'x'"),
        (["compare", "AAPL", "--cash", "x"], "--cash: expected a number, found 'x'"),
        (["inspect"], "`nextbar inspect --help`"),
        (["demo", "--runs"], "--runs"),
    ],
)
def test_mistyped_names_get_the_nearest_one(args: list[str], words: str, here: Path) -> None:
    result = invoke(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_our_own_failure_is_code_3(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(console, "show", fail)
    result = invoke("bars", "AAPL")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: nextbar failed: RuntimeError: two lines (")
    assert result.stderr.count("\n") == 1
    assert "Traceback" in invoke("--debug", "bars", "AAPL").stderr
    assert "Traceback" not in invoke("baars").stderr  # it does not outlive its command


def test_bars_of_the_sample_and_of_their_own_file(here: Path) -> None:
    text = ok("bars", "aapl", "--out", "x/AAPL.csv").stdout
    assert "3270" in text
    assert "Written: x/AAPL.csv" in text
    facts = json.loads(ok("bars", "AAPL", "--json").stdout)["AAPL"]
    again = json.loads(ok("bars", "--csv", "x/AAPL.csv", "--json").stdout)["AAPL"]
    assert facts["sha256"] == again["sha256"]
    assert (facts["first"], facts["last"]) == ("2000-03-01", "2013-03-01")
    part = json.loads(ok("bars", "AAPL", "IBM", "--start", "20120103", "--json").stdout)
    assert {name: row["first"] for name, row in part.items()} == dict.fromkeys(
        ("AAPL", "IBM"), "2012-01-03"
    )


@pytest.mark.parametrize(
    ("name", "symbol"), [("A b", "A-b"), ("^GSPC", "^GSPC"), ("_x", "x"), ("(1)", "1-")]
)
def test_a_file_name_becomes_a_symbol(here: Path, name: str, symbol: str) -> None:
    write_bars(here, name)
    assert list(json.loads(ok("bars", "--csv", f"{name}.csv", "--json").stdout)) == [symbol]


def test_names_with_brackets_are_shown_as_they_are(here: Path) -> None:
    model = write_model(here / "[red]a:smile:.onnx", 8)
    assert "[red]a:smile:.onnx" in ok("inspect", model.name).stdout


def test_train_writes_a_model_and_says_what_it_is(here: Path) -> None:
    write_bars(here)
    args = ("train", "--csv", "TEST.csv", *QUICK, "--test-start", "20020601")
    text = ok(*args).stdout
    assert "TEST.onnx" in text
    assert "2002-05-30" in text  # a bar is left between the last label and the test
    result = ok(*args, "--validation-start", "2002-01-01", "--out", "deep/m.onnx", "--json")
    facts = json.loads(result.stdout)
    assert facts["file"] == "deep/m.onnx"
    assert facts["epochs"] == 2
    assert facts["train_end"] == "2002-05-30"
    assert result.stderr == ""
    card = json.loads(ok("inspect", "deep/m.onnx", "--json").stdout)["card"]
    assert card["symbols"] == ["TEST"]
    shown = ok("inspect", "deep/m.onnx").stdout
    assert "golden answer was repeated" in shown
    assert card["training_hash"] in shown  # not folded: it is there to be copied
    assert max(map(len, shown.splitlines())) <= 80
    assert {file.name for file in here.rglob("*.*")} == {
        "TEST.csv", "TEST.onnx", "m.onnx", "ledger.jsonl", "ledger.head", ".ledger.jsonl.lock",
    }  # fmt: skip
    # The two splits are two trainings; one done again is the same.
    assert len((here / "runs" / "ledger.jsonl").read_text().splitlines()) == 2
    ok(*args)
    assert len((here / "runs" / "ledger.jsonl").read_text().splitlines()) == 2


SHORT = ("--folds", "2", "--seeds", "1", "--workers", "1")


def test_compare_trains_and_finds_its_results_again(here: Path) -> None:
    write_bars(here, "AA")
    write_bars(here, "BB", seed=1)
    args = ("compare", "--csv", "AA.csv", "--csv", "BB.csv", *QUICK, *SHORT)
    first, second = ok(*args), ok(*args)
    assert first.stderr == second.stderr == ""
    *table, where = first.stdout.splitlines()
    *same, found = second.stdout.splitlines()
    assert table == same
    assert "AA: " in first.stdout
    assert "All 2 symbols in equal weight" in first.stdout
    assert "Verdict: " in first.stdout
    assert where.replace("Written: ", "") == found.replace("Found finished: ", "")
    assert max(map(len, table)) <= 80
    assert "…" not in first.stdout
    facts = json.loads(ok(*args, "--json").stdout)
    assert facts["resumed"] is True
    stored = json.loads(Path(facts["folder"], "results.json").read_text(encoding="utf-8"))
    assert facts == stored | {"folder": facts["folder"], "resumed": True}


def test_compare_an_experiment_file(here: Path) -> None:
    write_bars(here, "AA")
    text = """
    schema = 2
    csv = ["../AA.csv"]
    folds = 1
    seeds = 1
    name = "filed"

    [training]
    epochs = 2
    units = [4]
    window = 8
    """
    (here / "plans").mkdir()
    (here / "plans" / "mine.toml").write_text(text)
    shown = ok("compare", "plans/mine.toml", "--workers", "1").stdout
    assert "AA, 2002-01-31 to" in shown  # one symbol: its own table, with all columns
    assert "Ref." in shown
    (folder,) = (here / "runs").glob("filed-*")
    experiment = json.loads((folder / "experiment.json").read_text())
    assert (experiment["source"], experiment["symbols"]) == ("csv", ["AA"])
    result = invoke("compare", "plans/mine.toml", "--cost-bps", "1")
    assert result.exit_code == 2
    assert "--cost-bps: an experiment file holds all settings" in result.stderr


def test_compare_a_given_model(here: Path) -> None:
    write_bars(here)
    bars = random_bars(520)
    write_model(here / "m.onnx", 8, train_end=str(bars.index[299].date()))
    args = ("compare", "--csv", "TEST.csv", "--model", "m.onnx", "--json")
    facts = json.loads(ok(*args).stdout)
    # The bars after the model's training, all of them.
    first = facts["experiment"]["folds"][0]["test_start"]
    assert first == str(bars.index[300].date())
    assert facts["symbols"]["TEST"]["models"]["given"]["file"] == "m.onnx"
    later = json.loads(ok(*args, "--first-test", "2002-06-03").stdout)
    assert later["experiment"]["folds"][0]["test_start"] == "2002-06-03"
    assert later["folder"] != facts["folder"]
    # Where all bars are new to it, those after the rules' warm-up and choice.
    write_model(here / "new.onnx", 8)
    new = ("compare", "--csv", "TEST.csv", "--model", "new.onnx", "--folds", "1", "--json")
    found = json.loads(ok(*new).stdout)["experiment"]["folds"][0]["test_start"]
    assert found == str(bars.index[283].date())


def test_compare_takes_all_options(here: Path) -> None:
    write_bars(here)
    write_model(here / "m.onnx", 8)
    options = "--cost-bps 0 --cash 5000 --target 0.5 --shorts --fractional --band 0.1 --hold"
    args = ("compare", "--csv", "TEST.csv", "--model", "m.onnx", *options.split())
    dates = ("--start", "2001-02-01", "--end", "20021001", "--dead-band", "0.01", "--name", "n")
    found = json.loads(ok(*args, *dates, "--folds", "1", "--rolling", "--json").stdout)
    expected = {
        "name": "n",
        "symbols": ["TEST"],
        "source": "csv",
        "start": "2001-02-01",
        "end": "2002-10-01",
        "cost_bps": 0.0,
        "cash": 5000.0,
        "target": 0.5,
        "shorts": True,
        "step": None,
        "band": 0.1,
        "on_zero": "hold",
        "dead_band": 0.01,
        "seeds": 1,
    }
    assert {name: found["experiment"][name] for name in expected} == expected
    assert found["experiment"]["folds"][0]["train_start"] == "2001-02-01"


def test_signal_in_a_table_and_as_json(here: Path, clock: Any) -> None:
    path = write_bars(here, n=60)
    last = random_bars(60).index[-1]
    write_model(here / "m.onnx", 8)
    clock(f"{last.date()}T16:00:01")
    args = ("signal", "--csv", path, "--model", "m.onnx")
    (call,) = json.loads(ok(*args, "--json").stdout)
    assert set(call) == {
        "symbol", "call", "direction", "score", "last_bar", "bars_since_train_end",
        "model", "model_sha256", "reason", "stale",
    }  # fmt: skip
    assert call["symbol"] == "TEST"
    assert call["call"] == {1: "up", -1: "down"}[call["direction"]]
    assert (call["score"] > 0.5) == (call["direction"] == 1)
    assert call["last_bar"] == str(last.date())
    assert call["bars_since_train_end"] == 60
    assert call["model"] == "m.onnx"
    table = ok(*args)
    for text in ("TEST", call["call"], f"{call['score']:.4f}", str(last.date()), "m.onnx"):
        assert text in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert table.stderr == ""
    (quiet,) = json.loads(ok(*args, "--json", "--dead-band", "0.49999").stdout)
    assert (quiet["call"], quiet["direction"]) == ("none", 0)


def test_signal_drops_a_bar_that_is_not_over(here: Path, clock: Any) -> None:
    path = write_bars(here, n=60)
    last, before = random_bars(60).index[[-1, -2]]
    write_model(here / "m.onnx", 8)
    clock(f"{last.date()}T15:59:59")
    result = ok("signal", "--csv", path, "--model", "m.onnx", "--json")
    assert json.loads(result.stdout)[0]["last_bar"] == str(before.date())
    expected = f"warning: TEST: dropped {last.date()}, whose session is not over.\n"
    assert result.stderr == expected
    early = ok("signal", "--csv", path, "--model", "m.onnx", "--json", "--close", "15:30")
    assert json.loads(early.stdout)[0]["last_bar"] == str(last.date())


def test_signal_warns_of_stale_and_of_other_bars(here: Path, clock: Any) -> None:
    paths = [write_bars(here, name, n=60) for name in ("test", "OTHER")]
    write_model(here / "m.onnx", 8)
    clock(f"{(random_bars(60).index[-1] + pd.Timedelta(days=30)).date()}T12:00")
    result = ok("signal", "--csv", paths[0], "--csv", paths[1], "--model", "m.onnx", "--json")
    assert [row["symbol"] for row in json.loads(result.stdout)] == ["test", "OTHER"]
    first, second, third = result.stderr.splitlines()
    assert first.startswith("warning: test: the last bar, 2001-03-")
    assert second == "warning: OTHER: the model was trained on TEST."
    assert third.endswith("is stale.")


def test_signal_makes_no_call_in_sample(here: Path, clock: Any) -> None:
    path = write_bars(here, n=60)
    last = random_bars(60).index[-1]
    write_model(here / "m.onnx", 8, train_end=str(last.date()))
    clock(f"{last.date()}T20:00")
    (call,) = json.loads(ok("signal", "--csv", path, "--model", "m.onnx", "--json").stdout)
    assert (call["call"], call["direction"], call["bars_since_train_end"]) == ("none", 0, 0)
    assert call["reason"] == "the last bar is in the model's training data"


def test_prices_too_small_for_the_model_give_valid_json(here: Path, clock: Any) -> None:
    bars = random_bars(60)
    (bars * [1e-45, 1e-45, 1e-45, 1e-45, 1]).to_csv(here / "TEST.csv")
    write_model(here / "m.onnx", 8)
    clock(f"{bars.index[-1].date()}T20:00")
    text = ok("signal", "--csv", "TEST.csv", "--model", "m.onnx", "--json").stdout
    (call,) = json.loads(text, parse_constant=pytest.fail)
    assert (call["call"], call["score"]) == ("none", None)
    assert "n/a" in ok("signal", "--csv", "TEST.csv", "--model", "m.onnx").stdout


def test_compare_is_silent_but_for_its_result(here: Path) -> None:
    """In processes of their own, where TensorFlow starts from nothing; `train` with a full disk."""
    write_bars(here)
    command = ("compare", "--csv", "TEST.csv", "--folds", "1", "--seeds", "1", "--workers", "2")
    done = subprocess.run(
        [*PROCESS, *command, *QUICK, "--json"],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONWARNINGS": ""},
    )  # fmt: skip
    assert done.stderr == ""
    assert json.loads(done.stdout)
