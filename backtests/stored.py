"""Results of single strategies on disk, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile as _BadZip

import numpy as np
import pandas as pd

from ..signals.store import write_atomic
from .result import Result

__all__ = ["load_result", "save_result"]

SERIES = ("equity", "returns", "position", "direction", "close")
EVENTS = {"orders": ("size", "price", "value", "commission"), "rejected": ("size", "status")}


def save_result(path: Path, result: Result, key: str) -> None:
    """Write `result` under the digest `key` of all that decided it."""
    columns: dict[str, Any] = {
        name: getattr(result, name).to_numpy()
        for name in (*SERIES, *(["score"] if result.score is not None else []))
    }
    for kind, names in EVENTS.items():
        events: pd.DataFrame = getattr(result, kind)
        columns[f"{kind}.date"] = events["date"].to_numpy("datetime64[ns]").astype(np.int64)
        for name in names:
            dtype = np.str_ if name == "status" else np.float64
            columns[f"{kind}.{name}"] = events[name].to_numpy().astype(dtype)
    facts = {"key": key, "name": result.name, "symbol": result.symbol}
    money = np.array([result.cash, result.cost_bps])
    index = pd.DatetimeIndex(result.equity.index).to_numpy("datetime64[ns]").astype(np.int64)
    content = io.BytesIO()
    np.savez_compressed(content, index=index, money=money, **facts, **columns)  # pyright: ignore[reportArgumentType]
    write_atomic(path, content.getvalue())


def load_result(path: Path, key: str) -> Result | None:
    """Return the stored result; None where there is none of that `key`, or it is damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            columns = dict(stored)
        if str(columns["key"]) != key:
            return None
        return _result(columns)
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, _BadZip, zlib.error):
        return None


def _result(columns: dict[str, Any]) -> Result:
    index = pd.DatetimeIndex(columns["index"], name="date")

    def series(name: str) -> Any:
        return pd.Series(columns[name], index, name=name)

    def events(kind: str) -> pd.DataFrame:
        dates = pd.DatetimeIndex(columns[f"{kind}.date"])
        return pd.DataFrame(
            {"date": dates} | {name: columns[f"{kind}.{name}"] for name in EVENTS[kind]}
        )

    cash, cost_bps = columns["money"]
    return Result(
        name=str(columns["name"]),
        symbol=str(columns["symbol"]),
        equity=series("equity"),
        returns=series("returns"),
        position=series("position"),
        direction=series("direction"),
        score=series("score") if "score" in columns else None,
        close=series("close"),
        orders=events("orders"),
        rejected=events("rejected"),
        cash=float(cash),
        cost_bps=float(cost_bps),
    )
