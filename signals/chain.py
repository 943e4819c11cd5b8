"""Chains: a folder of models, or a list of rules, each valid for its own dates.

That is what walking forward leaves: every period is called by models trained before it. The
folder holds the model files and ``chain.json``, which names them with their digests.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .arrays import FloatArray
from .direction import day_numbers
from .errors import ModelError
from .folder import check_digest, content_digest, inside, read_manifest
from .heads import CENTRES, Head
from .manifest import FileFacts, Manifest, Period, Rule, check_files, check_periods, facts_of
from .model import MANIFEST, Model, load_model
from .rules import first_call, rule_scores
from .store import canonical_json, digest, write_atomic

__all__ = ["Chain", "Period", "Rule", "load_chain", "write_chain"]


@dataclass(frozen=True)
class Chain:
    """A verified chain. It pickles as its path; models are loaded when a date needs them."""

    path: Path
    """The folder."""
    sha256: str
    """Digest of the manifest, which holds the digest of every model file."""
    periods: tuple[Period, ...]
    files: Mapping[str, FileFacts]
    member: int | None = None
    """Which model of every period `only` has kept; None for all."""
    _loaded: dict[tuple[int, int], list[Model]] = field(
        default_factory=dict[tuple[int, int], list[Model]], init=False, repr=False, compare=False
    )

    @cached_property
    def window(self) -> int:
        """Bars needed for the first score: the largest of all models or rules."""
        wanted = [facts.window for facts in self.files.values()]
        return max([*wanted, *map(first_call, self.rules)])

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The rule of each period; empty for a chain of models."""
        return tuple(period.rule for period in self.periods if period.rule is not None)

    @property
    def centre(self) -> float:
        """Score at which up and down are balanced: that of the models' head, 0 for rules."""
        return 0.0 if self.rules else CENTRES[self.head]

    @property
    def head(self) -> Head:
        """What the models say; rules call directions."""
        heads: list[Head] = [facts.head for facts in self.files.values()]
        return heads[0] if heads else "direction"

    @property
    def columns(self) -> tuple[tuple[str, int], ...]:
        """Fields and bars ahead of the models' forecasts; empty for other heads."""
        return next((facts.columns for facts in self.files.values()), ())

    @property
    def uses_volume(self) -> bool:
        """Whether the models use volume; rules do not."""
        return any(facts.uses_volume for facts in self.files.values())

    @property
    def interval(self) -> str:
        """Spacing of the bars the models are for; "" for rules, which take any."""
        return next((facts.interval for facts in self.files.values()), "")

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that every model was trained on; empty for rules."""
        lists = [facts.symbols for facts in self.files.values()]
        return tuple(name for name in (lists[0] if lists else ()) if all(name in s for s in lists))

    @property
    def known_flaws(self) -> tuple[str, ...]:
        """The leaks and mistakes that any of the models names on its card."""
        return tuple(dict.fromkeys(f for facts in self.files.values() for f in facts.known_flaws))

    @property
    def unseen_from(self) -> dt.datetime:
        """The start of the first period: bars before it are in-sample."""
        return self.periods[0].start

    @cached_property
    def _starts(self) -> FloatArray:
        return day_numbers([period.start for period in self.periods])

    @cached_property
    def _end(self) -> float:
        end = self.periods[-1].end
        return np.inf if end is None else float(day_numbers([end])[0])

    def period_of(
        self, times: FloatArray | pd.DatetimeIndex, *, early: bool = False
    ) -> npt.NDArray[np.intp]:
        """Return the number of the period that each of `times` lies in, shape (n,), else -1.

        Numbers are backtrader's day numbers. `early` counts what is before the first period to it.
        """
        if isinstance(times, pd.DatetimeIndex):
            times = day_numbers(times)
        period = np.searchsorted(self._starts, times, side="right") - 1
        if early:
            period = np.maximum(period, 0)
        return np.where(times < self._end, period, -1)  # NaN is below nothing

    def score(
        self, bars: FloatArray, times: FloatArray | pd.DatetimeIndex, *, early: bool = False
    ) -> FloatArray:
        """Return the score of every bar: the mean over its models.

        Parameters
        ----------
        bars : ndarray of shape (n, 5), or (n, 4) when the models use no volume
            Raw open, high, low, close, volume, oldest first; for rules from the first bar on.
        times : DatetimeIndex of length n, or ndarray of shape (n,)
            When each bar ends; numbers are backtrader's day numbers.
        early : bool
            Score bars before the first period as well, by that period's models, which may have
            been trained on them.

        Returns
        -------
        ndarray of shape (n,), float64
            The mean is taken in float64. NaN outside the periods, on the first ``window - 1``
            bars, and where the window of one of the models holds an unusable bar.

        Raises
        ------
        ModelError
            When a model file is missing or was changed. Only those that the bars need are loaded.
        """
        period = self._periods(times, early)
        if self.rules:
            return self._rule_scores(bars[:, 3], period)
        return self._means(bars, period, (), Model.score)

    def forecast(self, bars: FloatArray, times: FloatArray | pd.DatetimeIndex) -> FloatArray:
        """Return the mean forecast of every bar over its models, shape (n, k); see `score`.

        Raises
        ------
        ModelError
            When the models forecast no prices; and as `score` does.
        """
        if self.head != "forecast":
            raise ModelError(f"{self.path}: expected models that forecast prices, found none.")
        return self._means(bars, self._periods(times), (len(self.columns),), Model.forecast)

    def _periods(
        self, times: FloatArray | pd.DatetimeIndex, early: bool = False
    ) -> npt.NDArray[np.intp]:
        period = self.period_of(times, early=early)
        period[: self.window - 1] = -1
        return period

    def _means(
        self,
        bars: FloatArray,
        period: npt.NDArray[np.intp],
        shape: tuple[int, ...],
        ask: Callable[[Model, FloatArray], FloatArray],
    ) -> FloatArray:
        means = np.full((len(bars), *shape), np.nan)
        for k, start, stop in _runs(period):
            members = self._models(k)
            total = np.zeros((stop - start, *shape))
            for model in members:
                total += ask(model, bars[start - model.card.window + 1 : stop])
            means[start:stop] = total / len(members)
        return means

    def only(self, k: int) -> Chain:
        """Return the chain of the k-th model of every period: one seed."""
        if not 0 <= k < len(self.periods[0].models) or self.member is not None:
            raise ModelError(
                f"{self.path}: expected one of {len(self.periods[0].models)} models of each period,"
                f" counted from 0, found {k}."
            )
        periods = tuple(p.model_copy(update={"models": (p.models[k],)}) for p in self.periods)
        files = {name: self.files[name] for period in periods for name in period.models}
        text = canonical_json(Manifest(files=files, periods=periods).model_dump(mode="json"))
        return Chain(self.path, digest(text), periods, files, member=k)

    def _rule_scores(self, close: FloatArray, period: npt.NDArray[np.intp]) -> FloatArray:
        scores = np.full(len(close), np.nan)
        for rule in dict.fromkeys(self.rules):
            mine = np.array([rule == other for other in self.rules])
            rows = (period >= 0) & mine[period]
            scores[rows] = rule_scores(rule, close)[rows]
        return scores

    def _models(self, k: int) -> list[Model]:
        key = os.getpid(), k
        if key not in self._loaded:
            self._loaded[key] = [self._verified(name) for name in self.periods[k].models]
        return self._loaded[key]

    def _verified(self, name: str) -> Model:
        facts = self.files[name]
        model = _open(os.getpid(), inside(self.path, name), facts.sha256)
        if facts_of(model.card, model.sha256) != facts:
            raise ModelError(
                f"{self.path / MANIFEST}: says of {name} what its card does not. Write the chain"
                " anew with write_chain."
            )
        return model

    def __reduce__(self) -> tuple[Any, tuple[str, int | None]]:
        return _reload, (str(self.path), self.member)


def load_chain(folder: str | Path) -> Chain:
    """Load the chain in `folder` and check every file's digest; no model is run yet.

    Raises
    ------
    ModelError
        For a missing folder or manifest, one of another schema, periods with gaps or overlaps, a
        missing, changed or escaping file, models that do not fit each other or that have seen the
        dates they are used on.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_periods(manifest.periods, str(folder))
    check_files(manifest.periods, manifest.files, str(folder))
    for name, facts in manifest.files.items():
        check_digest(content_digest(inside(folder, name)), facts.sha256, folder / name)
    text = canonical_json(manifest.model_dump(mode="json"))
    return Chain(folder.resolve(), digest(text), manifest.periods, manifest.files)


def write_chain(folder: str | Path, periods: Sequence[Period]) -> Chain:
    """Write the manifest of the model files in `folder`, or of rules, and return the chain.

    Every model is loaded and verified. The manifest is written last and in one piece.

    Raises
    ------
    ModelError
        As `load_chain`, before anything is written.
    """
    folder, files = Path(folder), dict[str, FileFacts]()
    check_periods(periods, str(folder))
    for name in dict.fromkeys(name for period in periods for name in period.models):
        model = load_model(inside(folder, name))
        files[name] = facts_of(model.card, model.sha256)
    check_files(periods, files, str(folder))
    manifest = Manifest(files=files, periods=tuple(periods))
    write_atomic(folder / MANIFEST, canonical_json(manifest.model_dump(mode="json")))
    return load_chain(folder)


@lru_cache(maxsize=256)
def _open(pid: int, path: Path, sha256: str) -> Model:  # noqa: ARG001
    """Return the model of that digest; a forked child opens a session of its own."""
    model = load_model(path)
    check_digest(model.sha256, sha256, path)
    return model


def _runs(period: npt.NDArray[np.intp]) -> Iterator[tuple[int, int, int]]:
    """Yield period, first row and the row after the last of all runs of one period."""
    borders = np.flatnonzero(np.diff(period)) + 1
    for start, stop in pairwise([0, *borders.tolist(), len(period)]):
        if start < stop and period[start] >= 0:
            yield int(period[start]), start, stop


def _reload(path: str, member: int | None) -> Chain:
    chain = load_chain(path)
    return chain if member is None else chain.only(member)
