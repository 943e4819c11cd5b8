"""`nextbar audit` as people type it: exit codes, messages, JSON."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from nextbar.backtests.audit_command import audit
from nextbar.backtests.cli import Commands
from typer.testing import CliRunner

from ...markets import random_bars
from ...models import write_model

app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False)
app.command()(audit)
app.command()(lambda: None)

STRATEGIES = '''
"""Made for tests."""
import sys
import backtrader as bt
from helper import PERIOD

class Plain(bt.Strategy):
    params = (("period", PERIOD),)

    def __init__(self):
        self.average = bt.ind.SMA(self.data.close, period=self.p.period)

    def next(self):
        print("chatter")
        if not self.position and self.data.close[0] > self.average[0]:
            self.buy(size=1)
        elif self.position and self.data.close[0] < self.average[0]:
            self.close()

class Cheats(Plain):
    def __init__(self):
        super().__init__()
        self.broker.set_coc(True)

class Crashes(Plain):
    def next(self):
        if len(self) == 100:
            raise KeyError("no such thing")
        super().next()

class Quits(Plain):
    def next(self):
        sys.exit(5)

class Odd:
    pass

def features(bars, sum_of=3):
    return bars["close"].pct_change().rolling(sum_of).sum()

def weekly(bars):
    return bars["close"].resample("W").last()

VALUE = 5
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "mine.py").write_text(STRATEGIES)
    (tmp_path / "helper.py").write_text("PERIOD = 10\n")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    random_bars(150).to_csv(tmp_path / "TEST.csv")
    sys.modules.pop("helper", None)
    return tmp_path


def invoke(*args: str) -> Any:
    return CliRunner().invoke(app, ["audit", *args, "--csv", "TEST.csv"])


def test_a_clean_strategy(here: Path) -> None:
    done = invoke("mine.py:Plain", "--param", "period=5")
    assert done.exit_code == 0, done.output
    assert "No leak found." in done.stdout
    assert "Plain (strategy) on 150 bars of TEST" in done.stdout
    assert "chatter" not in done.output


def test_a_leak_ends_with_1_and_names_itself(here: Path) -> None:
    done = invoke("mine.py:Cheats")
    assert done.exit_code == 1
    assert "Leak: same-bar-fill." in done.stdout
    assert "cheat-on-close in the broker is on" in " ".join(done.stdout.split())


def test_json_is_all_that_is_printed_and_repeats(here: Path) -> None:
    done = invoke("mine.py:Cheats", "--json", "--seed", "3")
    report = json.loads(done.stdout)
    assert done.exit_code == 1
    assert report["result"] == "leak"
    finding = report["findings"][0]
    assert finding["name"] == "same-bar-fill"
    assert finding["values"][0] != finding["values"][1]
    assert {check["name"] for check in report["checks"]} >= {"truncation", "perturbation", "fills"}
    assert report["seed"] == 3
    assert invoke("mine.py:Cheats", "--json", "--seed", "3").stdout == done.stdout


def test_a_function_of_bars(here: Path) -> None:
    done = invoke("mine.py:features", "--param", "sum_of=4", "--bars", "130", "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (report["kind"], report["bars"]["bars"]) == ("function", 130)


def test_a_model_file(here: Path) -> None:
    write_model(here / "m.onnx", 12, symbols=("TEST",))
    report = json.loads(invoke("m.onnx", "--json").stdout)
    assert (report["kind"], report["result"]) == ("model", "clean")
    assert {"name": "in-sample", "runs": 1, "result": "clean"} in report["checks"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("mine.py:Plane", "mine.py has no 'Plane'. Did you mean 'Plain'?"),
        ("mine.py", "mine.py has: Cheats, Crashes, Odd, Plain, Quits, features, weekly."),
        ("mime.py:Plain", "mime.py: no such file. Did you mean 'mine.py'?"),
        ("broken.py:X", "does not import: ModuleNotFoundError: No module named 'nothing_of"),
        ("no.such.module:X", "no.such.module does not import"),
        ("mine.py:Odd", "expected a subclass of bt.Strategy or bt.Indicator, or a function"),
        ("mine.py:VALUE", "found a int"),
        ("mine.py:weekly", "Put every value on the bar on which it is known"),
        ("nextbar.signals:EMADirektion", "Did you mean 'EMADirection'?"),
        ("missing.onnx", "missing.onnx: no such model file"),
        (".", "a folder without chain.json"),
    ],
)
def test_bad_input_ends_with_2_and_says_what_to_do(here: Path, target: str, message: str) -> None:
    done = invoke(target)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_setting_without_a_value(here: Path) -> None:
    done = invoke("mine.py:Plain", "--param", "period")
    assert (done.exit_code, "expected NAME=VALUE" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("target", "param", "message"),
    [
        ("mine.py:Plain", "perod=5", "Plain has no setting 'perod'. Did you mean 'period'?"),
        ("mine.py:Plain", "period=five", "period: expected a number such as 10, found 'five'"),
        ("mine.py:Cheats", "self=1", "Cheats has no setting 'self'"),
        ("mine.py:features", "sum_off=4", "features has no setting 'sum_off'. Did you mean"),
        ("mine.py:features", "bars=4", "features has no setting 'bars'"),
        ("mine.py:weekly", "of=4", "weekly has no setting 'of'. It has none: leave it out."),
        ("backtrader.indicators:RSI", "perod=5", "RSI has no setting 'perod'. Did you mean"),
        ("nextbar.signals:EMADirection", "fst=5", "has no parameter 'fst'. Did you mean 'fast'?"),
        ("m.onnx", "dead_bnd=0.1", "has no parameter 'dead_bnd'. Did you mean 'dead_band'?"),
        ("m.onnx", "dead_band=wide", "dead_band: expected a number such as 0.0, found 'wide'"),
    ],
)
def test_a_mistyped_setting_is_bad_input(here: Path, target: str, param: str, message: str) -> None:
    write_model(here / "m.onnx", 12, symbols=("TEST",))
    done = invoke(target, "--param", param)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_takes_every_setting_gets_it(here: Path) -> None:
    (here / "open.py").write_text("def add(bars, **given): return bars.close * given['by']")
    assert invoke("open.py:add", "--param", "by=2").exit_code == 0


def test_too_few_bars(here: Path) -> None:
    done = invoke("mine.py:Plain", "--bars", "50")
    assert (done.exit_code, "50 bars are too few" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("target", "error"),
    [("mine.py:Crashes", "KeyError: 'no such thing' (mine.py, line 28)"), ("mine.py:Quits", "5")],
)
def test_a_crash_ends_with_3_and_is_no_finding(here: Path, target: str, error: str) -> None:
    done = invoke(target)
    assert done.exit_code == 3
    assert done.stdout == ""
    assert "crashed in the check 'first run' on 150 bars" in done.stderr
    assert error in done.stderr
    assert done.stderr.count("\n") == 1


def test_nothing_of_the_process_is_changed(here: Path) -> None:
    paths, state, numbers = list(sys.path), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    before = {name for name in sys.modules if not name.startswith("nextbar_audited_")}
    invoke("mine.py:Plain")
    assert sys.path == paths
    assert random.getstate() == state
    assert np.random.get_state()[1].tolist() == numbers  # noqa: NPY002
    new = {name for name in sys.modules if not name.startswith("nextbar")} - before
    assert "mine" not in new
