"""How often was tried on the same days."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nextbar.backtests.trials import LEDGER, count_trials, note_training, trials_by_now
from nextbar.signals.ledger import read_trials
from nextbar.training import TrainingConfig

from .test_comparison import QUICK, bars_of, experiment_of


def count(runs: Path, run: str, *symbols: str, ratio: float | None = 0.5, **changes: Any) -> int:
    symbols = symbols or ("AA",)
    every = bars_of("AA", "BB")
    bars = {symbol: every[symbol] for symbol in symbols}
    return count_trials(experiment_of(*symbols, **changes), bars, run, runs, ratio).number


def test_every_configuration_counts_and_reruns_do_not(tmp_path: Path) -> None:
    assert count(tmp_path, "a") == 1
    assert count(tmp_path, "a") == 1
    changes: tuple[dict[str, Any], ...] = (
        {"seeds": 7},
        {"training": QUICK.model_copy(update={"seed": 4})},
        {"training": QUICK.model_copy(update={"units": (3,)})},
        {"dead_band": 0.02},
        {"shorts": True},
        {"on_zero": "hold"},
        {"cost_bps": 1.0},
        {"target": 0.5},
        {"folds": experiment_of("AA").folds[1:]},
    )
    for number, change in enumerate(changes, start=2):
        assert count(tmp_path, f"run {number}", **change) == number
    assert len(read_trials(tmp_path / LEDGER)) == len(changes) + 1
    # Another name, or other rules to choose from, change nothing of the LSTM.
    assert count(tmp_path, "named", name="other", momentum_grid=(5,)) == len(changes) + 1


def test_the_same_bars_under_another_name_are_the_same_days(tmp_path: Path) -> None:
    assert count(tmp_path, "a") == 1
    renamed = {"ZZ": bars_of("AA")["AA"]}
    config = QUICK.model_copy(update={"units": (9,)})
    experiment = experiment_of("ZZ", training=config)
    assert count_trials(experiment, renamed, "z", tmp_path, None).number == 2
    assert trials_by_now(experiment_of("AA"), bars_of("AA"), "a", tmp_path) == 2
    assert len(read_trials(tmp_path / LEDGER)) == 2


def test_other_symbols_or_days_are_other_trials(tmp_path: Path) -> None:
    config = QUICK.model_copy(update={"units": (9,)})
    assert count(tmp_path, "a") == 1
    assert count(tmp_path, "b", "BB", training=config) == 1
    assert count(tmp_path, "c", "AA", "BB", training=config) == 2
    bars = bars_of("AA")
    early = {"AA": bars["AA"].iloc[:300]}
    late = [{"validation_start": "2002-02-01", "test_start": bars["AA"].index[300].date()}]
    other = tmp_path / "other"
    assert count_trials(experiment_of("AA"), early, "e", other, None).number == 1
    assert count(other, "f", training=config, folds=late) == 1


def test_a_given_model_is_a_configuration(tmp_path: Path) -> None:
    assert count(tmp_path, "a") == 1
    assert count(tmp_path, "b", model_sha256="0" * 64) == 2


def test_a_training_alone_is_noted_and_no_trial(tmp_path: Path) -> None:
    note_training(TrainingConfig(), "AA", "h1", tmp_path)
    note_training(TrainingConfig(), "AA", "h1", tmp_path)
    assert [trial["kind"] for trial in read_trials(tmp_path / LEDGER)] == ["training"]
    assert count(tmp_path, "a") == 1


def test_sharpe_ratios_of_the_trials_are_known(tmp_path: Path) -> None:
    count(tmp_path, "a", ratio=0.25)
    config = QUICK.model_copy(update={"units": (9,)})
    count(tmp_path, "b", ratio=None, training=config)
    found = count_trials(
        experiment_of("AA", training=QUICK.model_copy(update={"window": 9})),
        bars_of("AA"), "c", tmp_path, -0.5,
    )  # fmt: skip
    assert found.number == 3
    assert sorted(found.sharpes) == pytest.approx([-0.5, 0.25])
