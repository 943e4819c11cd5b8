"""Files as people have them: every dialect gives the same bars, every defect one clear line."""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nextbar.signals.bars import BadBarsError, bars_digest
from nextbar.signals.errors import BarsError, NextbarError, SourceError
from nextbar.signals.sources import load_bars, sample_bars

NAMES = ["Date", "Open", "High", "Low", "Close", "Volume"]
# Days above 12 decide between day and month.
PLAIN = [
    ["2020-01-28", "10", "11.5", "9.5", "10.25", "100"],
    ["2020-01-29", "10.5", "12", "10", "11", "200"],
    ["2020-01-30", "11", "11.75", "10.5", "11.25", "0"],
    ["2020-01-31", "11.25", "13", "11", "12.5", "300"],
    ["2020-02-03", "12.5", "13.5", "12", "13", "400"],
]


def render(names: list[str], rows: list[list[str]], delimiter: str = ",") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows([names, *rows])
    return out.getvalue()


def redated(pattern: str) -> list[list[str]]:
    return [[pd.Timestamp(row[0]).strftime(pattern), *row[1:]] for row in PLAIN]


class Files:
    """Writes a file and loads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, content: str | bytes, name: str = "prices.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def load(self, content: str | bytes, name: str = "prices.csv", **options) -> pd.DataFrame:
        return load_bars(self.write(content, name), "csv", **options)

    def error(self, content: str | bytes, kind: type = SourceError, **options) -> str:
        path = self.write(content)
        with pytest.raises(NextbarError) as caught:
            load_bars(path, "csv", **options)
        assert isinstance(caught.value, kind)
        text = str(caught.value)
        assert text.startswith(f"{path}: ")
        assert "\n" not in text
        assert text.endswith((".", "?"))
        return text.removeprefix(f"{path}: ")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def plain(files: Files) -> str:
    return bars_digest(files.load(render(NAMES, PLAIN)))


def test_plain_file(files: Files) -> None:
    bars = files.load(render(NAMES, PLAIN), "AAPL.csv")
    assert bars.to_numpy().tolist() == [[float(cell) for cell in row[1:]] for row in PLAIN]
    assert [str(date.date()) for date in bars.index] == [row[0] for row in PLAIN]
    assert bars.attrs == {
        "symbol": "AAPL",
        "interval": "1d",
        "adjustment": "unknown",
        "notes": [],
    }


def yahoo(before_volume: bool) -> str:
    at = 5 if before_volume else 6
    names = [*NAMES[:at], "Adj Close", *NAMES[at:]]
    return render(names, [[*row[:at], str(float(row[4]) / 2), *row[at:]] for row in PLAIN])


def kaggle() -> str:
    return render([*NAMES, "OpenInt"], [[*row, "0"] for row in PLAIN])


def stooq() -> str:
    names = ["<TICKER>", "<PER>", "<DATE>", "<TIME>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>"]
    names += ["<VOL>", "<OPENINT>"]
    rows = [["AAPL.US", "D", row[0].replace("-", ""), "000000", *row[1:], "0"] for row in PLAIN]
    return render(names, rows)


def yfinance_levels(first: str = "Price", second: str = "Ticker") -> str:
    names = [first, "Close", "High", "Low", "Open", "Volume"]
    rows = [[row[0], row[4], row[2], row[3], row[1], row[5]] for row in PLAIN]
    return render(names, [[second] + ["AAPL"] * 5, ["Date"] + [""] * 5, *rows])


def yfinance_by_ticker() -> str:
    rows = [["Price", *NAMES[1:]], ["Date"] + [""] * 5, *PLAIN]
    return render(["Ticker"] + ["AAPL"] * 5, rows)


def yfinance_two_lines() -> str:
    return render(["Price", *NAMES[1:]], [["Ticker"] + ["AAPL"] * 5, *PLAIN])


def alpha_csv() -> str:
    return render(["timestamp", *map(str.lower, NAMES[1:])], PLAIN[::-1])


def alpha_json(adjusted: bool = False) -> str:
    keys = ["1. open", "2. high", "3. low", "4. close", "5. volume"]
    if adjusted:
        keys[4:] = ["5. adjusted close", "6. volume", "7. dividend amount"]
    series = {}
    for row in PLAIN[::-1]:
        cells = [*row[1:5], str(float(row[4]) / 2), row[5], "0.0"] if adjusted else row[1:]
        series[row[0]] = dict(zip(keys, cells, strict=True))
    return json.dumps({"Meta Data": {"2. Symbol": "AAPL"}, "Time Series (Daily)": series})


DIALECTS = {
    "yahoo": yahoo(before_volume=True),
    "yahoo, volume first": yahoo(before_volume=False),
    "kaggle": kaggle(),
    "stooq": stooq(),
    "stooq daily": render(NAMES, PLAIN),
    "yfinance": yfinance_levels(),
    "pandas-datareader": yfinance_levels("Attributes", "Symbols"),
    "yfinance by ticker": yfinance_by_ticker(),
    "yfinance without the date line": yfinance_two_lines(),
    "alpha vantage": alpha_csv(),
    "alpha vantage json": alpha_json(),
    "alpha vantage adjusted json": alpha_json(adjusted=True),
    "prefixes": render([f"AAPL.{name}" if name != "Date" else "" for name in NAMES], PLAIN),
    "spaces": render([f" {name} " for name in NAMES], [[f" {c} " for c in r] for r in PLAIN]),
    "trailing comma": render(NAMES, [[*row, ""] for row in PLAIN]),
    "unnamed index": render(["", *NAMES], [[str(i), *row] for i, row in enumerate(PLAIN)]),
    "quotes": render(NAMES, PLAIN).replace("10.25", '"10.25"'),
    "windows": render(NAMES, PLAIN).replace("\n", "\r\n"),
    "blank lines": render(NAMES, PLAIN).replace("\n", "\n\n"),
    "byte-order mark": "\ufeff" + render(NAMES, PLAIN),
    "semicolons": render(NAMES, PLAIN, ";"),
    "tabs": render(NAMES, PLAIN, "\t"),
    "newest first": render(NAMES, PLAIN[::-1]),
    "exponents": render(NAMES, PLAIN).replace("100\n", "1e2\n"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects(files: Files, plain: str, dialect: str) -> None:
    assert bars_digest(files.load(DIALECTS[dialect])) == plain


@pytest.mark.parametrize("dialect", ["yfinance", "stooq", "alpha vantage json"])
def test_the_symbol_in_the_file_counts(files: Files, dialect: str) -> None:
    assert files.load(DIALECTS[dialect]).attrs["symbol"].startswith("AAPL")


@pytest.mark.parametrize(
    ("name", "symbol"), [("brk.b.us.txt", "brk.b.us"), ("X.csv.gz", "X"), ("Y", "Y")]
)
def test_the_symbol_is_the_name_of_the_file(files: Files, name: str, symbol: str) -> None:
    content = render(NAMES, PLAIN).encode()
    packed = gzip.compress(content, mtime=0) if name.endswith("gz") else content
    assert files.load(packed, name).attrs["symbol"] == symbol


DATES = {
    "month first": ("%m/%d/%Y", "month/day/year"),
    "day first": ("%d/%m/%Y", "day/month/year"),
    "dashes": ("%d-%m-%Y", "day/month/year"),
    "dots": ("%d.%m.%Y", "day/month/year"),
    "dots and clock": ("%d.%m.%Y %H:%M:%S.000", "day/month/year"),
    "two digits": ("%d-%m-%y", "day/month/year"),
    "two digits, month first": ("%m/%d/%y", "month/day/year"),
    "year first, two digits": ("%y-%m-%d", "year/month/day"),
    "clock": ("%m/%d/%Y %H:%M", "month/day/year"),
    "am": ("%m/%d/%Y %I:%M %p", "month/day/year"),
    "month name": ("%d-%b-%y", None),
    "month name, long year": ("%d/%b/%Y", None),
    "packed": ("%Y%m%d", None),
    "packed with clock": ("%Y%m%d%H%M%S", None),
    "slashes": ("%Y/%m/%d", None),
    "iso with T": ("%Y-%m-%dT%H:%M:%S", None),
    "iso with fraction": ("%Y-%m-%d %H:%M:%S.000", None),
}


@pytest.mark.parametrize("way", DATES)
@pytest.mark.parametrize("step", [1, -1])
def test_ways_to_write_dates(files: Files, plain: str, way: str, step: int) -> None:
    pattern, order = DATES[way]
    bars = files.load(render(NAMES, redated(pattern)[::step]))
    assert bars_digest(bars) == plain
    read = [note for note in bars.attrs["notes"] if note.startswith("dates read as")]
    assert read == ([f"dates read as {order}"] if order else [])


def test_dates_without_leading_zeros(files: Files, plain: str) -> None:
    rows = [[row[0].replace("-0", "-"), *row[1:]] for row in PLAIN]
    assert bars_digest(files.load(render(NAMES, rows))) == plain
    rows = [[row[0].lstrip("0").replace("/0", "/"), *row[1:]] for row in redated("%m/%d/%Y")]
    assert rows[-1][0] == "2/3/2020"
    assert bars_digest(files.load(render(NAMES, rows))) == plain


@pytest.mark.parametrize(("unit", "scale"), [("seconds", 1), ("milliseconds", 1000)])
def test_epochs(files: Files, plain: str, unit: str, scale: int) -> None:
    rows = [[str(int(pd.Timestamp(r[0]).timestamp()) * scale), *r[1:]] for r in PLAIN]
    bars = files.load(render(NAMES, rows))
    assert bars_digest(bars) == plain
    assert bars.attrs["notes"] == [f"dates read as epoch {unit}, UTC"]


def test_epoch_keeps_fractions(files: Files) -> None:
    rows = [["1580169600.25", *PLAIN[0][1:]], ["1580169601.5", *PLAIN[0][1:]]]
    assert files.load(render(NAMES, rows)).index[0] == pd.Timestamp("2020-01-28 00:00:00.25")


@pytest.mark.parametrize(
    ("date", "clock"),
    [("%Y-%m-%d", "%H:%M"), ("%Y%m%d", "%H%M%S"), ("%m/%d/%Y", "%I:%M %p"), ("%Y%m%d", "%H:%M")],
)
def test_date_and_time_columns(files: Files, date: str, clock: str) -> None:
    stamps = pd.date_range("2020-01-28 09:31", periods=5, freq="min")
    rows = [
        [f"{stamp:{date}}", f"{stamp:{clock}}", *row[1:]]
        for stamp, row in zip(stamps, PLAIN, strict=True)
    ]
    bars = files.load(render(["Date", "Time", *NAMES[1:]], rows))
    assert list(bars.index) == list(stamps)
    assert bars.attrs["interval"] == "1m"


def test_a_long_ambiguous_file_is_read_by_its_order(files: Files) -> None:
    days = pd.bdate_range("2020-01-01", "2020-12-31")
    days = days[days.day <= 12]
    rows = [[f"{day:%d/%m/%Y}", *PLAIN[0][1:]] for day in days]
    bars = files.load(render(NAMES, rows))
    assert list(bars.index) == list(days)
    assert bars.attrs["notes"] == ["dates read as day/month/year"]


@pytest.mark.parametrize("step", [1, -1])
def test_ambiguous_dates_are_refused(files: Files, step: int) -> None:
    rows = [[f"0{i}/0{i + 1}/2020", *PLAIN[0][1:]] for i in range(1, 8)]
    text = files.error(render(NAMES, rows[::step]), BarsError)
    assert "day and month of the dates cannot be told apart: write dates as 2020-01-31" in text


def test_with_dots_the_day_comes_first(files: Files) -> None:
    rows = [[f"0{i}.0{i + 1}.2020", *PLAIN[0][1:]] for i in range(1, 8)]
    bars = files.load(render(NAMES, rows))
    assert bars.index[0] == pd.Timestamp("2020-02-01")
    assert bars.attrs["notes"] == ["dates read as day/month/year"]


@pytest.mark.parametrize("stray", ["20200129", "2020-01-29", "1580255999000", "x"])
def test_a_stray_date_among_epochs(files: Files, stray: str) -> None:
    rows = [[str(int(pd.Timestamp(r[0]).timestamp())), *r[1:]] for r in PLAIN]
    rows[1][0] = stray
    text = files.error(render(NAMES, rows), BarsError)
    assert text.startswith(f"line 3: {stray!r} is not a date")


@pytest.mark.parametrize(
    "date",
    [
        "2020-01-29T00:00:00Z",
        "2020-01-29 00:00:00+00:00",
        "2020-01-29 00:00:00-05:00",
        "2020-01-29 00:00:00-0500",
        "2020-01-29 00:00 UTC",
        "29.01.2020 00:00:00.000 GMT+0100",
        "2020-01-29 16:00 EST",
    ],
)
def test_time_zones_are_refused(files: Files, date: str) -> None:
    rows = [[date if i == 1 else row[0], *row[1:]] for i, row in enumerate(PLAIN)]
    text = files.error(render(NAMES, rows), BarsError)
    assert text.startswith(f"line 3: {date!r} has a time zone")
    assert "convert" in text


@pytest.mark.parametrize(
    "date", ["hello", "", "1500-01-01", "9999-12-31", "2020-13-01", "2020-02-30", "1580169600"]
)
def test_dates_that_are_none(files: Files, date: str) -> None:
    rows = [[date if i in (1, 3) else row[0], *row[1:]] for i, row in enumerate(PLAIN)]
    text = files.error(render(NAMES, rows), BarsError)
    assert text.startswith(f"2 problems: line 3: {date!r} is not a date; line 5: {date!r}")


@pytest.mark.parametrize("pattern", ["%m/%d/%Y", "%d.%m.%Y", "%Y%m%d", "%d-%b-%y"])
def test_one_strange_date_among_others(files: Files, pattern: str) -> None:
    rows = redated(pattern)
    rows[2][0] = "x"
    assert files.error(render(NAMES, rows), BarsError).startswith("line 4: 'x' is not a date. ")


def test_sorting_is_noted(files: Files, plain: str) -> None:
    assert files.load(render(NAMES, PLAIN[::-1])).attrs["notes"] == [
        "sorted: the file was newest first"
    ]
    stepped = files.load(render(NAMES, PLAIN[3:] + PLAIN[:3]))
    assert stepped.attrs["notes"] == ["sorted: the file was not in date order"]
    assert bars_digest(stepped) == plain


def test_unused_columns_are_noted(files: Files) -> None:
    assert files.load(kaggle()).attrs["notes"] == ["columns not used: OpenInt"]


def test_missing_volume_is_zero_and_noted(files: Files) -> None:
    bars = files.load(render(NAMES[:5], [row[:5] for row in PLAIN]))
    assert (bars["volume"] == 0).all()
    assert bars.attrs["notes"] == ["there is no volume column: volume is 0"]


def test_a_volume_under_another_name_is_not_made_zero(files: Files) -> None:
    text = files.error(render([*NAMES[:5], "Volume BTC"], PLAIN))
    assert text == "missing column volume, found 'Volume BTC': rename one Volume."


@pytest.mark.parametrize("content", [yahoo(True), yahoo(False), alpha_json(adjusted=True)])
def test_adjusting(files: Files, plain: str, content: str) -> None:
    raw = files.load(content)
    assert bars_digest(raw) == plain
    assert raw.attrs["adjustment"] == "raw"
    assert (
        "caution: raw prices used; adjust=True (--adjust) applies the Adj Close column"
        in raw.attrs["notes"]
    )
    bars = files.load(content, adjust=True)
    prices = ["open", "high", "low", "close"]
    np.testing.assert_allclose(bars[prices], raw[prices] / 2, rtol=1e-15)
    np.testing.assert_array_equal(bars["volume"], raw["volume"])
    assert bars.attrs["adjustment"] == "split+dividend"
    assert any("Adj Close / Close" in note for note in bars.attrs["notes"])
    assert not any("raw prices" in note for note in bars.attrs["notes"])


def test_the_factor_belongs_to_its_row_when_sorted(files: Files) -> None:
    names = [*NAMES, "adjusted"]
    rows = [[*row, str(float(row[4]) / (i + 1))] for i, row in enumerate(PLAIN)]
    up = files.load(render(names, rows), adjust=True)
    down = files.load(render(names, rows[::-1]), adjust=True)
    assert bars_digest(up) == bars_digest(down)
    np.testing.assert_allclose(up["close"], [float(row[-1]) for row in rows], rtol=1e-15)


def test_adjusting_beyond_all_numbers(files: Files) -> None:
    content = render([*NAMES, "Adj Close"], [[*row, "1.79e308"] for row in PLAIN])
    assert "high is infinite" in files.error(content, BadBarsError, adjust=True)


def test_nothing_to_adjust_by(files: Files) -> None:
    text = files.error(render(NAMES, PLAIN), BarsError, adjust=True)
    assert "adjust=True needs a column Adj Close, found Date, Open" in text


@pytest.mark.parametrize("cell", ["", "null", "0", "-1", "nan", "inf", "1,5"])
def test_a_bad_adjusted_close(files: Files, cell: str) -> None:
    rows = [[*row, cell if i == 3 else row[4]] for i, row in enumerate(PLAIN)]
    content = render([*NAMES, "Adj Close"], rows)
    text = files.error(content, BadBarsError, adjust=True)
    assert text.startswith(f"line 5 (2020-01-31): Adj Close is {cell!r}, expected a number")
    assert len(files.load(content)) == 5


@pytest.mark.parametrize(
    ("row", "column", "cell", "expected"),
    [
        (1, 4, "n/a", "line 3 (2020-01-29): close is text 'n/a', not a number."),
        (1, 4, "1,234.5", "line 3 (2020-01-29): close is text '1,234.5', not a number."),
        (1, 4, "10,5", "line 3 (2020-01-29): close is text '10,5', not a number."),
        (1, 1, "$11", "line 3 (2020-01-29): open is text '$11', not a number."),
        (1, 1, "", "line 3 (2020-01-29): open is missing (NaN)."),
        (1, 1, "NaN", "line 3 (2020-01-29): open is missing (NaN)."),
        (1, 1, "null", "line 3 (2020-01-29): open is text 'null', not a number."),
        (0, 2, "inf", "line 2 (2020-01-28): high is infinite."),
        (4, 3, "-12", "line 6 (2020-02-03): low -12 is not above zero."),
        (4, 3, "0", "line 6 (2020-02-03): low 0 is not above zero."),
        (4, 2, "11", "line 6 (2020-02-03): high 11 is below low 12."),
        (4, 4, "14", "line 6 (2020-02-03): close 14 is outside low 12 to high 13.5."),
        (4, 1, "11", "line 6 (2020-02-03): open 11 is outside low 12 to high 13.5."),
        (4, 0, "2020-01-31", "line 6 (2020-01-31): the date is a duplicate."),
        (2, 5, "-1", "line 4 (2020-01-30): volume -1 is negative."),
        (2, 5, "", "line 4 (2020-01-30): volume is missing (NaN)."),
        (2, 5, "1.2M", "line 4 (2020-01-30): volume is text '1.2M', not a number."),
    ],
)
def test_bad_cells(files: Files, row: int, column: int, cell: str, expected: str) -> None:
    rows = [list(cells) for cells in PLAIN]
    rows[row][column] = cell
    text = files.error(render(NAMES, rows), BadBarsError)
    assert text == f"{expected} Correct or remove these rows."


def test_line_numbers_are_the_files_own(files: Files) -> None:
    """Blank lines, a reversed order and a quoted line break do not shift them."""
    rows = [list(cells) for cells in PLAIN[::-1]]
    rows[0][4] = "x"
    content = "\n\n" + render([*NAMES, "Remark"], [[*row, "a\nb"] for row in rows])
    assert files.error(content, BadBarsError).startswith("line 5 (2020-02-03): close is text 'x'")


def test_offences_of_all_rows_come_together(files: Files) -> None:
    path = files.write(render(NAMES, [[*row[:4], "?", row[5]] for row in PLAIN * 3]))
    with pytest.raises(BadBarsError) as caught:
        load_bars(path, "csv")
    assert len(caught.value.offences) == 25  # 15 closes and 10 repeated dates
    assert "25 problems" in str(caught.value)
    assert "and 17 more" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b" \r\n\n", "the file is empty"),
        ("\ufeff".encode(), "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "the file is binary"),
        (b"PK\x03\x04\x14\0\0\0", "the file is binary"),
        (render(NAMES, PLAIN).encode("utf-16"), "the file is UTF-16 text: save it as UTF-8"),
        (render(NAMES, PLAIN).encode("utf-16-le"), "UTF-16 file must be saved as UTF-8"),
        (render(NAMES, PLAIN).encode() + b"caf\xe9", "line 7 is not UTF-8 text (byte 0xe9)"),
        (gzip.compress(b"Date,Open", mtime=0)[:-9], "the file cannot be read"),
        (b"\x1f\x8bnot gzip", "the file cannot be read"),
        (render(NAMES, []).encode(), "there is a header and no rows"),
        (render(PLAIN[0], PLAIN[1:]).encode(), "line 1 has no known column name, found '2020-01-2"),
        (b"just a sentence", "line 1 has no known column name, found 'just a sentence'"),
        (b'Date,Open\n"2020', "line 2 has 1 fields (2020) but line 1 has 2 column names"),
        (b"{not json", "the file is not JSON: "),
        (b"{}", "expected Alpha Vantage JSON with a 'Time Series (Daily)', found none"),
        (
            b'{"a": 1, "b": 2}',
            "expected Alpha Vantage JSON with a 'Time Series (Daily)', found a, b",
        ),
        (b'{"Time Series (Daily)": [1]}', "expected Alpha Vantage JSON"),
        (b'{"Time Series (Daily)": {"2020-01-01": 3}}', "expected Alpha Vantage JSON"),
        (b'{"Time Series (Daily)": {}}', "expected Alpha Vantage JSON"),
        (
            b'{"Time Series (Daily)": {"2020-01-01": {"1. open": 3}, "2020-01-02": {"2. low": 3}}}',
            "the entry of 2020-01-02 has other fields than the first",
        ),
        (b'{"Error Message": "Invalid API call."}', "Alpha Vantage says: Invalid API call."),
        (b'{"Note": "Thank you\\n for using."}', "Alpha Vantage says: Thank you for using."),
        (b'{"Information": "premium"}', "Alpha Vantage says: premium"),
    ],
)
def test_files_that_are_no_bars(files: Files, content: bytes, expected: str) -> None:
    path = files.write(content)
    with pytest.raises(SourceError) as caught:
        load_bars(path, "csv")
    assert str(caught.value).startswith(f"{path}: {expected}") or expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_odd_line_ends_do_not_shift_the_line_numbers(files: Files) -> None:
    """str.splitlines would end a line at each of these."""
    rows = [[*row, "a\u2028b\x0cc"] for row in PLAIN]
    rows[3][4] = "x"
    text = files.error(render([*NAMES, "Remark"], rows), BadBarsError)
    assert text.startswith("line 5 (2020-01-31): close is text 'x'")


def test_a_path_that_is_no_file(files: Files) -> None:
    with pytest.raises(SourceError, match=r"absent\.csv: there is no such file"):
        load_bars(files.folder / "absent.csv", "csv")
    with pytest.raises(SourceError, match="expected a file, found a folder"):
        load_bars(str(files.folder), "csv")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Date", "Open", "High", "Low", "Clsoe", "Volume"], "column close. Did you mean 'Clsoe'?"),
        (["Day", *NAMES[1:]], "column date. "),
        (["Date", "O", "H", "L", "C", "Volume"], "column open, high, low, close. Known: C, Date"),
        ([*NAMES[:5], "close"], "columns 'Close' and 'close' both mean close: keep one."),
        (["A.Open", "B.Open", *NAMES[2:]], "columns 'A.Open' and 'B.Open' both mean open"),
    ],
)
def test_column_names(files: Files, names: list[str], expected: str) -> None:
    assert expected in files.error(render(names, PLAIN))


def test_more_fields_than_names(files: Files) -> None:
    """pandas would take the first column for an index and shift every name by one."""
    names = ["Date", "Time", *NAMES[1:]]
    rows = [[row[0], "09:31", *row[1:], "0"] for row in PLAIN]
    text = files.error(render(names, rows))
    assert text.startswith("line 2 has 8 fields (2020-01-28,09:31,")
    assert "but line 1 has 7 column names (Date, Time, Open, High, Low, Close, Volume)" in text


def test_a_row_cut_short(files: Files) -> None:
    text = files.error(render(NAMES, [*PLAIN[:3], ["2020-01-31", "11.2"]]))
    assert text.startswith("line 5 has 2 fields (2020-01-31,11.2) but line 1 has 6 column names")


def test_several_symbols(files: Files) -> None:
    text = files.error(render(["Symbol", *NAMES], [["A", *PLAIN[0]], ["B", *PLAIN[1]]]))
    assert text == "expected one symbol, found A, B: save one a file."
    text = files.error(render(["Price", *NAMES[1:]], [["Ticker", *"ABABA"], *PLAIN]))
    assert text == "expected one ticker, found A, B: save one a file."


def test_the_interval_must_be_the_files_own(files: Files) -> None:
    content = render(NAMES, PLAIN)
    assert len(files.load(content, interval="1d")) == 5
    text = files.error(content, interval="1h")
    assert text == "expected 1h bars, found 1d: pass interval='1d' or resample the file."
    one = files.load(render(NAMES, PLAIN[:1]), interval="1h")
    assert one.attrs["interval"] == "1h"


def test_the_range_is_cut(files: Files) -> None:
    bars = files.load(render(NAMES, PLAIN), start="2020-01-29", end="2020-01-30")
    assert len(bars) == 2


def test_the_error_names_the_path_as_given(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write("", "x.csv")
    monkeypatch.chdir(files.folder)
    with pytest.raises(SourceError, match=r"^x\.csv: the file is empty"):
        load_bars("x.csv", "csv")


SAMPLE = sample_bars("AAPL").iloc[:40]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    columns=st.permutations(NAMES),
    rows=st.permutations(range(len(SAMPLE))),
    change=st.sampled_from([str, str.lower, str.upper, str.title, "<{}>".format, "X.{}".format]),
    delimiter=st.sampled_from(",;\t"),
    pattern=st.sampled_from(["%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
@example(NAMES, list(range(40)), str, ",", "%Y-%m-%d", "\n")
def test_round_trip(
    tmp_path: Path, columns: list, rows: list, change, delimiter: str, pattern: str, end: str
) -> None:
    table = SAMPLE.rename(columns=str.title).rename_axis("Date").reset_index()
    table["Date"] = [f"{date:{pattern}}" for date in SAMPLE.index]
    table = table.iloc[rows][columns].rename(columns=change)
    path = tmp_path / "round.csv"
    path.write_text(table.to_csv(sep=delimiter, index=False, lineterminator=end), newline="")
    assert bars_digest(load_bars(path, "csv")) == bars_digest(SAMPLE)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    dialect=st.sampled_from(sorted(DIALECTS)),
    edits=st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 12),
            st.one_of(st.text(max_size=6), st.text('0123456789-/.:,;"\n TZ+', max_size=12)),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_a_damaged_file_gives_bars_or_one_line(
    tmp_path: Path, dialect: str, edits: list[tuple[int, int, str]]
) -> None:
    text = DIALECTS[dialect]
    for at, length, new in edits:
        text = text[:at] + new + text[at + length :]
    path = tmp_path / "damaged.csv"
    path.write_bytes(text.encode(errors="replace"))
    for adjust in (False, True):
        try:
            load_bars(path, "csv", adjust=adjust)
        except NextbarError as error:
            assert str(error).startswith(str(path))  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.one_of(st.text(max_size=60), st.binary(max_size=60)))
@example("Date,Open,High,Low,Close\n2020-01-01,1,1,1,1\n\x1c2,3")
@example('"a\nb",open\n1')
@example("Date,Open,High,Low,Close,Volume\n2020-01-01,1,1,1,1,\u2028 1")
@example('{"a":' * 9000)
@example("Time\n12")
@example("date\tdate")
def test_any_content_gives_bars_or_one_line(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="replace"))
    try:
        load_bars(path, "csv")
    except NextbarError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
