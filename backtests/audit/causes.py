"""From where two runs differ to the likely cause, by the pattern of the differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...signals.arrays import FloatArray
from .traces import Clash, Trace

__all__ = ["TIERS", "Pulse", "cause_of", "tier_of", "upstream"]

Pulse = Mapping[tuple[str, str], tuple[int, int]]
"""First and last bar, counted from a changed one, on which a channel answers it."""

TIERS = {"line": 0, "score": 0, "direction": 1, "orders": 2, "fills": 3, "position": 3}
"""Values come before calls, calls before orders: only the first tier that differs is at fault."""

FAR = 40
"""Differences this far back come from statistics of all bars, not from a window."""

PERIODS = {"h": "hour", "D": "day", "W": "week", "M": "month", "Q": "quarter", "Y": "year"}


def tier_of(clash: Clash) -> int:
    """Return the tier of a clash."""
    return TIERS[clash.level]


def upstream(found: Sequence[Clash]) -> list[Clash]:
    """Return the clashes of the earliest tier: later ones only follow from them."""
    lowest = min((tier_of(clash) for clash in found), default=0)
    return [clash for clash in found if tier_of(clash) == lowest]


def cause_of(
    found: Sequence[Clash], tried: Sequence[int], whole: Trace, pulse: Pulse
) -> tuple[str, str]:
    """Return the name of the leak of one channel and its likely cause in a sentence.

    Parameters
    ----------
    found
        The clashes of one channel, at least one.
    tried
        The last shared bars of all runs that were compared.
    whole
        The run on all bars.
    pulse
        How the channels answer to one changed bar.
    """
    level, name = found[0].level, found[0].name
    values = whole.channels[level, name]
    period = _period(found, tried, whole.index)
    if period is not None:
        return (
            "higher-timeframe",
            f"a {period}'s bar stands on all of its days: put it on the last one, when it closes",
        )
    if all(_filled(values, clash) for clash in found):
        return "backfill", "bfill, interpolate or a fill from the end: leave early values missing"
    if _wrapped(found):
        return (
            "wrapped-index",
            "close[-n] before n bars have come counts from the end: addminperiod(n + 1) or wait",
        )
    deepest = max(clash.depth for clash in found)
    if deepest > FAR:
        return _whole_sample(found)
    first, last = pulse.get((level, name), (0, 0))
    bars = f"{deepest} bar{'s' * (deepest > 1)}"
    if last >= 1 and first < 0 and abs(first + last) <= 1:
        return "centred-window", f"rolling(center=True) or the like: it reads {bars} ahead"
    return "future-bar", f"shift(-{deepest}), close[{deepest}] or the like: it reads {bars} ahead"


def _whole_sample(found: Sequence[Clash]) -> tuple[str, str]:
    clash = found[0]
    if clash.level in ("line", "score"):
        return (
            "whole-sample-scaler",
            "mean, deviation, minimum or rank over all bars: use a rolling or expanding one",
        )
    if clash.level == "orders" and _only_sizes(found):
        return (
            "whole-sample-size",
            "sides agree, sizes do not: a volatility target or Kelly share from all bars",
        )
    return (
        "whole-sample-threshold",
        "the values agree, the calls do not: a threshold or quantile taken over all bars",
    )


def _only_sizes(found: Sequence[Clash]) -> bool:
    return all(np.sign(clash.pair[0]) == np.sign(clash.pair[1]) for clash in found)


def _filled(values: FloatArray, clash: Clash) -> bool:
    """Return whether the differing values are all the next one that is known."""
    finite = values[np.isfinite(values)]
    if len(np.unique(finite[:200])) <= 5 or clash.until + 1 >= len(values):  # calls: no telling
        return False
    block = values[clash.rows[0] : clash.until + 2]
    return bool(np.all(block == block[-1]))


def _wrapped(found: Sequence[Clash]) -> bool:
    """Return whether the same early bar differs each time, and little after it."""
    first = int(found[0].rows[0])
    return (
        first < FAR
        and all(
            int(clash.rows[0]) == first
            and int(clash.rows[-1]) <= first + FAR
            and (int(clash.rows[-1]) < clash.until or clash.until < FAR)
            for clash in found
        )
        and any(clash.until - int(clash.rows[-1]) > FAR // 2 for clash in found)
    )


def _period(found: Sequence[Clash], tried: Sequence[int], index: pd.DatetimeIndex) -> str | None:
    """Return the calendar period that all differences stay in, if complete ones have none."""
    clashed = {clash.until for clash in found}
    if len(clashed) < 3 or max(clash.depth for clash in found) < 2:
        return None
    for code, name in PERIODS.items():
        number = index.to_period(code).asi8  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportAttributeAccessIssue]
        inside = all(number[clash.rows[0]] == number[clash.until] for clash in found)
        complete = [bar for bar in tried if number[bar] != number[bar + 1]]
        if inside and len(complete) >= 2 and not clashed & set(complete):
            return name
    return None
