"""When bars are over, and when a newer one should be there."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest
from nextbar.signals.errors import SourceError
from nextbar.signals.sessions import Session

T = pd.Timestamp


def bars(*labels: str, interval: str = "1d", notes: tuple[str, ...] = ()) -> pd.DataFrame:
    frame = pd.DataFrame({"close": 1.0}, index=pd.DatetimeIndex(labels, name="date"))
    frame.attrs.update(interval=interval, notes=list(notes))
    return frame


@pytest.mark.parametrize(
    ("label", "interval", "end"),
    [
        ("2024-03-15", "1d", "2024-03-15 16:00"),
        ("2024-03-15", "3d", "2024-03-17 16:00"),
        ("2024-03-11", "1wk", "2024-03-17 16:00"),
        ("2024-02-01", "1mo", "2024-02-29 16:00"),
        ("2024-01-01", "3mo", "2024-03-31 16:00"),
        ("2024-03-15 09:30", "30m", "2024-03-15 10:00"),
        ("2024-03-15 15:30", "1h", "2024-03-15 16:30"),
        ("2024-03-15 15:59:50", "10s", "2024-03-15 16:00"),
    ],
)
def test_a_bar_is_over_at_its_end_and_not_before(label: str, interval: str, end: str) -> None:
    session = Session()
    assert session.end_of(T(label), interval) == T(end)
    frame = bars("2000-01-03", label, interval=interval)
    before = T(end) - pd.Timedelta(seconds=1)
    assert session.split_unfinished(frame, before.to_pydatetime())[1] == [T(label)]
    assert session.split_unfinished(frame, T(end).to_pydatetime())[1] == []


def test_the_close_is_the_exchange_s() -> None:
    session = Session(dt.time(17, 30), "Europe/Berlin")
    assert session.end_of(T("2024-03-15"), "1d") == T("2024-03-15 17:30")


def test_all_unfinished_bars_are_dropped_and_no_other() -> None:
    labels = [str(day) for day in pd.date_range("2024-03-01", "2024-03-20", freq="B")]
    frame = bars(*labels)
    finished, dropped = Session().split_unfinished(frame, dt.datetime(2024, 3, 8, 12))
    assert finished.index[-1] == T("2024-03-07")
    assert len(finished) + len(dropped) == len(frame)
    assert dropped[0] == T("2024-03-08")
    assert finished.attrs == frame.attrs
    nothing, every = Session().split_unfinished(frame, dt.datetime(2020, 1, 1))
    assert (len(nothing), len(every)) == (0, len(frame))


def test_a_single_bar_is_taken_as_it_is() -> None:
    frame = bars("2024-03-15", interval="unknown")
    assert Session().split_unfinished(frame, dt.datetime(2020, 1, 1))[1] == []


@pytest.mark.parametrize(
    ("label", "interval", "last_moment"),
    [
        # A Friday's bar is the newest until the end of the Tuesday after a long weekend.
        ("2024-05-24", "1d", "2024-05-28 16:00"),
        # The week after must be over first, and the month.
        ("2024-03-11", "1wk", "2024-03-24 16:00"),
        ("2024-02-01", "1mo", "2024-03-31 16:00"),
        ("2024-05-24 15:55", "5m", "2024-05-28 16:00"),
    ],
)
def test_stale_when_a_newer_bar_should_be_there(
    label: str, interval: str, last_moment: str
) -> None:
    moment = T(last_moment).to_pydatetime()
    assert not Session().is_stale(T(label), interval, moment)
    assert Session().is_stale(T(label), interval, moment + dt.timedelta(seconds=1))


def test_now_is_the_exchange_s_time_and_naive() -> None:
    tokyo = Session(timezone="Asia/Tokyo").now()
    utc = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    assert abs(tokyo - utc - dt.timedelta(hours=9)) < dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("interval", "notes", "hours"),
    [
        ("5m", ("dates are UTC",), 0),
        ("1h", ("dates read as epoch seconds, UTC",), 0),
        ("5m", (), 9),
        ("1d", ("dates are UTC",), 9),
    ],
)
def test_intraday_dates_in_utc_meet_a_clock_in_utc(
    interval: str, notes: tuple[str, ...], hours: int
) -> None:
    """Else a bar dated hours ahead of the exchange's clock would never seem to be over."""
    frame = bars("2024-03-15", "2024-03-16", interval=interval, notes=notes)
    now = Session(timezone="Asia/Tokyo").now_for(frame)
    utc = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    assert abs(now - utc - dt.timedelta(hours=hours)) < dt.timedelta(minutes=1)


@pytest.mark.parametrize("name", ["Mars", "", "../etc/passwd", "America"])
def test_an_unknown_time_zone(name: str) -> None:
    with pytest.raises(SourceError, match="expected a name such as Europe/Berlin"):
        Session(timezone=name).now()


def test_a_market_without_weekends_ends_its_day_in_utc() -> None:
    dates = pd.date_range("2024-05-01", "2024-06-10", name="date")
    bars = pd.DataFrame({"close": 1.0}, index=dates)
    bars.attrs.update(interval="1d", notes=[])
    session = Session()
    late = pd.Timestamp("2024-06-10 23:59").to_pydatetime()
    assert session.split_unfinished(bars, late)[1] == [dates[-1]]
    over = pd.Timestamp("2024-06-11 00:00").to_pydatetime()
    assert session.split_unfinished(bars, over)[1] == []
