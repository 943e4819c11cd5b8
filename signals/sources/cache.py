"""The disk cache of the network sources: an entry is used only for what it surely covers.

An entry is one downloaded range, kept as one gzipped file: the SHA-256 of the rest, a line of JSON
that says what it is, and the bars as CSV. Ranges are never joined: adjustment factors change with
every dividend, so two downloads of one symbol need not match.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from ..bars import slice_bars
from ..errors import NextbarError, SourceError
from ..store import canonical_json, digest, write_atomic
from .request import Request
from .table import bars_from_own_csv

__all__ = ["cache_folder", "through_cache"]

FOLDER = "NEXTBAR_CACHE"
DAY = pd.Timedelta(days=1)
# How long after its date a bar can still change.
SPANS = {"1wk": pd.DateOffset(weeks=1), "1mo": pd.DateOffset(months=1)}


def cache_folder() -> Path:
    """Return the folder of the cache: $NEXTBAR_CACHE, else the user's cache folder."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get(FOLDER) or user_cache_dir("nextbar"))


def utc_today() -> pd.Timestamp:
    """Return today's date in UTC, at midnight."""
    return pd.Timestamp(dt.datetime.now(dt.UTC).date())


@dataclass(frozen=True)
class Entry:
    """A cached range: every bar dated from `start` (None: the first there is) to `end`."""

    path: Path
    start: pd.Timestamp | None
    end: pd.Timestamp

    def covers(self, start: pd.Timestamp | None, end: pd.Timestamp) -> bool:
        """Tell whether every bar from `start` to `end` is in the entry."""
        early = self.start is None or (start is not None and self.start <= start)
        return early and end <= self.end


def through_cache(
    source: str, request: Request, fetch: Callable[[Request], pd.DataFrame]
) -> pd.DataFrame:
    """Return the bars asked for, from the cache if it covers them, else from `fetch`.

    Bars that can still change (today's, this week's for weekly bars) are not cached; without an
    `end` they are not asked for. A request that names them is fetched every time.

    Parameters
    ----------
    source
        The source's name, the folder of its entries.
    request
        With `interval` and `adjust` set.
    fetch
        Downloads and checks the bars of a request; may return more than was asked for.

    Raises
    ------
    SourceError
        When `fetch` fails, saying what the cache does hold; when an entry has been changed.
    """
    final = utc_today() - SPANS.get(str(request.interval), DAY)
    start, end = request.start, final if request.end is None else request.end
    # Whole days are fetched and kept; the hours asked for are cut from them.
    whole = replace(
        request,
        symbol=request.symbol.upper(),
        start=None if start is None else start.normalize(),
        end=end.normalize(),
    )
    bars = _whole_days(source, whole, final, fetch)
    return slice_bars(bars, start, end, origin=f"{source} {whole.symbol}")


def _whole_days(
    source: str, request: Request, final: pd.Timestamp, fetch: Callable[[Request], pd.DataFrame]
) -> pd.DataFrame:
    """Return the bars of a request whose start and end are dates; up to `final` they are kept."""
    start, end = request.start, request.end or final
    prefix = _prefix(source, request)
    entries = _entries(prefix)
    if not request.refresh:
        for entry in entries:
            if entry.covers(start, end):
                return _read(entry)
    try:
        frame = fetch(request)
    except SourceError as error:
        raise SourceError(f"{error} {_held(entries, request)}") from error
    frame = slice_bars(frame, start, end, origin=f"{source} {request.symbol}")
    done = frame.loc[frame.index < final + DAY]
    notes: list[str] = frame.attrs["notes"]
    if len(done) and not _save(prefix, request, done, min(end, final)):
        # Without the path: notes go into results, which are the same on every machine.
        notes.append("not cached: the cache folder cannot be written to")
    if len(done) < len(frame):
        notes.append(f"bars after {final.date()} may still change: they are not cached")
    return frame


def _prefix(source: str, request: Request) -> Path:
    """Return the path of the entries of one series, but for the range at its end."""
    kind = "adjusted" if request.adjust else "raw"
    name = f"{quote(request.symbol, safe='')}_{request.interval}_{kind}_"
    return cache_folder() / source / name


def _entries(prefix: Path) -> list[Entry]:
    """Return the entries there are, the one that reaches furthest first."""
    date = r"\d{4}-\d\d-\d\d"
    pattern = re.compile(rf"{re.escape(prefix.name)}(first|{date})_({date})\.csv\.gz")
    found: list[Entry] = []
    if prefix.parent.is_dir():
        for path in sorted(prefix.parent.iterdir()):
            if match := pattern.fullmatch(path.name):
                start = None if match[1] == "first" else pd.Timestamp(match[1])
                found.append(Entry(path, start, pd.Timestamp(match[2])))
    return sorted(found, key=lambda entry: entry.end, reverse=True)


def _held(entries: list[Entry], request: Request) -> str:
    """Return what the cache holds of a series, and which request it would answer."""
    series = f"{request.symbol} {request.interval}"
    if not entries:
        return f"The cache holds no {series} bars."
    first = request.start
    fits = [e for e in entries if e.covers(first, e.end) and (first is None or first <= e.end)]
    best = (fits or entries)[0]
    start = "its first bar" if best.start is None else f"{best.start.date()}"
    use = f"end='{best.end.date()}'"
    if not fits:
        use = f"no start and {use}" if best.start is None else f"start='{start}', {use}"
    return f"The cache holds {series} from {start} to {best.end.date()}: {use} would use it."


def _save(prefix: Path, request: Request, frame: pd.DataFrame, end: pd.Timestamp) -> bool:
    """Write an entry; return whether that worked."""
    start = "first" if request.start is None else str(request.start.date())
    facts: dict[str, Any] = {
        "source": prefix.parent.name,
        "asked": [start, str(end.date())],
        "bars": [str(frame.index[0]), str(frame.index[-1])],
        "fetched": str(utc_today().date()),
        **{str(key): value for key, value in frame.attrs.items()},
    }
    rest = canonical_json(facts) + "\n" + frame.to_csv()
    content = gzip.compress(f"{digest(rest)}\n{rest}".encode(), mtime=0)
    try:
        write_atomic(f"{prefix}{start}_{end.date()}.csv.gz", content)
    except NextbarError:
        return False
    return True


def _read(entry: Entry) -> pd.DataFrame:
    """Return the bars of an entry, which must be what was written."""
    try:
        text = gzip.decompress(entry.path.read_bytes()).decode()
        seal, _, rest = text.partition("\n")
        if digest(rest) != seal:
            raise ValueError
        facts, _, body = rest.partition("\n")
        stored = json.loads(facts)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise SourceError(
            f"the cache entry {entry.path} has been changed or damaged: delete it, or use "
            "refresh=True."
        ) from error
    attrs = {key: stored[key] for key in ("symbol", "interval", "adjustment", "notes")}
    return bars_from_own_csv(body, attrs, str(entry.path))
