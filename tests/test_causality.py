"""Bars after t, replaced by noise, change nothing at or before t: scores, directions, orders."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nextbar.backtests import run
from nextbar.backtests.engine import Account
from nextbar.signals import (
    EMADirection,
    LSTMDirection,
    MeanDirection,
    MomentumDirection,
    ReversalDirection,
    RuleDirection,
    SeriesDirection,
    VolatilityTargetDirection,
    rules,
)
from nextbar.signals.chain import Period, Rule, write_chain
from nextbar.signals.direction import DirectionIndicator
from nextbar.strategies import FollowDirection

from . import lines
from .markets import random_bars
from .models import write_model

N, WINDOW = 90, 12
MODES = {"batched": {}, "streaming": {"runonce": False}}


def lines_of(make: Any, frame: pd.DataFrame, **mode: Any) -> np.ndarray:
    """Return directions and scores by bar, shape (n, 2)."""
    return lines.lines_of(make, frame, **mode).T


def orders_of(make: Any, frame: pd.DataFrame) -> Any:
    params = {"signal": make, "shorts": True}
    first = frame.index[WINDOW + 10]
    return run(frame, FollowDirection, params, Account(), name="x", first=first)


PARTS = ((15, 40), (40, 65), (65, None))
"""First row of each period of the chains, and the row after its last."""


def chains(folder: Path) -> tuple[Path, Path]:
    """Write a chain of models with two seeds, and one of rules."""
    index = random_bars(N).index
    walked: list[Period] = []
    tuned: list[Period] = []
    for i, (first, stop) in enumerate(PARTS):
        dates = {"start": index[first], "end": None if stop is None else index[stop]}
        names = (f"{i}a.onnx", f"{i}b.onnx")
        for k, name in enumerate(names):
            write_model(folder / name, (WINDOW, 5, 9)[i], seed=2 * i + k)
        walked.append(Period(**dates, models=names))
        fast = {"fast": 2 + i, "slow": 8}
        rule = Rule(name="mean") if i == 1 else Rule(name="ema", parameters=fast)
        tuned.append(Period(**dates, rule=rule))
    return write_chain(folder, walked).path, write_chain(folder / "rules", tuned).path


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("signals")
    model = write_model(folder / "model.onnx", WINDOW)
    volume = write_model(folder / "volume.onnx", WINDOW, uses_volume=True)
    calls = pd.DataFrame({"direction": np.resize([1, -1, 0], N)}, index=random_bars(N).index)
    calls.to_csv(folder / "calls.csv")
    walked, tuned = chains(folder)
    return {
        "chain": partial(LSTMDirection, model=walked),
        "chain, early": partial(LSTMDirection, model=walked, in_sample="allow"),
        "chain of rules": partial(RuleDirection, chain=tuned),
        "mean": MeanDirection,
        "reversal": ReversalDirection,
        "volatility target": partial(VolatilityTargetDirection, target=0.1, span=12),
        "lstm": partial(LSTMDirection, model=model),
        "lstm with volume": partial(LSTMDirection, model=volume),
        "ema": partial(EMADirection, fast=3, slow=9),
        "momentum": partial(MomentumDirection, period=7),
        "series": partial(SeriesDirection, path=folder / "calls.csv"),
    }


def noise_after(frame: pd.DataFrame, t: int, seed: int, scale: float) -> pd.DataFrame:
    """Return the bars with every one after row t replaced by those of another market."""
    other = random_bars(len(frame), seed=seed + 1000, sigma=0.05)
    changed = frame.copy()
    changed.iloc[t + 1 :] = other.iloc[t + 1 :] * scale
    changed.attrs = dict(frame.attrs)
    return changed


FUTURES = {
    "t": st.integers(WINDOW, N - 3),
    "seed": st.integers(0, 50),
    "scale": st.sampled_from([1e-3, 1.0, 1e3]),
}
NAMES = [
    *("lstm", "lstm with volume", "chain", "chain, early", "chain of rules"),
    *("ema", "momentum", "mean", "reversal", "volatility target", "series"),
]
QUICK = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
@given(**FUTURES)
@QUICK
def test_scores_and_directions(
    name: str, mode: str, signals: dict[str, Any], t: int, seed: int, scale: float
) -> None:
    frame = random_bars(N, seed=seed)
    before = lines_of(signals[name], frame, **MODES[mode])
    after = lines_of(signals[name], noise_after(frame, t, seed, scale), **MODES[mode])
    np.testing.assert_array_equal(after[: t + 1, 0], before[: t + 1, 0])
    np.testing.assert_allclose(after[: t + 1, 1], before[: t + 1, 1], atol=1e-6)
    if name != "series":
        assert not np.array_equal(after[t + 1 :, 1], before[t + 1 :, 1])


@pytest.mark.parametrize("name", NAMES)
@given(**FUTURES)
@QUICK
def test_orders(name: str, signals: dict[str, Any], t: int, seed: int, scale: float) -> None:
    frame = random_bars(N, seed=seed)
    t = max(t, WINDOW + 12)
    before = orders_of(signals[name], frame)
    after = orders_of(signals[name], noise_after(frame, t, seed, scale))
    until = frame.index[t]
    for part in ("orders", "rejected"):
        early = [
            events[events["date"] <= until].to_dict("records")
            for events in (getattr(before, part), getattr(after, part))
        ]
        assert early[0] == early[1]
    for part in ("equity", "position", "direction"):
        pd.testing.assert_series_equal(
            getattr(before, part)[:until], getattr(after, part)[:until], check_freq=False
        )


@pytest.mark.parametrize("mode", MODES)
def test_only_the_latest_bars_count(mode: str, signals: dict[str, Any]) -> None:
    """A windowed signal forgets: bars before the window may be anything."""
    frame = random_bars(N, seed=3)
    other = frame.copy()
    other.iloc[:40] = random_bars(N, seed=4).iloc[:40]
    before = lines_of(signals["lstm"], frame, **MODES[mode])
    after = lines_of(signals["lstm"], other, **MODES[mode])
    np.testing.assert_allclose(after[40 + WINDOW - 1 :], before[40 + WINDOW - 1 :], atol=1e-6)
    assert not np.allclose(after[40 + WINDOW - 2], before[40 + WINDOW - 2], atol=1e-6)


class Peeking(DirectionIndicator):
    """A leaky twin: one bar of the future, through the array that batched mode lays open."""

    def __init__(self) -> None:
        super().__init__()
        self._watch([self.data.close], 2)

    def _score(self, values: np.ndarray) -> np.ndarray:
        change = np.diff(values[:, 0])
        return np.append(change[1:], 0.0) if len(change) > 1 else change

    def _direction(self, score: np.ndarray, times: np.ndarray) -> np.ndarray:
        return rules.call(score, 0.0, 0.0)


def test_the_check_sees_a_peek_of_one_bar() -> None:
    frame = random_bars(N, seed=5)
    before = lines_of(Peeking, frame)
    after = lines_of(Peeking, noise_after(frame, 50, 5, 1.0))
    assert before[50, 1] != after[50, 1]
    np.testing.assert_array_equal(before[2:50], after[2:50])
