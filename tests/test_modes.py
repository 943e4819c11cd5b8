"""LSTMDirection in every mode of backtrader; the oracle is the model run on the same bars."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from nextbar.signals import (
    EMADirection,
    LSTMDirection,
    MeanDirection,
    MomentumDirection,
    ReversalDirection,
    RuleDirection,
    SeriesDirection,
    VolatilityTargetDirection,
    load_model,
)
from nextbar.signals.chain import Chain, Period, Rule, load_chain, write_chain

from .markets import random_bars
from .models import write_model

WINDOW = 16
COLUMNS = ["open", "high", "low", "close", "volume"]

CEREBRO_MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "runonce=False": {"runonce": False},
    "preload=False": {"preload": False},
    "runonce=False, preload=False": {"runonce": False, "preload": False},
    "exactbars=1": {"exactbars": 1},
    "exactbars=-1": {"exactbars": -1},
    "exactbars=-2": {"exactbars": -2},
    "live": {"live": True},
    "oldsync": {"oldsync": True},
    "objcache": {"objcache": True},
    "lookahead": {"lookahead": 5},
}


@dataclass
class Seen:
    """What a strategy saw at its bars, by bar date; the last look at a date counts."""

    score: dict[pd.Timestamp, float] = field(default_factory=dict)
    direction: dict[pd.Timestamp, float] = field(default_factory=dict)
    looks: int = 0


class Watcher(bt.Strategy):
    params = (("make", None), ("slot", 0), ("seen", None))

    def __init__(self) -> None:
        self.signal = self.p.make(self.datas[self.p.slot])
        self.seen = self.p.seen if self.p.seen is not None else Seen()

    def look(self) -> None:
        data = self.datas[self.p.slot]
        if not len(data):
            return
        when = pd.Timestamp(bt.num2date(data.datetime[0])).normalize()
        self.seen.score[when] = self.signal.lines.score[0]
        self.seen.direction[when] = self.signal.lines.direction[0]
        self.seen.looks += 1

    prenext = next = look


def walk(folder: Path, index: pd.DatetimeIndex, interval: str = "1d") -> Chain:
    """Write a chain of three periods with two models each; windows differ from period to period."""
    folder.mkdir()
    starts = [index[len(index) * part // 5].to_pydatetime() for part in (1, 2, 4)]
    periods: list[Period] = []
    for i, (start, end) in enumerate(zip(starts, [*starts[1:], None], strict=True)):
        names = (f"{i}a.onnx", f"{i}b.onnx")
        for k, name in enumerate(names):
            write_model(folder / name, (WINDOW, 5, 9)[i], seed=2 * i + k, interval=interval)
        periods.append(Period(start=start, end=end, models=names))
    return write_chain(folder, periods)


class LiveFeed(bt.feeds.PandasData):
    def islive(self) -> bool:
        return True

    def haslivedata(self) -> bool:
        return False


def watch(cerebro: bt.Cerebro, make: Any, slot: int = 0) -> Seen:
    cerebro.addstrategy(Watcher, make=make, slot=slot)
    (strategy,) = cerebro.run(stdstats=False)
    return strategy.seen


def run_frame(frame: pd.DataFrame, make: Any, feed: Any = bt.feeds.PandasData, **mode: Any) -> Seen:
    cerebro = bt.Cerebro(**mode)
    cerebro.adddata(feed(dataname=frame), name="TEST")
    return watch(cerebro, make)


def offline(path: Path, frame: pd.DataFrame) -> pd.Series:
    if path.is_dir():
        scores = load_chain(path).score(frame[COLUMNS].to_numpy(), frame.index)[WINDOW - 1 :]
        return pd.Series(scores, index=frame.index[WINDOW - 1 :])
    scores = load_model(path).score(frame[COLUMNS].to_numpy())
    return pd.Series(scores, index=frame.index[len(frame) - len(scores) :])


def assert_agrees(seen: Seen, expected: pd.Series) -> None:
    score = pd.Series(seen.score, dtype=float)
    direction = pd.Series(seen.direction, dtype=float)
    assert not direction.isna().any()
    np.testing.assert_allclose(score.reindex(expected.index), expected, atol=1e-6)
    calls = (expected > 0.5) * 1.0 - (expected < 0.5) * 1.0
    pd.testing.assert_series_equal(
        direction.reindex(expected.index), calls, check_names=False, check_freq=False
    )
    rest = direction.index.difference(expected.index)
    assert (direction[rest] == 0).all()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, bars: pd.DataFrame) -> Path:
    return walk(tmp_path_factory.mktemp("chain") / "walk", bars.index).path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", WINDOW)


@pytest.fixture(scope="module")
def weekly_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "week.onnx", WINDOW, interval="1wk")


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return random_bars(120, seed=1)


def weekly(bars: pd.DataFrame) -> pd.DataFrame:
    rules = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return bars.resample("W-FRI").agg(rules).dropna()


@pytest.mark.parametrize("mode", CEREBRO_MODES)
@pytest.mark.parametrize("holes", [(), (40, 41, 90)], ids=["clean", "NaN bars"])
def test_every_cerebro_mode(mode: str, holes: tuple[int, ...], model: Path, bars: Any) -> None:
    frame = bars.copy()
    frame.iloc[list(holes)] = np.nan
    expected = offline(model, frame)
    assert expected.isna().sum() == (WINDOW + 1 + WINDOW if holes else 0)
    seen = run_frame(frame, partial(LSTMDirection, model=model), **CEREBRO_MODES[mode])
    assert len(seen.score) == 120
    assert_agrees(seen, expected)


@pytest.mark.parametrize("mode", CEREBRO_MODES)
@pytest.mark.parametrize("holes", [(), (40, 41, 90)], ids=["clean", "NaN bars"])
def test_chains_in_every_cerebro_mode(
    mode: str, holes: tuple[int, ...], chain: Path, bars: Any
) -> None:
    frame = bars.copy()
    frame.iloc[list(holes)] = np.nan
    expected = offline(chain, frame)
    # Before the first period nobody answers; a hole silences each model for its own window.
    silent = 24 - WINDOW + 1
    assert expected.isna().sum() == silent + (8 + 5 + 3 if holes else 0)
    seen = run_frame(frame, partial(LSTMDirection, model=chain), **CEREBRO_MODES[mode])
    assert len(seen.score) == 120
    assert_agrees(seen, expected)


def test_a_chain_on_a_live_feed(chain: Path, bars: pd.DataFrame) -> None:
    make = partial(LSTMDirection, model=chain)
    assert_agrees(run_frame(bars, make, feed=LiveFeed), offline(chain, bars))


def test_live_feed(model: Path, bars: pd.DataFrame) -> None:
    assert_agrees(
        run_frame(bars, partial(LSTMDirection, model=model), feed=LiveFeed), offline(model, bars)
    )


@pytest.mark.parametrize("mode", ["default", "runonce=False", "exactbars=1", "preload=False"])
@pytest.mark.parametrize("n", [0, 1, WINDOW - 1, WINDOW, WINDOW + 1])
@pytest.mark.filterwarnings("ignore:.*makes its first call on bar")
def test_short_feeds(n: int, mode: str, model: Path, bars: pd.DataFrame) -> None:
    frame = bars.iloc[:n]
    seen = run_frame(frame, partial(LSTMDirection, model=model), **CEREBRO_MODES[mode])
    assert_agrees(seen, offline(model, frame))


@pytest.mark.parametrize("mode", ["default", "runonce=False"])
def test_weekly_frame(mode: str, weekly_model: Path) -> None:
    frame = weekly(random_bars(330, seed=2))
    seen = run_frame(frame, partial(LSTMDirection, model=weekly_model), **CEREBRO_MODES[mode])
    assert_agrees(seen, offline(weekly_model, frame))


@pytest.mark.parametrize("exactbars", [False, 1])
@pytest.mark.parametrize("way", ["resampledata", "data.resample", "replaydata"])
def test_resample_and_replay(way: str, exactbars: Any, weekly_model: Path) -> None:
    daily = random_bars(330, seed=3)
    cerebro = bt.Cerebro(exactbars=exactbars)
    data = bt.feeds.PandasData(dataname=daily)
    if way == "data.resample":
        data.resample(timeframe=bt.TimeFrame.Weeks)
        cerebro.adddata(data)
    else:
        getattr(cerebro, way)(data, timeframe=bt.TimeFrame.Weeks)
    seen = watch(cerebro, partial(LSTMDirection, model=weekly_model))
    frame = weekly(daily)
    if way == "replaydata":
        # A replayed week is seen while it forms; its last look is the finished week.
        last_days = [daily.index[daily.index <= week][-1] for week in frame.index]
        frame.index = pd.DatetimeIndex(last_days)
        assert seen.looks > 2 * len(frame)
        seen = Seen(
            {day: seen.score[day] for day in last_days if day in seen.score},
            {day: seen.direction[day] for day in last_days if day in seen.direction},
        )
    expected = offline(weekly_model, frame)
    assert len(expected) > 40
    complete = expected[expected.index.isin(list(seen.score))]
    assert len(complete) >= len(expected) - 1
    assert_agrees(seen, complete)


@pytest.mark.parametrize("mode", ["default", "runonce=False", "exactbars=1"])
def test_daily_and_resampled_week_together(mode: str, weekly_model: Path) -> None:
    daily = random_bars(330, seed=4)
    cerebro = bt.Cerebro(**CEREBRO_MODES[mode])
    data = bt.feeds.PandasData(dataname=daily)
    cerebro.adddata(data)
    cerebro.resampledata(data, timeframe=bt.TimeFrame.Weeks)
    seen = watch(cerebro, partial(LSTMDirection, model=weekly_model), slot=1)
    expected = offline(weekly_model, weekly(daily))
    assert seen.looks > 250  # the slow indicator is asked on every fast bar
    assert_agrees(seen, expected[expected.index.isin(list(seen.score))])
    assert len(set(expected.index) - set(seen.score)) <= 1


@pytest.mark.parametrize("mode", ["default", "exactbars=1"])
def test_a_chain_on_a_resampled_week(mode: str, tmp_path: Path) -> None:
    daily = random_bars(330, seed=4)
    frame = weekly(daily)
    folder = walk(tmp_path / "walk", frame.index, "1wk").path
    cerebro = bt.Cerebro(**CEREBRO_MODES[mode])
    data = bt.feeds.PandasData(dataname=daily)
    cerebro.adddata(data)
    cerebro.resampledata(data, timeframe=bt.TimeFrame.Weeks)
    seen = watch(cerebro, partial(LSTMDirection, model=folder), slot=1)
    expected = offline(folder, frame)
    assert len(set(expected.index) - set(seen.score)) <= 1
    assert_agrees(seen, expected[expected.index.isin(list(seen.score))])


@pytest.mark.parametrize("mode", ["default", "runonce=False"])
def test_daily_and_its_own_weekly_frame(mode: str, weekly_model: Path) -> None:
    daily = random_bars(330, seed=5)
    frame = weekly(daily)
    frame.index = pd.DatetimeIndex([daily.index[daily.index <= week][-1] for week in frame.index])
    cerebro = bt.Cerebro(**CEREBRO_MODES[mode])
    cerebro.adddata(bt.feeds.PandasData(dataname=daily))
    cerebro.adddata(bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Weeks))
    seen = watch(cerebro, partial(LSTMDirection, model=weekly_model), slot=1)
    expected = offline(weekly_model, frame)
    assert_agrees(seen, expected)


def test_on_an_indicator_as_input(model: Path, bars: pd.DataFrame) -> None:
    def make(data: Any) -> Any:
        return LSTMDirection(bt.ind.HeikinAshi(data), model=model)

    batched = run_frame(bars, make)
    streamed = run_frame(bars, make, runonce=False)
    scores = np.array(list(batched.score.values()))
    np.testing.assert_allclose(scores, list(streamed.score.values()), atol=1e-6)
    assert np.isfinite(scores).sum() == 120 - WINDOW  # one bar for the input


class Keeper(bt.Strategy):
    params = (("model", ""), ("dead_band", 0.0))

    def __init__(self) -> None:
        self.signal = LSTMDirection(self.data, model=self.p.model, dead_band=self.p.dead_band)


class Record(bt.Analyzer):
    """Plain numbers, which is all that comes back from a worker process."""

    def start(self) -> None:
        self.rets: dict[str, list[float]] = {"score": [], "direction": []}

    def next(self) -> None:
        for name, values in self.rets.items():
            values.append(getattr(self.strategy.signal.lines, name)[0])

    def get_analysis(self) -> dict[str, list[float]]:
        return self.rets


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "method", "optreturn"),
    [
        ("model", "fork", True),
        ("model", "fork", False),
        ("model", "spawn", True),
        ("model", "spawn", False),
        ("chain", "fork", False),
        ("chain", "spawn", False),
    ],
)
def test_optstrategy(
    method: str, optreturn: bool, kind: str, request: Any, bars: Any, monkeypatch: Any
) -> None:
    model = request.getfixturevalue(kind)
    context = multiprocessing.get_context(method)
    monkeypatch.setattr(bt.cerebro.multiprocessing, "Pool", context.Pool)
    bands = (0.0, 0.05, 0.5)
    cerebro = bt.Cerebro(maxcpus=2, optreturn=optreturn)
    cerebro.adddata(bt.feeds.PandasData(dataname=bars))
    cerebro.optstrategy(Keeper, model=str(model), dead_band=bands)
    cerebro.addanalyzer(Record, _name="keep")
    runs = cerebro.run(stdstats=False)
    # An analyzer is asked while warming up, too.
    expected = offline(model, bars).reindex(bars.index).to_numpy()
    assert len(runs) == len(bands)
    for (run,), band in zip(runs, bands, strict=True):
        kept = run.analyzers.keep.get_analysis()
        np.testing.assert_allclose(kept["score"], expected, atol=1e-6)
        calls = (expected > 0.5 + band) * 1.0 - (expected < 0.5 - band) * 1.0
        assert kept["direction"] == calls.tolist()


def test_one_bar_seen_again_is_scored_once(weekly_model: Path, monkeypatch: Any) -> None:
    daily = random_bars(330, seed=6)
    loaded = load_model(weekly_model)
    calls: list[int] = []
    score = type(loaded).score

    def counting(self: Any, values: Any) -> Any:
        calls.append(1)
        return score(self, values)

    monkeypatch.setattr(type(loaded), "score", counting)
    cerebro = bt.Cerebro()
    data = bt.feeds.PandasData(dataname=daily)
    cerebro.adddata(data)
    cerebro.resampledata(data, timeframe=bt.TimeFrame.Weeks)
    seen = watch(cerebro, partial(LSTMDirection, model=weekly_model), slot=1)
    weeks = sum(np.isfinite(list(seen.score.values())))
    assert seen.looks > 250
    assert len(calls) == weeks


BASELINES = {
    "ema": partial(EMADirection, fast=5, slow=12),
    "momentum": partial(MomentumDirection, period=15),
    "mean": MeanDirection,
    "reversal": ReversalDirection,
    "volatility target": partial(VolatilityTargetDirection, span=20),
}


def make_baseline(name: str, index: pd.DatetimeIndex, folder: Path) -> Any:
    if name == "series":
        calls = pd.DataFrame({"direction": np.tile([1, 0, -1], 40)}, index=index)
        calls.to_csv(folder / "calls.csv")
        return partial(SeriesDirection, path=folder / "calls.csv")
    if name == "chain of rules":
        dates = [index[row].to_pydatetime() for row in (30, 60)]
        parts = zip([*dates], [dates[1], None], ["mean", "reversal"], strict=True)
        periods = [Period(start=a, end=b, rule=Rule(name=rule)) for a, b, rule in parts]
        return partial(RuleDirection, chain=write_chain(folder, periods).path)
    return BASELINES[name]


@pytest.mark.parametrize("mode", CEREBRO_MODES)
@pytest.mark.parametrize("name", [*BASELINES, "series", "chain of rules"])
def test_baselines_in_every_mode(name: str, mode: str, bars: pd.DataFrame, tmp_path: Path) -> None:
    make = make_baseline(name, bars.index, tmp_path)
    default = run_frame(bars, make)
    other = run_frame(bars, make, **CEREBRO_MODES[mode])
    assert other.direction == default.direction
    never = {-1.0} if name == "volatility target" else set()
    assert set(default.direction.values()) == {-1.0, 0.0, 1.0} - never
    np.testing.assert_allclose(list(other.score.values()), list(default.score.values()), rtol=1e-12)


@pytest.mark.parametrize("way", ["resampledata", "replaydata"])
@pytest.mark.parametrize("name", ["mean", "volatility target"])
def test_running_sums_take_a_bar_seen_again_once(name: str, way: str) -> None:
    """A forming week comes several times; only what it ends as may stay in the sums."""
    daily = random_bars(330, seed=3)
    cerebro = bt.Cerebro()
    getattr(cerebro, way)(bt.feeds.PandasData(dataname=daily), timeframe=bt.TimeFrame.Weeks)
    seen = watch(cerebro, BASELINES[name])
    frame = weekly(daily)
    if way == "replaydata":
        frame.index = pd.DatetimeIndex([daily.index[daily.index <= w][-1] for w in frame.index])
    expected = run_frame(frame, BASELINES[name])
    found = [seen.score.get(when, np.nan) for when in frame.index[:-1]]
    np.testing.assert_allclose(found, list(expected.score.values())[:-1], rtol=1e-12)
    assert np.isfinite(found).sum() > 40
