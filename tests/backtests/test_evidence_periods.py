import json
from dataclasses import asdict

import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nextbar.backtests.evidence.periods import (
    REGIMES,
    WINDOW,
    by_period,
    by_volatility_regime,
    seed_band,
)
from nextbar.backtests.evidence.shifts import circular_shifts, rank_among
from nextbar.signals.errors import ExperimentError


def frame(days=900, seed=0):
    rng = np.random.default_rng(seed)
    index = pd.date_range("2019-06-03", periods=days, freq="B")
    return pd.DataFrame(
        {"lstm": rng.normal(0.0005, 0.01, days), "cash": np.zeros(days)}, index=index
    )


def test_years():
    returns = frame()
    pieces = by_period(returns)
    assert sum(piece.bars for piece in pieces if piece.strategy == "lstm") == 900
    assert [piece.label for piece in pieces[::2]] == ["2019", "2020", "2021", "2022"]
    year = returns.loc["2020", "lstm"]
    found = next(p for p in pieces if (p.label, p.strategy) == ("2020", "lstm"))
    assert found.bars == len(year)
    assert found.total_return == pytest.approx((1 + year).prod() - 1)
    assert found.mean_return == pytest.approx(year.mean() * 252)
    assert found.sharpe == pytest.approx(empyrical.sharpe_ratio(year))
    cash = [piece for piece in pieces if piece.strategy == "cash"]
    assert {piece.sharpe for piece in cash} == {None}
    json.dumps([asdict(piece) for piece in pieces], allow_nan=False)


def test_regimes_are_thirds_of_the_volatility_before_the_day():
    returns = frame()
    market = returns["lstm"]
    pieces = by_volatility_regime(returns, market)
    assert [piece.label for piece in pieces[::2]] == list(REGIMES)
    values = market.to_numpy()
    before = np.array([values[i - WINDOW : i].std() for i in range(WINDOW, 900)])
    late = values[WINDOW:]
    order = np.sort(before)
    third = len(before) // 3
    calm = late[before <= order[third - 1]]
    stormy = late[before > order[-third - 1]]
    found = {piece.label: piece for piece in pieces if piece.strategy == "lstm"}
    assert {piece.bars for piece in found.values()} == {third}
    assert found["calm"].mean_return == pytest.approx(calm.mean() * 252)
    assert found["stormy"].sharpe == pytest.approx(empyrical.sharpe_ratio(stormy))


def test_a_days_own_move_does_not_choose_its_regime():
    returns = frame()
    market = returns["lstm"].copy()
    base = by_volatility_regime(returns, market)
    market.iloc[-1] = 0.9
    assert by_volatility_regime(returns, market) == base


def test_too_short_for_a_regime():
    returns = frame(days=WINDOW)
    assert by_volatility_regime(returns, returns["lstm"]) == ()
    assert len(by_volatility_regime(frame(days=WINDOW + 1), frame(days=WINDOW + 1)["lstm"])) == 2


def test_refusals():
    returns = frame()
    with pytest.raises(ExperimentError, match="dates"):
        by_period(returns.reset_index(drop=True))
    with pytest.raises(ExperimentError, match="same days"):
        by_volatility_regime(returns, returns["lstm"].iloc[1:])
    with pytest.raises(ExperimentError, match="missing"):
        by_period(returns.shift(1))


def test_seed_band():
    band = seed_band([0.1, 0.4, 0.2])
    assert asdict(band) == {
        "mean": pytest.approx(0.7 / 3),
        "sd": pytest.approx(np.std([0.1, 0.4, 0.2], ddof=1)),
        "min": 0.1,
        "median": 0.2,
        "max": 0.4,
        "n": 3,
    }
    assert seed_band([0.5]).sd is None
    assert seed_band([]) is None
    with pytest.raises(ExperimentError, match="finite"):
        seed_band([0.1, float("nan")])


@given(
    arrays(np.int8, st.integers(2, 80), elements=st.integers(-1, 1)),
    st.integers(1, 30),
    st.integers(0, 5),
)
def test_shifts_keep_exposure_and_trades(directions, count, seed):
    shifted = directions[circular_shifts(len(directions), count, seed=seed)]
    assert shifted.shape == (min(count, len(directions) - 1), len(directions))
    assert (np.sort(shifted, axis=1) == np.sort(directions)).all()
    changes = np.count_nonzero(shifted != np.roll(shifted, 1, axis=1), axis=1)
    assert (changes == np.count_nonzero(directions != np.roll(directions, 1))).all()


def test_shifts_are_different_and_never_the_original():
    marked = np.zeros(500, np.int8)
    marked[0] = 1
    shifted = marked[circular_shifts(500)]
    offsets = shifted.argmax(axis=1)
    assert shifted.shape == (200, 500)
    assert len(set(offsets.tolist())) == 200
    assert 0 not in offsets
    assert (marked[circular_shifts(500)] == shifted).all()
    assert (marked[circular_shifts(500, seed=1)] != shifted).any()
    far = marked[circular_shifts(500, 1000, minimum=50)].argmax(axis=1)
    assert far.tolist() == list(range(50, 451))


def test_a_shift_moves_forward():
    found = np.array([1, 2, 3])[circular_shifts(3, 5)]
    assert found.tolist() == [[3, 1, 2], [2, 3, 1]]


def test_too_few_bars_to_shift():
    assert circular_shifts(1).shape == (0, 1)
    assert circular_shifts(0).shape == (0, 0)
    with pytest.raises(ExperimentError, match="count 0"):
        circular_shifts(5, 0)


def test_rank():
    assert rank_among(0.5, [0.1, 0.5, 0.9, 0.2]) == 0.5
    assert rank_among(1.0, [0.1]) == 0.0
    assert rank_among(1.0, []) is None
    with pytest.raises(ExperimentError, match="finite"):
        rank_among(1.0, [float("nan")])
