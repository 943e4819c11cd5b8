"""The disk cache: it answers only what it surely covers, and never hides that it could not."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nextbar.signals.bars import bars_digest, check_bars, slice_bars
from nextbar.signals.errors import BarsError, SourceError
from nextbar.signals.sources import cache
from nextbar.signals.sources.request import Request

TODAY = pd.Timestamp("2024-03-14")  # a Thursday


class Server:
    """A source that can be unplugged and counts what it is asked."""

    def __init__(self, freq: str = "B", until: str = "2024-03-14") -> None:
        self.asked: list[Request] = []
        self.online = True
        index = pd.date_range("2020-01-01", until, freq=freq)
        # Thirds have no short decimal form: the cache must keep every bit.
        close = 100 + np.arange(len(index)) / 3
        data = {"open": close, "high": close * 1.01, "low": close / 1.01, "close": close}
        frame = pd.DataFrame({**data, "volume": 7.0}, index=index)
        frame.attrs = {"symbol": "X", "adjustment": "raw", "notes": ["from the server"]}
        self.bars = check_bars(frame)

    def fetch(self, request: Request) -> pd.DataFrame:
        self.asked.append(request)
        if not self.online:
            raise SourceError("server X: no connection, perhaps offline.")
        return slice_bars(self.bars.copy(), request.start, request.end)

    def load(
        self, start: str | None, end: str | None, interval: str = "1d", **more
    ) -> pd.DataFrame:
        request = Request(
            more.pop("symbol", "X"),
            None if start is None else pd.Timestamp(start),
            None if end is None else pd.Timestamp(end),
            interval,
            more.pop("adjust", False),
            **more,
        )
        return cache.through_cache("server", request, self.fetch)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEXTBAR_CACHE", str(tmp_path / "cache"))
    set_today(monkeypatch, TODAY)
    return tmp_path / "cache" / "server"


def set_today(monkeypatch: pytest.MonkeyPatch, day: pd.Timestamp) -> None:
    monkeypatch.setattr(cache, "utc_today", lambda: day)


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_second_call_needs_no_network(server: Server) -> None:
    first = server.load("2021-01-01", "2022-12-31")
    server.online = False
    second = server.load("2021-01-01", "2022-12-31")
    pd.testing.assert_frame_equal(first, second)
    assert bars_digest(first) == bars_digest(second)
    assert first.attrs == second.attrs
    assert second.attrs["notes"] == ["from the server"]
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("start", "end", "covered"),
    [
        ("2021-01-01", "2022-12-31", True),
        ("2021-06-01", "2022-06-01", True),
        ("2021-06-01 10:00", "2022-12-31 15:00", True),
        ("2020-12-31", "2022-12-31", False),
        ("2021-01-01", "2023-01-01", False),
        (None, "2022-12-31", False),
        ("2021-01-01", None, False),
        ("2023-06-01", "2023-07-01", False),
    ],
)
def test_only_what_is_covered_is_used(
    server: Server, start: str | None, end: str | None, covered: bool
) -> None:
    server.load("2021-01-01", "2022-12-31")
    bars = server.load(start, end)
    assert len(server.asked) == (1 if covered else 2)
    expected = slice_bars(
        server.bars, start and pd.Timestamp(start), pd.Timestamp(end or TODAY - cache.DAY)
    )
    pd.testing.assert_frame_equal(bars, expected)


def test_from_the_first_bar_covers_any_start(server: Server) -> None:
    server.load(None, "2022-12-31")
    server.online = False
    assert len(server.load(None, "2022-12-31")) > len(server.load("1990-01-01", "2021-01-01"))


@pytest.mark.parametrize("other", [{"symbol": "Y"}, {"adjust": True}, {"interval": "1wk"}])
def test_series_are_kept_apart(server: Server, other: dict) -> None:
    server.load("2021-01-01", "2022-12-31")
    server.load("2021-01-01", "2022-12-31", **other)
    assert len(server.asked) == 2


def test_symbols_may_hold_any_character(server: Server, folder: Path) -> None:
    for symbol in ("^GSPC", "BRK/B", "../x", "EURUSD=X", "A_1d"):
        server.load("2021-01-01", "2022-12-31", symbol=symbol)
    assert len(list(folder.iterdir())) == 5
    assert not (folder.parent.parent / "x").exists()
    server.online = False
    server.load("2021-01-01", "2022-12-31", symbol="brk/b")


def test_refresh_fetches_again_and_replaces(server: Server) -> None:
    server.load("2021-01-01", "2022-12-31")
    server.bars = check_bars(server.bars * 2)
    server.bars.attrs["notes"] = []
    fresh = server.load("2021-01-01", "2022-12-31", refresh=True)
    server.online = False
    assert bars_digest(server.load("2021-01-01", "2022-12-31")) == bars_digest(fresh)
    assert fresh["volume"].iloc[0] == 14


def test_a_failed_refresh_keeps_what_there_was(server: Server) -> None:
    server.load("2021-01-01", "2022-12-31")
    server.online = False
    with pytest.raises(SourceError, match="end='2022-12-31' would use it"):
        server.load("2021-01-01", "2022-12-31", refresh=True)
    server.load("2021-01-01", "2022-12-31")


def test_offline_without_a_cache(server: Server) -> None:
    server.online = False
    with pytest.raises(SourceError) as caught:
        server.load("2021-01-01", None)
    assert str(caught.value) == (
        "server X: no connection, perhaps offline. The cache holds no X 1d bars."
    )


@pytest.mark.parametrize(
    ("cached", "start", "end", "advice"),
    [
        ("2021-01-01", "2021-01-01", None, "from 2021-01-01 to 2022-12-31: end='2022-12-31'"),
        ("2021-01-01", "2021-06-01", "2023-06-01", "to 2022-12-31: end='2022-12-31'"),
        ("2021-01-01", None, None, "start='2021-01-01', end='2022-12-31'"),
        ("2021-01-01", "2020-06-01", "2022-01-01", "start='2021-01-01', end='2022-12-31'"),
        (None, "2023-06-01", None, "first bar to 2022-12-31: no start and end='2022-12-31'"),
        (None, None, None, "from its first bar to 2022-12-31: end='2022-12-31'"),
        ("2021-01-01", "2023-06-01", "2023-07-01", "start='2021-01-01', end='2022-12-31'"),
    ],
)
def test_offline_says_what_would_work(
    server: Server, cached: str | None, start: str | None, end: str | None, advice: str
) -> None:
    server.load(cached, "2022-12-31")
    server.online = False
    with pytest.raises(SourceError) as caught:
        server.load(start, end)
    assert "offline" in str(caught.value)
    assert f"{advice} would use it." in str(caught.value)
    use = advice.split(": ")[-1].replace("no start and ", "start=None, ")
    options = {"start": start, **eval(f"dict({use})")}
    assert len(server.load(**options))


def test_offline_names_the_entry_that_reaches_furthest(server: Server) -> None:
    for end in ("2022-06-30", "2023-06-30", "2021-06-30"):
        server.load("2021-01-01", end)
    server.online = False
    with pytest.raises(SourceError, match="to 2023-06-30: end='2023-06-30' would use it"):
        server.load("2021-01-01", None)
    with pytest.raises(SourceError, match="start='2021-01-01', end='2023-06-30' would use it"):
        server.load(None, None)


def test_without_end_it_is_up_to_the_last_final_bar(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = server.load("2024-01-01", None)
    assert bars.index[-1] == TODAY - cache.DAY
    assert bars.attrs["notes"] == ["from the server"]
    server.online = False
    pd.testing.assert_frame_equal(server.load("2024-01-01", None), bars)
    set_today(monkeypatch, TODAY + cache.DAY)
    with pytest.raises(SourceError, match="end='2024-03-13' would use it"):
        server.load("2024-01-01", None)


def test_todays_bar_comes_only_when_named_and_is_never_cached(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        bars = server.load("2024-01-01", "2024-03-14")
        assert bars.index[-1] == TODAY
        assert bars.attrs["notes"][-1] == (
            "bars after 2024-03-13 may still change: they are not cached"
        )
    assert len(server.asked) == 2
    server.online = False
    assert server.load("2024-01-01", "2024-03-13").attrs["notes"] == ["from the server"]
    with pytest.raises(SourceError, match="offline"):
        server.load("2024-01-01", "2024-03-14")
    set_today(monkeypatch, TODAY + 5 * cache.DAY)
    with pytest.raises(SourceError, match="offline"):
        server.load("2024-01-01", "2024-03-14")


def test_an_end_in_the_future_is_never_covered(server: Server) -> None:
    server.load("2024-01-01", "2030-01-01")
    server.load("2024-01-01", "2030-01-01")
    assert len(server.asked) == 2


def test_nothing_final_is_nothing_cached(server: Server, folder: Path) -> None:
    assert len(server.load("2024-03-14", "2024-03-14")) == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    ("interval", "freq", "last"),
    [("1wk", "W-MON", "2024-03-04"), ("1mo", "MS", "2024-02-01"), ("1h", "h", "2024-03-13 23:00")],
)
def test_longer_bars_are_final_later(interval: str, freq: str, last: str) -> None:
    server = Server(freq, until="2024-03-14 15:00")
    bars = server.load("2023-01-02", None, interval)
    assert bars.index[-1] == pd.Timestamp(last)
    server.load("2023-01-02", "2024-03-13", interval)
    # The bar of this week, dated within the range, can still change.
    assert len(server.asked) == (1 if interval == "1h" else 2)


def test_hours_are_cut_from_whole_days() -> None:
    server = Server("h")
    first = server.load("2024-01-02 10:00", "2024-01-04 15:00", "1h")
    assert (first.index[0].hour, first.index[-1].hour) == (10, 15)
    server.online = False
    whole = server.load("2024-01-02", "2024-01-04", "1h")
    assert (whole.index[0].hour, whole.index[-1].hour, len(whole)) == (0, 23, 72)


def test_more_than_asked_for_is_cut(server: Server) -> None:
    everything = server.bars
    bars = cache.through_cache(
        "server",
        Request("X", pd.Timestamp("2021-01-01"), pd.Timestamp("2021-02-01"), "1d", False),
        lambda _: everything.copy(),
    )
    assert bars.index[-1] == pd.Timestamp("2021-02-01")


def test_no_bars_in_the_range(server: Server, folder: Path) -> None:
    with pytest.raises(BarsError, match="no bars from 2010-01-01 to 2011-01-01"):
        server.load("2010-01-01", "2011-01-01")
    assert not folder.exists()


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def flip_a_digit(path: Path) -> None:
    text = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(gzip.compress(text.replace(",7.0\n", ",8.0\n", 1).encode()))


def widen_the_range(path: Path) -> None:
    text = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(gzip.compress(text.replace('"raw"', '"split+dividend"', 1).encode()))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_digit,
        widen_the_range,
        cut_short,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not gzip"),
        lambda path: path.write_bytes(gzip.compress(b"\xff\xfe")),
        lambda path: path.write_bytes(gzip.compress(b"\n")),
    ],
)
def test_a_changed_entry_is_refused(server: Server, folder: Path, damage) -> None:
    before = server.load("2021-01-01", "2022-12-31")
    damage(only(folder))
    with pytest.raises(SourceError) as caught:
        server.load("2021-01-01", "2022-12-31")
    assert str(caught.value) == (
        f"the cache entry {only(folder)} has been changed or damaged: delete it, or use "
        "refresh=True."
    )
    fresh = server.load("2021-01-01", "2022-12-31", refresh=True)
    pd.testing.assert_frame_equal(server.load("2021-01-01", "2022-12-31"), fresh)
    pd.testing.assert_frame_equal(fresh, before)


def test_other_files_in_the_folder_do_not_matter(server: Server, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("X_1d_raw_first.csv.gz", "X_1d_raw_a_b.csv.gz", ".X_1d_raw_1.tmp", "notes.txt"):
        (folder / name).write_text("mine")
    server.load("2021-01-01", "2022-12-31")
    server.online = False
    server.load("2021-01-01", "2022-12-31")


def test_the_entry_says_what_it_is(server: Server, folder: Path) -> None:
    server.load("2021-01-01", "2022-12-31")
    path = only(folder)
    assert path.name == "X_1d_raw_2021-01-01_2022-12-31.csv.gz"
    _, facts, names, *_ = gzip.decompress(path.read_bytes()).decode().split("\n")
    for part in ('"asked":["2021-01-01","2022-12-31"]', '"fetched":"2024-03-14"', '"symbol":"X"'):
        assert part in facts
    assert names == "date,open,high,low,close,volume"
    first = path.read_bytes()
    assert first[4:8] == bytes(4)  # no time stamp: equal bars give equal files
    server.load("2021-01-01", "2022-12-31", refresh=True)
    assert path.read_bytes() == first


def test_a_cache_that_cannot_be_written_is_noted(server: Server, folder: Path) -> None:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file where the folder should be")
    bars = server.load("2021-01-01", "2022-12-31")
    assert bars.attrs["notes"][-1] == "not cached: the cache folder cannot be written to"


def test_the_folder_is_the_users_own_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEXTBAR_CACHE")
    assert cache.cache_folder().name == "nextbar"
