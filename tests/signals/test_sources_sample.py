"""The embedded bars, and what `load_bars` does for every source."""

import datetime as dt
import subprocess
import sys

import pandas as pd
import pytest
from nextbar.signals.bars import bars_digest, check_bars
from nextbar.signals.errors import BarsError, SourceError
from nextbar.signals.sources import SAMPLE_SYMBOLS, SOURCES, load_bars, sample_bars

EMBEDDED = {
    "AAPL": (
        3270,
        "2000-03-01",
        "cbe7951e2e7c9ecae2fa17b37a96c7edc4e9db1278bf7f8277f946a1fc366463",
    ),
    "MSFT": (
        3270,
        "2000-03-01",
        "88e83e7a960c1710b0906d7c6c3935e01fe5ef4810da7c3668f55e29f9617348",
    ),
    "IBM": (3270, "2000-03-01", "789658b54bd3ecf8eaccd33d153a981e41a0b18db9499b93bbcc534ef5fde61c"),
    "GOOG": (
        2148,
        "2004-08-19",
        "af76cda98c5f2a42789492c8a45e68f7e5ca092942b12af9c38307543b0add39",
    ),
}


@pytest.mark.parametrize("symbol", SAMPLE_SYMBOLS)
def test_embedded_bars(symbol: str) -> None:
    rows, first, digest = EMBEDDED[symbol]
    bars = sample_bars(symbol)
    assert len(bars) == rows
    assert bars.index[0] == pd.Timestamp(first)
    assert bars.index[-1] == pd.Timestamp("2013-03-01")
    assert bars_digest(bars) == digest
    pd.testing.assert_frame_equal(check_bars(bars), bars)
    assert (bars.attrs["symbol"], bars.attrs["interval"]) == (symbol, "1d")
    assert bars.attrs["adjustment"] == "split+dividend"
    assert any("Quandl WIKI Prices" in note for note in bars.attrs["notes"])


def test_splits_are_adjusted_and_real_falls_are_kept() -> None:
    returns = sample_bars("AAPL")["close"].pct_change()
    assert abs(returns["2000-06-21"]) < 0.2  # two for one
    assert abs(returns["2005-02-28"]) < 0.2
    assert returns["2000-09-29"] < -0.5  # a profit warning


def test_calls_share_nothing() -> None:
    bars = sample_bars()
    bars.iloc[0, 0] = 1e9
    bars.attrs["notes"].append("mine")
    assert bars_digest(sample_bars()) == EMBEDDED["AAPL"][2]
    assert "mine" not in sample_bars().attrs["notes"]


def test_case_does_not_matter() -> None:
    assert load_bars("ibm").attrs["symbol"] == "IBM"


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        ("APPL", "no embedded sample bars for 'APPL'. Did you mean 'AAPL'?"),
        ("^GSPC", "no embedded sample bars for '^GSPC'. Known: AAPL, GOOG, IBM, MSFT."),
    ],
)
def test_unknown_symbol(symbol: str, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        load_bars(symbol)
    assert str(caught.value) == message


@pytest.mark.parametrize("options", [{"interval": "5m"}, {"adjust": False}])
def test_what_the_sample_has_not(options: dict) -> None:
    with pytest.raises(SourceError, match="sample bars"):
        load_bars("AAPL", **options)
    assert len(load_bars("AAPL", interval="1d", adjust=True, refresh=True)) == 3270


def test_unknown_source() -> None:
    with pytest.raises(SourceError, match=r"unknown source 'yaho'\. Did you mean 'yahoo'\?"):
        load_bars("AAPL", "yaho")
    assert list(SOURCES) == ["sample", "csv", "yahoo", "alphavantage"]


@pytest.mark.parametrize("source", ["sample", "csv", "yahoo", "alphavantage"])
def test_empty_symbol(source: str) -> None:
    with pytest.raises(SourceError, match="the symbol is empty"):
        load_bars(" ", source)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2010-01-04", "2010-01-08"),
        (dt.date(2010, 1, 4), dt.date(2010, 1, 8)),
        (dt.datetime(2010, 1, 4), pd.Timestamp("2010-01-08")),
        ("2010-01-02", "2010-01-10"),
    ],
)
def test_both_ends_are_included(start: str, end: str) -> None:
    week = load_bars("AAPL", start=start, end=end)
    assert [date.day for date in week.index] == [4, 5, 6, 7, 8]
    assert week.attrs["symbol"] == "AAPL"


def test_one_end_alone() -> None:
    assert len(load_bars("AAPL", end="2000-03-01")) == 1
    assert len(load_bars("AAPL", start="2013-03-01")) == 1


def test_an_empty_range() -> None:
    with pytest.raises(BarsError, match=r"no bars from 2014-01-01 to 2015-01-01; .* to 2013-03-01"):
        load_bars("AAPL", start="2014-01-01", end="2015-01-01")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "2010-01-02", "end": "2010-01-01"}, "start 2010-01-02 is after end 2010-01-01"),
        ({"start": "10/11/2012"}, "start must be a date such as '2020-01-31', found '10/11/2012'"),
        ({"end": "soon"}, "end must be a date"),
        ({"end": ""}, "end must be a date"),
        ({"end": pd.NaT}, "end must be a date"),
        ({"end": "2010-01-01T00:00Z"}, "has a time zone"),
        ({"start": pd.Timestamp("2010", tz="UTC")}, "has a time zone"),
    ],
)
def test_bad_dates(options: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        load_bars("AAPL", **options)


def test_importing_sources_brings_no_network_library() -> None:
    code = "import sys, nextbar.signals.sources; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"yfinance", "requests", "tenacity", "platformdirs"} & set(done.stdout.split())
