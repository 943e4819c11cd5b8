"""Who takes part: every strategy as an indicator for backtrader and as calls for the replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..signals.arrays import FloatArray
from ..signals.bars import COLUMNS, periods_per_year
from ..signals.baselines import RuleDirection
from ..signals.chain import Chain, load_chain
from ..signals.errors import ExperimentError
from ..signals.heads import CENTRES, Head
from ..signals.indicators import SeriesDirection, indicator_of
from ..signals.latest import open_model, uses_of
from ..signals.rules import call, position_share, volatility_scores, volatility_share
from ..signals.running import VolatilityTargetDirection
from .experiment import Experiment
from .models import Models
from .rivals import RivalRun
from .simulate import Calls

__all__ = [
    "SHARE_BAND",
    "Contender",
    "calls_of",
    "contenders",
    "first_test_bar",
    "foresight",
    "scores_of",
]

VOLATILITY_SPAN = 60
"""Bars over which the volatility-targeted buy & hold weighs returns."""

SHARE_BAND = 0.1
"""A position whose share moves is traded when it is off by more than this share of the account,
else every bar would cost."""


@dataclass(frozen=True, eq=False)
class Contender:
    """A strategy of the table that backtrader runs."""

    name: str
    signal: Callable[..., Any] | None
    """An indicator for `FollowDirection`; None is buy & hold."""
    calls: Calls
    """The same calls from array functions, on the test bars."""
    score: FloatArray | None = None
    """The number behind each call of a model, shape (n,)."""


def first_test_bar(frame: pd.DataFrame, experiment: Experiment) -> int:
    """Return the row of the first bar on which strategies decide."""
    return int(frame.index.searchsorted(pd.Timestamp(experiment.test_start)))


def contenders(
    frame: pd.DataFrame,
    experiment: Experiment,
    models: Models,
    rules: Path,
    rivals: Mapping[str, RivalRun],
) -> list[Contender]:
    """Return the strategies of one symbol; `rules` is the folder of its chains of rules."""
    start, n = first_test_bar(frame, experiment), len(frame)
    found = [_model(frame, experiment, kind, path) for kind, path in models.paths.items()]
    for folder in sorted(path for path in rules.iterdir() if path.is_dir()):
        chain = load_chain(folder)
        found.append(
            Contender(
                folder.name,
                partial(RuleDirection, chain=folder),
                Calls(_directions(chain_scores(chain, frame, start), 0.0, 0.0)),
            )
        )
    found += [
        Contender(name, partial(SeriesDirection, path=run.path), run.calls)
        for name, run in rivals.items()
    ]
    found.append(_volatility(frame, experiment, start))
    found.append(Contender("buy_and_hold", None, Calls(np.ones(n - start, np.int8))))
    return found


def _model(frame: pd.DataFrame, experiment: Experiment, kind: str, path: Path) -> Contender:
    # Another interval or symbol is refused or named by the indicator itself.
    score = scores_of(path, frame, first_test_bar(frame, experiment))
    head = uses_of(open_model(path)).head
    signal = partial(indicator_of(path), model=path, dead_band=experiment.dead_band)
    return Contender(kind, signal, calls_of(score, head, experiment), score)


def calls_of(score: FloatArray, head: Head, experiment: Experiment) -> Calls:
    """Return the calls that a model of `head` makes by its scores, shape (n,)."""
    direction = _directions(score, CENTRES[head], experiment.dead_band)
    if head != "position":
        return Calls(direction)
    return Calls(direction, position_share(score), _share_band(experiment))


def _share_band(experiment: Experiment) -> float:
    return SHARE_BAND if experiment.band is None else experiment.band


def scores_of(path: Path, frame: pd.DataFrame, start: int, seed: int | None = None) -> FloatArray:
    """Return the probabilities of a model or chain from row `start` on; of one seed if named."""
    model = open_model(path)
    if isinstance(model, Chain):
        return chain_scores(model if seed is None else model.only(seed), frame, start)
    bars = frame[list(COLUMNS)].to_numpy(np.float64)
    before = start - model.card.window + 1
    if before < 0:
        raise ExperimentError(
            f"{path}: needs {model.card.window} bars for its first call, {start + 1} are there."
        )
    return model.score(bars[before:])


def chain_scores(chain: Chain, frame: pd.DataFrame, start: int) -> FloatArray:
    """Return the scores of a chain of models or rules from row `start` on."""
    bars = frame[list(COLUMNS)].to_numpy(np.float64)
    return chain.score(bars, pd.DatetimeIndex(frame.index))[start:]


def _directions(score: FloatArray, centre: float, dead_band: float) -> Any:
    return np.asarray(call(score, centre, dead_band)).astype(np.int8)


def _volatility(frame: pd.DataFrame, experiment: Experiment, start: int) -> Contender:
    yearly = round(periods_per_year(frame))
    options: dict[str, Any] = {"span": VOLATILITY_SPAN, "periods": yearly}
    volatility = volatility_scores(frame["close"].to_numpy(np.float64), **options)[start:]
    target = experiment.volatility_target
    share = volatility_share(volatility, target)
    calls = Calls(np.ones(len(volatility), np.int8), share, _share_band(experiment))
    signal = partial(VolatilityTargetDirection, target=target, **options)
    return Contender("volatility", signal, calls)


def foresight(frame: pd.DataFrame, start: int) -> Calls:
    """Return the calls of somebody who knows the next open-to-open move, shape (n,): the ceiling.

    ``sign(open[t+2] - open[t+1])``, the move that an order sent at close t earns; 0 on the last
    two bars, whose move is not over.
    """
    open_ = frame["open"].to_numpy(np.float64)[start:]
    direction = np.zeros(len(open_), np.int8)
    direction[:-2] = np.sign(open_[2:] - open_[1:-1])
    return Calls(direction)
