"""No row is learned from, or checked, whose answer was not known when the next part began."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from nextbar.signals.errors import BarsError
from nextbar.training.labels import direction_labels
from nextbar.training.splits import EMBARGO, FEWEST_ROWS, Split, chronological_split

from ..markets import random_bars

BARS = random_bars(400, seed=2)


def split_at(
    validation: int, test: int, *, window: int = 10, horizon: int = 1, target: str = "open"
) -> tuple[Split, pd.DataFrame]:
    labels = direction_labels(BARS, horizon, target)  # type: ignore[arg-type]
    split = chronological_split(
        labels,
        window=window,
        validation_start=BARS.index[validation],
        test_start=BARS.index[test],
    )
    return split, labels


def test_by_hand() -> None:
    # Decided on bar t, known at the open of bar t + 2; and bar 199 is left free.
    split, _ = split_at(200, 300)
    assert split.train.tolist() == list(range(9, 197))
    assert split.validation.tolist() == list(range(200, 297))
    assert split.last_label == 298
    split, _ = split_at(200, 300, target="close")
    assert split.train[-1] == 197
    assert split.validation[-1] == 297
    assert split.last_label == 298


@pytest.mark.parametrize("target", ["open", "close"])
@pytest.mark.parametrize("horizon", range(1, 31))
def test_purged_by_label_end(horizon: int, target: Literal["open", "close"]) -> None:
    split, labels = split_at(200, 300, horizon=horizon, target=target)
    delay = horizon + (target == "open")
    assert split.train[-1] == 200 - delay - 1 - EMBARGO
    assert split.validation[-1] == 300 - delay - 1 - EMBARGO
    assert split.validation[0] == 200
    assert labels["label_end"].iloc[split.train].max() == BARS.index[199 - EMBARGO]
    assert labels["label_end"].iloc[split.validation].max() == BARS.index[299 - EMBARGO]


@pytest.mark.parametrize("hours", [0, 5])
def test_where_the_bars_end_is_a_boundary_too(hours: int) -> None:
    """Training is given no bar of the test, and must come to the same rows as with all bars."""
    test_start = BARS.index[300] - pd.Timedelta(hours, "h")
    parts = [
        chronological_split(
            direction_labels(BARS.iloc[:n]),
            window=10,
            validation_start=BARS.index[200],
            test_start=test_start,
        )
        for n in (300, 301, 350, 400)
    ]
    for part in parts:
        assert part.validation.tolist() == list(range(200, 297))
        assert part.train.tolist() == list(range(9, 197))
        assert part.last_label == 298


@given(
    window=st.integers(1, 60),
    horizon=st.integers(1, 30),
    target=st.sampled_from(["open", "close"]),
    first=st.integers(150, 250),
    between=st.integers(80, 140),
    hours=st.integers(0, 23),
)
@settings(deadline=None)
def test_nothing_crosses_a_boundary(
    window: int, horizon: int, target: str, first: int, between: int, hours: int
) -> None:
    labels = direction_labels(BARS, horizon, target)  # type: ignore[arg-type]
    # Boundaries need not fall on a bar.
    validation_start = BARS.index[first] + pd.Timedelta(hours, "h")
    test_start = BARS.index[first + between] + pd.Timedelta(hours, "h")
    try:
        split = chronological_split(
            labels, window=window, validation_start=validation_start, test_start=test_start
        )
    except BarsError:  # a long horizon can leave one class only
        reject()
    end = labels["label_end"]
    for rows, boundary in ((split.train, validation_start), (split.validation, test_start)):
        between_them = (BARS.index > end.iloc[rows].max()) & (BARS.index < boundary)
        assert between_them.sum() >= EMBARGO >= 1
    assert (labels.index[split.validation] >= validation_start).all()
    rows = np.concatenate([split.train, split.validation])
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= window - 1
    assert labels["up"].iloc[rows].isin([0.0, 1.0]).all()
    assert BARS.index[split.last_label] == end.iloc[rows].max()
    # And nothing was left out without need.
    last = BARS.index[BARS.index < validation_start][-1 - EMBARGO]
    assert len(split.train) == ((end <= last).to_numpy() & (np.arange(400) >= window - 1)).sum()


def test_too_few_rows() -> None:
    fewest, delay, window = FEWEST_ROWS, 2 + EMBARGO, 10
    start = window - 1 + fewest + delay
    split, _ = split_at(start, start + fewest + delay)
    assert len(split.train) == len(split.validation) == fewest
    with pytest.raises(BarsError, match=f"{fewest - 1} training rows before 20.*longer history"):
        split_at(start - 1, 300)
    with pytest.raises(BarsError, match=f"{fewest - 1} validation rows before 20.*longer"):
        split_at(start, start + fewest + delay - 1)


@pytest.mark.parametrize(("up", "name"), [(range(200), "training"), (range(200, 400), "valid")])
def test_one_class_only(up: range, name: str) -> None:
    labels = direction_labels(BARS)
    labels.iloc[list(up), 0] = 1.0
    with pytest.raises(BarsError, match=rf"all \d+ {name}.* rows before 20.* the same label"):
        chronological_split(
            labels, window=10, validation_start=BARS.index[200], test_start=BARS.index[350]
        )
