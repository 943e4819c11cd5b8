"""What the replay adds to the table: placebos, seeds, random callers, other costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..signals.arrays import FloatArray
from ..signals.bars import periods_per_year
from ..signals.chain import load_chain
from ..signals.latest import open_model, uses_of
from .contenders import Contender, calls_of, first_test_bar, foresight, scores_of
from .evidence.shifts import circular_shifts
from .experiment import Experiment
from .metrics import METRICS, exposure, return_summary, turnover
from .models import Models
from .result import Result
from .simulate import (
    Calls,
    account_returns,
    ended_at_nothing,
    rules_of,
    simulate,
    simulate_many,
)

__all__ = ["COSTS", "Shadows", "shadows"]

COSTS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Basis points a side of the cost grid."""


@dataclass(frozen=True, eq=False)
class Shadows:
    """What the replay alone has run for one symbol, on its n test bars."""

    results: dict[str, Result]
    """The placebos ``foresight`` and ``inverted``."""
    seeds: FloatArray
    """Returns of each seed's own calls, shape (seeds, n)."""
    random: FloatArray
    """Returns of the random callers, shape (shifts, n)."""
    random_summary: dict[str, float | int | None]
    """Measures of equal money in every random caller."""
    costs: dict[str, FloatArray]
    """By strategy its returns at each of `COSTS`, shape (costs, n)."""


def shadows(
    frame: pd.DataFrame, experiment: Experiment, models: Models, field: Sequence[Contender]
) -> Shadows:
    """Run the replay's part for one symbol, whose strategies are `field`."""
    start = first_test_bar(frame, experiment)
    bars = frame.iloc[start:]
    bars.attrs.update(frame.attrs)
    calls = {contender.name: contender.calls for contender in field}
    calls["foresight"] = foresight(frame, start)
    calls["inverted"] = replace(calls["lstm"], direction=-calls["lstm"].direction)
    placebos = {
        name: simulate(bars, calls[name], experiment, name=name)
        for name in ("foresight", "inverted")
    }
    random, random_summary = _random(bars, calls["lstm"], experiment)
    return Shadows(
        results=placebos,
        seeds=_seeds(frame, experiment, models, start),
        random=random,
        random_summary=random_summary,
        costs={name: _at_costs(bars, wanted, experiment) for name, wanted in calls.items()},
    )


def _seeds(frame: pd.DataFrame, experiment: Experiment, models: Models, start: int) -> FloatArray:
    """Return what each seed's model would have earned alone; a given file is its own seed."""
    chained = models.paths["lstm"].is_dir()
    numbers = range(_members(models)) if chained else (None,)
    path = models.paths["lstm"]
    head = uses_of(open_model(path)).head
    own = [calls_of(scores_of(path, frame, start, n), head, experiment) for n in numbers]
    directions = np.array([calls.direction for calls in own])
    shares = [calls.share for calls in own if calls.share is not None]
    bars, rules = frame.iloc[start:], rules_of(experiment, own[0].band)
    share = np.array(shares) if shares else None
    done = simulate_many(bars, directions, [experiment.cost_bps], rules, share)
    return ended_at_nothing(account_returns(done.equity, experiment.cash))


def _members(models: Models) -> int:
    return len(load_chain(models.paths["lstm"]).periods[0].models)


def _random(
    bars: pd.DataFrame, calls: Calls, experiment: Experiment
) -> tuple[FloatArray, dict[str, float | int | None]]:
    number, n = experiment.random_shifts, len(calls.direction)
    # A short test has fewer shifts: some come more than once, so that all symbols have as many.
    order = np.resize(circular_shifts(n, number), (number, n))
    share = None if calls.share is None else calls.share[order]
    rules = rules_of(experiment, calls.band)
    cost = [experiment.cost_bps]
    done = simulate_many(bars, calls.direction[order], cost, rules, share)
    returns = ended_at_nothing(account_returns(done.equity, experiment.cash))
    yearly = periods_per_year(bars)
    known: dict[str, Any] = return_summary(pd.Series(returns.mean(axis=0), bars.index), yearly)
    before = np.concatenate([np.zeros((len(returns), 1)), done.position[:, :-1]], axis=1)
    traded = np.abs(done.position - before) * bars["open"].to_numpy(np.float64)
    turnovers = [
        turnover(row, equity, yearly) for row, equity in zip(traded, done.equity, strict=True)
    ]
    known["exposure"] = exposure(done.position[:, 1:].ravel())
    known["turnover"] = _mean(turnovers)
    return returns, {metric.name: known.get(metric.name) for metric in METRICS}


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _at_costs(bars: pd.DataFrame, calls: Calls, experiment: Experiment) -> FloatArray:
    rules = rules_of(experiment, calls.band)
    done = simulate_many(bars, calls.direction[None], COSTS, rules, calls.share)
    return ended_at_nothing(account_returns(done.equity, experiment.cash))
