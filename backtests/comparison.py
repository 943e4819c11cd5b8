"""The comparison: same bars, same first bar, same costs and sizing for every strategy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..signals.bars import check_bars
from ..signals.errors import BarsError, ExperimentError
from ..signals.store import canonical_json, digest, write_atomic
from .experiment import FEWEST_BARS, Experiment, run_hash
from .outputs import only_writer, tidy
from .report import render
from .result import Result
from .trials import trials_by_now

if TYPE_CHECKING:
    from .models import Models
    from .table import Part

__all__ = ["Comparison", "Step", "compare"]

BESIDE = ("returns.csv", "report.html")
"""What is written beside ``results.json``."""

NEEDED = (
    "arch", "filelock", "jinja2", "joblib", "numba", "plotly", "purgedcv", "statsmodels",
)  # fmt: skip
"""What evidence and report are made with: the extra ``[compare]``."""


@dataclass(frozen=True)
class Step:
    """One piece of a comparison that has been done, for showing progress."""

    stage: str
    """``models``, ``strategies`` or ``evidence``."""
    done: int
    of: int
    what: str
    """The newest piece, such as ``AAPL, fold 3, lstm``."""


OnStep = Callable[[Step], None]


@dataclass(frozen=True)
class Comparison:
    """A finished comparison, new or found on disk."""

    folder: Path
    summary: dict[str, Any]
    """What ``results.json`` holds."""
    resumed: bool
    """Whether all of it was found finished."""
    trials: int
    """Configurations tried on these days by now; the run's own figures keep its first count."""


def compare(
    experiment: Experiment,
    bars: Mapping[str, pd.DataFrame],
    *,
    runs: str | Path = "runs",
    model: str | Path | None = None,
    workers: int | None = None,
    on_step: OnStep | None = None,
) -> Comparison:
    """Walk forward, run every strategy on the test bars, judge, and write the run's folder.

    Parameters
    ----------
    experiment : Experiment
        What is compared. Decisions are made from the first fold's `test_start` on, at the close
        of a bar, and filled at the next open. What is fitted for a fold sees no bar of its test.
    bars : mapping of symbol to DataFrame
        One history for each of ``experiment.symbols``.
    runs : str or Path
        Folder that holds the run's folder ``<name>-<hash>`` and the trial ledger. What is found
        finished there is taken over, so that an interrupted run goes on where it stopped.
    model : str or Path, optional
        A model file or chain for all symbols, instead of training; its digest must be the
        experiment's.
    workers : int, optional
        Processes that train models, by default one for each core. The results do not depend on it.
    on_step : callable
        Called with a `Step` after each piece of work.

    Raises
    ------
    NextbarError
        Bars that do not fit the experiment, a model trained on test bars, a folder that cannot
        be written or that another run writes, a ledger that was edited.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ExperimentError(
            f"a comparison needs {', '.join(missing)}: pip install 'nextbar[compare]'."
        )
    bars = _checked(experiment, bars)
    name = run_hash(experiment, bars)
    folder = Path(runs) / f"{experiment.name}-{name[:12]}"
    tried = trials_by_now(experiment, bars, name, Path(runs))  # an edited ledger stops here
    found = _finished(folder, name)
    if found is not None:
        return Comparison(folder, found, resumed=True, trials=tried)
    on_step = on_step or _ignore
    with tidy(folder), only_writer(folder):
        write_atomic(folder / "experiment.json", canonical_json(experiment.model_dump(mode="json")))
        models = partial(_models, experiment, bars, folder, model, workers, on_step)
        content = _run(experiment, bars, folder, name, models, on_step)
    return Comparison(folder, content, resumed=False, trials=content["trials"])


def _run(
    experiment: Experiment,
    bars: Mapping[str, pd.DataFrame],
    folder: Path,
    name: str,
    models_of: Callable[[], Mapping[str, Models]],
    on_step: OnStep,
) -> dict[str, Any]:
    from .summarise import summarise  # brings numba, which a finished run does not need
    from .table import run_symbol

    models = models_of()
    parts: dict[str, Part] = {}
    for symbol, frame in bars.items():

        def on_result(done: int, of: int, what: str) -> None:
            before = len(parts) * of
            on_step(Step("strategies", before + done, len(bars) * of, what))

        parts[symbol] = run_symbol(experiment, frame, models[symbol], folder, on_result)
    on_step(Step("evidence", 0, 1, "resampling"))
    content = summarise(experiment, name, parts, folder.parent)
    on_step(Step("evidence", 1, 1, "verdict"))
    return _write(folder, content, parts)


def _models(
    experiment: Experiment,
    bars: Mapping[str, pd.DataFrame],
    folder: Path,
    model: str | Path | None,
    workers: int | None,
    on_step: OnStep,
) -> Mapping[str, Models]:
    from .models import given_model, train_models

    if model is not None:
        last = max(frame.index[-1] for frame in bars.values())
        return dict.fromkeys(bars, given_model(experiment, model, last))

    def on_model(done: int, of: int, what: str) -> None:
        on_step(Step("models", done, of, what))

    processes = workers or os.cpu_count() or 1
    return train_models(experiment, bars, folder / "models", processes, on_model)


def _ignore(_: Step) -> None:
    pass


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
    before = int((frame.index < pd.Timestamp(experiment.test_start)).sum())
    needed = max(experiment.training.window, experiment.look_back + 1) + FEWEST_BARS
    if before < needed:
        raise BarsError(
            f"{symbol}: {before} bars before the first test, which starts on"
            f" {experiment.test_start}; at least {needed} are needed to warm the rules up and"
            " choose them. Load earlier bars, start the test later, or shorten the grids."
        )
    _check_tests(experiment, frame, symbol)
    test = len(frame) - before
    if test < 2:
        raise BarsError(
            f"{symbol}: {test} bars from test_start {experiment.test_start} on, at least 2 are"
            f" needed; the last bar is {frame.index[-1].date()}. Choose an earlier test_start."
        )
    return frame


def _check_tests(experiment: Experiment, frame: pd.DataFrame, symbol: str) -> None:
    """Raise ExperimentError for a fold without a bar, or cash that buys nothing."""
    starts = [pd.Timestamp(fold.test_start) for fold in experiment.folds]
    rows = [*frame.index.searchsorted(pd.DatetimeIndex(starts)), len(frame)]
    for start, (first, last) in zip(starts, pairwise(rows), strict=True):
        if first == last and first < len(frame):
            raise ExperimentError(
                f"{symbol}: no bar in the test that starts on {start.date()}. Leave that fold out."
            )
    prices = frame["close"].iloc[rows[0] :]
    most = experiment.cash * experiment.target
    if experiment.step is not None and len(prices) and (prices * experiment.step > most).all():
        raise ExperimentError(
            f"{symbol}: {experiment.cash:g} of cash buys no unit near {prices.iloc[0]:g}. Use"
            " fractions or more cash."
        )


def _finished(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the results of a finished run, None where there is none or a file was changed."""
    try:
        content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        files = {file: digest((folder / file).read_bytes()) for file in BESIDE}
        mine = content["hash"] == name and content["seal"] == _seal(content, files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return content if mine else None


def _seal(content: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Return the digest of all that a finished run has written: accidents and edits are found."""
    return digest(canonical_json([{k: v for k, v in content.items() if k != "seal"}, files]))


def _write(folder: Path, summary: dict[str, Any], parts: Mapping[str, Part]) -> dict[str, Any]:
    """Write the run's files and return the summary as a later run will read it."""
    content: dict[str, Any] = json.loads(canonical_json(summary))
    results: dict[str, dict[str, Result]] = {s: part.results for s, part in parts.items()}
    made = {symbol: list(part.forecasts.values()) for symbol, part in parts.items()}
    drawn = {symbol: forecasts[0] for symbol, forecasts in made.items() if forecasts}
    returns = pd.DataFrame(
        {f"{symbol} {k}": r.returns for symbol, runs in results.items() for k, r in runs.items()}
    )
    page = render(content, results, drawn)
    texts = dict(zip(BESIDE, (returns.to_csv(index_label="date"), page), strict=True))
    for file, text in texts.items():
        write_atomic(folder / file, text)
    content["seal"] = _seal(content, {file: digest(text) for file, text in texts.items()})
    # Last, because it is what says that the run is finished.
    write_atomic(folder / "results.json", canonical_json(content) + "\n")
    return content
