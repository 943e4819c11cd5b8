"""The comparison: same bars, same first bar, same costs and sizing, four strategies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..signals.bars import bars_digest, bars_per_year, check_bars
from ..signals.errors import BarsError, ExperimentError
from ..signals.indicators import EMADirection, LSTMDirection, MomentumDirection
from ..signals.store import canonical_json, write_atomic
from ..strategies import BuyAndHold, FollowDirection
from ..training.labels import direction_labels
from .common import CAUTION, STRATEGIES, pooled_returns
from .engine import Account, Result, run
from .experiment import SCHEMA, Experiment, run_hash
from .metrics import return_summary, summary
from .models import ModelRecord, record_of_file, train_model
from .report import available, render

if TYPE_CHECKING:
    from ..training.fit import Epoch

__all__ = ["CAUTION", "STRATEGIES", "Comparison", "Step", "compare"]

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
    write_atomic(folder / "experiment.json", canonical_json(experiment.model_dump(mode="json")))
    records: dict[str, ModelRecord] = {}
    results: dict[str, dict[str, Result]] = {}
    for symbol, frame in bars.items():
        if model is None:
            records[symbol] = train_model(
                experiment, frame, folder / "models", partial(_on_epoch, symbol, on_step)
            )
        else:
            records[symbol] = record_of_file(experiment, model)
        on_step(Step(symbol, "model"))
    for symbol, frame in bars.items():
        results[symbol] = _run_strategies(experiment, frame, records[symbol].path, on_step)
    text = canonical_json(_summary(experiment, name, bars, records, results))
    content: dict[str, Any] = json.loads(text)  # as a later run will read it
    _write(folder, text, content, results)
    return Comparison(folder, content, resumed=False)


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


def _summary(
    experiment: Experiment,
    name: str,
    bars: Mapping[str, pd.DataFrame],
    records: Mapping[str, ModelRecord],
    results: Mapping[str, Mapping[str, Result]],
) -> dict[str, Any]:
    yearly = bars_per_year(experiment.interval)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "name": experiment.name,
        "hash": name,
        "nextbar": version("nextbar"),
        "caution": CAUTION,
        "experiment": experiment.model_dump(mode="json"),
        "symbols": {
            symbol: {
                "bars": _describe(frame, experiment),
                "model": records[symbol].facts,
                "calls": _call_quality(frame, results[symbol]["lstm"], records[symbol]),
                "strategies": {k: summary(r, yearly) for k, r in results[symbol].items()},
            }
            for symbol, frame in bars.items()
        },
    }
    if len(bars) > 1:
        content["equal_weight"] = {
            strategy: return_summary(pooled_returns(results, strategy), yearly)
            for strategy in STRATEGIES
        }
    return content


def _describe(frame: pd.DataFrame, experiment: Experiment) -> dict[str, Any]:
    test = frame.index[frame.index >= pd.Timestamp(experiment.test_start)]
    return {
        "sha256": bars_digest(frame),
        "rows": len(frame),
        "first": str(frame.index[0]),
        "last": str(frame.index[-1]),
        "adjustment": frame.attrs["adjustment"],
        "notes": list(frame.attrs["notes"]),
        "test_first": str(test[0]),
        "test_last": str(test[-1]),
        "test_bars": len(test),
    }


def _call_quality(frame: pd.DataFrame, result: Result, record: ModelRecord) -> dict[str, Any]:
    """Return how often the up/down calls of the test bars came true, beside the base rate.

    The base rate is the share of the commoner outcome: what always calling it would have scored.
    """
    labels = direction_labels(frame, record.card.horizon, record.card.target)
    calls = pd.DataFrame({"score": result.score, "up": labels["up"]}).dropna()
    if calls.empty:
        return {"rows": 0, "accuracy": None, "base_rate": None, "up_calls": None}
    outcome = calls["up"].to_numpy() > 0.5
    called = calls["score"].to_numpy() > 0.5
    return {
        "rows": len(calls),
        "accuracy": float((called == outcome).mean()),
        "base_rate": float(max(outcome.mean(), 1 - outcome.mean())),
        "up_calls": float(called.mean()),
    }


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
    folder: Path,
    text: str,
    content: dict[str, Any],
    results: Mapping[str, Mapping[str, Result]],
) -> None:
    returns = pd.DataFrame(
        {f"{symbol} {k}": r.returns for symbol, runs in results.items() for k, r in runs.items()}
    )
    write_atomic(folder / "returns.csv", returns.to_csv(index_label="date"))
    if available():
        write_atomic(folder / REPORT, render(content, results))
    # Last, because it is what says that the run is finished.
    write_atomic(folder / "results.json", text + "\n")
