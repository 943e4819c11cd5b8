"""The comparison: same bars, same first bar, same costs and sizing, four strategies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..signals.bars import check_bars
from ..signals.errors import BarsError, ExperimentError
from ..signals.indicators import EMADirection, LSTMDirection, MomentumDirection
from ..signals.store import canonical_json, write_atomic
from ..strategies import BuyAndHold, FollowDirection
from .engine import Account, run
from .experiment import Experiment, run_hash
from .models import ModelRecord, record_of_file, train_model
from .outputs import tidy
from .report import available, render
from .result import Result
from .summarise import summarise

if TYPE_CHECKING:
    from ..training.fit import Epoch

__all__ = ["Comparison", "Step", "compare"]

FILES = ("results.json", "returns.csv")

REPORT = "report.html"
"""Written when the extra ``[compare]`` is installed."""


@dataclass(frozen=True)
class Step:
    """One piece of a comparison that has been done, for showing progress."""

    symbol: str
    what: str
    """``epoch``, ``model``, or the name of a strategy."""
    epoch: Epoch | None = None
    """Given when `what` is ``epoch``."""


@dataclass(frozen=True)
class Comparison:
    """A finished comparison, new or found on disk."""

    folder: Path
    summary: dict[str, Any]
    """What ``results.json`` holds."""
    resumed: bool
    """Whether all of it was found finished."""


def compare(
    experiment: Experiment,
    bars: Mapping[str, pd.DataFrame],
    *,
    runs: str | Path = "runs",
    model: str | Path | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Comparison:
    """Train or take a model, run every strategy on the test bars, and write the run's folder.

    Parameters
    ----------
    experiment : Experiment
        What is compared. Decisions are made from `test_start` on, at the close of a bar, and
        filled at the next open. Models see no bar from `test_start` on.
    bars : mapping of symbol to DataFrame
        One history for each of ``experiment.symbols``.
    runs : str or Path
        Folder that holds the run's folder ``<name>-<hash>``. What is found finished there is
        taken over, so that an interrupted run goes on where it stopped.
    model : str or Path, optional
        A model file for all symbols, instead of training; its digest must be the experiment's.
    on_step : callable
        Called with a `Step` after each piece of work.

    Raises
    ------
    NextbarError
        Bars that do not fit the experiment, a model trained on test bars, a folder that cannot
        be written.
    """
    on_step = on_step or _ignore
    bars = _checked(experiment, bars)
    name = run_hash(experiment, bars)
    folder = Path(runs) / f"{experiment.name}-{name[:12]}"
    found = _finished(folder, name)
    if found is not None:
        return Comparison(folder, found, resumed=True)
    with tidy(folder):
        write_atomic(folder / "experiment.json", canonical_json(experiment.model_dump(mode="json")))
        records = {
            symbol: _model_for(experiment, frame, folder, model, on_step)
            for symbol, frame in bars.items()
        }
        results = {
            symbol: _run_strategies(experiment, frame, records[symbol].path, on_step)
            for symbol, frame in bars.items()
        }
        content = _write(folder, summarise(experiment, name, bars, records, results), results)
    return Comparison(folder, content, resumed=False)


def _model_for(
    experiment: Experiment,
    frame: pd.DataFrame,
    folder: Path,
    model: str | Path | None,
    on_step: Callable[[Step], None],
) -> ModelRecord:
    symbol = str(frame.attrs["symbol"])
    if model is None:
        on_epoch = partial(_on_epoch, symbol, on_step)
        record = train_model(experiment, frame, folder / "models", on_epoch)
    else:
        record = record_of_file(experiment, model)
    on_step(Step(symbol, "model"))
    return record


def _ignore(_: Step) -> None:
    pass


def _on_epoch(symbol: str, on_step: Callable[[Step], None], epoch: Epoch) -> None:
    on_step(Step(symbol, "epoch", epoch))


def _checked(experiment: Experiment, bars: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    if set(bars) != set(experiment.symbols):
        raise ExperimentError(
            f"expected bars of {', '.join(experiment.symbols)}, found {', '.join(bars)}."
        )
    return {
        symbol: _fitting(experiment, check_bars(bars[symbol], origin=symbol), symbol)
        for symbol in experiment.symbols
    }


def _fitting(experiment: Experiment, frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    frame.attrs["symbol"] = symbol
    if frame.attrs["interval"] != experiment.interval:
        raise ExperimentError(
            f"{symbol}: expected bars of {experiment.interval}, found {frame.attrs['interval']}."
            " Set the interval, or load other bars."
        )
    test = int((frame.index >= pd.Timestamp(experiment.test_start)).sum())
    if test < 2:
        raise BarsError(
            f"{symbol}: {test} bars from test_start {experiment.test_start} on, at least 2 are"
            f" needed; the last bar is {frame.index[-1].date()}. Choose an earlier test_start."
        )
    return frame


def _run_strategies(
    experiment: Experiment,
    frame: pd.DataFrame,
    model: Path,
    on_step: Callable[[Step], None],
) -> dict[str, Result]:
    signals = {
        "lstm": partial(LSTMDirection, model=model, dead_band=experiment.dead_band),
        "ema": partial(EMADirection, fast=experiment.ema_fast, slow=experiment.ema_slow),
        "momentum": partial(MomentumDirection, period=experiment.momentum_period),
        "buy_and_hold": None,
    }
    sizing = experiment.model_dump(include={"shorts", "target", "step", "band", "on_zero"})
    account = Account(experiment.cash, experiment.cost_bps)
    results: dict[str, Result] = {}
    for name, signal in signals.items():
        results[name] = run(
            frame,
            BuyAndHold if signal is None else FollowDirection,
            sizing if signal is None else {**sizing, "signal": signal},
            account,
            name=name,
            first=experiment.test_start,
        )
        on_step(Step(str(frame.attrs["symbol"]), name))
    return results


def _finished(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the results of a finished run, None where there is none."""
    files = (*FILES, REPORT) if available() else FILES
    if not all((folder / file).is_file() for file in files):
        return None
    try:
        content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        return content if content["hash"] == name else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(
    folder: Path, summary: dict[str, Any], results: Mapping[str, Mapping[str, Result]]
) -> dict[str, Any]:
    """Write the run's files and return the summary as a later run will read it."""
    text = canonical_json(summary)
    content: dict[str, Any] = json.loads(text)
    returns = pd.DataFrame(
        {f"{symbol} {k}": r.returns for symbol, runs in results.items() for k, r in runs.items()}
    )
    write_atomic(folder / "returns.csv", returns.to_csv(index_label="date"))
    if available():
        write_atomic(folder / REPORT, render(content, results))
    # Last, because it is what says that the run is finished.
    write_atomic(folder / "results.json", text + "\n")
    return content
