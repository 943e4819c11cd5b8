"""Alpha Vantage against a server on this machine: replies, failures, and the key kept secret."""

import gzip
import json
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from nextbar.signals.errors import NextbarError, SourceError
from nextbar.signals.sources import alphavantage, cache, load_bars, network

KEY = "SECRET0123456789"
DAYS = pd.bdate_range("2024-01-01", "2024-03-14")


def payload(adjusted: bool = False) -> dict:
    series = {}
    for i, day in enumerate(DAYS[::-1]):
        close = 100 + i / 8
        entry = {"1. open": close, "2. high": close + 1, "3. low": close - 1, "4. close": close}
        if adjusted:
            entry |= {"5. adjusted close": close / 4, "6. volume": 9, "7. dividend amount": 0}
        else:
            entry |= {"5. volume": 9}
        series[f"{day:%Y-%m-%d}"] = {key: str(value) for key, value in entry.items()}
    return {"Meta Data": {"2. Symbol": "IBM"}, "Time Series (Daily)": series}


class Replies:
    """What the server answers, in turn, the last one for ever; and what it was asked."""

    def __init__(self) -> None:
        self.queue: list[tuple[int, bytes]] = []
        self.asked: list[dict[str, list[str]]] = []

    def set(self, *replies: tuple[int, object]) -> None:
        self.queue = [
            (code, body if isinstance(body, bytes) else json.dumps(body).encode())
            for code, body in replies
        ]

    def next(self, path: str) -> tuple[int, bytes]:
        self.asked.append(parse_qs(urlsplit(path).query))
        return self.queue.pop(0) if len(self.queue) > 1 else self.queue[0]


@pytest.fixture
def replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replies]:
    given = Replies()
    given.set((200, payload()))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = given.next(self.path)
            if code == -2:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:100])
                return
            if code <= 0:
                time.sleep(-code)
                self.close_connection = True  # hang up without a word
                return
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("NEXTBAR_CACHE", str(tmp_path))
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(alphavantage, "URL", f"http://127.0.0.1:{server.server_port}/query")
    monkeypatch.setattr(network, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(cache, "utc_today", lambda: pd.Timestamp("2024-03-14"))
    yield given
    server.shutdown()
    server.server_close()
    thread.join()


def load(**options: object) -> pd.DataFrame:
    return load_bars("ibm", "alphavantage", **options)  # type: ignore[arg-type]


def failure(**options: object) -> str:
    with pytest.raises(NextbarError) as caught:
        load(**options)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(vars(caught.value))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_daily(replies: Replies) -> None:
    bars = load()
    assert list(bars.index) == list(DAYS[:-1])  # today's bar is not final
    assert bars["close"].iloc[-1] == 100.125
    assert bars.attrs == {
        "symbol": "IBM",
        "interval": "1d",
        "adjustment": "raw",
        "notes": ["sorted: the file was newest first"],
    }
    (asked,) = replies.asked
    assert asked == {
        "function": ["TIME_SERIES_DAILY"],
        "symbol": ["IBM"],
        "outputsize": ["full"],
        "apikey": [KEY],
    }


def test_adjusted(replies: Replies) -> None:
    replies.set((200, payload(adjusted=True)))
    bars = load(adjust=True, start="2024-01-01", end="2024-02-01")
    assert replies.asked[0]["function"] == ["TIME_SERIES_DAILY_ADJUSTED"]
    assert bars.attrs["adjustment"] == "split+dividend"
    assert bars["close"].max() < 30
    assert bars["volume"].max() == 9


def test_the_cache_saves_the_second_call_and_holds_no_key(replies: Replies, tmp_path: Path) -> None:
    first = load(start="2024-01-10", end="2024-02-09")
    replies.set((500, b""))
    pd.testing.assert_frame_equal(load(start="2024-01-10", end="2024-02-09"), first)
    assert len(replies.asked) == 1
    entries = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(entries) == 1
    assert KEY not in entries[0].name
    assert KEY.encode() not in gzip.decompress(entries[0].read_bytes())


def test_the_cache_needs_no_key(replies: Replies, monkeypatch: pytest.MonkeyPatch) -> None:
    load(end="2024-02-09")
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY")
    load(end="2024-02-09")
    assert len(replies.asked) == 1


@pytest.mark.parametrize("key", [None, "", "  "])
def test_no_key(replies: Replies, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    if key is None:
        monkeypatch.delenv("ALPHAVANTAGE_API_KEY")
    else:
        monkeypatch.setenv("ALPHAVANTAGE_API_KEY", key)
    assert "set the environment variable ALPHAVANTAGE_API_KEY" in failure()
    assert replies.asked == []


@pytest.mark.parametrize("interval", ["5m", "1wk", "daily"])
def test_only_daily(replies: Replies, interval: str) -> None:
    assert failure(interval=interval) == (
        f"alphavantage brings daily bars: interval must be '1d', found {interval!r}."
    )
    assert replies.asked == []


def test_a_reply_cut_short_is_tried_again(replies: Replies) -> None:
    whole = json.dumps(payload()).encode()
    replies.set((-2, whole), (200, whole))
    assert len(load()) == len(DAYS) - 1
    assert len(replies.asked) == 2


@pytest.mark.parametrize("trouble", [(500, b""), (503, b"busy"), (429, b""), (0, b"")])
def test_passing_trouble_is_tried_again(replies: Replies, trouble: tuple[int, bytes]) -> None:
    replies.set(trouble, trouble, (200, payload()))
    assert len(load()) == len(DAYS) - 1
    assert len(replies.asked) == 3


def test_lasting_trouble_is_given_up(replies: Replies) -> None:
    replies.set((503, b""))
    text = failure()
    assert text.startswith("alphavantage IBM: the server answered 503 Service Unavailable.")
    assert text.endswith("The cache holds no IBM 1d bars.")
    assert len(replies.asked) == network.ATTEMPTS


@pytest.mark.parametrize("code", [400, 403, 404])
def test_a_refusal_is_not_repeated(replies: Replies, code: int) -> None:
    replies.set((code, b""))
    assert f"the server answered {code}" in failure()
    assert len(replies.asked) == 1


@pytest.mark.parametrize("name", ["Error Message", "Note", "Information"])
def test_what_the_service_says_is_quoted(replies: Replies, name: str) -> None:
    said = f"We have detected your API key as {KEY} and\n our limit is 25 a day."
    replies.set((200, {name: said}))
    text = failure()
    assert "Alpha Vantage says: We have detected your API key as *** and our limit" in text
    assert len(replies.asked) == 1


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"", b"\xff\xfe", b"[]", b"{}", b"3"])
def test_replies_that_are_no_bars(replies: Replies, body: bytes) -> None:
    replies.set((200, body))
    assert failure().startswith("alphavantage IBM: ")


def test_bad_prices_are_refused_and_not_cached(replies: Replies, tmp_path: Path) -> None:
    reply = payload()
    reply["Time Series (Daily)"]["2024-01-10"]["2. high"] = "1"
    replies.set((200, reply))
    assert "(2024-01-10): high 1 is below low" in failure()
    assert not list(tmp_path.rglob("*.gz"))


def test_offline(replies: Replies, monkeypatch: pytest.MonkeyPatch) -> None:
    load(end="2024-02-09")
    monkeypatch.setattr(alphavantage, "URL", "http://127.0.0.1:9/query")
    text = failure(end="2024-03-01")
    assert "no connection, perhaps offline" in text
    assert "The cache holds IBM 1d from its first bar to 2024-02-09: end='2024-02-09'" in text


def test_a_slow_server(replies: Replies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alphavantage, "TIMEOUT", 0.05)
    replies.set((-1, b""))
    with pytest.raises(SourceError, match=r"no connection, perhaps offline \(timed out\)"):
        load()
