"""Yahoo by way of yfinance, with frames of the shapes that yfinance 1.7 returns."""

import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nextbar.signals.bars import bars_digest
from nextbar.signals.errors import BarsError, SourceError
from nextbar.signals.sources import cache, load_bars, network

yfinance = pytest.importorskip("yfinance")
DAYS = pd.bdate_range("2024-01-01", "2024-03-14")


def frame(index: pd.DatetimeIndex = DAYS, adjusted: bool = True, levels: bool = False):
    """Return what yfinance.download does: columns in alphabetical order, dates in seconds."""
    close = 100 + np.arange(len(index)) / 8
    data = {"Close": close, "High": close + 1, "Low": close - 1, "Open": close - 0.5}
    data["Volume"] = np.full(len(index), 1000)
    if not adjusted:
        data = {"Adj Close": close / 2, **data}
    result = pd.DataFrame(data, index=index.as_unit("s").rename("Date"))
    if levels:
        pairs = [(name, "AAPL") for name in result.columns]
        result.columns = pd.MultiIndex.from_tuples(pairs, names=["Price", "Ticker"])
    return result


class Download:
    """Stands in for yfinance.download."""

    def __init__(self) -> None:
        self.frames: list[pd.DataFrame | None] = [frame()]
        self.asked: list[dict] = []
        self.says: str | None = None
        self.says_later: str | None = None

    def __call__(self, symbol: str, **options) -> pd.DataFrame | None:
        self.asked.append({"symbol": symbol, **options})
        if self.says:
            logging.getLogger("yfinance").error(self.says)
            self.says = self.says_later or self.says
        warnings.warn("deprecated inside yfinance", DeprecationWarning, stacklevel=1)
        return self.frames.pop(0) if len(self.frames) > 1 else self.frames[0]


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Download:
    stub = Download()
    monkeypatch.setattr(yfinance, "download", stub)
    monkeypatch.setattr(network, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(cache, "utc_today", lambda: pd.Timestamp("2024-03-14"))
    monkeypatch.setenv("NEXTBAR_CACHE", str(tmp_path))
    return stub


def load(symbol: str = "AAPL", **options) -> pd.DataFrame:
    return load_bars(symbol, "yahoo", **options)


def test_adjusted_by_default(download: Download) -> None:
    bars = load("aapl", start="2024-01-10", end="2024-02-09")
    assert bars.index[0] == pd.Timestamp("2024-01-10")
    assert bars.index[-1] == pd.Timestamp("2024-02-09")
    assert bars.attrs == {
        "symbol": "AAPL",
        "interval": "1d",
        "adjustment": "split+dividend",
        "notes": [],
    }
    (asked,) = download.asked
    assert asked == {
        "symbol": "AAPL",
        "start": "2024-01-10",
        "end": "2024-02-10",  # Yahoo leaves out its end date
        "interval": "1d",
        "auto_adjust": True,
        "keepna": True,
        "multi_level_index": False,
        "progress": False,
        "threads": False,
    }


def test_without_a_range(download: Download) -> None:
    assert load().index[-1] == pd.Timestamp("2024-03-13")
    (asked,) = download.asked
    assert (asked["start"], asked["end"]) == (None, "2024-03-14")


def test_not_adjusted(download: Download) -> None:
    download.frames = [frame(adjusted=False)]
    bars = load(adjust=False)
    assert download.asked[0]["auto_adjust"] is False
    assert bars["close"].iloc[0] == 100
    assert bars.attrs["adjustment"] == "raw"
    assert bars.attrs["notes"] == ["adjusted for splits, not for dividends"]


def test_two_levels_of_columns(download: Download, tmp_path: Path) -> None:
    flat = load()
    download.frames = [frame(levels=True)]
    assert bars_digest(load(refresh=True)) == bars_digest(flat)
    download.frames = [frame(levels=True).swaplevel(axis=1)]
    assert bars_digest(load(refresh=True)) == bars_digest(flat)


def test_daily_dates_keep_the_day_of_the_exchange(download: Download) -> None:
    flat = load()
    for zone in ("Asia/Tokyo", "America/New_York"):
        download.frames = [frame(DAYS.tz_localize(zone))]
        bars = load(refresh=True)
        assert bars_digest(bars) == bars_digest(flat)
        assert bars.attrs["notes"] == []


def test_intraday_dates_are_utc(download: Download) -> None:
    """In local time the last hour of summer comes twice."""
    index = pd.date_range("2023-10-29 00:00", periods=24, freq="h", tz="UTC")
    download.frames = [frame(index.tz_convert("Europe/London"))]
    bars = load("EURUSD=X", interval="1h", start="2023-10-29", end="2023-10-29")
    assert list(bars.index) == list(index.tz_localize(None))
    assert bars.attrs["notes"] == ["dates are UTC"]
    assert bars.attrs["interval"] == "1h"


def test_rows_without_prices_are_left_out_and_named(download: Download) -> None:
    raw = frame().astype(float)
    raw.iloc[[3, 5], :4] = np.nan
    download.frames = [raw]
    bars = load()
    assert len(bars) == len(DAYS) - 3
    assert bars.attrs["notes"] == ["left out 2 rows without prices: 2024-01-04, 2024-01-08"]
    raw.iloc[3:13, :4] = np.nan
    assert load(refresh=True).attrs["notes"][0].endswith(" and 5 more")


def test_a_row_with_half_its_prices_is_refused(download: Download) -> None:
    raw = frame()
    raw.iloc[3, 0] = np.nan
    download.frames = [raw]
    with pytest.raises(
        BarsError, match=r"yahoo AAPL: row 3 \(2024-01-04\): close is missing .*CSV"
    ):
        load()


def test_nothing_but_empty_rows(download: Download) -> None:
    download.frames = [frame() * np.nan]
    with pytest.raises(BarsError, match="there are no rows"):
        load()


@pytest.mark.parametrize(
    "nothing", [None, pd.DataFrame(), frame(DAYS[:0]), frame(DAYS[:0], levels=True)]
)
def test_no_bars(download: Download, nothing, capfd: pytest.CaptureFixture) -> None:
    download.frames = [nothing]
    download.says = "['APPL']: could not resolve\nhost"
    download.says_later = "possibly delisted"
    with pytest.raises(SourceError) as caught:
        load("appl")
    text = str(caught.value)
    assert text.startswith("yahoo APPL: Yahoo sent no bars: an unknown symbol")
    assert "no network, perhaps offline" in text
    assert "(['APPL']: could not resolve host)" in text
    assert text.endswith("The cache holds no APPL 1d bars.")
    assert len(download.asked) == network.ATTEMPTS
    assert capfd.readouterr() == ("", "")


def test_passing_trouble_is_tried_again(download: Download) -> None:
    download.frames = [None, pd.DataFrame(), frame()]
    assert len(load()) == len(DAYS) - 1
    assert len(download.asked) == 3


def test_what_yfinance_logs_stays_in_the_error(
    download: Download, caplog: pytest.LogCaptureFixture
) -> None:
    download.says = "a warning"
    load()
    assert caplog.records == []


def test_the_loggers_are_put_back(download: Download) -> None:
    logger = logging.getLogger("yfinance")
    before = (list(logger.handlers), logger.propagate)
    load()
    assert (list(logger.handlers), logger.propagate) == before


def test_the_cache_is_used(download: Download) -> None:
    first = load(end="2024-02-09")
    download.frames = [None]
    pd.testing.assert_frame_equal(load(end="2024-02-09"), first)
    with pytest.raises(SourceError, match="end='2024-02-09' would use it"):
        load()
    with pytest.raises(SourceError, match="holds no AAPL 1d bars"):
        load(end="2024-02-09", adjust=False)


@pytest.mark.parametrize("interval", ["1day", "3h", "weekly"])
def test_unknown_interval(download: Download, interval: str) -> None:
    with pytest.raises(SourceError, match=f"yahoo has no interval '{interval}'. "):
        load(interval=interval)
    assert download.asked == []


def test_missing_columns(download: Download) -> None:
    download.frames = [frame().drop(columns="High")]
    with pytest.raises(SourceError, match="Yahoo sent no High"):
        load()


def test_not_installed(download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(SourceError, match=r"pip install 'nextbar\[compare\]'"):
        load()
