import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.backtests.evidence.calls import calibration, call_statistics
from nextbar.signals.errors import ExperimentError
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, matthews_corrcoef

FEW = settings(max_examples=40, deadline=None)


def forecast(seed, bars=400, skill=0.1):
    rng = np.random.default_rng(seed)
    scores = np.clip(rng.normal(0.52, 0.1, bars), 0.01, 0.99)
    up = (rng.random(bars) < 0.5 + skill * np.sign(scores - 0.5)).astype(float)
    return scores, up


@given(st.integers(0, 10_000), st.integers(20, 400))
@FEW
def test_against_scikit_learn(seed, bars):
    scores, up = forecast(seed, bars)
    found = call_statistics(scores, up, 1)
    called = scores > 0.5
    assert found.bars == found.calls == bars
    assert found.accuracy == pytest.approx(accuracy_score(up, called))
    assert found.brier == pytest.approx(brier_score_loss(up, scores))
    assert found.log_loss == pytest.approx(log_loss(up, scores, labels=[0, 1]))
    if found.mcc is not None:
        assert found.mcc == pytest.approx(matthews_corrcoef(up, called), abs=1e-12)
    constant = brier_score_loss(up, np.full(bars, up.mean()))
    assert found.brier_base == pytest.approx(constant)


def test_pesaran_timmermann_by_hand():
    """Ten bars, calls UUUUUUDDDD, outcomes UUUUDDDDDU; the formula of the 1992 paper.

    p_y = 5/10, p_z = 6/10, hits 7/10, expected p* = .5 x .6 + .5 x .4 = .5.
    v = .5 x .5 / 10 = .025; w = (0 x .24 + .2**2 x .25) / 10 = .001. (.7 - .5) / sqrt(.024).
    """
    scores = np.array([0.6] * 6 + [0.4] * 4)
    up = np.array([1.0, 1, 1, 1, 0, 0, 0, 0, 0, 1])
    timing = call_statistics(scores, up, 1).timing
    statistic = 0.2 / math.sqrt(0.024)
    assert timing.statistic == pytest.approx(statistic, rel=1e-12)
    assert timing.p == pytest.approx(0.5 * math.erfc(statistic / math.sqrt(2)), rel=1e-9)
    assert timing.bars == 10


@given(st.integers(0, 10_000), st.integers(10, 200))
@FEW
def test_the_statistic_is_the_correlation_times_the_root_of_the_bars(seed, bars):
    """The paper's variance reduces to it; perfect scores of 0 and 1 are allowed."""
    scores, up = forecast(seed, bars)
    found = call_statistics(np.round(scores), up, 1)
    if found.timing.statistic is not None:
        assert found.timing.statistic == pytest.approx(found.mcc * math.sqrt(bars), abs=1e-9)


def test_timing_looks_at_every_hth_bar_only():
    scores, up = forecast(3, 400)
    found = call_statistics(scores, up, 5)
    alone = call_statistics(scores[::5], up[::5], 1)
    assert found.timing == alone.timing
    assert found.timing.bars == 80
    assert found.bars == 400


def test_timing_keeps_its_distance_over_holes():
    """A missing score must not pull later bars nearer to each other."""
    scores, up = forecast(3, 100)
    scores[1] = np.nan
    found = call_statistics(scores, up, 10)
    whole = call_statistics(*forecast(3, 100), 10)
    assert found.timing == whole.timing
    assert found.bars == 99


def test_overlapping_outcomes_of_a_slow_call_are_no_skill():
    """Nominal 5 %: every 20th bar keeps to it; all bars would reject about 20 % of the time."""
    rejected = {1: 0, 20: 0}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        moves = rng.normal(0, 1, 1020)
        up = (np.convolve(moves, np.ones(20))[20:1020] > 0).astype(float)
        slow = np.repeat(rng.random(10) < 0.5, 100)
        scores = np.where(slow, 0.6, 0.4)
        for horizon in rejected:
            p = call_statistics(scores, up, horizon).timing.p
            rejected[horizon] += p is not None and p <= 0.05
    assert rejected[20] <= 12  # a chance of 0.1 % at 5 %
    assert rejected[1] > rejected[20]


def test_the_dead_band_makes_no_call():
    scores = np.array([0.5, 0.54, 0.56, 0.44, 0.46, 0.7])
    up = np.array([1.0, 0, 1, 0, 1, 0])
    found = call_statistics(scores, up, 1, dead_band=0.05)
    assert (found.bars, found.calls) == (6, 3)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.always_up == pytest.approx(1 / 3)
    assert found.base_rate == 0.5
    assert call_statistics(scores, up, 1).calls == 5  # 0.5 itself is no call


def test_base_rate_of_the_training_rows():
    scores, up = forecast(0)
    found = call_statistics(scores, up, 1, train_base_rate=0.7)
    assert found.brier_train == pytest.approx(np.mean((0.7 - up) ** 2))
    assert found.brier_train > found.brier_base
    assert call_statistics(scores, up, 1).brier_train is None


@pytest.mark.parametrize(
    ("scores", "up", "reason"),
    [
        ([0.6] * 5, [1, 0, 1, 0, 1], "all calls are the same"),
        ([0.6, 0.4, 0.6, 0.4], [1, 1, 1, 1], "all outcomes are the same"),
        ([0.5] * 4, [1, 0, 1, 0], "fewer than two calls"),
        ([np.nan] * 4, [1, 0, 1, 0], "fewer than two calls"),
        ([], [], "fewer than two calls"),
        ([0.6, 0.4], [1, np.nan], "fewer than two calls"),
    ],
)
def test_undefined_is_none_in_words(scores, up, reason):
    found = call_statistics(np.array(scores, float), np.array(up, float), 1)
    assert found.timing.reason == reason
    assert found.timing.p is found.timing.statistic is None
    if reason.startswith("all"):
        assert found.mcc is None
    json.dumps(asdict(found), allow_nan=False)


@pytest.mark.parametrize(
    ("scores", "up", "horizon", "message"),
    [
        ([0.5, 1.2], [0, 1], 1, "probabilities"),
        ([0.5, 0.6], [0, 2], 1, "outcomes of 0 or 1"),
        ([0.5, 0.6], [0], 1, "an outcome per bar"),
        ([0.5, 0.6], [0, 1], 0, "horizon"),
    ],
)
def test_refusals(scores, up, horizon, message):
    with pytest.raises(ExperimentError, match=message):
        call_statistics(np.array(scores, float), np.array(up, float), horizon)


@given(st.integers(0, 10_000), st.integers(2, 12))
@FEW
def test_calibration_is_that_of_scikit_learn(seed, bins):
    scores, up = forecast(seed, 300)
    found = calibration(scores, up, bins)
    share, mean = calibration_curve(up, scores, n_bins=bins, strategy="quantile")
    assert [piece.up for piece in found] == pytest.approx(list(share))
    assert [piece.score for piece in found] == pytest.approx(list(mean))
    sizes = [piece.bars for piece in found]
    assert sum(sizes) == 300
    assert max(sizes) - min(sizes) <= 2


def test_calibration_of_few_different_scores():
    scores = np.array([0.4, 0.4, 0.4, 0.6, np.nan])
    found = calibration(scores, np.array([0.0, 1.0, 0.0, 1.0, 1.0]), 10)
    assert [(piece.score, piece.bars) for piece in found] == [
        (pytest.approx(0.4), 3),
        (pytest.approx(0.6), 1),
    ]
    assert found[0].up == pytest.approx(1 / 3)
    assert calibration(np.array([np.nan]), np.array([1.0])) == ()
    with pytest.raises(ExperimentError, match="bins"):
        calibration(scores, np.ones(5), 0)
