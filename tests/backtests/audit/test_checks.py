"""What each check sees and leaves alone: honest programs stay clean, differences are placed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nextbar.backtests.audit import (
    AuditReport,
    Finding,
    TargetCrashError,
    audit_experiment,
    audit_target,
)
from nextbar.backtests.audit.futures import PERTURBATIONS, changes, cuts, perturbed, scaled
from nextbar.signals import EMADirection, MomentumDirection
from nextbar.signals.bars import check_bars
from nextbar.signals.chain import Period, write_chain
from nextbar.signals.errors import BarsError, ExperimentError
from nextbar.strategies import BuyAndHold

from ...markets import random_bars
from ...models import write_model
from . import twins

BARS = random_bars(150, seed=2)
RISES = (BARS["close"] > BARS["open"]).to_numpy()
PEEK = 60 + int(np.flatnonzero(RISES[60:-1] != RISES[61:])[0])


def names(report: AuditReport) -> set[str]:
    return {finding.name for finding in report.findings}


@pytest.mark.parametrize(
    "target",
    [
        partial(EMADirection, fast=3, slow=9),
        partial(MomentumDirection, period=7),
        BuyAndHold,
        twins.Follows,
        bt.ind.MACD,
        bt.ind.BollingerBands,
        bt.ind.RSI,
    ],
    ids=["ema", "momentum", "hold", "follow", "macd", "bands", "rsi"],
)
def test_honest_programs_are_clean(target: Any) -> None:
    assert not audit_target(target, BARS).leaks


def test_an_honest_model_is_clean(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx", 12, uses_volume=True)
    report = audit_target(str(model), BARS)
    assert report.findings == ()
    assert all(check.result == "clean" for check in report.checks)


def test_a_chain_of_models_is_clean(tmp_path: Path) -> None:
    dates = [BARS.index[bar].to_pydatetime() for bar in (45, 95)]
    for seed, name in enumerate(("a.onnx", "b.onnx")):
        write_model(tmp_path / name, 12, seed=seed)
    periods = [
        Period(start=dates[0], end=dates[1], models=("a.onnx",)),
        Period(start=dates[1], end=None, models=("b.onnx",)),
    ]
    report = audit_target(str(write_chain(tmp_path, periods).path), BARS)
    assert (report.kind, report.findings) == ("chain", ())
    assert next(check for check in report.checks if check.name == "in-sample").runs == 1


@given(
    weights=st.lists(st.sampled_from([-1.0, -0.5, 0.5, 1.0]), min_size=1, max_size=6),
    ahead=st.integers(0, 4),
)
@settings(max_examples=12, deadline=None)
def test_a_window_is_clean_unless_it_looks_ahead(weights: list[float], ahead: int) -> None:
    def feature(bars: pd.DataFrame) -> np.ndarray:
        change = np.log(bars["close"] / bars["open"]).to_numpy()
        values = np.convolve(change, weights)[: len(change)]
        return np.concatenate([values[ahead:], np.full(ahead, np.nan)])

    report = audit_target(feature, BARS)
    assert bool(report.leaks) == bool(ahead)
    if ahead:
        cut = next(finding for finding in report.leaks if finding.check == "truncation")
        assert f"{ahead} bar" in cut.cause


def resampled(frame: pd.DataFrame) -> bt.Cerebro:
    """A weekly feed that backtrader closes at the end of each week."""
    cerebro = bt.Cerebro()
    data = bt.feeds.PandasData(dataname=frame)
    cerebro.adddata(data)
    cerebro.resampledata(data, timeframe=bt.TimeFrame.Weeks)
    cerebro.addstrategy(Weekly)
    return cerebro


class Weekly(bt.Strategy):
    def __init__(self) -> None:
        self.average = bt.ind.SMA(self.data1.close, period=3)

    def next(self) -> None:
        if not self.position and self.data.close[0] > self.average[0]:
            self.buy(size=1)
        elif self.position and self.data.close[0] < self.average[0]:
            self.close()


def test_a_resampled_feed_is_clean() -> None:
    report = audit_target(resampled, BARS)
    assert (report.kind, report.leaks) == ("cerebro", ())


def labelled_at_its_start(frame: pd.DataFrame) -> bt.Cerebro:
    """The trap: a weekly frame stamped on Mondays, beside the daily bars."""
    week = frame.resample("W-FRI", label="left").agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    week.index = week.index + pd.Timedelta(days=3)
    cerebro = bt.Cerebro(runonce=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.adddata(bt.feeds.PandasData(dataname=week))
    cerebro.addstrategy(Weekly)
    return cerebro


def test_a_week_on_its_monday_is_named() -> None:
    assert "higher-timeframe" in names(audit_target(labelled_at_its_start, BARS))


class OnePeek(bt.Strategy):
    """Buys after a rise; on one bar it knows the next one."""

    params = (("peeks", 0),)

    def next(self) -> None:
        bar = len(self) - 1
        ahead = self.p.peeks if bar == PEEK and len(self) < self.data.buflen() else 0
        if self.data.close[ahead] > self.data.open[ahead]:
            self.buy(size=1)


def test_one_peek_on_one_bar_is_seen_when_every_bar_is_cut() -> None:
    report = audit_target(OnePeek, BARS, params={"peeks": 1}, every_bar=True)
    assert report.leaks[0].first == str(BARS.index[PEEK].date())


def test_a_finding_tells_where_and_when() -> None:
    report = audit_target(twins.shifted_back, BARS)
    finding = report.findings[0]
    assert isinstance(finding, Finding)
    assert (finding.check, finding.name, finding.grade) == ("truncation", "future-bar", "leak")
    row = BARS.index.get_loc(pd.Timestamp(finding.first))
    whole, cut = finding.values  # noqa: PD011
    assert whole == pytest.approx(BARS["close"].pct_change().iloc[row + 1])
    assert isinstance(cut, float)
    assert np.isnan(cut)
    assert finding.as_json()["values"][1] is None
    assert report.exit_code == 1


def test_orders_are_judged_even_when_all_lines_are_clean() -> None:
    report = audit_target(twins.SizesByTheFuture, BARS)
    assert {finding.where.partition(":")[0] for finding in report.leaks} == {"orders"}


def test_two_audits_are_equal() -> None:
    first, second = (audit_target(twins.scaled_by_all, BARS, seed=5).as_json() for _ in range(2))
    assert first == second


def test_progress_is_told() -> None:
    seen: list[tuple[str, int, int]] = []
    audit_target(twins.trailing, BARS, on_step=lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == list(range(len(seen)))
    assert all(done < expected for _, done, expected in seen)
    assert {"first run", "repeat", "truncation", "perturbation"} <= {check for check, *_ in seen}


def test_the_bars_given_are_left_as_they_are() -> None:
    def greedy(bars: pd.DataFrame) -> pd.Series:
        bars["close"] *= 2
        return bars["close"].pct_change()

    before = BARS.copy()
    audit_target(greedy, BARS)
    pd.testing.assert_frame_equal(BARS, before)


def test_a_crash_on_short_bars_names_the_check() -> None:
    def fragile(bars: pd.DataFrame) -> pd.Series:
        if len(bars) < 60:
            raise ZeroDivisionError("too short")
        return bars["close"].pct_change()

    with pytest.raises(TargetCrashError, match=r"in the check 'truncation' on 2\d bars: Zero"):
        audit_target(fragile, BARS)


def test_a_target_that_never_gets_ready_is_refused() -> None:
    with pytest.raises(BarsError, match="is ready on bar 101 of 150"):
        audit_target(partial(MomentumDirection, period=100), BARS)


def test_a_cerebro_without_its_bars_is_refused() -> None:
    with pytest.raises(BarsError, match="sees the 150 bars it is given"):
        audit_target(lambda bars: twins.trades_after_close(bars.iloc[5:]), BARS)


def test_an_experiment_needs_its_folds() -> None:
    with pytest.raises(ExperimentError, match="found none for late"):
        audit_experiment(
            lambda _: {"early": "x"}, BARS, {"early": BARS.index[90], "late": "2001-07-01"}
        )


def test_a_training_that_does_not_repeat_is_no_leak() -> None:
    numbers = iter(range(100))
    report = audit_experiment(lambda _: {1: str(next(numbers))}, BARS, {1: BARS.index[90]})
    assert [(f.name, f.grade) for f in report.findings] == [("not-repeatable", "fragile")]


@pytest.mark.parametrize("how", PERTURBATIONS)
@given(after=st.integers(0, 145), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_a_changed_future_is_made_of_valid_bars(how: str, after: int, seed: int) -> None:
    changed = perturbed(BARS, after, how, seed)
    check_bars(changed)
    pd.testing.assert_frame_equal(changed.iloc[: after + 1], BARS.iloc[: after + 1])
    assert (changed["close"].iloc[after + 1 :] != BARS["close"].iloc[after + 1 :]).any()
    assert perturbed(BARS, after, how, seed).equals(changed)


@given(n=st.integers(120, 900), first=st.integers(0, 60))
def test_cut_points_are_inside_and_reach_the_end(n: int, first: int) -> None:
    points = cuts(n, first + 20, range(first, n, 7))
    assert 20 <= len(points) <= 60
    assert first + 20 <= points[0] <= points[-1] == n - 2
    assert points[-12:] == list(range(n - 13, n - 1))
    assert all(0 < bar < n - 1 for bar, _ in changes(n, first))


def test_a_scaled_price_is_exact() -> None:
    assert (scaled(BARS, 0.25)["close"] * 4 == BARS["close"]).all()
