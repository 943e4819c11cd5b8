"""Bars from a file: the CSV dialects that people have, and Alpha Vantage's JSON."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pandas as pd

from ..errors import SourceError
from .csv_formats import read_delimited, read_json
from .request import Request
from .table import bars_from_table

__all__ = ["load"]


def load(request: Request) -> pd.DataFrame:
    """Return all bars of the file `request.symbol`.

    Raises
    ------
    SourceError
        A file that cannot be read, has no header, or holds another interval than asked for.
    BarsError
        Rows that break the contract, with their line numbers.
    """
    origin = request.symbol
    text = _read_text(origin)
    read = read_json if text.lstrip().startswith("{") else read_delimited
    table = read(text, origin)
    frame = bars_from_table(table, origin, adjust=bool(request.adjust))
    path = Path(origin)
    frame.attrs["symbol"] = table.symbol or path.name.removesuffix(".gz").rsplit(".", 1)[0]
    held = frame.attrs["interval"]
    if request.interval is not None and held == "unknown":
        frame.attrs["interval"] = request.interval  # one row has no spacing to contradict it
    elif request.interval not in (None, held):
        raise SourceError(
            f"{origin}: expected {request.interval} bars, found {held}: pass interval={held!r} or "
            "resample the file."
        )
    return frame


def _read_text(origin: str) -> str:
    """Return the file's text, unpacked if gzipped, without a byte-order mark."""
    path = Path(origin)
    if path.is_dir():
        raise SourceError(f"{origin}: expected a file, found a folder: name a file in it.")
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise SourceError(f"{origin}: there is no such file: check the path.") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{origin}: the file cannot be read: {reason}.") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SourceError(f"{origin}: the file is UTF-16 text: save it as UTF-8.")
    if b"\0" in content:
        advice = "expected CSV text; a UTF-16 file must be saved as UTF-8"
        raise SourceError(f"{origin}: the file is binary (it holds NUL bytes): {advice}.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{content[error.start]:02x}"
        raise SourceError(
            f"{origin}: line {line} is not UTF-8 text ({byte}): save the file as UTF-8."
        ) from error
    if not text.strip():
        raise SourceError(f"{origin}: the file is empty: expected a header and one row a bar.")
    return text
