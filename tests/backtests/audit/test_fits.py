"""The audit of single trainings and of the models they leave: mistakes by name, honest ones not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import backtrader as bt
import numpy as np
import pytest
from nextbar.backtests.audit import AuditReport, audit_fit, audit_target, audit_training
from nextbar.backtests.audit.fits import _check_far, _Fits, trace_of
from nextbar.backtests.audit.targets import find_target
from nextbar.signals.chain import Period, write_chain
from nextbar.signals.errors import BarsError, ExperimentError
from nextbar.training import TrainingConfig, train
from nextbar.training.loop import loop_for
from nextbar.training.task import Dates, make_task

from ...markets import random_bars
from ...models import write_model
from .fits import (
    HONEST,
    POSITIONS,
    RATIOS,
    TEST,
    TUTORIAL,
    VALIDATION,
    bars,
    changed,
    dates,
    of_config,
)

LEAKS = ("scaler-on-all-data", "validation-is-test", "unpurged-horizon")


def grades(report: AuditReport) -> dict[str, str]:
    return {finding.name: finding.grade for finding in report.findings}


@pytest.mark.parametrize(
    ("config", "constants"), [(POSITIONS, 6), (RATIOS, 4)], ids=["position", "forecast"]
)
def test_honest_trainings_are_clean(config: TrainingConfig, constants: int) -> None:
    report = of_config(config)
    assert (report.kind, report.findings) == ("training", ())
    runs = {check.name: check.runs for check in report.checks}
    # Five trainings: twice alike, on fewer bars, and on two other futures.
    assert runs["scaler"] == 5 * constants
    assert (runs["truncation"], runs["perturbation"]) == (1, 2)
    assert all(runs.values())


def test_honest_trainings_on_prices_are_fragile_and_say_why() -> None:
    (finding,) = of_config(TUTORIAL).findings
    assert (finding.name, finding.grade) == ("price-level", "fragile")
    assert finding.cause.startswith("prices go in as they are, so a level outside the training")


def test_mistakes_that_see_no_test_are_no_leaks() -> None:
    flaws = ("label-is-input", "row-against-one-output", "relu-head")
    report = of_config(changed(TUTORIAL, features=("open", "close"), augment=2, flaws=flaws))
    assert grades(report) == {"price-level": "fragile"}


def test_a_range_that_all_bars_happen_to_share_is_found_by_changed_ones(tmp_path: Path) -> None:
    # The training rows hold the lowest and the highest price, so the constants are those of all.
    wide = bars()
    wide.iloc[100:103, :4] *= 1.5
    wide.iloc[150:153, :4] /= 1.5
    flawed = changed(TUTORIAL, flaws=("scaler-on-all-data",))
    fits = _Fits(flawed, dates(), bars().index[TEST], tmp_path / "m.onnx")
    fits.train(wide)
    assert audit_training(fits.traces[0]).findings == ()
    _check_far(fits, wide, 0)
    assert grades(audit_training(fits.traces[1])) == {"scaler-on-all-data": "leak"}


@pytest.mark.parametrize(
    ("config", "constants"),
    [
        (changed(HONEST, scaling="rank"), 3 * 200),
        (changed(TUTORIAL, blocks=3, smooth=0.1), 2 + 2),
    ],
    ids=["rank", "blocks"],
)
def test_every_constant_is_held_against_the_training_rows(
    config: TrainingConfig, constants: int
) -> None:
    cut = make_task(bars(), config, dates())
    owner = loop_for(config)
    owner.fit(cut.train_part, cut.part(cut.split.validation), config)
    trace = trace_of(cut, bars(), bars().index[TEST:], owner.network)
    assert len(trace.scaler) == constants
    assert trace.scaler.keys() == trace.train_statistics.keys()
    assert audit_training(trace).findings == ()
    for name, number in trace.scaler.items():
        other = replace(trace, scaler=trace.scaler | {name: number * 1.001 + 0.001})
        (finding,) = audit_training(other).findings
        assert (finding.name, finding.where) == ("scaler-on-all-data", f"scaler: {name}")


def test_labels_end_with_the_last_bar_that_they_may_draw() -> None:
    cut = make_task(bars(), changed(TUTORIAL, horizon=2, augment=3), dates())
    trace = trace_of(cut, bars(), bars().index[TEST:])
    rows = cut.split.train
    assert list(trace.train.label_ends) == list(bars().index[rows + 4])
    assert list(trace.train.starts) == list(bars().index[rows - 5])


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        (Dates(), ExperimentError, "expected a test_start, found None"),
        (Dates(test_start="2040-01-01"), ExperimentError, "no bar from test_start, 2040-01-01"),
        (Dates(test_start="soon"), BarsError, "test_start: expected a date"),
    ],
)
def test_a_training_without_a_test_is_refused(
    named: Dates, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        audit_fit(bars(), HONEST, named)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of two models of positions, on ratios."""
    folder = tmp_path_factory.mktemp("positions")
    config = POSITIONS
    starts = [bars().index[bar] for bar in (VALIDATION, TEST)]
    for number, start in enumerate(starts):
        train(bars(), config, folder / f"{number}.onnx", test_start=start)
    ends = [starts[1].to_pydatetime(), None]
    periods = [
        Period(start=start.to_pydatetime(), end=end, models=(f"{number}.onnx",))
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    return write_chain(folder, periods).path


def test_positions_are_audited_with_their_shares(chain: Path) -> None:
    for target in (chain / "0.onnx", chain):
        traced = find_target(str(target)).run(bars(), "test")
        assert len(np.unique(traced.channels["line", "signal.share"])) > 40
    report = audit_target(str(chain), bars().iloc[-140:])
    assert (report.kind, report.findings) == ("chain", ())
    assert {check.name: check.runs for check in report.checks}["card"] == 2


class SharesByLevel(bt.Indicator):
    """Always up, with a share that the level of prices decides."""

    lines = ("direction", "share")

    def next(self) -> None:
        self.lines.direction[0] = 1.0
        self.lines.share[0] = min(1.0, self.data.close[0] / 1000)


def test_a_share_that_moves_with_the_price_is_fragile() -> None:
    (finding,) = audit_target(SharesByLevel, bars().iloc[-120:]).findings
    assert (finding.name, finding.grade) == ("price-level", "fragile")
    assert finding.where == "line: signal.share"


def test_forecasts_of_prices_are_fragile_and_of_ratios_clean(tmp_path: Path) -> None:
    begin = bars().index[TEST]
    for config, found in ((RATIOS, {}), (TUTORIAL, {"price-level": "fragile"})):
        path = tmp_path / f"{config.scaling}.onnx"
        train(bars(), config, path, test_start=begin)
        report = audit_target(str(path), bars().iloc[-120:])
        assert grades(report) == found
        assert all("prices go in as they are" in finding.cause for finding in report.findings)


def test_a_card_that_names_mistakes(tmp_path: Path) -> None:
    names = (*LEAKS, "label-is-input", "row-against-one-output", "relu-head", "guessed well")
    path = write_model(tmp_path / "m.onnx", 12, known_flaws=names, price_levels=True)
    report = audit_target(str(path), random_bars(140))
    card = {finding.name: finding for finding in report.findings if finding.check == "card"}
    assert {name for name, finding in card.items() if finding.grade == "leak"} == {
        *LEAKS, "known-flaw",
    }  # fmt: skip
    assert {name for name, finding in card.items() if finding.grade == "fragile"} == set(names[3:6])
    assert "guessed well" in card["known-flaw"].cause
    assert report.exit_code == 1
    assert all(finding.title for finding in report.findings)
    (level,) = (finding for finding in report.findings if finding.check == "price level")
    assert (level.name, level.grade) == ("price-level", "fragile")
    # Its graph sees ratios, so the calls stay: the card alone says so.
    assert level.where == "card: m.onnx, its inputs"
