"""The check that batched and streamed runs agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...signals.errors import NextbarError
from .causes import upstream
from .findings import Finding, date_of
from .lookahead import Bench, Judged, finding_of
from .targets import TargetCrashError
from .traces import Clash, Trace, clashes, differs

__all__ = ["check_modes"]


def check_modes(bench: Bench) -> Judged:
    """Compare the batched run with streamed ones, from the first bar on which all are ready."""
    streamed = bench.run(bench.frame, "streaming", runonce=False)
    different = _apart(bench, streamed)
    bench.mixing.update((clash.level, clash.name) for clash in different)
    found: list[Finding] = []
    if different:
        clash = different[0]
        named = "window-skew", _skew(bench.whole, streamed, clash)
        found.append(finding_of(bench, "streaming", clash, named))
    # A leak shows in other checks too; these tell what a live run would do, where it can run.
    without = _optional(bench, "no preload", runonce=False, preload=False)
    if without and not found:
        cause = "arrays are shorter in a live run: it reads buflen(), .array or later bars"
        named = "window-skew", cause
        found.append(replace(finding_of(bench, "no preload", without[0], named), grade="fragile"))
    if kept := _optional(bench, "exactbars", exactbars=1):
        since = date_of(bench.whole.moment(int(kept[0].rows[0])))
        bench.notes.append(
            f"With exactbars=1 {kept[0].name} differs from {since} on: it reads bars that it has"
            " not asked for with addminperiod()."
        )
    return 3, found


def _apart(bench: Bench, streamed: Trace) -> list[Clash]:
    last = len(bench.frame) - 1
    return upstream(clashes(bench.whole, streamed, last, since=bench.whole.first))


def _optional(bench: Bench, check: str, **mode: object) -> list[Clash]:
    """Return the differences in a mode that not every honest target can run in."""
    try:
        return _apart(bench, bench.run(bench.frame, check, **mode))
    except (TargetCrashError, NextbarError) as error:
        bench.notes.append(f"Not judged: {error}")
        return []


def _skew(whole: Trace, streamed: Trace, clash: Clash) -> str:
    """Return how a channel's streamed values come from the batched ones."""
    first = whole.first + 1
    batch, stream = (trace.channels[clash.level, clash.name] for trace in (whole, streamed))
    if not np.isfinite(stream[first:]).any():
        return "next() is missing: streamed runs have no values"
    if not differs(stream[first:], batch[first - 1 : -1]).any():
        return "next() leaves out the newest bar: its window is one bar late"
    if not differs(batch[first:], stream[first - 1 : -1]).any():
        return "once() leaves out the newest bar: its window is one bar late"
    return "once() and next() compute different things: let both call one function of a window"
