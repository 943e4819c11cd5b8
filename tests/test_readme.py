"""The README's examples run, its numbers are the demo's, its commands are known."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from nextbar.backtests import compare
from nextbar.backtests.cli import app
from nextbar.backtests.plan import Plan, experiment_of, read_plan
from nextbar.backtests.verdict_tables import comparison_tables
from nextbar.signals.sources import SAMPLE_SYMBOLS, load_bars
from rich.console import Console
from typer.testing import CliRunner

from .models import write_model

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.S))
def test_python_examples_run(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def block(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", README, re.S)
    assert found, name
    return found[1]


def rows_of(text: str) -> list[str]:
    """Return the rows of tables in `text`, with one space between their columns."""
    return [" ".join(line.split()) for line in text.splitlines() if "%" in line or "Sharpe" in line]


SAME_EVERYWHERE = (
    "EMA cross", "Momentum", "Mean so far", "Reversal", "Majority class", "Buy & hold",
    "Vol.-targeted hold", "Perfect foresight",
)  # fmt: skip
"""Rows that rest on no trained weight."""


def test_the_rules_rows_are_those_of_the_command(tmp_path: Path) -> None:
    """A model made by hand takes the LSTM's place: the rules' rows are the same with any."""
    bars = {symbol: load_bars(symbol) for symbol in SAMPLE_SYMBOLS}
    model = write_model(tmp_path / "m.onnx", 8, symbols=SAMPLE_SYMBOLS)
    plan = Plan(symbols=SAMPLE_SYMBOLS)
    folds = experiment_of(plan, bars).folds
    experiment = experiment_of(Plan(symbols=SAMPLE_SYMBOLS, folds=folds, model=str(model)), bars)
    done = compare(experiment, bars, runs=tmp_path / "runs", model=model)
    console = Console(record=True, width=80, file=io.StringIO(), markup=False)
    for table in comparison_tables(done.summary):
        console.print(table)
    printed = rows_of(console.export_text())
    said = rows_of(block("table"))
    for name in SAME_EVERYWHERE:
        (row,) = [row for row in said if row.startswith(name) and "%" in row]
        assert row in printed
    pooled = done.summary["equal_weight"]["buy_and_hold"]["total_return"]
    assert f"{pooled:.1%}" in block("table")


@pytest.mark.slow
def test_the_table_and_the_verdict_are_those_of_the_command(tmp_path: Path) -> None:
    """Another processor may train other weights: the verdict's first words must stay."""
    line = next(line for line in COMMANDS if line.startswith("compare AAPL MSFT IBM GOOG"))
    done = subprocess.run(
        [Path(sys.executable).with_name("nextbar"), *shlex.split(line)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    for row in rows_of(block("table")):
        if row.startswith(SAME_EVERYWHERE):
            assert row in rows_of(done.stdout)
    said = re.search(r"^> \*\*(.*?)\*\*", README, re.M)
    assert said
    (results,) = tmp_path.glob("runs/compare-*/results.json")
    verdict = json.loads(results.read_text())["evidence"]["verdict"]
    assert said[1].startswith(verdict["overall"])


def test_the_experiment_file_is_one(tmp_path: Path) -> None:
    path = tmp_path / "experiment.toml"
    path.write_text(block("experiment"))
    plan = read_plan(path)
    experiment = experiment_of(plan, {s: load_bars(s) for s in plan.symbols})
    assert (len(experiment.folds), experiment.seeds) == (8, 10)


COMMANDS = re.findall(r"^\.venv/bin/nextbar (.*?)(?: {2,}#.*)?$", README, re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_have_these_options(line: str) -> None:
    command, *arguments = shlex.split(line)
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option in text


def test_commands_were_found() -> None:
    assert len(COMMANDS) == 13
