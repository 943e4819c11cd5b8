"""From the text of a file to a `Table`: delimiters, header forms, Alpha Vantage's JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, cast

from ..errors import SourceError
from .table import Table, canonical

__all__ = ["read_delimited", "read_json", "read_payload"]

SHORT = 60


def read_delimited(text: str, origin: str) -> Table:
    """Return the table in delimited `text`; every row has exactly one field a name.

    Raises
    ------
    SourceError
        No header, only a header, several tickers, or a row of another width than the header.
    """
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if row:
                rows.append([" ".join(field.split()) for field in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise SourceError(f"{origin}: line {reader.line_num} is not CSV: {error}.") from error
    names, symbol, depth = _header(rows, origin)
    rows, lines, header_line = rows[depth:], lines[depth:], lines[0]
    if not rows:
        raise SourceError(f"{origin}: there is a header and no rows: expected one row a bar.")
    named = f"line {header_line} has {len(names)} column names ({', '.join(names)})"
    for row, line in zip(rows, lines, strict=True):
        while len(row) > len(names) and not row[-1]:
            row.pop()  # a delimiter at the end of the line adds no field
        if len(row) != len(names):
            raise SourceError(
                f"{origin}: line {line} has {len(row)} fields ({','.join(row)[:SHORT]}) but "
                f"{named}: each field needs a name, each name a field."
            )
    return Table(names, rows, lines, symbol)


def _header(rows: list[list[str]], origin: str) -> tuple[list[str], str | None, int]:
    """Return the column names, the symbol if the header names it, and the header's row count.

    pandas writes yfinance's two column levels as two lines, "Price,Close,…" over "Ticker,AAPL,…",
    and the index name as a third, "Date,,".
    """
    names, depth = rows[0], 1
    symbol: str | None = None
    if len(rows) > 1 and {rows[0][0].lower(), rows[1][0].lower()} & {"ticker", "symbols"}:
        tickers = rows[1]
        if rows[0][0].lower() in ("ticker", "symbols"):
            names, tickers = tickers, names
        symbols = sorted({ticker for ticker in tickers[1:] if ticker})
        if len(symbols) != 1:
            found = ", ".join(symbols) or "none"
            raise SourceError(f"{origin}: expected one ticker, found {found}: save one a file.")
        names, symbol, depth = ["date", *names[1:]], symbols[0], 2
        if len(rows) > 2 and rows[2][0] and not any(rows[2][1:]):
            depth = 3
    if not any(canonical(name) for name in names):
        shown = ", ".join(names)[:SHORT]
        raise SourceError(
            f"{origin}: line 1 has no known column name, found {shown!r}: the first line must name "
            "the columns, such as Date,Open,High,Low,Close,Volume."
        )
    return names, symbol, depth


def read_json(text: str, origin: str) -> Table:
    """Return the table in Alpha Vantage's JSON `text`.

    Raises
    ------
    SourceError
        For text that is not JSON, an error message of the service, or another kind of JSON.
    """
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{origin}: the file is not JSON: {error}.") from error
    return read_payload(payload, origin)


def read_payload(payload: Any, origin: str) -> Table:
    """Return the table in a decoded Alpha Vantage reply; see `read_json`."""
    reply = cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
    for key in ("Error Message", "Note", "Information"):
        if key in reply:
            raise SourceError(f"{origin}: Alpha Vantage says: {' '.join(str(reply[key]).split())}")
    entries = _entries(next((v for k, v in reply.items() if "Time Series" in k), None))
    if not entries:
        found = ", ".join(reply)[:SHORT] or "none"
        raise SourceError(
            f"{origin}: expected Alpha Vantage JSON with a 'Time Series (Daily)', found {found}."
        )
    keys = list(next(iter(entries.values())))
    for date, entry in entries.items():
        if list(entry) != keys:
            raise SourceError(
                f"{origin}: the entry of {date} has other fields than the first: "
                f"expected {', '.join(keys)}, found {', '.join(entry)[:SHORT]}."
            )
    rows = [[date, *(str(v).strip() for v in entry.values())] for date, entry in entries.items()]
    meta: Any = reply.get("Meta Data")
    facts = cast("dict[str, Any]", meta) if isinstance(meta, dict) else {}
    symbol = next((str(v) for k, v in facts.items() if k.endswith("Symbol")), None)
    return Table(["date", *keys], rows, None, symbol)


def _entries(series: Any) -> dict[str, dict[str, Any]]:
    """Return a series of fields by date, or {} if that is not what it is."""
    if not isinstance(series, dict):
        return {}
    entries = cast("dict[str, Any]", series)
    return entries if all(isinstance(entry, dict) for entry in entries.values()) else {}
