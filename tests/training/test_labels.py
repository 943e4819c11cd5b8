"""What a row is asked, and when the answer is known."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nextbar.training.config import FIELDS, TrainingConfig
from nextbar.training.labels import (
    direction_labels,
    field_prices,
    make_labels,
    moves,
    price_labels,
)

from ..markets import random_bars
from .tiny import BARS, levels, task_of, tiny

Target = Literal["open", "close"]
TARGETS: tuple[Target, ...] = ("open", "close")


def bars_of(opens: list[float], closes: list[float]) -> pd.DataFrame:
    index = pd.date_range("2001-01-01", periods=len(opens), name="date")
    columns = {"open": opens, "high": 9.0, "low": 1.0, "close": closes, "volume": 1.0}
    return pd.DataFrame(columns, index=index)


def test_by_hand() -> None:
    bars = bars_of([5, 6, 5, 5, 7], [4, 4, 6, 5, 6])
    labels = direction_labels(bars, 1, "open")
    # open[t+2] > open[t+1]: 5 > 6, 5 > 5 (unchanged is not up), 7 > 5.
    np.testing.assert_array_equal(labels["up"], [0, 0, 1, np.nan, np.nan])
    assert labels["label_end"].dt.day.tolist()[:3] == [3, 4, 5]
    assert labels["label_end"].isna().tolist() == [False] * 3 + [True] * 2
    labels = direction_labels(bars, 2, "close")
    np.testing.assert_array_equal(labels["up"], [1, 1, 0, np.nan, np.nan])
    assert labels["label_end"].dt.day.tolist()[:3] == [3, 4, 5]


@pytest.mark.parametrize("target", TARGETS)
@given(horizon=st.integers(1, 30), n=st.integers(1, 60))
def test_against_a_loop(target: Target, horizon: int, n: int) -> None:
    bars = random_bars(n, seed=horizon)
    labels = direction_labels(bars, horizon, target)
    assert labels.index.equals(bars.index)
    price = bars[target].to_numpy()
    start = 1 if target == "open" else 0
    for t in range(n):
        known = t + start + horizon
        up, end = labels["up"].iloc[t], cast("pd.Timestamp", labels["label_end"].iloc[t])
        if known < n:
            assert up == float(price[known] > price[t + start])
            assert end == bars.index[known]
        else:
            assert np.isnan(up)
            assert pd.isna(end)


@pytest.mark.parametrize("target", TARGETS)
def test_labels_do_not_see_past_their_end(target: Target) -> None:
    bars = random_bars(60)
    cut = direction_labels(bars.iloc[:40], 5, target)
    whole = direction_labels(bars, 5, target).iloc[:40]
    known = (whole["label_end"] <= bars.index[39]).to_numpy()
    pd.testing.assert_frame_equal(cut[known], whole[known])
    assert cut[~known].isna().all(axis=None)


def test_default_is_what_the_next_fill_earns() -> None:
    bars = random_bars(30)
    pd.testing.assert_frame_equal(direction_labels(bars), direction_labels(bars, 1, "open"))


# --- what each head is told ----------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@given(horizon=st.integers(1, 12))
def test_moves_are_what_the_direction_is_of(target: Target, horizon: int) -> None:
    bars = random_bars(40, seed=horizon)
    price = bars[target].to_numpy()
    start = 1 if target == "open" else 0
    found = moves(bars, horizon, target)
    known = 40 - start - horizon
    for t in range(known):
        assert found[t] == pytest.approx(price[t + start + horizon] / price[t + start] - 1)
    assert np.isnan(found[known:]).all()
    up = direction_labels(bars, horizon, target)["up"].to_numpy()
    np.testing.assert_array_equal(up[:known], found[:known] > 0)


def test_directions_and_positions_are_told_one_number() -> None:
    for config, expected in (
        (TrainingConfig(horizon=3), direction_labels(BARS, 3)["up"]),
        (TrainingConfig(horizon=3, head="position"), moves(BARS, 3)),
    ):
        labels = make_labels(BARS, config)
        assert labels.shape == (len(BARS), 1, 1)
        np.testing.assert_array_equal(labels[:, 0, 0], np.asarray(expected))


def test_forecasts_by_hand() -> None:
    bars = bars_of([5, 6, 5, 5, 7], [4, 4, 6, 5, 6]).assign(high=[8, 9, 8, 9, 8], low=2.0)
    config = TrainingConfig(head="forecast", fields=("close", "mid"), horizon=2)
    nan = np.nan
    np.testing.assert_array_equal(
        make_labels(bars, config)[:, 0],
        [[4, 5, 5.5, 5.5], [6, 6, 5, 5], [5, nan, 5.5, nan], [6, nan, 5, nan], [nan] * 4],
    )
    config = TrainingConfig(head="forecast", target="close", horizon=3)
    np.testing.assert_array_equal(make_labels(bars, config)[:, 0, 0], [5, 7, nan, nan, nan])


@pytest.mark.parametrize("target", TARGETS)
@given(horizon=st.integers(1, 5), augment=st.integers(0, 6), every=st.booleans())
def test_draws_are_later_labels(target: Target, horizon: int, augment: int, every: bool) -> None:
    steps: Literal["last", "every"] = "every" if every else "last"
    config = levels(
        horizon=horizon, augment=augment, target=target, steps=steps, fields=("mid", "low")
    )
    labels = make_labels(BARS, config)
    draws = max(1, augment)
    assert labels.shape == (len(BARS), draws, len(config.columns))
    for draw in range(draws):
        for j, (field, ahead) in enumerate(config.columns):
            expected = field_prices(BARS, field)[ahead + draw :]
            np.testing.assert_array_equal(labels[: len(expected), draw, j], expected)
            assert np.isnan(labels[len(expected) :, draw, j]).all()


@pytest.mark.parametrize("field", FIELDS)
def test_field_prices(field: Literal["open", "high", "low", "close", "mid"]) -> None:
    expected = (BARS["high"] + BARS["low"]) / 2 if field == "mid" else BARS[field]
    np.testing.assert_allclose(field_prices(BARS, field), expected.to_numpy(), rtol=1e-15)


def test_further_ahead_than_there_are_bars() -> None:
    found = price_labels(BARS.iloc[:5], [("open", 4), ("open", 5), ("open", 90)])
    assert found[0, 0] == BARS["open"].iloc[4]
    assert np.isnan(found[:, 1:]).all()


# --- the placebo ---------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", [0, 3])
def test_the_placebo_of_a_forecast_is_a_permutation_of_ratios(augment: int) -> None:
    """Prices as they are would tell the time; their ratios to the row's close do not."""
    config = levels(horizon=2, augment=augment, fields=("open", "high"))
    plain, placebo = task_of(config), task_of(config, "shuffled")
    close = BARS["close"].to_numpy()
    for rows in (plain.split.train, plain.split.validation):
        mine, theirs = (task.labels[rows] / close[rows][:, None, None] for task in (plain, placebo))
        # Whole rows were moved, and with them whether the move was up.
        place = [int(np.abs(mine - row).max(axis=(1, 2)).argmin()) for row in theirs]
        assert sorted(place) == [*range(len(rows))]
        assert np.mean(np.array(place) == np.arange(len(rows))) < 0.1
        np.testing.assert_allclose(theirs, mine[place], rtol=1e-12)
        np.testing.assert_array_equal(placebo.up[rows], plain.up[rows][place])
    # What a bar was told and what it was called on still agree.
    rows = placebo.split.train
    own = placebo.labels[rows, 0]
    np.testing.assert_array_equal(placebo.up[rows] > 0.5, own[:, 1] > own[:, 0])


@pytest.mark.parametrize("head", ["direction", "position"])
def test_the_placebo_of_other_heads_is_a_permutation(head: str) -> None:
    plain, placebo = (task_of(tiny(head=head), kind) for kind in ("lstm", "shuffled"))
    for rows in (plain.split.train, plain.split.validation):
        mine, theirs = plain.labels[rows, 0, 0], placebo.labels[rows, 0, 0]
        np.testing.assert_array_equal(np.sort(mine), np.sort(theirs))
        assert (mine != theirs).any()
        np.testing.assert_array_equal(
            placebo.up[rows] > 0.5, theirs > (0.5 * (head == "direction"))
        )
