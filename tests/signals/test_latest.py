"""The newest call, and whether a model fits the bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nextbar.signals.errors import BarsError, ModelError
from nextbar.signals.latest import check_fit, latest_call
from nextbar.signals.model import load_model

from ..markets import random_bars
from ..models import write_model

WINDOW = 8
BARS = random_bars(60)


def model_of(folder: Path, **card: Any) -> Any:
    return load_model(write_model(folder / "m.onnx", WINDOW, **card))


def test_it_is_the_score_of_the_last_window(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    call = latest_call(model, BARS)
    scores = model.score(BARS.to_numpy())
    assert call.score == pytest.approx(scores[-1], abs=1e-6)
    assert call.direction == (1 if scores[-1] > 0.5 else -1)
    assert call.last_bar == BARS.index[-1]
    assert call.symbol == "TEST"


@pytest.mark.parametrize("row", range(WINDOW, 60, 5))
def test_only_bars_up_to_the_last_one_decide(row: int, tmp_path: Path) -> None:
    model = model_of(tmp_path)
    call = latest_call(model, BARS.iloc[:row])
    assert call.score == pytest.approx(model.score(BARS.to_numpy())[row - WINDOW], abs=1e-6)
    assert call.last_bar == BARS.index[row - 1]


def test_the_dead_band_gives_no_call(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    distance = abs(latest_call(model, BARS).score - 0.5)
    assert latest_call(model, BARS, distance + 1e-9).direction == 0
    assert latest_call(model, BARS, distance - 1e-9).direction != 0


@pytest.mark.parametrize(("seen", "unseen"), [(60, 0), (59, 1), (40, 20)])
def test_bars_since_the_training(seen: int, unseen: int, tmp_path: Path) -> None:
    model = model_of(tmp_path, train_end=str(BARS.index[seen - 1].date()))
    call = latest_call(model, BARS)
    assert call.bars_since_train_end == unseen
    assert (call.direction == 0) == (unseen == 0)


@pytest.mark.parametrize("n", [0, 1, WINDOW - 1])
def test_too_few_bars(n: int, tmp_path: Path) -> None:
    with pytest.raises(BarsError, match=f"TEST: {n} bars, the model needs {WINDOW}"):
        latest_call(model_of(tmp_path), BARS.iloc[:n])
    latest_call(model_of(tmp_path), BARS.iloc[:WINDOW])


def test_bars_of_another_interval(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    weekly = random_bars(60, freq="W-FRI")
    with pytest.raises(ModelError, match="a model for bars of 1d, found 1wk"):
        latest_call(model, weekly)
    values, dates = weekly.to_numpy()[:WINDOW], weekly.index[:WINDOW]
    check_fit(model, values, dates, any_interval=True)


def test_no_volume(tmp_path: Path) -> None:
    none = BARS * [1, 1, 1, 1, 0]
    none.attrs = BARS.attrs
    latest_call(model_of(tmp_path), none)
    model = model_of(tmp_path, uses_volume=True)
    with pytest.raises(ModelError, match="the bars have none"):
        latest_call(model, none)
    one = none.copy()
    one.iloc[-1, 4] = 5.0
    assert np.isfinite(latest_call(model, one).score)
