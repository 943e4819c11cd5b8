"""The README's examples run, its numbers are the demo's, its commands are known."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from nextbar.backtests.cli import app
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.S))
def test_python_examples_run(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_table_is_the_demo(tmp_path: Path) -> None:
    """All rows but the LSTM's are equal on every machine; its weights may differ slightly."""
    done = subprocess.run(
        [Path(sys.executable).with_name("nextbar"), "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    block = re.search(r"<!-- demo-table -->\n```text\n(.*?)```", README, re.S)
    assert block
    rows = [line.strip() for line in block[1].splitlines() if "%" in line]
    assert [row.split("  ")[0].split(" ")[0] for row in rows] == ["LSTM", "EMA", "Momentum", "Buy"]
    printed = [line.strip() for line in done.stdout.splitlines()]
    for row in rows[1:]:
        assert row in printed
    (results,) = tmp_path.glob("runs/demo-*/results.json")
    summary = json.loads(results.read_text())
    lstm = summary["equal_weight"]["lstm"]["total_return"]
    said = re.search(r"LSTM +(-?[\d.]+)%", block[1])
    assert said
    assert abs(lstm - float(said[1]) / 100) < 0.2
    assert summary["caution"].startswith("One split and one seed")
    calls = [part["calls"] for part in summary["symbols"].values()]
    assert f"{sum(call['rows'] for call in calls):,} calls" in README
    base_rate = sum(call["base_rate"] for call in calls) / len(calls)
    assert f"would have scored {base_rate:.1%}" in README.replace(" %", "%").replace("\n", " ")


COMMANDS = re.findall(r"^\.venv/bin/nextbar (.*?)(?: {2,}#.*)?$", README, re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_have_these_options(line: str) -> None:
    command, *arguments = shlex.split(line)
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option in text


def test_commands_were_found() -> None:
    assert len(COMMANDS) == 5
