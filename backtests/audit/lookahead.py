"""The checks for what a target knows too early: shorter, changed and streamed histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from .causes import Pulse, cause_of, upstream
from .findings import Finding, Grade, date_of
from .futures import changes, cuts, perturbed, pulsed
from .targets import Target
from .traces import Clash, Trace, clashes, differs

__all__ = [
    "Bench",
    "check_futures",
    "check_repeatable",
    "finding_of",
    "pulse_of",
]

AGAIN, FUTURES = 3, 6
"""Bars, and futures of each, that tell a peek of one bar from knowing the last bar."""

FEW = 5
"""Different values up to which a channel counts as calls."""

Judged = tuple[int, list[Finding]]


@dataclass(frozen=True)
class Bench:
    """A target on its bars, and what the checks learn on the way."""

    target: Target
    frame: pd.DataFrame
    whole: Trace
    seed: int
    tick: Callable[[str], None]
    """Called with the check's name before each of its runs."""
    every_bar: bool = False
    """Whether to cut at every bar, not at some."""
    notes: list[str] = field(default_factory=list[str])
    pulse: dict[tuple[str, str], tuple[int, int]] = field(
        default_factory=dict[tuple[str, str], tuple[int, int]]
    )
    names: dict[tuple[str, str], tuple[str, str]] = field(
        default_factory=dict[tuple[str, str], tuple[str, str]]
    )
    """The cause of each channel that has been found to leak."""
    mixing: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Channels that the batched and the streaming run disagree on."""

    def run(self, frame: pd.DataFrame, check: str, **mode: object) -> Trace:
        """Run the target once for `check`."""
        self.tick(check)
        return self.target.run(frame, check, **mode)


def check_repeatable(bench: Bench) -> Judged:
    """Run the same bars again: what differs by itself cannot be judged by other bars."""
    again = bench.run(bench.frame, "repeat")
    found = upstream(clashes(bench.whole, again, len(bench.frame) - 1))
    cause = "random numbers without a seed, the time, or state kept from the run before"
    return 1, [finding_of(bench, "repeat", found[0], ("not-repeatable", cause))] if found else []


def check_futures(bench: Bench) -> dict[str, Judged]:
    """Run on shortened bars and on changed futures; return what each of the two checks found."""
    points, cut = _truncate(bench)
    places, changed, answer = _perturb(bench)
    only_last = bool(cut) and not changed and all(clash.depth == 1 for clash in cut)
    if only_last:
        changed = _tried_again(bench, cut)
    found = {
        "truncation": _findings(bench, "truncation", cut, points),
        "perturbation": _findings(bench, "perturbation", changed, places),
    }
    if only_last and not changed:
        found["truncation"] = [_last_bar(finding) for finding in found["truncation"]]
    if not answer.any:
        bench.notes.append("Nothing in the target answers to the bars: there was little to judge.")
    if not changed and len(answer.lags) >= 4 and min(answer.lags) >= 1:
        found["perturbation"] += [_stale(bench, min(answer.lags))]
    runs = {"truncation": len(points), "perturbation": len(places)}
    return {check: (runs[check], findings) for check, findings in found.items()}


def _truncate(bench: Bench) -> tuple[list[int], list[Clash]]:
    """Run on the bars up to t for many t: all values and orders up to t must stay."""
    shortest = max(bench.whole.first + 2, 20)
    sent = bench.whole.channels.get(("orders", "units sent"), np.zeros(0))
    orders = np.flatnonzero(sent).tolist()
    points = cuts(len(bench.frame), shortest, orders, every=bench.every_bar)
    found: list[Clash] = []
    for bar in points:
        part = bench.run(bench.frame.iloc[: bar + 1], "truncation")
        found += upstream(clashes(bench.whole, part, bar))
    return points, found


@dataclass
class _Answer:
    """How a target answers to later bars that are changed."""

    any: bool = False
    lags: list[int] = field(default_factory=list[int])


def _perturb(bench: Bench) -> tuple[list[int], list[Clash], _Answer]:
    """Change all bars after t for several t: all values and orders up to t must stay."""
    places = changes(len(bench.frame), bench.whole.first)
    found: list[Clash] = []
    answer = _Answer()
    for after, how in places:
        other = bench.run(perturbed(bench.frame, after, how, bench.seed), "perturbation")
        found += upstream(clashes(bench.whole, other, after))
        answer.any |= bool(clashes(bench.whole, other, len(bench.frame) - 1, since=after + 1))
        if after > bench.whole.first and (lag := _lag(bench, other, after)) is not None:
            answer.lags.append(lag)
    return [after for after, _ in places], found, answer


def _tried_again(bench: Bench, cut: list[Clash]) -> list[Clash]:
    """Change the future of bars that differ only when they are the last ones.

    A peek at the next bar shows there sooner or later; knowing which bar is the last never does.
    """
    bars = sorted({clash.until for clash in cut})
    for after in bars[:: max(1, len(bars) // AGAIN)][:AGAIN]:
        for number in range(FUTURES):
            other = perturbed(bench.frame, after, "noise", bench.seed + 1 + number)
            run = bench.run(other, "perturbation")
            if found := upstream(clashes(bench.whole, run, after)):
                return found
    return []


def _last_bar(finding: Finding) -> Finding:
    cause = "it acts on the last bar of the data, which no live run knows: leave buflen() alone"
    return replace(finding, name="last-bar", grade="fragile", cause=cause)


def _stale(bench: Bench, late: int) -> Finding:
    level, name = next(key for key in bench.whole.own if key[0] in ("line", "score"))
    cause = f"its window ends {late} before the bar of the decision; get(size=n) ends on it"
    where = f"{level}: {name}, bars late"
    return Finding("perturbation", "stale-window", "fragile", where, None, (late, 0), cause)


def _lag(bench: Bench, other: Trace, after: int) -> int | None:
    """Return how many bars pass between a change of the bars and the values' answer.

    Calls and orders change too seldom to tell.
    """
    lags: list[int] = []
    for key in bench.whole.own:
        here, there = bench.whole.channels[key], other.channels[key]
        if key[0] in ("line", "score") and len(np.unique(here[np.isfinite(here)])) > FEW:
            rows = np.flatnonzero(differs(here[after + 1 :], there[after + 1 :]))
            lags += rows[:1].tolist()
    return min(lags, default=None)


def pulse_of(bench: Bench) -> Pulse:
    """Return how each channel answers to one changed bar; run when something has been found."""
    if not bench.pulse:
        row = round(len(bench.frame) * 0.6)
        other = bench.run(pulsed(bench.frame, row), "cause")
        bench.pulse["", ""] = 0, 0
        for clash in clashes(bench.whole, other, len(bench.frame) - 1):
            bench.pulse[clash.level, clash.name] = (
                int(clash.rows[0]) - row,
                int(clash.rows[-1]) - row,
            )
    return bench.pulse


def _findings(
    bench: Bench, check: str, found: Sequence[Clash], tried: Sequence[int]
) -> list[Finding]:
    """Return one finding for each cause, with the clash whose first bar is the earliest."""
    by_channel: dict[tuple[str, str], list[Clash]] = {}
    for clash in upstream(found):
        by_channel.setdefault((clash.level, clash.name), []).append(clash)
    findings: dict[str, Finding] = {}
    for key, group in by_channel.items():
        if key not in bench.names:
            named = cause_of(group, tried, bench.whole, pulse_of(bench))
            if named[0] == "whole-sample-scaler" and key in bench.mixing:
                named = "batch-mixing", "once() normalises by the mean or deviation of its batch"
            bench.names[key] = named
        named = bench.names[key]
        clash = min(group, key=lambda clash: int(clash.rows[0]))
        findings.setdefault(named[0], finding_of(bench, check, clash, named))
    return list(findings.values())


def finding_of(bench: Bench, check: str, clash: Clash, named: tuple[str, str]) -> Finding:
    """Return the finding for a clash."""
    grade: Grade = "fragile" if named[0] == "not-repeatable" else "leak"
    first = date_of(bench.whole.moment(int(clash.rows[0])))
    where = f"{clash.level}: {clash.name}"
    return Finding(check, named[0], grade, where, first, clash.pair, named[1])
