"""What a row is asked, and when the answer is known."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nextbar.training.labels import direction_labels

from ..markets import random_bars

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
