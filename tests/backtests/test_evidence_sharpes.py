import math
import time

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import StationaryBootstrap
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.backtests.evidence.sharpes import (
    BLOCK,
    SEED,
    deflated_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_difference_bands,
)
from nextbar.backtests.evidence.snooping import step_m, superior_predictive_ability
from nextbar.backtests.metrics import sharpe
from nextbar.signals.errors import ExperimentError
from scipy.stats import kurtosis, norm, skew

FEW = settings(max_examples=20, deadline=None)


def oracle_psr(ratio, target, days, skewness, tails):
    """Bailey & Lopez de Prado (2012), equation 7; all per day."""
    error = math.sqrt(1 - skewness * ratio + (tails - 1) / 4 * ratio**2)
    return norm.cdf((ratio - target) * math.sqrt(days - 1) / error)


def oracle_threshold(trials, variance):
    """Bailey & Lopez de Prado (2014): the expected maximum of so many Sharpe ratios."""
    euler = 0.5772156649015329
    high, low = norm.ppf(1 - 1 / trials), norm.ppf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - euler) * high + euler * low)


def moments(returns):
    return (
        returns.mean() / returns.std(),
        skew(returns, bias=False),
        kurtosis(returns, bias=False, fisher=False),
    )


def paper_example():
    """1,250 days with the moments of the 2014 paper's example: Sharpe 2.5, skew -3, kurtosis 10.

    No distribution with that skewness has a smaller kurtosis than 10, so it has two values only.
    """
    returns = np.where(np.arange(1250) < 105, -1.0, 0.0)
    returns = (returns - returns.mean()) / returns.std()
    return 0.01 * (returns + 2.5 / math.sqrt(250))


class TestDeflated:
    @pytest.mark.parametrize(("trials", "expected"), [(100, 0.9004), (46, 0.9505)])
    def test_example_of_the_paper(self, trials, expected):
        """Variance of the trials 1/2 a year of 250 days; the paper prints four digits."""
        spread = math.sqrt(0.5)
        sharpes = [-spread / math.sqrt(2), spread / math.sqrt(2)]  # of variance 1/2, ddof 1
        found = deflated_sharpe(paper_example(), trials, sharpes, periods_per_year=250)
        assert found.probability == pytest.approx(expected, abs=6e-4)
        if trials == 100:
            assert found.threshold / math.sqrt(250) == pytest.approx(0.1132, abs=1e-4)

    def test_oracle_reproduces_the_paper_too(self):
        target = oracle_threshold(100, 0.5 / 250)
        assert oracle_psr(2.5 / math.sqrt(250), target, 1250, -3, 10) == pytest.approx(
            0.9004, abs=1e-4
        )

    @given(st.integers(0, 1000), st.integers(2, 200))
    @FEW
    def test_against_the_oracle(self, seed, trials):
        rng = np.random.default_rng(seed)
        returns = rng.standard_t(5, 500) * 0.01 + 0.0005
        sharpes = rng.normal(0.3, 0.4, trials)
        found = deflated_sharpe(returns, trials, list(sharpes))
        target = oracle_threshold(trials, sharpes.var(ddof=1) / 252)
        ratio, skewness, tails = moments(returns)
        assert found.threshold == pytest.approx(target * math.sqrt(252), rel=1e-9)
        assert found.probability == pytest.approx(
            oracle_psr(ratio, target, 500, skewness, tails), rel=1e-9
        )

    def test_without_the_other_trials_luck_is_that_of_no_skill(self):
        returns = np.random.default_rng(0).normal(0.001, 0.01, 1001)
        found = deflated_sharpe(returns, 20)
        expected = oracle_threshold(20, 1 / 1000) * math.sqrt(252)
        assert found.threshold == pytest.approx(expected, rel=1e-9)
        assert deflated_sharpe(returns, 20, [1.0]) == found

    def test_one_trial_is_the_probabilistic_ratio(self):
        returns = np.random.default_rng(0).normal(0.0005, 0.01, 500)
        assert deflated_sharpe(returns, 1).probability == probabilistic_sharpe(returns)

    @given(st.integers(0, 1000), st.floats(-2, 2))
    @FEW
    def test_probabilistic_takes_an_annual_benchmark(self, seed, benchmark):
        returns = np.random.default_rng(seed).standard_t(5, 300) * 0.01
        ratio, skewness, tails = moments(returns)
        expected = oracle_psr(ratio, benchmark / math.sqrt(252), 300, skewness, tails)
        assert probabilistic_sharpe(returns, benchmark) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(
        ("returns", "reason"),
        [
            (np.zeros(500), "never traded"),
            (np.full(500, 0.01), "the returns do not vary"),
            (np.array([0.01, -0.01, 0.0]), "fewer than 4 days"),
        ],
    )
    def test_undefined_is_none_in_words(self, returns, reason):
        found = deflated_sharpe(returns, 5)
        assert (found.probability, found.threshold, found.reason) == (None, None, reason)
        assert probabilistic_sharpe(returns) is None
        assert minimum_track_record(returns).reason == reason


class TestTrackRecord:
    @given(st.integers(0, 1000), st.floats(0.0, 0.5))
    @FEW
    def test_closed_form_and_what_it_promises(self, seed, target):
        returns = np.random.default_rng(seed).standard_t(5, 500) * 0.01 + 0.001
        found = minimum_track_record(returns, target)
        ratio, skewness, tails = moments(returns)
        wanted = target / math.sqrt(252)
        if ratio <= wanted:
            assert found.days is None
            assert found.reason == "the Sharpe ratio is not above the target"
            return
        error = 1 - skewness * ratio + (tails - 1) / 4 * ratio**2
        exact = 1 + math.ceil(error * (norm.ppf(0.95) / (ratio - wanted)) ** 2)
        assert found.days == exact
        assert found.years == exact / 252
        assert oracle_psr(ratio, wanted, exact, skewness, tails) >= 0.95
        assert oracle_psr(ratio, wanted, exact - 1, skewness, tails) < 0.95 + 1e-9


class TestBands:
    def test_pairs_share_their_draws_with_a_bootstrap_of_each_alone(self):
        rng = np.random.default_rng(0)
        own, a, b = rng.normal(0.0004, 0.01, (3, 400))
        bands = sharpe_difference_bands(own, {"a": a, "b": b}, draws=300)

        def difference(x, y):
            return (x.mean() / x.std(ddof=1) - y.mean() / y.std(ddof=1)) * 252**0.5

        for name, other in (("a", a), ("b", b)):
            alone = StationaryBootstrap(BLOCK, own, other, seed=SEED)
            low, high = alone.conf_int(difference, 300, method="basic", size=0.9).ravel()
            assert bands[name].low == pytest.approx(low, rel=1e-9)
            assert bands[name].high == pytest.approx(high, rel=1e-9)
            assert bands[name].difference == pytest.approx(sharpe(own, 252) - sharpe(other, 252))

    def test_ten_pairs_in_ten_seconds(self):
        rng = np.random.default_rng(0)
        others = {str(i): rng.normal(0, 0.01, 2520) for i in range(10)}
        began = time.monotonic()
        bands = sharpe_difference_bands(rng.normal(0, 0.01, 2520), others)
        assert time.monotonic() - began < 10
        assert {band.draws for band in bands.values()} == {5_000}

    def test_cash_and_rare_trades(self):
        rare = np.zeros(300)
        rare[5] = 0.02  # many draws do not hold this day
        bands = sharpe_difference_bands(rare, {"cash": np.zeros(300)}, draws=50)
        assert math.isfinite(bands["cash"].low)
        assert math.isfinite(bands["cash"].high)
        assert sharpe_difference_bands(rare, {}) == {}


class TestSnooping:
    def market(self, seed, models=6, days=500):
        rng = np.random.default_rng(seed)
        index = pd.date_range("2020-01-01", periods=days, freq="B")
        names = [f"m{i}" for i in range(models)]
        frame = pd.DataFrame(rng.standard_t(5, (days, models)) * 0.01, index, names)
        return pd.Series(rng.normal(0, 0.01, days), index), frame

    def test_finds_one_that_is_better(self):
        benchmark, models = self.market(0)
        models["good"] = benchmark + np.random.default_rng(1).normal(0.001, 0.003, 500)
        found = superior_predictive_ability(benchmark, models, draws=500)
        assert found.consistent < 0.01
        assert found.lower <= found.consistent <= found.upper
        assert found.strategies == 7
        assert step_m(benchmark, models, draws=500) == ("good",)

    def test_a_loud_strategy_does_not_drown_a_good_quiet_one(self):
        """Plain means would not see the quiet one: the loud one's noise is a thousand times it."""
        benchmark, models = self.market(2)
        rng = np.random.default_rng(3)
        models["loud"] = rng.normal(0, 0.2, 500)
        models["quiet"] = benchmark + rng.normal(0.0002, 0.0005, 500)
        assert superior_predictive_ability(benchmark, models, draws=500).consistent < 0.01
        assert "quiet" in step_m(benchmark, models, draws=500)

    def test_size(self):
        """60 markets without skill at 10 %: more than 13 rejections have a chance below 0.3 %."""
        p = [superior_predictive_ability(*self.market(s), draws=200).consistent for s in range(60)]
        assert sum(value <= 0.1 for value in p) <= 13
        assert 0.25 < np.mean(p) < 0.85

    def test_equal_to_the_benchmark_is_not_superior(self):
        benchmark, models = self.market(0)
        same = pd.DataFrame({"same": benchmark})
        found = superior_predictive_ability(benchmark, same)
        assert (found.consistent, found.strategies) == (None, 0)
        assert found.reason == "every strategy equals the benchmark"
        assert step_m(benchmark, same) == ()
        both = superior_predictive_ability(benchmark, models.assign(same=benchmark), draws=200)
        assert both == superior_predictive_ability(benchmark, models, draws=200)

    def test_same_seed_same_answer_and_names_may_be_pairs(self):
        benchmark, models = self.market(0)
        models["m0"] += 0.01
        models.columns = pd.MultiIndex.from_product([["A", "B"], ["x", "y", "z"]])
        first = step_m(benchmark, models, draws=200)
        assert first == step_m(benchmark, models, draws=200) == (("A", "x"),)

    def test_refuses_holes_and_other_days(self):
        benchmark, models = self.market(0)
        with pytest.raises(ExperimentError, match="same days"):
            superior_predictive_ability(benchmark.iloc[1:], models)
        models.iloc[3, 0] = np.nan
        with pytest.raises(ExperimentError, match="1 missing"):
            step_m(benchmark, models)
