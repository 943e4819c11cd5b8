"""The table: every strategy of one symbol through backtrader, stored and repeated by the replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..signals.bars import bars_digest
from ..signals.chain import Chain, load_chain
from ..signals.errors import NextbarError
from ..signals.latest import open_model
from ..signals.manifest import Rule
from ..signals.store import canonical_json, digest
from ..strategies import BuyAndHold, FollowDirection
from .contenders import Contender, contenders, first_test_bar
from .engine import Account, run
from .experiment import Experiment
from .forecast_results import forecasts_of
from .forecasting import Forecasts
from .models import Models
from .result import Result
from .rivals import RivalRun, run_rivals
from .shadows import Shadows, shadows
from .simulate import simulate
from .stored import load_result, save_result
from .tuning import write_rules

__all__ = ["Part", "differs_from_replay", "run_contender", "run_symbol"]


@dataclass(frozen=True, eq=False)
class Part:
    """All that was run for one symbol."""

    frame: pd.DataFrame
    models: Models
    rules: Mapping[str, tuple[Rule, ...]]
    """By strategy the rule of each fold."""
    results: dict[str, Result]
    """By strategy, placebos included."""
    shadows: Shadows
    forecasts: Mapping[str, Forecasts]
    """By strategy what it forecast, where that is prices."""


def run_symbol(
    experiment: Experiment,
    frame: pd.DataFrame,
    models: Models,
    folder: Path,
    on_result: Callable[[int, int, str], None],
) -> Part:
    """Fit the rules, run every strategy of one symbol, and let the replay repeat each.

    Results found in ``folder/cells`` are taken over when all that decides them is the same.
    `on_result` is called with the strategies done, all of them, and the newest one's name.
    """
    symbol = str(frame.attrs["symbol"])
    home = folder / "rules" / symbol
    rules = write_rules(frame, experiment, home, models.horizon, models.target)
    rivals = run_rivals(frame, experiment, models, folder / "rivals" / symbol)
    field = contenders(frame, experiment, models, home, rivals)
    results: dict[str, Result] = {}
    for contender in field:
        path = folder / "cells" / f"{symbol}-{contender.name}.npz"
        key = _key(experiment, frame, contender, models, home, rivals)
        result = load_result(path, key)
        if result is None or differs_from_replay(frame, contender, result, experiment):
            result = run_contender(experiment, frame, contender)
            save_result(path, result, key)
        results[contender.name] = result
        on_result(len(results), len(field), f"{symbol}, {contender.name}")
    beside = shadows(frame, experiment, models, field)
    start = first_test_bar(frame, experiment)
    forecasts = forecasts_of(frame, models, rivals, start)
    return Part(frame, models, rules, results | beside.results, beside, forecasts)


def differs_from_replay(
    frame: pd.DataFrame, contender: Contender, result: Result, experiment: Experiment
) -> str | None:
    """Return where the replay's account differs from backtrader's in any bit; None where nowhere.

    It holds the array functions, the indicators and the two brokers together, in every run, and
    finds a stored result that was changed.
    """
    bars = frame.iloc[first_test_bar(frame, experiment) :]
    twin = simulate(bars, contender.calls, experiment, name=contender.name)
    for name in ("equity", "returns", "position"):
        mine, theirs = getattr(twin, name).to_numpy(), getattr(result, name).to_numpy()
        if not np.array_equal(mine, theirs):
            when = bars.index[int(np.argmax(mine != theirs))] if len(mine) == len(theirs) else None
            return (
                f"{frame.attrs['symbol']}, {contender.name}: backtrader and its replay differ in"
                f" {name} from {when} on."
            )
    return None


def run_contender(experiment: Experiment, frame: pd.DataFrame, contender: Contender) -> Result:
    """Run a strategy through backtrader on the test bars, and let the replay repeat it.

    Raises
    ------
    NextbarError
        When the two differ, which is an error of nextbar.
    """
    sizing = experiment.model_dump(include={"shorts", "target", "step", "band", "on_zero"})
    if contender.calls.band is not None:
        sizing["band"] = contender.calls.band
    if contender.signal is not None:
        sizing["signal"] = contender.signal
    result = run(
        frame,
        BuyAndHold if contender.signal is None else FollowDirection,
        sizing,
        Account(experiment.cash, experiment.cost_bps),
        name=contender.name,
        first=experiment.test_start,
    )
    if error := differs_from_replay(frame, contender, result, experiment):
        raise NextbarError(f"{error} This is an error of nextbar: please report it.")
    return result


def _key(
    experiment: Experiment,
    frame: pd.DataFrame,
    contender: Contender,
    models: Models,
    rules: Path,
    rivals: Mapping[str, RivalRun],
) -> str:
    """Return the digest of all that decides a result: config, bars, and the calls' origin."""
    origin: Any = contender.name
    if contender.name in models.paths:
        origin = open_model(models.paths[contender.name]).sha256
    elif contender.name in rivals:
        origin = digest(rivals[contender.name].path.read_bytes())
    elif (rules / contender.name).is_dir():
        chain: Chain = load_chain(rules / contender.name)
        origin = chain.sha256
    return digest(canonical_json([experiment.model_dump(mode="json"), bars_digest(frame), origin]))
