"""Daily bars from Alpha Vantage; needs a key, which never leaves the request."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from ..errors import SourceError
from .cache import through_cache
from .csv_formats import read_payload
from .network import TransientError, with_retries
from .request import Request
from .table import bars_from_table

__all__ = ["load"]

URL = "https://www.alphavantage.co/query"
KEY = "ALPHAVANTAGE_API_KEY"
TIMEOUT = 30.0  # seconds


def load(request: Request) -> pd.DataFrame:
    """Return daily bars, from the cache where it has them.

    `adjust` asks for the adjusted series, which Alpha Vantage may keep for paying users.

    Raises
    ------
    SourceError
        No key, no network, an interval other than 1d, or what Alpha Vantage answered instead.
    """
    if request.interval not in (None, "1d"):
        found = repr(request.interval)
        raise SourceError(f"alphavantage brings daily bars: interval must be '1d', found {found}.")
    request = replace(request, interval="1d", adjust=bool(request.adjust))
    return through_cache("alphavantage", request, _fetch)


def _fetch(request: Request) -> pd.DataFrame:
    """Download the whole history: the service knows no date range."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise SourceError(
            f"alphavantage needs a key: set the environment variable {KEY} "
            "(a free one: https://www.alphavantage.co/support/#api-key)."
        )
    function = "TIME_SERIES_DAILY_ADJUSTED" if request.adjust else "TIME_SERIES_DAILY"
    query = {"function": function, "symbol": request.symbol, "outputsize": "full", "apikey": key}
    origin = f"alphavantage {request.symbol}"
    payload = with_retries(lambda: _get(f"{URL}?{urlencode(query)}", origin, key))
    frame = bars_from_table(read_payload(payload, origin), origin, adjust=bool(request.adjust))
    frame.attrs |= {"symbol": request.symbol, "interval": "1d"}
    if not request.adjust:
        frame.attrs["adjustment"] = "raw"
    return frame


def _get(url: str, origin: str, key: str) -> Any:
    """Return the decoded reply. No error shows or chains the URL: it holds the key."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    problem: SourceError
    try:
        with urlopen(url, timeout=TIMEOUT) as reply:
            # Refusals quote the key they were asked with.
            text: str = reply.read().decode("utf-8").replace(key, "***")
        return json.loads(text)
    except HTTPError as error:
        kind = TransientError if error.code >= 500 or error.code == 429 else SourceError
        problem = kind(f"{origin}: the server answered {error.code} {error.reason}.")
    except ValueError:
        problem = SourceError(f"{origin}: the server answered with something other than JSON.")
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        problem = TransientError(f"{origin}: no connection, perhaps offline ({reason}).")
    raise problem
