"""The bars contract: what is accepted, what is refused and how the message reads."""

import pickle
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nextbar.signals.bars import (
    COLUMNS,
    BadBarsError,
    bad_bars,
    bars_digest,
    bars_per_year,
    check_bars,
    infer_interval,
    jump_notes,
    periods_per_year,
    slice_bars,
)
from nextbar.signals.errors import BarsError

from ..markets import random_bars

NAN, INF = float("nan"), float("inf")


def make(rows: int = 5, start: str = "2020-01-06", freq: str = "D") -> pd.DataFrame:
    close = 100.0 + np.arange(rows)
    data = {"open": close - 0.5, "high": close + 1, "low": close - 1, "close": close}
    frame = pd.DataFrame({**data, "volume": 1000.0 + np.arange(rows)})
    frame.index = pd.date_range(start, periods=rows, freq=freq, name="date")
    return frame


def offences(frame: pd.DataFrame, **options: object) -> tuple[str, ...]:
    with pytest.raises(BadBarsError) as caught:
        check_bars(frame, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return caught.value.offences


def test_contract_form() -> None:
    messy = make()[["volume", "close", "low", "high", "open"]].rename(columns=str.upper)
    messy["VOLUME"] = messy["VOLUME"].astype(int)
    messy["extra"] = "text"
    messy.index.name = "When"
    before = messy.copy(deep=True)
    checked = check_bars(messy)
    assert tuple(checked.columns) == COLUMNS
    assert set(checked.dtypes) == {np.dtype("float64")}
    assert checked.index.name == "date"
    assert checked.index.freq is None
    assert checked.index.dtype == np.dtype("datetime64[ns]")
    assert checked.attrs == {
        "symbol": "unknown",
        "interval": "1d",
        "adjustment": "unknown",
        "notes": [],
    }
    pd.testing.assert_frame_equal(messy, before)
    checked.iloc[0, 0] = 7.0
    pd.testing.assert_frame_equal(messy, before)


def test_attrs_are_kept_and_not_shared() -> None:
    frame = make()
    frame.attrs = {"symbol": "X", "interval": "1wk", "adjustment": "raw", "notes": ["a"]}
    checked = check_bars(frame)
    assert checked.attrs == frame.attrs
    checked.attrs["notes"].append("b")
    assert frame.attrs["notes"] == ["a"]


def test_checking_again_changes_nothing() -> None:
    once = check_bars(make())
    pd.testing.assert_frame_equal(check_bars(once), once)


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("close", NAN, "row 2 (2020-01-08): close is missing (NaN)"),
        ("open", INF, "row 2 (2020-01-08): open is infinite"),
        ("high", -INF, "row 2 (2020-01-08): high is infinite"),
        ("low", 0.0, "row 2 (2020-01-08): low 0 is not above zero"),
        ("low", -1.5, "row 2 (2020-01-08): low -1.5 is not above zero"),
        ("high", 100.5, "row 2 (2020-01-08): high 100.5 is below low 101"),
        ("open", 104.0, "row 2 (2020-01-08): open 104 is outside low 101 to high 103"),
        ("open", 100.9, "row 2 (2020-01-08): open 100.9 is outside low 101 to high 103"),
        ("close", 103.001, "row 2 (2020-01-08): close 103.001 is outside low 101 to high 103"),
        ("close", 99.0, "row 2 (2020-01-08): close 99 is outside low 101 to high 103"),
        ("volume", NAN, "row 2 (2020-01-08): volume is missing (NaN)"),
        ("volume", INF, "row 2 (2020-01-08): volume is infinite"),
        ("volume", -3.0, "row 2 (2020-01-08): volume -3 is negative"),
    ],
)
def test_one_bad_value(column: str, value: float, text: str) -> None:
    frame = make()
    frame.loc[frame.index[2], column] = value
    assert offences(frame) == (text,)
    with pytest.raises(BarsError, match=r"^prices: row 2 .* Correct or remove these rows\.$"):
        check_bars(frame, origin="prices")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("n/a", "close is text 'n/a', not a number"),
        ("1,234.5", "close is text '1,234.5', not a number"),
        ("101", "close is text '101', not a number"),
        (True, "close is True, not a number"),
        (np.bool_(True), "close is np.True_, not a number"),
        (Decimal("sNaN"), "close is Decimal('sNaN'), not a number"),
        (pd.Timestamp("2020"), "close is Timestamp('2020-01-01 00:00…), not a number"),
        (None, "close is missing (NaN)"),
        (pd.NA, "close is missing (NaN)"),
        ("two\n" * 9, "close is text 'two\\ntwo\\ntwo\\ntwo\\ntwo\\nt…', not a number"),
    ],
)
def test_a_cell_that_is_no_number(cell: object, text: str) -> None:
    frame = make().astype({"close": object})
    frame.iloc[1, 3] = cell
    assert offences(frame) == (f"row 1 (2020-01-07): {text}",)


def test_decimals_and_nullable_numbers_are_numbers() -> None:
    frame = make().astype({"volume": "Int64", "open": "Float64"})
    frame["close"] = [Decimal(str(value)) for value in frame["close"]]
    frame["high"] = pd.Series(list(frame["high"].to_numpy(np.float32)), frame.index, dtype=object)
    assert bars_digest(check_bars(frame)) == bars_digest(check_bars(make()))
    frame.loc[frame.index[1], "volume"] = pd.NA
    assert offences(frame) == ("row 1 (2020-01-07): volume is missing (NaN)",)


@pytest.mark.parametrize("values", [[True] * 5, [1j] * 5, ["x"] * 5])
def test_columns_of_another_kind(values: list[object]) -> None:
    frame = make()
    frame["volume"] = values
    assert all("volume" in text for text in offences(frame))


def test_an_empty_column_is_one_offence() -> None:
    frame = make()
    frame["close"] = NAN
    assert offences(frame) == ("every close is NaN",)


@pytest.mark.parametrize("column", ["open", "close"])
@pytest.mark.parametrize("factor", [1 + 5e-10, 1 - 5e-10])
def test_rounding_of_adjusted_prices_is_tolerated(column: str, factor: float) -> None:
    frame = make()
    edge = "high" if factor > 1 else "low"
    frame[column] = frame[edge] * factor
    check_bars(frame)
    frame[column] = frame[edge] * (1 + 4 * (factor - 1))
    assert len(offences(frame)) == 5


def test_high_may_equal_low_and_volume_may_be_zero() -> None:
    frame = make()
    for name in ("open", "high", "low"):
        frame[name] = frame["close"]
    frame["volume"] = 0
    check_bars(frame)


def test_missing_columns_name_the_nearest() -> None:
    frame = make().rename(columns={"volume": "Volum", "close": "Last"})
    found = offences(frame)
    assert found[0].startswith("missing column close. Known: ")
    assert found[1] == "missing column volume. Did you mean 'Volum'?"
    assert len(offences(pd.DataFrame(index=make().index))) == 5


def test_two_columns_for_one() -> None:
    frame = make()
    frame["Close"] = 1.0
    assert offences(frame) == ("columns 'close' and 'Close' both mean close: keep one",)


def test_column_levels() -> None:
    frame = pd.concat({"AAPL": make()}, axis=1)
    assert "2 levels" in offences(frame)[0]


def test_no_rows() -> None:
    assert offences(make(0)) == ("there are no rows, at least one bar is needed",)


def test_one_row_has_no_interval() -> None:
    assert check_bars(make(1)).attrs["interval"] == "unknown"


@pytest.mark.parametrize("index", [range(5), list("abcde"), [1.5, 2, 3, 4, 5]])
def test_index_without_dates(index: list[object]) -> None:
    frame = make()
    frame.index = pd.Index(index)
    (text,) = offences(frame)
    assert text.startswith("the index holds ")
    assert "pd.to_datetime" in text


def test_time_zone() -> None:
    (text,) = offences(make().tz_localize("US/Eastern"))
    assert "US/Eastern" in text
    assert "tz_localize(None)" in text
    assert "tz_convert(None)" in text


def test_missing_date() -> None:
    frame = make()
    frame.index = pd.DatetimeIndex([*frame.index[:2], pd.NaT, *frame.index[3:]])
    assert offences(frame) == ("row 2: there is no date",)


def test_dates_beyond_nanoseconds() -> None:
    frame = make(2)
    frame.index = pd.DatetimeIndex(np.array(["1500-01-01", "2020-01-01"], dtype="datetime64[s]"))
    assert offences(frame) == ("a date is outside the years 1678 to 2261",)


def test_duplicates_and_order() -> None:
    frame = make()
    frame.index = frame.index[[0, 1, 1, 4, 3]]
    assert offences(frame) == (
        "row 2 (2020-01-07): the date is a duplicate",
        "row 4 (2020-01-09): the date is before the previous row's: use frame.sort_index()",
    )
    assert offences(make().iloc[::-1]) == ("the newest bar comes first: use frame.sort_index()",)


def test_every_offence_at_once_in_row_order() -> None:
    frame = make(30).drop(columns="volume")
    frame.iloc[3:23, 3] = NAN
    frame.iloc[25, 1] = 1.0
    frame.iloc[1, 0] = -1.0
    with pytest.raises(BadBarsError) as caught:
        check_bars(frame, origin="x")
    found = caught.value.offences
    assert len(found) == 23
    assert found[0].startswith("missing column volume")
    assert found[1].startswith("row 1 ")
    assert found[-1].startswith("row 25 ")
    assert "row 25" not in str(caught.value)
    assert str(caught.value).startswith("x: 23 problems: missing column volume")
    assert str(caught.value).endswith("; and 15 more. Correct or remove these rows.")


def test_offences_come_in_row_order_not_in_column_order() -> None:
    frame = make()
    frame.iloc[3, 0] = NAN
    frame.iloc[1, 3] = NAN
    frame.iloc[2, 1] = 1.0
    assert [text[:5] for text in offences(frame)] == ["row 1", "row 2", "row 3"]


def test_a_bad_cell_is_reported_once() -> None:
    frame = make()
    frame.iloc[0, 1] = NAN  # no "close is outside" on top
    frame.iloc[1, 2] = -5.0
    frame.iloc[2, 1] = 1.0
    assert [text.split(": ")[1][:8] for text in offences(frame)] == [
        "high is ",
        "low -5 i",
        "high 1 i",
    ]


def test_line_numbers_and_advice() -> None:
    frame = make(2, "2020-01-06 15:30", "h")
    frame.iloc[1, 3] = NAN
    assert offences(frame, lines=[7, 9])[0].startswith("line 9 (2020-01-06 16:30:00): ")
    with pytest.raises(BadBarsError, match=r"Ask again\.$"):
        check_bars(frame, advice="Ask again.")


def test_the_error_survives_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(bad_bars("x", ["a", "b"], "Mend it.")))
    assert error.offences == ("a", "b")
    assert str(error) == "x: 2 problems: a; b. Mend it."


def test_a_hundred_thousand_rows_are_fast() -> None:
    frame = make(100_000, freq="min")
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        check_bars(frame)
        taken.append(time.perf_counter() - begin)
    assert min(taken) < 0.1


def test_digest_ignores_attrs_unit_and_layout() -> None:
    frame = check_bars(make())
    expected = bars_digest(frame)
    assert len(expected) == 64
    for unit in ("s", "ms", "us", "ns"):
        other = frame.copy()
        other.index = pd.DatetimeIndex(frame.index).as_unit(unit)
        assert bars_digest(other) == expected
    other = pd.DataFrame(
        np.asfortranarray(frame.to_numpy()), index=frame.index, columns=frame.columns
    )
    other["more"] = 1
    other.attrs["symbol"] = "Z"
    assert bars_digest(other[["more", *reversed(COLUMNS)]]) == expected


def test_digest_is_fixed() -> None:
    """Runs and model cards store it: it may never change."""
    assert bars_digest(check_bars(make(2))) == (
        "114abebb85e967c45efbaebf9435dce41de73c28d6dec4f4f488905f9c7aaf1b"
    )


@pytest.mark.parametrize("column", COLUMNS)
def test_digest_sees_the_last_bit(column: str) -> None:
    frame = check_bars(make())
    other = frame.copy()
    other.loc[frame.index[1], column] = np.nextafter(frame[column].iloc[1], INF)
    assert bars_digest(other) != bars_digest(frame)


def test_digest_sees_dates_and_swapped_columns() -> None:
    frame = check_bars(make())
    later = frame.copy()
    later.index = later.index + pd.Timedelta(1, "ns")
    swapped = frame.rename(columns={"open": "close", "close": "open"})
    assert len({bars_digest(f) for f in (frame, later, swapped, frame.iloc[1:])}) == 4


@pytest.mark.parametrize(
    ("freq", "rows", "interval"),
    [
        ("s", 9, "1s"),
        ("min", 9, "1m"),
        ("5min", 9, "5m"),
        ("90min", 9, "90m"),
        ("h", 9, "1h"),
        ("4h", 9, "4h"),
        ("D", 9, "1d"),
        ("B", 30, "1d"),
        ("3D", 9, "3d"),
        ("W", 9, "1wk"),
        ("2W", 9, "2wk"),
        ("MS", 13, "1mo"),
        ("ME", 13, "1mo"),
        ("QS", 9, "3mo"),
    ],
)
def test_infer_interval(freq: str, rows: int, interval: str) -> None:
    index = pd.date_range("2020-01-06", periods=rows, freq=freq)
    assert infer_interval(index) == interval
    assert infer_interval(index.as_unit("s")) == interval


def test_interval_ignores_nights_and_holidays() -> None:
    days = pd.bdate_range("2020-01-06", periods=10)
    two = pd.DatetimeIndex([day + pd.Timedelta(hours=h) for day in days for h in (9, 13)])
    assert infer_interval(two) == "4h"
    assert infer_interval(two[:-1]) == "4h"  # as many nights as gaps between bars
    seven = pd.DatetimeIndex([day + pd.Timedelta(hours=h) for day in days for h in range(9, 16)])
    assert infer_interval(seven) == "1h"


@pytest.mark.parametrize("rows", [0, 1])
def test_interval_needs_two_rows(rows: int) -> None:
    with pytest.raises(BarsError, match="at least 2"):
        infer_interval(pd.DatetimeIndex(["2020-01-01"] * rows))


@pytest.mark.parametrize(
    ("interval", "count"),
    [
        ("1d", 252),
        ("2d", 126),
        ("1wk", 52),
        ("1mo", 12),
        ("1h", 1638),
        ("5m", 19656),
        ("1s", 5896800),
    ],
)
def test_bars_per_year(interval: str, count: float) -> None:
    assert bars_per_year(interval) == count


@pytest.mark.parametrize("interval", ["", "daily", "0d", "1y", "unknown", "d", "1d "])
def test_bars_per_year_of_nonsense(interval: str) -> None:
    with pytest.raises(BarsError, match="expected such as 5m, 1h, 1d"):
        bars_per_year(interval)


def test_slice_includes_both_ends() -> None:
    frame = check_bars(make(48, "2020-01-06", "h"))
    day = slice_bars(frame, pd.Timestamp("2020-01-06 05:00"), pd.Timestamp("2020-01-06"))
    assert (len(day), day.index[0].hour, day.index[-1].hour) == (19, 5, 23)
    noon = slice_bars(frame, None, pd.Timestamp("2020-01-06 12:00"))
    assert len(noon) == 13
    assert noon.attrs == frame.attrs
    assert slice_bars(frame) is frame


def test_an_empty_slice_names_the_range_there_is() -> None:
    with pytest.raises(
        BarsError, match=r"^AAPL: no bars from 2021-01-01 to the end; .* 2020-01-06 to 2020-01-10"
    ):
        slice_bars(check_bars(make()), pd.Timestamp("2021-01-01"), origin="AAPL")


@given(
    row=st.integers(0, 9),
    column=st.sampled_from(COLUMNS),
    value=st.one_of(st.floats(), st.text(max_size=8), st.none()),
)
def test_whatever_is_returned_holds_the_contract(row: int, column: str, value: object) -> None:
    frame = make(10).astype(object)
    frame.loc[frame.index[row], column] = value
    try:
        checked = check_bars(frame)
    except BadBarsError as error:
        assert all(f"row {row} " in text for text in error.offences)  # noqa: PT017
        return
    assert np.isfinite(checked.to_numpy()).all()
    assert (checked["low"] <= checked[["open", "close"]].min(axis=1) * (1 + 2e-9)).all()
    assert (checked["high"] >= checked[["open", "close"]].max(axis=1) * (1 - 2e-9)).all()
    assert (checked["volume"] >= 0).all()
    assert (checked[["open", "high", "low", "close"]] > 0).all(axis=None)


def test_bars_a_year_are_counted_where_the_usual_number_is_wrong() -> None:
    stock, daily = random_bars(600), random_bars(600, freq="D")
    assert periods_per_year(check_bars(stock)) == 252
    assert periods_per_year(check_bars(daily)) == pytest.approx(365.25)
    assert periods_per_year(check_bars(stock.iloc[:20])) == 252  # too short to count


def test_resampled_bars_do_not_keep_their_interval() -> None:
    bars = check_bars(random_bars(600))
    weekly = bars.resample("W-FRI").last()
    assert weekly.attrs["interval"] == "1d"
    assert check_bars(weekly).attrs["interval"] == "1wk"


def test_a_likely_split_is_named() -> None:
    bars = check_bars(random_bars(60))
    assert jump_notes(bars) == []
    bars.iloc[:30, :4] *= 7
    (note,) = jump_notes(bars)
    assert note.startswith(f"caution: on {bars.index[30].date()} the open is 0.14")
