"""The checks for how results come about: fills, delay, warm-up, price level, training dates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...signals.arrays import FloatArray
from ...signals.errors import NextbarError
from .cards import AS_THEY_ARE, level_model
from .causes import TIERS
from .findings import Finding, date_of
from .futures import scaled
from .lookahead import Bench, Judged
from .targets import TargetCrashError
from .traces import Trace, differs

__all__ = ["check_delay", "check_fills", "check_in_sample", "check_price_level", "check_warm_up"]

SURE = 3.0
"""t-value of the mean gross return from which a profit is worth a question."""

KEPT = 0.5
"""Share of such a profit that must survive a delay of one bar."""

TAIL = 20
"""Last bars that must not depend on where the history starts."""

LONG = 10
"""Times the declared warm-up; an exponential average of n bars settles within about 7 n."""


def check_fills(bench: Bench) -> Judged:
    """Look for orders that fill at a price of the bar they were decided on."""
    whole, opens = bench.whole, bench.frame["open"].to_numpy(np.float64)
    closes = bench.frame["close"].to_numpy(np.float64)
    early = [
        fill
        for fill in whole.fills
        if fill.bar <= fill.decided
        or (fill.price == closes[fill.decided] and fill.price != opens[fill.bar])
    ]
    cause = "decide at the close and fill at the next open: leave cheat-on-close and -open off"
    if whole.cheats:
        cause = f"{' and '.join(whole.cheats)} is on; {cause}"
    if not early and not whole.cheats:
        return len(whole.fills), []
    values: tuple[float | str | None, float | str | None] = "no fill", None
    first = None
    if early:
        fill = early[0]
        first = date_of(whole.moment(fill.decided))
        after = fill.decided + 1
        values = fill.price, float(opens[after]) if after < len(opens) else None
    finding = Finding("fills", "same-bar-fill", "leak", "fills: orders", first, values, cause)
    return max(len(whole.fills), 1), [finding]


def check_in_sample(bench: Bench) -> Judged:
    """Look for calls that a model makes on bars up to its card's `train_end`."""
    findings: list[Finding] = []
    for name, moment in bench.whole.unseen_from.items():
        calls = bench.whole.channels["direction", name]
        rows = np.flatnonzero((bench.whole.index < moment) & (calls != 0))
        if len(rows):
            cause = f"bars before {date_of(moment)} were in its training: leave in_sample at 'flat'"
            first = date_of(bench.whole.moment(rows[0]))
            values = float(calls[rows[0]]), 0.0
            where = f"direction: {name}"
            findings.append(
                Finding("in-sample", "in-sample-model", "leak", where, first, values, cause)
            )
    return len(bench.whole.unseen_from), findings


def check_delay(bench: Bench) -> Judged:
    """Delay the calls by one bar: a gross profit that collapses is fragile.

    Rule: the mean log return from open to open has a t-value above 3, and the delayed calls keep
    less than half of it.
    """
    held = _held(bench.whole)
    if held is None or not held.any():
        return 0, []
    opens = np.log(bench.frame["open"].to_numpy(np.float64))
    moves = np.diff(opens)
    gross = held[1:-1] * moves[1:]
    delayed = held[:-2] * moves[1:]
    spread = float(gross.std(ddof=1))
    mean = float(gross.mean())
    if spread == 0 or mean * np.sqrt(len(gross)) / spread <= SURE:
        return 1, []
    if float(delayed.mean()) >= KEPT * mean:
        return 1, []
    finding = Finding(
        "delay", "delay-collapse", "fragile", "orders: gross mean log return a bar", None,
        (mean, float(delayed.mean())), "the calls may know the bar that they earn on",
    )  # fmt: skip
    return 1, [finding]


def _held(whole: Trace) -> FloatArray | None:
    """Return the side held from the open of each bar to the next open."""
    for key in whole.own:
        if key[0] == "direction":
            calls = np.nan_to_num(whole.channels[key])
            return np.sign(np.concatenate([[0.0], calls[:-1]]))
    position = whole.channels.get(("position", "position"))
    return None if position is None else np.sign(position)


def check_warm_up(bench: Bench) -> Judged:
    """Start later: the last values must not change once the history is long enough."""
    n, declared = len(bench.frame), bench.whole.first + 1
    keys = [key for key in bench.whole.own if key[0] in ("line", "score", "direction")]
    lengths = [round(declared * x) + TAIL for x in (1.2, 1.5, 2, 3, 4, 6, 8, 10)]
    lengths += [round(n * 0.6), round(n * 0.75)]
    lengths = sorted({length for length in lengths if 30 <= length <= n * 0.75})
    settled: int | None = None
    runs = 0
    worst: Finding | None = None
    for length in reversed(lengths if keys else []):
        try:
            part = bench.run(bench.frame.iloc[n - length :], "warm-up")
        except (TargetCrashError, NextbarError) as error:
            bench.notes.append(f"Not judged: {error}")
            break
        runs += 1
        worst = _changed_tail(bench, part, keys)
        if worst is not None:
            break
        settled = length - TAIL
    if settled is not None:
        bench.notes.append(
            f"Warm-up: {declared} bars declared; the last values stay from {settled} on."
        )
    if worst is None or (settled is not None and settled <= LONG * declared):
        return runs, []
    needed = max(declared, settled or round(n * 0.75) - TAIL)
    cause = (
        f"more than {needed} bars of history count: a sum or average without end, which differs"
        " between a test and a live run"
    )
    return runs, [replace(worst, cause=cause)]


def _changed_tail(bench: Bench, part: Trace, keys: list[Any]) -> Finding | None:
    """Return a finding for the first channel whose last values changed; values before calls."""
    for key in sorted(keys, key=lambda key: TIERS[key[0]]):
        here, there = bench.whole.channels[key][-TAIL:], part.channels[key][-TAIL:]
        rows = np.flatnonzero(differs(here, there, rounding=bench.whole.rounding(key)))
        if len(rows):
            row = int(rows[0])
            first = date_of(bench.whole.moment(len(bench.frame) - TAIL + row))
            where, pair = f"{key[0]}: {key[1]}", (float(here[row]), float(there[row]))
            return Finding("warm-up", "long-memory", "fragile", where, first, pair, "")
    return None


def check_price_level(bench: Bench) -> Judged:
    """Multiply all prices by 1/4, as a later split would: calls, shares and sides must stay.

    A model whose card says that it sees prices as they are is fragile even when they do.
    """
    by_level = level_model(bench)
    cause = "prices adjusted later carry news of splits and dividends: use ratios of prices"
    cause = cause if by_level is None else AS_THEY_ARE
    other = bench.run(scaled(bench.frame, 0.25), "price level")
    for key, values in bench.whole.channels.items():
        here, there = values, other.channels[key]
        if key == ("orders", "orders sent"):
            here, there = np.sign(here), np.sign(there)
        elif not _free_of_scale(key) and bench.target.has_modes:
            continue
        exact, rounding = key[0] == "direction", bench.whole.rounding(key)
        rows = np.flatnonzero(differs(here, there, exact=exact, rounding=rounding))
        if len(rows):
            first = date_of(bench.whole.moment(rows[0]))
            where = f"{key[0]}: {key[1]}"
            pair = float(here[rows[0]]), float(there[rows[0]])
            finding = Finding("price level", "price-level", "fragile", where, first, pair, cause)
            return 1, [finding]
    if by_level is None:
        return 1, []
    where, pair = f"card: {by_level}, its inputs", ("prices", "ratios")
    return 1, [Finding("price level", "price-level", "fragile", where, None, pair, cause)]


def _free_of_scale(key: tuple[str, str]) -> bool:
    """Return whether a channel of a strategy means the same at any level of prices."""
    return key[0] == "direction" or key[1].endswith(".share")
