"""Ctrl-C and kill -9 in the middle of a comparison: what was finished stays, the rest resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .test_cli import PROCESS, ok, write_bars

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to one process"),
    # keras 3.15 reads its variables with numpy 1's `__array__`.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

# The second training takes seconds: long enough to be interrupted.
LINE = [
    *("compare", "--csv", "AA.csv", "--csv", "BB.csv"),
    *("--units", "24", "--epochs", "9", "--folds", "1", "--seeds", "3"),
]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write_bars(folder, "AA", 1500)
    write_bars(folder, "BB", 1500, seed=1)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(market: Path) -> bytes:
    complete(market, "whole")
    return found(market / "whole", "results.json").read_bytes()


def complete(market: Path, runs: str) -> None:
    """Run the command to its end in this process, where TensorFlow is there already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(market)
        assert ok(*LINE, "--runs", runs, "--workers", "1").stderr == ""


def start(market: Path, runs: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROCESS, *LINE, "--runs", runs],
        cwd=market, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONWARNINGS": ""},
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=200)
    return process.returncode, errors


def found(runs: Path, name: str) -> Path:
    (path,) = runs.rglob(name)
    return path


def stop_when(process: subprocess.Popen[str], reached: Callable[[], bool], by: int) -> None:
    end = time.monotonic() + 60
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(by)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_finished_models_stay_and_the_rest_resumes(
    by: signal.Signals, market: Path, uninterrupted: bytes
) -> None:
    runs = market / by.name
    process = start(market, by.name)
    stop_when(process, lambda: any(runs.rglob("models/*/*/*.json")), by)
    code, errors = ended(process)
    if by is signal.SIGINT:
        assert code == 130
        assert errors.startswith("interrupted")
        assert errors.count("\n") == 1
    assert not list(runs.rglob("results.json"))
    done = [record.with_suffix(".onnx") for record in runs.rglob("models/*/*/*.json")]
    assert 0 < len(done) < 10
    stamps = {model: model.stat().st_mtime_ns for model in done}
    complete(market, by.name)
    assert {model: model.stat().st_mtime_ns for model in done} == stamps
    assert found(runs, "results.json").read_bytes() == uninterrupted


def test_ctrl_c_before_anything_is_finished_leaves_nothing(market: Path) -> None:
    runs = market / "early"
    process = start(market, runs.name)
    stop_when(process, lambda: any(runs.rglob("experiment.json")), signal.SIGINT)
    code, errors = ended(process)
    assert (code, errors.count("\n")) == (130, 1), errors
    assert errors.startswith("interrupted")
    assert not runs.exists()
