import json
import math
from dataclasses import replace

import empyrical
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nextbar.backtests import verdict as v
from nextbar.backtests.evidence.halves import halves_of
from nextbar.backtests.evidence.leads import above, hochberg, leads_over, long_run_covariance
from nextbar.backtests.evidence.sharpes import sharpe_difference_bands
from nextbar.signals.errors import ExperimentError
from statsmodels.stats.multitest import multipletests

NONE: frozenset[str] = frozenset()
FEW = settings(max_examples=25, deadline=None)


def history(seed=0, days=1260, baselines=4, skill=0.0):
    """A market, strategies that are in it at random, and one with `skill` a day on top."""
    rng = np.random.default_rng(seed)
    market = 0.0003 + 0.01 * rng.standard_t(5, days) * 0.77
    held = rng.random((baselines, days)) < rng.uniform(0.3, 0.9, (baselines, 1))
    others = {"hold": market} | {f"rule {i}": market * row for i, row in enumerate(held[1:])}
    lstm = market * (rng.random(days) < 0.6) + rng.normal(skill, 0.003, days)
    return lstm, others, market


def decide(lstm, others, market, **options):
    return v.decide(lstm, others, market, required=NONE, **options)


def leads(returns, market, floor=0.0):
    return leads_over(returns, market, periods_per_year=252, lag=v.LAG, floor=floor)


class TestStatistics:
    @given(st.integers(0, 10_000), st.integers(30, 900))
    @FEW
    def test_intercept_and_error_are_those_of_statsmodels(self, seed, days):
        lstm, others, market = history(seed, days)
        found = leads(np.column_stack([lstm, others["rule 0"]]), market)
        fit = sm.OLS(lstm - others["rule 0"], sm.add_constant(market)).fit(
            cov_type="HAC", cov_kwds={"maxlags": 10}
        )
        assert found.intercept[0] / 252 == pytest.approx(fit.params[0], rel=1e-9, abs=1e-15)
        assert found.intercept_error[0] / 252 == pytest.approx(fit.bse[0], rel=1e-10)

    def test_covariance_of_means_is_that_of_statsmodels(self):
        values = np.random.default_rng(3).standard_normal((300, 2)).cumsum(axis=0)
        found = long_run_covariance(values, 10)
        for column in range(2):
            fit = sm.OLS(values[:, column], np.ones(300)).fit(
                cov_type="HAC", cov_kwds={"maxlags": 10}
            )
            assert found[column, column] == pytest.approx(fit.bse[0] ** 2, rel=1e-10)

    def test_error_of_the_sharpe_ratio_of_one_normal_series(self):
        """Lo (2002): without autocorrelation the variance is (1 + s**2 / 2) / n a day."""
        rng = np.random.default_rng(0)
        returns = np.column_stack([rng.normal(1.0, 1.0, 400_000), np.zeros(400_000)])
        found = leads(returns * 0.01, rng.normal(0, 0.01, 400_000))
        exact = math.sqrt((1 + 1.0**2 / 2) / 400_000 * 252)
        assert found.error[0] == pytest.approx(exact, rel=0.02)  # lag 10: 1 % noise

    def test_sharpe_ratios_are_those_of_the_tables(self):
        lstm, _, market = history(1)
        found = leads(np.column_stack([lstm, market]), market)
        assert found.sharpe[0] == pytest.approx(empyrical.sharpe_ratio(lstm), rel=1e-10)
        assert found.difference[0] == pytest.approx(
            empyrical.sharpe_ratio(lstm) - empyrical.sharpe_ratio(market), rel=1e-9
        )

    @pytest.mark.parametrize("seed", range(3))
    def test_interval_is_near_the_bootstrap(self, seed):
        """Two estimates of the same interval: 12 % of its width covers kernel and draws."""
        lstm, _, market = history(seed, 2520)
        pair = decide(lstm, {"hold": market}, market).pairs[0]
        band = sharpe_difference_bands(lstm, {"hold": market}, draws=2000)["hold"]
        width = pair.interval[1] - pair.interval[0]
        assert band.difference == pytest.approx(pair.difference, rel=1e-9)
        assert abs(band.low - pair.interval[0]) < 0.12 * width
        assert abs(band.high - pair.interval[1]) < 0.12 * width

    @given(arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1)))
    def test_hochberg(self, p):
        expected = multipletests(p, alpha=0.05, method="simes-hochberg")[0]
        assert hochberg(p, 0.05).tolist() == expected.tolist()

    def test_upper_tail_is_exact(self):
        assert above(np.array([0.0, 1.6448536269514722, 9.0])) == pytest.approx(
            [0.5, 0.05, 1.1285884059538405e-19], rel=1e-9
        )


class TestRule:
    def test_beats(self):
        verdict = decide(*history(skill=0.002), labels={"hold": "buy & hold"})
        least = min(verdict.pairs, key=lambda pair: pair.difference)
        low, high = least.interval
        assert verdict.overall == "beats"
        assert verdict.sentence == (
            f"beats all 4 baselines; smallest lead {least.difference:+.2f}, over {least.label}"
            f" (90 % range {low:+.2f} to {high:+.2f})"
        )
        assert {pair.verdict for pair in verdict.pairs} == {"beats"}
        assert low > 0

    def test_does_not_beat(self):
        verdict = decide(*history(skill=-0.002), labels={"hold": "buy & hold"})
        assert verdict.overall == "does not beat"
        assert "a lead of 0.2 is ruled out (90 % range -" in verdict.sentence

    def test_cannot_tell_names_what_could_have_shown(self):
        verdict = decide(*history(skill=0.0003))
        assert verdict.overall == "cannot tell"
        assert verdict.sentence == (
            f"cannot tell: this history could only have shown a lead of {verdict.detectable:.2f}"
            f" Sharpe (about {verdict.detectable_percent:.0f} % a year) or more over all baselines"
        )

    def test_one_rule_that_is_not_beaten_decides(self):
        lstm, others, market = history(skill=0.002)
        verdict = decide(lstm, others | {"better": lstm + 0.001}, market)
        assert verdict.overall == "does not beat"
        assert verdict.sentence.startswith("does not beat better:")

    @given(st.integers(0, 200), st.sampled_from([-0.002, 0.0, 0.0005, 0.001, 0.003]))
    @FEW
    def test_overall_follows_from_the_numbers(self, seed, skill):
        verdict = decide(*history(seed, 756, skill=skill))
        p = [pair.p for pair in verdict.pairs]
        q = sorted(pair.q for pair in verdict.pairs)
        assert all(0 <= value <= 1 for value in p + q)
        assert (verdict.overall == "beats") == (max(p) <= 0.05)
        if verdict.overall == "does not beat":
            assert q[0] <= 0.05
        for pair in verdict.pairs:
            assert (pair.interval[0] > 0) or pair.verdict != "beats"
            assert (pair.interval[1] <= v.MARGIN) or pair.verdict != "does not beat"

    def test_more_market_alone_does_not_beat(self):
        """Twice the risk has the same Sharpe ratio, and no intercept."""
        _, _, market = history(days=2520)
        verdict = decide(market * 2, {"hold": market}, market)
        assert verdict.overall != "beats"
        assert abs(verdict.pairs[0].intercept) < 1e-12

    def test_a_better_ratio_without_an_intercept_is_not_enough(self):
        """A quiet market held by a strategy that pays nothing for it: p is the larger one."""
        lstm, others, market = history(4, skill=0.002)
        found = leads(np.column_stack([lstm, *others.values()]), market, v.FLOOR)
        pairs = decide(lstm, others, market).pairs
        for i, pair in enumerate(pairs):
            d = above(found.difference / found.error)[i]
            a = above(found.intercept / found.intercept_error)[i]
            assert pair.p == max(d, a)

    def test_trials_count(self):
        one, many = (decide(*history(2, skill=0.001), trials=n) for n in (1, 50))
        for a, b in zip(one.pairs, many.pairs, strict=True):
            assert b.p == pytest.approx(min(1.0, 50 * a.p))
            assert b.q == a.q
            assert b.detectable > a.detectable
        assert many.detectable > one.detectable

    def test_detectable_lead_of_one_pair(self):
        """One baseline: (1.645 + 0.842) standard errors, up to the noise of the draws."""
        lstm, _, market = history(skill=0.0005, days=2520)
        verdict = decide(lstm, {"hold": market}, market)
        exact = (1.6448536 + 0.8416212) * verdict.pairs[0].standard_error
        assert verdict.pairs[0].detectable == pytest.approx(exact, rel=1e-6)
        assert verdict.detectable == pytest.approx(exact, rel=0.02)
        volatility = market.std(ddof=1) * 252**0.5 * 100
        assert verdict.detectable_percent == pytest.approx(verdict.detectable * volatility)

    def test_a_baseline_far_behind_asks_for_no_larger_lead(self):
        """Half of its gap to the best one is counted, so it binds in no draw."""
        lstm, _, market = history(skill=0.0005, days=2520)
        alone = decide(lstm, {"hold": market}, market)
        both = decide(lstm, {"hold": market, "bad": market - 0.004}, market)
        assert both.pairs[1].difference > 5
        assert both.detectable == pytest.approx(alone.detectable, rel=0.02)

    def test_money_is_counted_at_the_risk_of_the_best_baseline(self):
        lstm, _, market = history(skill=0.0005)
        verdict = decide(lstm, {"worse": market * 0.5 - 0.001, "hold": market}, market)
        percent = verdict.detectable * market.std(ddof=1) * 252**0.5 * 100
        assert verdict.detectable_percent == pytest.approx(percent)

    def test_margin_and_floor(self):
        """A lead of exactly the margin has q = 1 / 2; the error never falls below the floor."""
        _, _, market = history(days=2520)
        wiggle = np.where(np.arange(2520) % 2, 1e-6, -1e-6)
        pair = decide(market + wiggle, {"hold": market}, market).pairs[0]
        assert pair.standard_error == v.FLOOR
        assert pair.q == pytest.approx(above(np.array([(0.2 - pair.difference) / 0.02]))[0])


class TestGuards:
    @pytest.mark.parametrize(
        ("change", "word", "reason"),
        [
            (lambda r: r * 0, "does not beat", "never traded"),
            (lambda r: r * (np.arange(len(r)) < 19), "cannot tell", "hardly traded"),
            (lambda r: r, "beats", None),
        ],
    )
    def test_days_in_the_market(self, change, word, reason):
        lstm, others, market = history(skill=0.003)
        verdict = decide(change(lstm), others, market)
        assert (verdict.overall, verdict.reason) == (word, reason)
        assert {(pair.verdict, pair.reason) for pair in verdict.pairs} == {(word, reason)}
        assert (reason or "beats all") in verdict.sentence

    @pytest.mark.parametrize(("days", "reason"), [(251, "too short"), (252, None)])
    def test_length(self, days, reason):
        verdict = decide(*history(days=days, skill=0.004))
        assert verdict.reason == reason
        assert verdict.overall == ("cannot tell" if reason else "beats")

    @pytest.mark.parametrize(("days", "reason"), [(19, "same positions"), (20, None)])
    def test_same_positions(self, days, reason):
        _, _, market = history()
        lstm = market.copy()
        lstm[:days] += 0.01
        pair = decide(lstm, {"hold": market}, market).pairs[0]
        assert pair.reason == reason
        assert (pair.verdict == "does not beat") == (reason is not None)

    def test_same_as_every_baseline(self):
        _, _, market = history()
        verdict = decide(market, {"hold": market}, market)
        assert verdict.overall == "does not beat"
        assert verdict.detectable is None
        assert verdict.reason == "same positions as every baseline"
        assert "same positions" in verdict.sentence

    def test_a_baseline_in_cash_has_a_sharpe_of_0(self):
        lstm, _, market = history(skill=0.002)
        verdict = decide(lstm, {"cash": market * 0}, market)
        assert verdict.pairs[0].difference == pytest.approx(empyrical.sharpe_ratio(lstm))
        assert verdict.detectable_percent is None
        json.dumps(v.as_json(verdict), allow_nan=False)


class TestRefusals:
    def test_required_baselines(self):
        lstm, others, market = history()
        with pytest.raises(ExperimentError, match=r"baselines hold, random; missing: random\."):
            v.decide(lstm, others, market, required=frozenset({"hold", "random"}))

    def test_no_baseline(self):
        lstm, _, market = history()
        with pytest.raises(ExperimentError, match="at least one baseline"):
            decide(lstm, {}, market)

    def test_trials(self):
        with pytest.raises(ExperimentError, match="trials"):
            decide(*history(), trials=0)

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (np.nan, r"baseline slow: expected finite returns, found nan on day 7"),
            (np.inf, r"baseline slow: expected finite returns, found inf on day 7"),
            (-1.0, r"baseline slow: expected returns above -100 %, found -1.0 on day 7"),
        ],
    )
    def test_values(self, bad, message):
        lstm, others, market = history()
        others["rule 0"] = others["rule 0"].copy()
        others["rule 0"][7] = bad
        with pytest.raises(ExperimentError, match=message) as caught:
            decide(lstm, others, market, labels={"rule 0": "slow"})
        assert "\n" not in str(caught.value)

    def test_lengths_and_dates(self):
        lstm, others, market = history()
        with pytest.raises(ExperimentError, match="expected the 1260 days of the LSTM, found 1259"):
            decide(lstm, others | {"short": market[1:]}, market)
        dates = pd.date_range("2020-01-01", periods=len(market))
        own, other = pd.Series(lstm, dates), pd.Series(market, dates + pd.Timedelta(days=1))
        with pytest.raises(ExperimentError, match="expected the dates of the LSTM"):
            decide(own, {"hold": other}, market)

    def test_constant(self):
        lstm, others, market = history()
        with pytest.raises(ExperimentError, match="the LSTM: expected returns that vary"):
            decide(np.full_like(lstm, 0.001), others, market)
        with pytest.raises(ExperimentError, match="the market: expected returns that vary"):
            decide(lstm, others, market * 0)

    def test_one_day(self):
        with pytest.raises(ExperimentError, match="two or more days"):
            decide(np.zeros(1), {"hold": np.zeros(1)}, np.zeros(1))


class TestInvariances:
    @given(st.integers(0, 500))
    @FEW
    def test_a_baseline_twice_changes_nothing(self, seed):
        lstm, others, market = history(seed, 504, skill=0.001)
        once = decide(lstm, others, market)
        twice = decide(lstm, others | {"a copy": others["rule 1"].copy()}, market)
        assert twice.dropped == {"a copy": "rule 1"}
        assert replace(twice, dropped={}) == once

    def test_of_two_equal_baselines_the_required_one_stays(self):
        lstm, others, market = history()
        verdict = v.decide(
            lstm, {"majority": market} | others, market, required=frozenset({"hold"})
        )
        assert verdict.dropped == {"majority": "hold"}
        assert "hold" in [pair.baseline for pair in verdict.pairs]

    @given(st.integers(0, 500), st.permutations(["hold", "rule 0", "rule 1", "rule 2"]))
    @FEW
    def test_the_order_of_the_baselines(self, seed, order):
        lstm, others, market = history(seed, 504, skill=0.001)
        a = decide(lstm, others, market)
        b = decide(lstm, {name: others[name] for name in order}, market)
        assert b.overall == a.overall
        assert b.detectable == pytest.approx(a.detectable, rel=1e-9)
        pairs = {pair.baseline: pair for pair in b.pairs}
        for pair in a.pairs:
            assert pairs[pair.baseline].verdict == pair.verdict
            assert pairs[pair.baseline].p == pytest.approx(pair.p, rel=1e-6)

    @given(st.integers(0, 500), st.floats(0.1, 5.0))
    @FEW
    def test_scale(self, seed, scale):
        lstm, others, market = history(seed, 504, skill=0.001)
        a = decide(lstm, others, market)
        b = decide(lstm * scale, {name: r * scale for name, r in others.items()}, market * scale)
        assert b.overall == a.overall
        assert b.detectable == pytest.approx(a.detectable, rel=1e-6)
        for one, other in zip(a.pairs, b.pairs, strict=True):
            assert other.difference == pytest.approx(one.difference, rel=1e-6, abs=1e-9)
            assert other.p == pytest.approx(one.p, rel=1e-6)

    @given(st.integers(0, 500))
    @FEW
    def test_swapping_the_two_flips_the_lead(self, seed):
        lstm, _, market = history(seed, 504)
        a = decide(lstm, {"x": market}, market).pairs[0]
        b = decide(market, {"x": lstm}, market).pairs[0]
        assert b.difference == pytest.approx(-a.difference)
        assert b.standard_error == pytest.approx(a.standard_error)
        assert b.intercept == pytest.approx(-a.intercept)

    def test_series_and_arrays_and_twice_the_same(self):
        lstm, others, market = history()
        dates = pd.date_range("2020-01-01", periods=len(market))
        series = {name: pd.Series(r, dates) for name, r in others.items()}
        assert decide(pd.Series(lstm, dates), series, pd.Series(market, dates)) == decide(
            lstm, others, market
        )


class TestJson:
    @pytest.mark.parametrize("days", [2, 5, 30, 600])
    def test_plain_values_without_nan(self, days):
        content = v.as_json(decide(*history(days=days)))
        text = json.dumps(content, allow_nan=False)
        assert json.loads(text) == content
        assert content["rule"]["margin"] == v.MARGIN
        assert content["sentence"]
        assert all(pair["sentence"] for pair in content["pairs"])


class TestHalves:
    def test_a_lead_that_went_away(self):
        lstm, _, market = history(days=2520)
        early = np.arange(2520) < 1260
        halves = halves_of(np.where(early, lstm + 0.002, lstm - 0.0005), market)
        assert halves.decayed is True
        assert halves.days == (1260, 1260)
        assert halves.sentence.startswith("decayed: lead over buy & hold +")

    def test_a_lead_that_shrank_by_more_than_chance(self):
        lstm, _, market = history(days=2520)
        early = np.arange(2520) < 1260
        halves = halves_of(lstm + np.where(early, 0.004, 0.0015), market)
        assert halves.second > 0
        assert halves.decayed is True

    def test_a_lead_that_is_gone_need_not_have_fallen_by_more_than_chance(self):
        """1.9 errors above 0 first, then just below 0: the fall is 1.4 errors of the difference."""
        lstm, _, market = history(days=2520)
        plain = halves_of(lstm, market)
        early = np.arange(2520) < 1260
        per_ratio = np.where(early, lstm[:1260].std(), lstm[1260:].std()) / 252**0.5
        lift = np.where(early, 1.9 * plain.first_error - plain.first, -0.01 - plain.second)
        halves = halves_of(lstm + lift * per_ratio, market)
        errors = math.hypot(halves.first_error, halves.second_error)
        assert halves.first_p <= 0.05
        assert -0.1 < halves.second <= 0
        assert halves.first - halves.second < 1.645 * errors
        assert halves.decayed is True

    def test_a_lead_that_lasted_or_never_was(self):
        lstm, _, market = history(days=2520)
        assert halves_of(lstm + 0.002, market).decayed is False
        assert halves_of(lstm - 0.002, market).decayed is False

    def test_too_short(self):
        lstm, _, market = history(days=503)
        assert halves_of(lstm, market).decayed is None
        assert halves_of(*(history(days=504)[i] for i in (0, 2))).decayed is not None

    def test_each_half_is_judged_alone(self):
        lstm, _, market = history(days=1001, skill=0.001)
        halves = halves_of(lstm, market)
        for half, found, error in (
            (slice(500), halves.first, halves.first_error),
            (slice(500, None), halves.second, halves.second_error),
        ):
            pair = decide(lstm[half], {"hold": market[half]}, market[half]).pairs[0]
            assert (found, error) == (pair.difference, pair.standard_error)
        assert halves.first_p == decide(lstm[:500], {"x": market[:500]}, market[:500]).pairs[0].p

    def test_a_half_without_a_move_is_refused(self):
        lstm, _, market = history()
        with pytest.raises(ExperimentError, match="buy & hold, second half"):
            halves_of(lstm, market * (np.arange(len(market)) < 630))
