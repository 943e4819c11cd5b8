"""The indicators' contract: warm-up, dead band, in-sample bars, and feeds that do not fit."""

from __future__ import annotations

import pickle
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
    MomentumDirection,
    SeriesDirection,
    load_model,
    rules,
)
from nextbar.signals.errors import (
    BarsError,
    ExperimentError,
    InSampleError,
    ModelError,
    SourceError,
)

from ..lines import Lines, lines_of
from ..markets import random_bars
from ..models import write_model

WINDOW = 16
MODES = {"batched": {}, "streaming": {"runonce": False}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", WINDOW)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return random_bars(120, seed=1)


def oracle(path: Path, frame: pd.DataFrame) -> np.ndarray:
    return load_model(path).score(frame.to_numpy())


@pytest.mark.parametrize("mode", MODES)
def test_dead_band_is_stateless(mode: str, model: Path, bars: pd.DataFrame) -> None:
    make = partial(LSTMDirection, model=model, dead_band=0.02)
    direction, score = lines_of(make, bars, **MODES[mode])
    assert (direction[: WINDOW - 1] == 0).all()
    assert np.isnan(score[: WINDOW - 1]).all()
    inside = np.abs(score - 0.5) <= 0.02
    assert inside.sum() > 5
    assert (direction[inside] == 0).all()
    outside = ~inside & np.isfinite(score)
    assert (direction[outside] == np.sign(score[outside] - 0.5)).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stamp", ["00:00", "23:59:59.999989"])
def test_in_sample_bars_are_flat(mode: str, stamp: str, tmp_path: Path, bars: Any) -> None:
    end = bars.index[60]
    path = write_model(tmp_path / "m.onnx", WINDOW, train_end=str(end.date()))
    frame = bars.copy()
    frame.index = frame.index + pd.Timedelta(stamp if stamp.count(":") == 2 else f"{stamp}:00")
    direction, score = lines_of(partial(LSTMDirection, model=path), frame, **MODES[mode])
    assert (direction[:61] == 0).all()
    assert (direction[61:] != 0).all()
    assert np.isfinite(score[WINDOW - 1 :]).all()
    allowed, _ = lines_of(
        partial(LSTMDirection, model=path, in_sample="allow"), frame, **MODES[mode]
    )
    assert (allowed[WINDOW - 1 :] != 0).all()
    with pytest.raises(InSampleError, match=str(bars.index[WINDOW - 1].date())):
        lines_of(partial(LSTMDirection, model=path, in_sample="raise"), frame, **MODES[mode])


def test_in_sample_intraday_ends_at_the_minute(tmp_path: Path) -> None:
    frame = random_bars(120, freq="5min")
    end = frame.index[60]
    path = write_model(tmp_path / "m.onnx", WINDOW, train_end=end.isoformat(), interval="5m")
    for mode in MODES.values():
        direction, _ = lines_of(partial(LSTMDirection, model=path), frame, **mode)
        assert (direction[:61] == 0).all()
        assert (direction[61:] != 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_other_interval_is_refused(mode: str, model: Path) -> None:
    weekly = random_bars(60, freq="W-FRI")
    with pytest.raises(ModelError, match="bars of 1d, found 1wk"):
        lines_of(partial(LSTMDirection, model=model), weekly, **MODES[mode])
    direction, _ = lines_of(
        partial(LSTMDirection, model=model, interval="allow"), weekly, **MODES[mode]
    )
    assert (direction[WINDOW - 1 :] != 0).all()


def test_another_symbol_is_a_warning(model: Path, bars: pd.DataFrame) -> None:
    other = bars.copy()
    other.attrs["symbol"] = "MSFT"
    with pytest.warns(UserWarning, match="trained on TEST, the feed is MSFT"):
        lines_of(partial(LSTMDirection, model=model), other)


def test_feed_name_counts_before_the_frame(model: Path, bars: pd.DataFrame) -> None:
    cerebro = bt.Cerebro()
    cerebro.adddata(bt.feeds.PandasData(dataname=bars), name="IBM")
    cerebro.addstrategy(Lines, make=partial(LSTMDirection, model=model))
    with pytest.warns(UserWarning, match="the feed is IBM"):
        cerebro.run(stdstats=False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fill", [None, 0.0, np.nan], ids=["no column", "all zero", "all NaN"])
def test_missing_volume(mode: str, fill: float | None, tmp_path: Path, bars: Any) -> None:
    frame = bars.drop(columns="volume") if fill is None else bars.assign(volume=fill)
    path = write_model(tmp_path / "volume.onnx", WINDOW, uses_volume=True)
    with pytest.raises(ModelError, match="uses volume, and the bars have none"):
        lines_of(partial(LSTMDirection, model=path), frame, **MODES[mode])
    # A model that does not use volume does not look at it.
    plain = write_model(tmp_path / "plain.onnx", WINDOW)
    _, score = lines_of(partial(LSTMDirection, model=plain), frame, **MODES[mode])
    np.testing.assert_allclose(score[WINDOW - 1 :], oracle(plain, bars), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_volume_matters_to_a_model_that_uses_it(mode: str, tmp_path: Path, bars: Any) -> None:
    path = write_model(tmp_path / "volume.onnx", WINDOW, uses_volume=True)
    frame = bars.copy()
    frame.iloc[50, 4] = np.nan
    _, score = lines_of(partial(LSTMDirection, model=path), frame, **MODES[mode])
    assert np.flatnonzero(np.isnan(score)).tolist() == [*range(WINDOW - 1), *range(50, 66)]


def test_two_feeds_are_refused(model: Path, bars: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match="one data feed, found 2"):
        lines_of(partial(LSTMDirection, model=model), bars, bars)


def test_a_single_line_is_refused(model: Path, bars: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match="found a single line"):
        lines_of(lambda data: LSTMDirection(data.close, model=model), bars)
    with pytest.raises(BarsError, match="reads the line 'open'"):
        lines_of(lambda data: LSTMDirection(bt.ind.SMA(data, period=2), model=model), bars)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(EMADirection, fast=50, slow=20), "fast=50, slow=20"),
        (partial(MomentumDirection, period=0), "period >= 1"),
        (partial(EMADirection, dead_band=-1.0), "at least 0, found -1"),
        (partial(LSTMDirection, in_sample="flta"), "Did you mean 'flat'"),
        (
            partial(LSTMDirection, dead_bnad=0.1),
            "no parameter 'dead_bnad'. Did you mean 'dead_band'",
        ),
        (lambda data, model: LSTMDirection(data, str(model)), "by name only"),
        (partial(SeriesDirection, path="nowhere.csv"), "no such file"),
    ],
)
def test_bad_parameters(make: Any, message: str, model: Path, bars: Any) -> None:
    if getattr(make, "func", LSTMDirection) is LSTMDirection:
        make = partial(make, model=model)
    with pytest.raises((ExperimentError, SourceError), match=message):
        lines_of(make, bars)


@pytest.mark.parametrize("mode", MODES)
def test_baselines_equal_their_rules(mode: str, bars: pd.DataFrame) -> None:
    close = bars["close"].to_numpy()
    direction, score = lines_of(partial(EMADirection, fast=5, slow=12), bars, **MODES[mode])
    expected = rules.ema_score(rules.ema(close, 5), rules.ema(close, 12))
    np.testing.assert_allclose(score, expected, rtol=1e-12)
    assert (direction == rules.call(expected, 0.0, 0.0)).all()
    direction, score = lines_of(partial(MomentumDirection, period=10), bars, **MODES[mode])
    np.testing.assert_allclose(score[10:], close[10:] / close[:-10] - 1, rtol=1e-15)
    assert (direction[:10] == 0).all()


def test_ema_by_hand() -> None:
    # alpha = 2/3; seed (1 + 2)/2 = 1.5; then 1.5/3 + 2*3/3 = 2.5, and 2.5/3 + 2*9/3.
    np.testing.assert_allclose(
        rules.ema(np.array([1.0, 2.0, 3.0, 9.0]), 2), [np.nan, 1.5, 2.5, 2.5 / 3 + 6]
    )


@pytest.mark.parametrize("mode", MODES)
def test_series_of_calls(mode: str, tmp_path: Path, bars: pd.DataFrame) -> None:
    covered = bars.index[20:100]
    wanted = np.resize([1.0, 0.0, -1.0], 80)
    frame = pd.DataFrame({"direction": wanted, "score": wanted / 7}, index=covered)
    frame.to_csv(path := tmp_path / "calls.csv")
    make = partial(SeriesDirection, path=path)
    direction, score = lines_of(make, bars, **MODES[mode])
    assert direction.tolist() == [0.0] * 20 + wanted.tolist() + [0.0] * 20
    np.testing.assert_allclose(score[20:100], wanted / 7)
    assert np.isnan(score[:20]).all()
    frame.drop(covered[[5]]).to_csv(path)
    with pytest.raises(SourceError, match=f"no call for the bar of {covered[5].date()}"):
        lines_of(make, bars, **MODES[mode])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,direction\n", "found none"),
        ("day,direction\n2001-01-01,1\n", "found no 'date'"),
        ("date,direction\n2001-01-01,2\n", "line 2 .*found 2"),
        ("date,direction\n2001-01-02,1\n2001-01-01,1\n", "rising"),
        ("date,direction\nsoon,1\n", "not a file of calls"),
        ("date,direction\n2001-01-01,up\n", "not a file of calls"),
        ("date,direction\n2001-01-01T00:00+01:00,1\n", "naive"),
    ],
)
def test_bad_series(text: str, message: str, tmp_path: Path, bars: pd.DataFrame) -> None:
    (path := tmp_path / "calls.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        lines_of(partial(SeriesDirection, path=path), bars)


def test_the_session_is_never_pickled(model: Path) -> None:
    loaded = load_model(model)
    again = pickle.loads(pickle.dumps(loaded))
    assert again.session is loaded.session  # same process: from the cache, not from the pickle
    assert b"InferenceSession" not in pickle.dumps(loaded)


def test_nan_is_masked_before_the_runtime(model: Path, bars: pd.DataFrame) -> None:
    values = bars.to_numpy()
    for bad in (np.nan, np.inf, 0.0, -1.0, 1e300, 1e-300):
        broken = values.copy()
        broken[40, 1] = bad
        score = load_model(model).score(broken)
        assert np.flatnonzero(np.isnan(score)).tolist() == list(range(40 - WINDOW + 1, 41))
        np.testing.assert_allclose(score[41:], oracle(model, bars)[41:], atol=1e-6)


def test_add_signal_trades_on_the_first_line(model: Path, bars: pd.DataFrame) -> None:
    cerebro = bt.Cerebro()
    cerebro.adddata(bt.feeds.PandasData(dataname=bars))
    cerebro.add_signal(bt.SIGNAL_LONGSHORT, LSTMDirection, model=model)
    cerebro.addanalyzer(bt.analyzers.Transactions, _name="fills")
    (strategy,) = cerebro.run()
    sides = {np.sign(fill[0][0]) for fill in strategy.analyzers.fills.get_analysis().values()}
    assert sides == {1.0, -1.0}


@pytest.mark.parametrize("n", [1, WINDOW - 1])
def test_a_short_feed_is_named(n: int, model: Path, bars: pd.DataFrame) -> None:
    with pytest.warns(UserWarning, match=f"{n} bars, but LSTMDirection makes .* on bar {WINDOW}"):
        lines_of(partial(LSTMDirection, model=model), bars.iloc[:n])


@pytest.mark.parametrize("mode", MODES)
def test_daily_calls_are_refused_on_shorter_bars(mode: str, tmp_path: Path) -> None:
    hourly = random_bars(120, freq="h")
    days = hourly.index.normalize().unique()
    pd.DataFrame({"direction": 1}, index=days.rename("date")).to_csv(path := tmp_path / "c.csv")
    with pytest.raises(SourceError, match="known at its beginning"):
        lines_of(partial(SeriesDirection, path=path), hourly, **MODES[mode])


def test_an_indicator_as_input_with_small_buffers(model: Path, bars: pd.DataFrame) -> None:
    def make(data: Any) -> Any:
        return LSTMDirection(bt.ind.HeikinAshi(data), model=model)

    whole, small = lines_of(make, bars), lines_of(make, bars, exactbars=1)
    np.testing.assert_allclose(whole, small, atol=1e-6)
    assert np.isfinite(whole[1]).sum() > 100


def test_a_coupled_feed_is_refused(model: Path, bars: pd.DataFrame) -> None:
    with pytest.raises(BarsError, match="found a coupled one"):
        lines_of(lambda data: LSTMDirection(data(), model=model), bars)


@pytest.mark.parametrize(
    ("interval", "train_end", "unseen"),
    [
        ("1d", "2009-12-31", "2010-01-01"),
        ("1wk", "2009-12-28", "2010-01-04"),
        ("1mo", "2009-12-01", "2010-01-01"),
        ("5m", "2009-12-31T15:55:00", "2009-12-31T15:55:00.500"),
    ],
)
def test_a_bar_stamped_at_its_start_is_seen_to_its_end(
    interval: str, train_end: str, unseen: str, tmp_path: Path
) -> None:
    path = write_model(tmp_path / "m.onnx", WINDOW, interval=interval, train_end=train_end)
    assert pd.Timestamp(load_model(path).card.unseen_from) == pd.Timestamp(unseen)
