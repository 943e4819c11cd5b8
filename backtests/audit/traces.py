"""What one run of a target showed, bar by bar, and where two runs differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...signals.arrays import BoolArray, FloatArray

__all__ = ["LEVELS", "ROUNDING", "Clash", "Fill", "Trace", "clashes", "differs"]

Level = Literal["line", "score", "direction", "orders", "fills", "position"]

LEVELS: tuple[Level, ...] = ("line", "score", "direction", "orders", "fills", "position")
"""From the bars to the account: a difference at one level spreads to the later ones."""

TOLERANCE = 1e-6
"""Relative; scores of batches of other sizes differ by about 1e-7."""

ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""The same of a model's scores, absolute: a small move or position is what is left of a float32
number near 1."""


@dataclass(frozen=True)
class Fill:
    """One fill of a market order."""

    decided: int
    """Bar on which the order was sent."""
    bar: int
    """Bar on which it was filled."""
    price: float


@dataclass(frozen=True)
class Trace:
    """The values of a run. All arrays are float64 of shape (n_bars,), NaN where there is none."""

    index: pd.DatetimeIndex
    channels: dict[tuple[Level, str], FloatArray]
    """By level and name, in the order in which they are computed."""
    first: int = 0
    """First bar on which the target was ready."""
    own: tuple[tuple[Level, str], ...] = ()
    """The channels that are the target's output, not parts it is made of."""
    fills: tuple[Fill, ...] = ()
    cheats: tuple[str, ...] = ()
    """Settings of broker or cerebro that fill orders on the bar of the decision."""
    unseen_from: dict[str, pd.Timestamp] = field(default_factory=dict[str, pd.Timestamp])
    """For each `direction` channel of a model: the moment from which bars are new to it."""
    models: dict[str, str] = field(default_factory=dict[str, str])
    """For each such channel: the model file or the folder of the chain."""

    def rounding(self, key: tuple[Level, str]) -> float:
        """Return by how much the values of a channel may differ and yet be equal."""
        owner = key[1].rpartition(".")[0]
        return ROUNDING if f"{owner}.direction" in self.models else 0.0

    def moment(self, row: int) -> pd.Timestamp:
        """Return the date of a bar."""
        return pd.Timestamp(self.index[row])  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


@dataclass(frozen=True)
class Clash:
    """One channel that differs between all bars and fewer or changed ones."""

    level: Level
    name: str
    until: int
    """Last bar that both runs share."""
    rows: npt.NDArray[np.intp]
    """Bars up to `until` on which they differ."""
    pair: tuple[float, float]
    """The first two values that differ: on all bars, on the others."""

    @property
    def depth(self) -> int:
        """Bars from the first that differs to the last shared one."""
        return self.until - int(self.rows[0]) + 1


def differs(
    a: FloatArray, b: FloatArray, *, exact: bool = False, rounding: float = 0.0
) -> BoolArray:
    """Return where two channels differ; a missing value equals only a missing one.

    The tolerance is relative to the larger of the two and the channel's usual size, but never
    below `rounding`.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        if not exact:
            finite = np.abs(a[np.isfinite(a)])
            usual = float(np.median(finite)) if len(finite) else 0.0
            scale = np.maximum(np.maximum(np.abs(a), np.abs(b)), usual)
            allowed = TOLERANCE * np.where(np.isfinite(scale), scale, 0.0)
            same |= np.abs(a - b) <= np.maximum(allowed, rounding)
    return ~same


def clashes(whole: Trace, other: Trace, until: int, *, since: int = 0) -> list[Clash]:
    """Return the channels that differ on the bars `since` to `until`, both included."""
    found: list[Clash] = []
    for key, values in whole.channels.items():
        level, name = key
        if key not in other.channels:
            continue
        there = other.channels[key]
        part, exact, rounding = slice(since, until + 1), level == "direction", whole.rounding(key)
        differ = differs(values[part], there[part], exact=exact, rounding=rounding)
        rows = since + np.flatnonzero(differ)
        if len(rows):
            pair = float(values[rows[0]]), float(there[rows[0]])
            found.append(Clash(level, name, until, rows, pair))
    return found
