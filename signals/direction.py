"""The base of all direction indicators: batched and streaming from one pure function."""

# backtrader carries no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false
from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import backtrader as bt
import numpy as np

from . import rules
from .arrays import FloatArray, Numbers
from .errors import BarsError, ExperimentError, did_you_mean

__all__ = ["DirectionIndicator", "day_numbers"]

_lineiterator: Any = bt.lineiterator


class DirectionIndicator(bt.Indicator):
    """A direction computed from a finite window of some lines of one data feed.

    A subclass names the lines it reads with `_watch` in its ``__init__`` and gives `_score`, a
    pure function of a block of values. The batched ``once()`` and the streaming ``next()`` both
    call it, so they agree, and a score cannot see past its own window. Subclass those, never
    ``next()``: backtrader would ignore it in its default mode.

    ``direction`` is 0 while warming up and where the score is NaN. A subclass with a third line,
    ``share``, in [0, 1], says as well how much of its target `FollowDirection` is to invest, and
    gives `_share`; it is 1 while warming up.
    """

    # Any: backtrader replaces these class attributes by objects.
    lines: Any = ("direction", "score")
    params: Any = (("dead_band", 0.0),)
    """`dead_band`: distance of the score from its centre within which the direction is 0."""

    plotinfo = {"subplot": True, "plotymargin": 0.1, "plotyhlines": [0.0]}
    plotlines = {"direction": {"ls": "--"}}

    _centre = 0.0
    """Score at which up and down are balanced."""

    def __init__(self, *extra: Any, **unknown: Any) -> None:
        # backtrader has taken data and parameters out by now; what is left fits nothing.
        for name in unknown:
            raise ExperimentError(
                f"{type(self).__name__} has no parameter {name!r}."
                f"{did_you_mean(name, self.p._getkeys())}"
            )
        if extra:
            raise ExperimentError(
                f"{type(self).__name__} takes parameters by name only, found {extra[0]!r}. Known:"
                f" {', '.join(self.p._getkeys())}."
            )
        if len(self.datas) != 1:
            raise BarsError(
                f"{type(self).__name__} takes one data feed, found {len(self.datas)}: backtrader"
                " pairs feeds by position, not by time. Make one indicator for each feed."
            )
        if not self.p.dead_band >= 0:
            raise ExperimentError(f"dead_band must be at least 0, found {self.p.dead_band}.")
        # Looked up once: a line's name costs a microsecond at every bar.
        self._feed: Any = _feed_of(self.data)
        self._times: Any = self._feed.lines.datetime
        self._sized = "share" in self.lines.getlinealiases()
        self._checked = False
        self._memo: tuple[tuple[float, bytes], float, float] | None = None
        super().__init__()

    def _watch(self, sources: Sequence[Any], window: int) -> None:
        """Read `window` values of each of the lines `sources` for a score."""
        self._sources = list(sources)
        self._window = window
        self.addminperiod(window)

    def _score(self, values: FloatArray) -> FloatArray:
        """Return scores of shape (n - window + 1,) for values of shape (n, n_sources)."""
        raise NotImplementedError

    def _direction(self, score: Numbers, times: Numbers) -> Numbers:  # noqa: ARG002
        """Return the directions of scores decided at `times` (backtrader's day numbers).

        Arrays of all bars in batched mode, one number each in streaming mode, where arrays of
        one would take ten times as long.
        """
        return rules.call(score, self._centre, self.p.dead_band)

    def _share(self, score: FloatArray) -> FloatArray:
        """Return the shares of scores, both of shape (n,); for indicators with that line."""
        raise NotImplementedError

    def _check(self, values: FloatArray, times: FloatArray) -> None:
        """Refuse a feed that does not fit, seen at its first full window."""

    def qbuffer(self, savemem: int = 0) -> None:
        """Keep as many dates as values when backtrader keeps only what is needed."""
        super().qbuffer(savemem=savemem)
        self._feed.minbuffer(self._minperiod)

    def prenext(self) -> None:
        """Give no opinion while warming up."""
        self.lines.direction[0] = 0.0
        if self._sized:
            self.lines.share[0] = 1.0

    def next(self) -> None:
        """Score the newest bar; a bar that comes again unchanged is not scored again."""
        time = float(self._times[0])
        values = np.array([line.get(size=self._window) for line in self._sources], np.float64)
        key = time, values.tobytes()
        if self._memo is None or self._memo[0] != key:
            if not self._checked:
                times = np.array(self._times.get(size=self._window), np.float64)
                self._check(values.T, times)
                self._checked = True
            score = float(self._score(values.T)[-1])
            self._memo = key, score, float(self._direction(score, time))
        _, self.lines.score[0], self.lines.direction[0] = self._memo
        if self._sized:
            self.lines.share[0] = float(self._share(np.array([self._memo[1]]))[0])

    def preonce(self, start: int, end: int) -> None:
        """Give no opinion while warming up."""
        end = min(end, len(self.lines.direction.array))
        if start < end:
            np.asarray(self.lines.direction.array)[start:end] = 0.0
            if self._sized:
                np.asarray(self.lines.share.array)[start:end] = 1.0

    def once(self, start: int, end: int) -> None:
        """Score the bars `start` to `end` in one go; a feed too short for a window has none."""
        arrays = [line.array for line in (*self._sources, self._times)]
        if len(arrays[-1]) < self._minperiod:
            warnings.warn(
                f"{len(arrays[-1])} bars, but {type(self).__name__} makes its first call on bar"
                f" {self._minperiod}: there is none. Load an earlier start.",
                stacklevel=2,
            )
        known = min(len(self.lines.score.array), *(len(array) for array in arrays))
        end = min(end, known)
        if start >= end:
            return
        first = start - self._window + 1
        # Copies: backtrader cannot grow a line while a view of it lives.
        block = np.array([np.asarray(array)[first:end] for array in arrays], np.float64)
        values, times = block[:-1].T, block[-1]
        if not self._checked:
            # Judged by the whole feed, which here is known; in streaming mode by the first window.
            whole = np.array([np.asarray(array)[:known] for array in arrays], np.float64)
            whole = whole[:, np.isfinite(whole[-1])]  # `lookahead` adds empty bars at the end
            self._check(whole[:-1].T, whole[-1])
            self._checked = True
        score = self._score(values)
        np.asarray(self.lines.score.array)[start:end] = score
        direction = self._direction(score, times[self._window - 1 :])
        np.asarray(self.lines.direction.array)[start:end] = direction
        if self._sized:
            np.asarray(self.lines.share.array)[start:end] = self._share(score)

    def _line(self, name: str) -> Any:
        """Return the line `name` of the input, or say that it has none."""
        line = getattr(self.data.lines, name, None)
        if line is None:
            raise BarsError(
                f"{type(self).__name__} reads the line {name!r}, which its input"
                f" {type(self.data).__name__} does not have. Give it the data feed."
            )
        return line


def day_numbers(times: Iterable[dt.datetime]) -> FloatArray:
    """Return naive `times` in backtrader's day numbers, equal to those of its feeds."""
    return np.array([bt.date2num(time) for time in times], np.float64)


def _feed_of(data: Any) -> Any:
    """Return the data feed that gives `data`, itself or below other indicators, its dates."""
    if isinstance(data, _lineiterator.MultiCoupler):
        raise BarsError(
            "expected a data feed, found a coupled one such as data1(), which backtrader's default"
            " mode fills with NaN. Pass the feed itself, such as data1."
        )
    while not hasattr(data.lines, "datetime"):
        data = getattr(data, "_clock", None)
        if data is None:
            raise BarsError("expected a data feed or an indicator on one, found a single line.")
    return data
