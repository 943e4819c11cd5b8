"""Audit one target on bars: all checks, cheap to expensive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from ...signals.bars import check_bars
from ...signals.errors import BarsError
from .cards import check_cards
from .findings import AuditReport, Finding, date_of, make_report
from .lookahead import (
    Bench,
    Judged,
    check_futures,
    check_repeatable,
)
from .modes import check_modes
from .stress import (
    check_delay,
    check_fills,
    check_in_sample,
    check_price_level,
    check_warm_up,
)
from .targets import Target, as_target, find_target, settle_kind

__all__ = ["FEWEST", "audit_target"]

FEWEST = 120
"""Fewer bars than this leave no room for cut points."""

Step = Callable[[str, int, int], None]


def audit_target(
    target: Any,
    bars: pd.DataFrame,
    *,
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
    every_bar: bool = False,
    on_step: Step | None = None,
) -> AuditReport:
    """Audit a strategy, an indicator, a model or a function of bars for look-ahead.

    Parameters
    ----------
    target
        A subclass of bt.Strategy or bt.Indicator or a `functools.partial` of one; a function
        that takes a frame of bars and returns features (a Series, frame or array with a row for
        each bar) or a Cerebro; or text: a model file, FILE.py:NAME or MODULE:NAME.
    bars : DataFrame
        Bars as `check_bars` takes them, at least 120.
    params
        Settings for the class, or keyword arguments for the function.
    seed
        Of the changed futures.
    every_bar
        Cut the history at every bar instead of about 45 of them: slow, and sure to see a target
        that looks ahead on a single bar.
    on_step
        Called before each run with the check's name, the runs done and those expected in all.

    Raises
    ------
    ExperimentError
        When `target` is none of these.
    BarsError
        For too few bars, or when the target is not ready on the first third of them.
    TargetCrashError
        When the target itself raises an error.
    """
    bars = check_bars(bars)
    if len(bars) < FEWEST:
        raise BarsError(
            f"{len(bars)} bars are too few for an audit: at least {FEWEST} are needed. Load an"
            " earlier start."
        )
    found = find_target(target, params) if isinstance(target, str) else _given(target, params)
    found = settle_kind(found, bars)
    counter = _Counter(on_step, 50 + (len(bars) if every_bar else 45))
    counter("first run")
    whole = found.run(bars, "first run")
    if whole.first > len(bars) * 0.6:
        raise BarsError(
            f"{found.name} is ready on bar {whole.first + 1} of {len(bars)}: too few are left to"
            " judge. Load an earlier start."
        )
    bench = Bench(found, bars, whole, seed, counter, every_bar)
    judged = _judge(bench)
    _note_orders(bench)
    return make_report(found.name, found.kind, _facts(bars), judged, bench.notes, seed)


def _given(target: Any, params: Mapping[str, Any] | None) -> Target:
    if isinstance(target, Target):
        return target
    name = "" if not isinstance(target, partial) else target.func.__name__
    return as_target(target, params, name)


def _judge(bench: Bench) -> dict[str, Judged]:
    judged = {"repeat": check_repeatable(bench)}
    if judged["repeat"][1]:
        bench.notes.append("Not repeatable: nothing else can be judged. Fix its random numbers.")
        judged |= {"fills": check_fills(bench), "in-sample": check_in_sample(bench)}
        return judged | _cards(bench)
    if bench.target.has_modes:
        judged["modes"] = check_modes(bench)
    judged |= check_futures(bench)
    if bench.target.has_modes:
        judged["fills"] = check_fills(bench)
        judged["in-sample"] = check_in_sample(bench)
    judged |= _cards(bench)
    judged["delay"] = check_delay(bench)
    judged["warm-up"] = check_warm_up(bench)
    judged["price level"] = check_price_level(bench)
    # Told in the order that explains most: how the modes differ follows from what is known early.
    judged = {name: judged[name] for name in ("repeat", "truncation", "perturbation")} | judged
    return {name: _renamed(bench, part) for name, part in judged.items()}


def _cards(bench: Bench) -> dict[str, Judged]:
    return {"card": check_cards(bench)} if bench.whole.models else {}


def _renamed(bench: Bench, judged: Judged) -> Judged:
    """Call a difference between the modes what the other checks found it to be."""
    runs, findings = judged
    names = {named[0]: named for named in bench.names.values()}
    if "batch-mixing" not in names:
        return judged
    name, cause = names["batch-mixing"]
    same = [
        Finding(f.check, name, f.grade, f.where, f.first, f.values, cause)
        if f.name == "window-skew"
        else f
        for f in findings
    ]
    return runs, same


def _note_orders(bench: Bench) -> None:
    sent = bench.whole.channels.get(("orders", "units sent"))
    if sent is not None and bench.target.kind != "indicator" and not sent.any():
        bench.notes.append("No orders were sent on these bars: orders could not be judged.")


def _facts(bars: pd.DataFrame) -> dict[str, Any]:
    return {
        "symbol": str(bars.attrs["symbol"]),
        "interval": str(bars.attrs["interval"]),
        "bars": len(bars),
        "first": date_of(bars.index[0]),
        "last": date_of(bars.index[-1]),
    }


class _Counter:
    """Counts runs; the number expected is a guess that is never below those done."""

    def __init__(self, on_step: Step | None, expected: int) -> None:
        self._on_step = on_step
        self._expected = expected
        self._done = 0

    def __call__(self, check: str) -> None:
        if self._on_step is not None:
            self._on_step(check, self._done, max(self._expected, self._done + 1))
        self._done += 1
